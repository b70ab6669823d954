//! Asks Cosell for referrals and keeps its answers as the table of the limits (`table.rs`).
//!
//! `record --address 127.0.0.1:8080 --path '/v1.0/engagements/referrals/{id}' --ids ids.txt --token TOKEN --table FILE`

use cosell_bench::Outcome;
use cosell_bench::arguments::Arguments;
use cosell_bench::http::Connection;
use cosell_bench::table;

/// What the limits' own HTTP stack writes, or the table has with each body.
const OWN: [&str; 3] = ["content-length", "date", "etag"];
const ROWS_AT_ONCE: usize = 1000;

fn main() -> Outcome<()> {
    let mut arguments = Arguments::of_program()?;
    let address = arguments.require("address")?;
    let path = arguments.require("path")?;
    let token = arguments.require("token")?;
    let ids = std::fs::read_to_string(arguments.require("ids")?)?;
    let file = arguments.require("table")?;
    arguments.finish()?;

    let sqlite = table::open(&file, "OFF")?;
    let ids: Vec<&str> = ids.lines().collect();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let mut connection = Connection::open(&address).await?;
        for (number, ids) in ids.chunks(ROWS_AT_ONCE).enumerate() {
            sqlite.execute_batch("BEGIN")?;
            for id in ids {
                let path = path.replace("{id}", id);
                let request = format!(
                    "GET {path} HTTP/1.1\r\nhost: {address}\r\naccept: application/json\r\nauthorization: Bearer {token}\r\n\r\n"
                );
                let answer = connection.call(request.as_bytes()).await?;
                if answer.status != 200 || answer.length != connection.body().len() {
                    return Err(format!("{} to {path}", answer.status).into());
                }
                table::add(&sqlite, id, &answer.etag.unwrap_or_default(), connection.body())?;
            }
            sqlite.execute_batch("COMMIT")?;
            if number == 0 {
                table::set_headers(&sqlite, &headers(&connection))?;
            }
        }
        Outcome::Ok(())
    })?;
    sqlite.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
    Ok(())
}

fn headers(connection: &Connection) -> Vec<(String, String)> {
    let pairs = connection.head().skip(1).filter_map(|line| line.split_once(": "));
    pairs
        .filter(|(name, _)| !OWN.contains(&name.to_ascii_lowercase().as_str()))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}
