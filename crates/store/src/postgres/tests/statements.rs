//! The statements keep to what distributed databases with the same protocol have.

/// Every file with SQL.
const SOURCES: [(&str, &str); 9] = [
    ("batch.rs", include_str!("../batch.rs")),
    ("mod.rs", include_str!("../mod.rs")),
    ("people.rs", include_str!("../people.rs")),
    ("pool.rs", include_str!("../pool.rs")),
    ("query.rs", include_str!("../query.rs")),
    ("referrals.rs", include_str!("../referrals.rs")),
    ("schema.rs", include_str!("../schema.rs")),
    ("ways.rs", include_str!("../ways.rs")),
    ("writer.rs", include_str!("../writer.rs")),
];
const MIGRATION: &str = include_str!("../../../migrations/postgres/2026-11-21_first.sql");

#[test]
fn nothing_is_asked_that_only_one_postgresql_has() {
    let foreign = [
        "LISTEN",
        "NOTIFY",
        "SKIP LOCKED",
        "NOWAIT",
        "pg_advisory",
        "nextval",
        "SEQUENCE",
        "SERIAL",
        "IDENTITY",
        "ctid",
        "xmin",
        "TRIGGER",
        "FUNCTION",
        "EXTENSION",
        "DECLARE",
        "PREPARE",
        "LOCK TABLE",
        "LATERAL",
        "DISTINCT ON",
        "TABLESPACE",
        "UNLOGGED",
        "WITH (",
        "USING gin",
        "RULE",
        "REFERENCES",
    ];
    for (name, source) in SOURCES.into_iter().chain([("the migration", MIGRATION)]) {
        for line in source.lines() {
            let code = line.split("//").next().unwrap_or_default();
            let code = code.split("-- ").next().unwrap_or_default();
            for word in foreign {
                assert!(!code.contains(word), "{name}: {word} in {line}");
            }
        }
    }
}

#[test]
fn the_owner_leads_every_key_that_is_not_told_otherwise() {
    // The two that cross owners, and tables of which there is one row for each name.
    let otherwise = [
        "referral_expiring ON referral (expires,",
        "referral_of_engagement ON referral_directory (engagement,",
        "answer_oldest_first ON answer (remembered_at",
        "id bytea NOT NULL PRIMARY KEY",
        "organization bytea NOT NULL PRIMARY KEY",
        "NOT NULL PRIMARY KEY",
    ];
    let mut keys = 0;
    for line in MIGRATION.lines() {
        let is_key = line.contains("PRIMARY KEY") || line.contains(" INDEX ");
        if is_key && !otherwise.iter().any(|known| line.contains(known)) {
            let columns = line.rsplit_once('(').map(|(_, columns)| columns).unwrap();
            assert!(columns.starts_with("owner,") || columns.starts_with("organization,"), "{line}");
            keys += 1;
        }
    }
    assert!(keys > 10, "{keys}");
}
