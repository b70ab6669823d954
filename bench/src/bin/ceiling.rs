//! In-process limits: no HTTP, one thread. One JSON object a line on standard output.
//!
//! - `ceiling --what fill-lists --table FILE --rows N`: makes the table of the lists
//! - `ceiling --what list --table FILE --list first`: bodies of a list, one after the other; its forms: `lists::Asked`
//! - `ceiling --what fsync --directory DIR`: 4 KiB overwritten in place, each with its fdatasync
//! - `ceiling --what rows --table COPY --second FILE --group 64`: durable group commit of the rows that Cosell writes for
//!   a PUT (`rows.rs`); an operation is the rows of one PUT
//! - `ceiling --what pages --table FILE`: bytes of a database, by table and index, and rows of Cosell's tables
//!
//! `--seconds` is how long a limit is measured.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use cosell_bench::Outcome;
use cosell_bench::arguments::Arguments;
use cosell_bench::lists::{self, Asked, Lists};
use cosell_bench::rows::Rows;
use cosell_bench::timing::{Times, repeat};
use rusqlite::{Connection, OpenFlags};
use serde_json::json;

/// A limit over `seconds`, after a quarter of it that is not counted: in that the caches fill, and SQLite's log reaches
/// its length. Also what it used of a processor.
fn measure(seconds: f64, mut work: impl FnMut() -> Outcome<()>) -> Outcome<(Times, Duration, f64)> {
    repeat(seconds / 4.0, &mut work)?;
    let before = processor_seconds()?;
    let (times, whole) = repeat(seconds, work)?;
    Ok((times, whole, processor_seconds()? - before))
}

/// User and system time of this process; the kernel counts in hundredths of a second.
fn processor_seconds() -> Outcome<f64> {
    let line = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = line.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    Ok((fields[11].parse::<f64>()? + fields[12].parse::<f64>()?) / 100.0)
}

fn report(what: &str, rows_each: u64, measured: (Times, Duration, f64), mean_body: Option<u64>) {
    let (times, whole, processor) = measured;
    let mut line = times.summary();
    if let Some(length) = mean_body {
        line["mean_body"] = length.into();
    }
    line["what"] = what.into();
    line["per_second"] = ((times.count() * rows_each) as f64 / whole.as_secs_f64()).into();
    line["per_processor_second"] = ((times.count() * rows_each) as f64 / processor.max(0.01)).into();
    line["calls_per_second"] = (times.count() as f64 / whole.as_secs_f64()).into();
    println!("{line}");
}

fn main() -> Outcome<()> {
    let mut arguments = Arguments::of_program()?;
    let what = arguments.require("what")?;
    let seconds: f64 = arguments.number("seconds", 2.0)?;
    let rows: u64 = arguments.number("rows", 1000)?;
    let group: usize = arguments.number("group", 64)?;
    let directory = arguments.take("directory").unwrap_or_else(|| ".".to_owned());
    let table = arguments.take("table").unwrap_or_else(|| "table.db".to_owned());
    let second = arguments.take("second").unwrap_or_else(|| "second.db".to_owned());
    let list = arguments.take("list").unwrap_or_else(|| "first".to_owned());
    arguments.finish()?;
    match what.as_str() {
        "fill-lists" => lists::fill(&table, rows),
        "list" => one_list(&Lists::open(&table)?, &Asked::read(&list)?, seconds),
        "fsync" => fsync(Path::new(&directory), seconds),
        "pages" => pages(&table),
        "rows" => written_rows(Rows::open(&table, &second)?, group, seconds),
        other => Err(format!("--what {other} is not known").into()),
    }
}

fn one_list(lists: &Lists, asked: &Asked, seconds: f64) -> Outcome<()> {
    let length = lists.body(asked)?.len();
    let measured = measure(seconds, || lists.body(asked).map(drop))?;
    report("list", 1, measured, Some(length as u64));
    Ok(())
}

fn fsync(directory: &Path, seconds: f64) -> Outcome<()> {
    const PAGE: [u8; 4096] = [7; 4096];
    const PAGES: u64 = 4096;
    let path = directory.join("fsync.tmp");
    let mut file = File::create(&path)?;
    // The file is laid out first, as a WAL is that is written over and over.
    for _ in 0..PAGES {
        file.write_all(&PAGE)?;
    }
    file.sync_all()?;
    let mut page = 0;
    let measured = measure(seconds, || {
        file.seek(SeekFrom::Start(page % PAGES * PAGE.len() as u64))?;
        page += 1;
        file.write_all(&PAGE)?;
        Ok(file.sync_data()?)
    })?;
    std::fs::remove_file(path)?;
    report("fsync", 1, measured, None);
    Ok(())
}

fn pages(table: &str) -> Outcome<()> {
    let sqlite = Connection::open_with_flags(table, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let mut parts = serde_json::Map::new();
    let mut statement = sqlite.prepare("SELECT name, pgsize, unused FROM dbstat WHERE aggregate = TRUE")?;
    let mut found = statement.query([])?;
    while let Some(part) = found.next()? {
        parts.insert(
            part.get(0)?,
            json!({ "bytes": part.get::<_, i64>(1)?, "unused": part.get::<_, i64>(2)? }),
        );
    }
    let rows = |table: &str| {
        sqlite.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0))
    };
    println!(
        "{}",
        json!({ "parts": parts, "referrals": rows("referral").ok(), "entries": rows("change_log").ok() })
    );
    Ok(())
}

fn written_rows(mut rows: Rows, group: usize, seconds: f64) -> Outcome<()> {
    for statement in rows.statements() {
        eprintln!("ceiling: {statement}");
    }
    for table in &rows.left_out {
        eprintln!("ceiling: not written: {table}");
    }
    let measured = measure(seconds, || rows.write_group(group))?;
    report("rows", group as u64, measured, None);
    Ok(())
}
