//! The statements keep to what distributed databases with the same protocol have. All of them are looked at: the literals
//! of every file of the engine, and every migration.

use std::path::Path;

/// What the engine's folder says in literals, file by file, and the migrations without their comments.
fn statements() -> Vec<(String, Vec<String>)> {
    let sources = files("src/postgres", "rs").into_iter().map(|(name, text)| (name, literals(&text)));
    let migrations = files("migrations/postgres", "sql").into_iter().map(|(name, text)| {
        let lines = text.lines().map(|line| line.split("--").next().unwrap_or_default().to_owned());
        (name, lines.collect())
    });
    sources.chain(migrations).collect()
}

/// The files of a folder of this crate, by name.
fn files(folder: &str, extension: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found: Vec<(String, String)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect();
    found.sort();
    found
}

/// The string literals of a source, without what stands in comments.
fn literals(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = source.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '/' if rest.peek() == Some(&'/') => drop(rest.by_ref().find(|next| *next == '\n')),
            '\'' if rest.peek() == Some(&'"') => drop(rest.next()),
            '"' => {
                let mut literal = String::new();
                while let Some(next) = rest.next().filter(|next| *next != '"') {
                    literal.extend(if next == '\\' { rest.next() } else { Some(next) });
                }
                found.push(literal);
            }
            _ => {}
        }
    }
    found
}

#[test]
fn literals_are_found_and_comments_are_not() {
    let source = r#"// "no"
        let quote = '"'; /// "nor this"
        run("SELECT \"a\",
             b", "c");"#;
    assert_eq!(literals(source), ["SELECT \"a\",\n             b", "c"]);
}

#[test]
fn nothing_is_asked_that_only_one_postgresql_has() {
    let foreign = [
        "LISTEN",
        "NOTIFY",
        "SKIP LOCKED",
        "NOWAIT",
        "FOR SHARE",
        "FOR KEY",
        "FOR NO KEY",
        "pg_",
        "nextval",
        "SEQUENCE",
        "SERIAL ",
        "IDENTITY",
        "GENERATED",
        "ctid",
        "xmin",
        "txid",
        "TRIGGER",
        "FUNCTION",
        "PROCEDURE",
        "EXTENSION",
        "DECLARE",
        "CURSOR",
        "FETCH",
        "PREPARE",
        "LOCK TABLE",
        "LATERAL",
        "DISTINCT ON",
        "TABLESPACE",
        "UNLOGGED",
        "TEMP",
        "COPY ",
        "MERGE",
        "TRUNCATE",
        "VACUUM",
        "CONCURRENTLY",
        "PARTITION",
        "INHERITS",
        "WITH (",
        "USING gin",
        "USING gist",
        "EXCLUDE",
        "RULE",
        "REFERENCES",
        "tsvector",
        "jsonb",
        "lock_timeout",
    ];
    let mut seen = 0;
    for (name, literals) in statements() {
        for literal in literals {
            for word in foreign {
                assert!(!literal.contains(word), "{name}: {word} in {literal}");
            }
            let verbs = ["SELECT ", "INSERT ", "UPDATE ", "DELETE ", "CREATE ", "BEGIN ", "SET ", "WITH "];
            seen += usize::from(verbs.iter().any(|verb| literal.trim_start().starts_with(verb)));
        }
    }
    // A scan that finds nothing proves nothing.
    assert!(seen > 40, "{seen} statements");
}

#[test]
fn the_owner_leads_every_key_that_is_not_told_otherwise() {
    // The ways that cross owners, and tables of which there is one row for each name.
    let otherwise = [
        "referral_expiring ON referral (expires,",
        "referral_of_engagement ON referral_directory (engagement,",
        "answer_oldest_first ON answer (remembered_at",
        "id bytea NOT NULL PRIMARY KEY",
        "organization bytea NOT NULL PRIMARY KEY",
        "name text COLLATE \"C\" NOT NULL PRIMARY KEY",
        "job text COLLATE \"C\" NOT NULL PRIMARY KEY",
        "one integer NOT NULL PRIMARY KEY",
    ];
    let mut keys = 0;
    for (name, literals) in statements() {
        for line in literals.iter().flat_map(|literal| literal.lines()) {
            let is_key = line.contains("PRIMARY KEY") || line.contains(" INDEX ") || line.contains("UNIQUE");
            if is_key && !otherwise.iter().any(|known| line.contains(known)) {
                let columns = line.rsplit_once('(').map(|(_, columns)| columns).unwrap_or(line);
                let leads = columns.starts_with("owner,") || columns.starts_with("organization,");
                assert!(leads, "{name}: {line}");
                keys += 1;
            }
        }
    }
    assert!(keys > 10, "{keys}");
}

#[test]
fn every_migration_is_applied_and_in_the_order_of_its_name() {
    let there: Vec<String> = files("migrations/postgres", "sql").into_iter().map(|(name, _)| name).collect();
    let applied: Vec<&str> =
        super::super::schema::MIGRATIONS.iter().map(|migration| migration.name).collect();
    assert_eq!(applied, there);
}

/// What the version before does not know must not be missed by it: it goes on while the newer one migrates
/// (docs/adr/0025-neighbouring-versions.md).
#[test]
fn a_migration_only_adds() {
    let taken_away =
        ["DROP ", "RENAME", "ALTER COLUMN", "SET NOT NULL", "ADD CONSTRAINT", " TYPE ", "DELETE "];
    for (name, lines) in files("migrations/postgres", "sql") {
        let code: Vec<&str> = lines.lines().map(|line| line.split("--").next().unwrap_or_default()).collect();
        for line in code {
            for word in taken_away {
                assert!(!line.contains(word), "{name}: {word} in {line}");
            }
            let needs_a_value = line.contains("ADD COLUMN") && line.contains("NOT NULL");
            assert!(
                !needs_a_value || line.contains("DEFAULT"),
                "{name}: older programs leave it out: {line}"
            );
        }
    }
}
