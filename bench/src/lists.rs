//! Lists from SQLite with nothing around it: what each list costs at the very least. The indexes fit the lists, totals
//! are kept aside, the words of the names are in a text index that has the order of the lists, and a body is put
//! together from whole documents.

use std::cell::RefCell;
use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Params, params};

use crate::dataset::Referral;
use crate::{Outcome, table};

/// Referrals of one page.
pub const PAGE: u32 = 50;

/// The filter that connectors send: a twentieth of all rows.
const PENDING: &str = "direction = 'Incoming' AND substatus = 'Pending'";
/// A wider one: a sixth of all rows.
const ACTIVE: &str = "status = 'Active' AND direction = 'Incoming'";

/// A list, the newest referrals first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// `first`: page 1 of the incoming, pending ones.
    First,
    /// `counted`: the same with the number of all of them.
    Counted,
    /// `after=N`: the page after the first N of them, by the key of the last.
    After(u32),
    /// `skip=N`: the same page, by leaving out N.
    Skip(u32),
    /// `active=N`: the page of the active, incoming ones, by leaving out N.
    Active(u32),
    /// `search=WORDS`, a plus for a space: page 1 of those with the phrase in their name.
    Search(String),
    /// `groups`: how many have which status.
    Groups,
}

impl Asked {
    /// Reads the form above.
    ///
    /// # Errors
    /// Anything else.
    pub fn read(text: &str) -> Outcome<Asked> {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        Ok(match name {
            "first" => Asked::First,
            "counted" => Asked::Counted,
            "after" => Asked::After(value.parse()?),
            "skip" => Asked::Skip(value.parse()?),
            "active" => Asked::Active(value.parse()?),
            "search" => Asked::Search(value.replace('+', " ")),
            "groups" => Asked::Groups,
            _ => return Err(format!("no such list: {text}").into()),
        })
    }
}

/// A connection to the table, and the keys at which pages begin.
pub struct Lists {
    connection: Connection,
    places: RefCell<HashMap<u32, (String, String)>>,
}

impl Lists {
    /// Opens a filled table.
    ///
    /// # Errors
    /// SQLite's.
    pub fn open(path: &str) -> Outcome<Lists> {
        let connection = Connection::open(path)?;
        table::configure(&connection, "FULL")?;
        Ok(Lists { connection, places: RefCell::default() })
    }

    /// The body of the list, as JSON.
    ///
    /// # Errors
    /// SQLite's.
    pub fn body(&self, asked: &Asked) -> Outcome<Vec<u8>> {
        match asked {
            Asked::First | Asked::After(0) => self.page(PENDING, "", params![PAGE], None),
            Asked::Counted => {
                let total = self.number(&format!("SELECT sum(rows) FROM total WHERE {PENDING}"))?;
                self.page(PENDING, "", params![PAGE], Some(total))
            }
            Asked::After(skip) => {
                let (created, id) = self.place(*skip)?;
                let after = format!("{PENDING} AND created <= ?2 AND (created < ?2 OR id > ?3)");
                self.page(&after, "", params![PAGE, created, id], None)
            }
            Asked::Skip(skip) => self.page(PENDING, "OFFSET ?2", params![PAGE, skip], None),
            Asked::Active(skip) => self.page(ACTIVE, "OFFSET ?2", params![PAGE, skip], None),
            Asked::Search(words) => {
                let found = "number IN (SELECT number FROM place WHERE place IN (
                     SELECT rowid FROM words WHERE words MATCH ?2 ORDER BY rowid DESC LIMIT ?1))";
                self.page(found, "", params![PAGE, format!("\"{words}\"")], None)
            }
            Asked::Groups => self.groups(),
        }
    }

    fn page(&self, filter: &str, offset: &str, values: impl Params, total: Option<i64>) -> Outcome<Vec<u8>> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT document FROM referral WHERE {filter} ORDER BY created DESC, id LIMIT ?1 {offset}"
        ))?;
        let mut rows = statement.query(values)?;
        let mut body = Vec::with_capacity(160 << 10);
        match total {
            Some(total) => {
                body.extend_from_slice(format!("{{\"@odata.count\":{total},\"value\":[").as_bytes())
            }
            None => body.extend_from_slice(b"{\"value\":["),
        }
        let mut between = false;
        while let Some(row) = rows.next()? {
            if between {
                body.push(b',');
            }
            between = true;
            body.extend_from_slice(row.get_ref(0)?.as_bytes()?);
        }
        body.extend_from_slice(b"]}");
        Ok(body)
    }

    /// The key of the last referral before a page; found once.
    fn place(&self, skip: u32) -> Outcome<(String, String)> {
        if let Some(place) = self.places.borrow().get(&skip) {
            return Ok(place.clone());
        }
        let place: Option<(String, String)> = self
            .connection
            .query_row(
                &format!(
                    "SELECT created, id FROM referral WHERE {PENDING} ORDER BY created DESC, id LIMIT 1 OFFSET ?1"
                ),
                [skip - 1],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?;
        let place = place.ok_or_else(|| format!("there are no {skip} referrals before that page"))?;
        self.places.borrow_mut().insert(skip, place.clone());
        Ok(place)
    }

    fn number(&self, select: &str) -> Outcome<i64> {
        Ok(self.connection.prepare_cached(select)?.query_row([], |row| row.get(0))?)
    }

    fn groups(&self) -> Outcome<Vec<u8>> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT status, sum(rows) FROM total GROUP BY status ORDER BY status")?;
        let groups: Vec<String> = statement
            .query_map([], |row| {
                Ok(format!(
                    "{{\"status\":\"{}\",\"n\":{}}}",
                    row.get_ref(0)?.as_str()?,
                    row.get::<_, i64>(1)?
                ))
            })?
            .collect::<Result<_, _>>()?;
        Ok(format!("{{\"value\":[{}]}}", groups.join(",")).into_bytes())
    }
}

/// Makes the table with the first `rows` referrals, and leaves one file without a WAL behind.
///
/// # Errors
/// SQLite's.
pub fn fill(path: &str, rows: u64) -> Outcome<()> {
    let connection = Connection::open(path)?;
    table::configure(&connection, "OFF")?;
    connection.execute_batch(
        "CREATE TABLE referral (
             number INTEGER PRIMARY KEY,
             id TEXT NOT NULL,
             created TEXT NOT NULL,
             status TEXT NOT NULL,
             substatus TEXT NOT NULL,
             direction TEXT NOT NULL,
             document TEXT NOT NULL
         );
         CREATE VIRTUAL TABLE words USING fts5 (name, content = '');",
    )?;
    for start in (0..rows).step_by(10_000) {
        connection.execute_batch("BEGIN")?;
        for number in start..(start + 10_000).min(rows) {
            insert(&connection, i64::try_from(number)?, &Referral::numbered(number))?;
        }
        connection.execute_batch("COMMIT")?;
    }
    // No ANALYZE: with its samples SQLite prepares a statement anew for every value that begins a range.
    connection.execute_batch(
        "CREATE INDEX referral_pending ON referral (direction, substatus, created DESC, id);
         CREATE INDEX referral_active ON referral (status, direction, created DESC, id);
         CREATE INDEX referral_created ON referral (created DESC, id);
         CREATE TABLE total AS
             SELECT status, substatus, direction, count(*) AS rows FROM referral GROUP BY 1, 2, 3;
         CREATE TABLE place (place INTEGER PRIMARY KEY, number INTEGER NOT NULL);
         INSERT INTO place (number) SELECT number FROM referral ORDER BY created, id DESC;
         INSERT INTO words (rowid, name)
             SELECT place, document ->> '$.name' FROM place JOIN referral USING (number) ORDER BY place;
         INSERT INTO words (words) VALUES ('optimize');
         PRAGMA wal_checkpoint(TRUNCATE);",
    )?;
    Ok(())
}

fn insert(connection: &Connection, number: i64, referral: &Referral) -> Outcome<()> {
    connection
        .prepare_cached(
            "INSERT INTO referral (number, id, created, status, substatus, direction, document)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            number,
            referral.id,
            referral.created,
            referral.status,
            referral.substatus,
            referral.direction,
            referral.json
        ])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(body: &[u8]) -> Vec<String> {
        let body: serde_json::Value = serde_json::from_slice(body).unwrap();
        body["value"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn every_list_is_what_its_name_says() {
        let directory = std::env::temp_dir().join(format!("cosell-bench-lists-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("lists.db");
        fill(path.to_str().unwrap(), 3000).unwrap();
        let lists = Lists::open(path.to_str().unwrap()).unwrap();
        let asked = |text: &str| lists.body(&Asked::read(text).unwrap()).unwrap();

        let mut all: Vec<Referral> = (0..3000).map(Referral::numbered).collect();
        all.sort_by(|one, other| other.created.cmp(&one.created));
        let page = |wanted: &dyn Fn(&Referral) -> bool, from: usize| -> Vec<String> {
            all.iter().filter(|one| wanted(one)).skip(from).take(50).map(|one| one.id.clone()).collect()
        };
        let pending = |one: &Referral| one.direction == "Incoming" && one.substatus == "Pending";
        let active = |one: &Referral| one.direction == "Incoming" && one.status == "Active";
        assert_eq!(ids(&asked("first")), page(&pending, 0));
        assert_eq!(ids(&asked("after=100")), page(&pending, 100));
        assert_eq!(ids(&asked("skip=100")), page(&pending, 100));
        assert_eq!(ids(&asked("active=300")), page(&active, 300));
        assert_eq!(ids(&asked("search=Labs")), page(&|one| one.json.contains(" Labs "), 0));
        let counted: serde_json::Value = serde_json::from_slice(&asked("counted")).unwrap();
        assert_eq!(counted["@odata.count"], all.iter().filter(|one| pending(one)).count());
        let groups: serde_json::Value = serde_json::from_slice(&asked("groups")).unwrap();
        let active = all.iter().filter(|one| one.status == "Active").count();
        assert_eq!(groups["value"][0], serde_json::json!({ "status": "Active", "n": active }));
        drop(lists);
        std::fs::remove_dir_all(directory).unwrap();
    }
}
