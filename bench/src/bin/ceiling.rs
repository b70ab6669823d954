//! In-process limits: no HTTP, one thread. One JSON object a line on standard output.
//!
//! - `ceiling --what fill --table FILE --rows N`: makes the SQLite table of the limits
//! - `ceiling --what fill-lists --table FILE --rows N`: makes the one of the lists
//! - `ceiling --what list --table FILE --list first`: bodies of a list, one after the other; its forms: `lists::Asked`
//! - `ceiling --what fsync --directory DIR`: 4 KiB overwritten in place, each with its fdatasync
//! - `ceiling --what group --directory DIR --group 64 --rows 1000`: durable group commit; an operation is one row
//!
//! `--seconds` is how long a limit is measured.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use cosell_bench::Outcome;
use cosell_bench::arguments::Arguments;
use cosell_bench::dataset::{Random, Referral};
use cosell_bench::lists::{self, Asked, Lists};
use cosell_bench::table;
use cosell_bench::timing::{Times, repeat};

fn report(what: &str, rows_each: u64, (times, whole): (Times, Duration), mean_body: Option<u64>) {
    let mut line = times.summary();
    if let Some(length) = mean_body {
        line["mean_body"] = length.into();
    }
    line["what"] = what.into();
    line["per_second"] = ((times.count() * rows_each) as f64 / whole.as_secs_f64()).into();
    line["calls_per_second"] = (times.count() as f64 / whole.as_secs_f64()).into();
    println!("{line}");
}

fn main() -> Outcome<()> {
    let mut arguments = Arguments::of_program()?;
    let what = arguments.require("what")?;
    let seconds: f64 = arguments.number("seconds", 2.0)?;
    let rows: u64 = arguments.number("rows", 1000)?;
    let group: u64 = arguments.number("group", 64)?;
    let directory = arguments.take("directory").unwrap_or_else(|| ".".to_owned());
    let table = arguments.take("table").unwrap_or_else(|| "table.db".to_owned());
    let list = arguments.take("list").unwrap_or_else(|| "first".to_owned());
    arguments.finish()?;
    match what.as_str() {
        "fill" => table::fill(&table::open(&table, "OFF")?, rows),
        "fill-lists" => lists::fill(&table, rows),
        "list" => one_list(&Lists::open(&table)?, &Asked::read(&list)?, seconds),
        "fsync" => fsync(Path::new(&directory), seconds),
        "group" => group_commit(Path::new(&directory), rows, group, seconds),
        other => Err(format!("--what {other} is not known").into()),
    }
}

fn one_list(lists: &Lists, asked: &Asked, seconds: f64) -> Outcome<()> {
    let length = lists.body(asked)?.len();
    repeat(seconds / 4.0, || lists.body(asked).map(drop))?;
    let measured = repeat(seconds, || lists.body(asked).map(drop))?;
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
    let measured = repeat(seconds, || {
        file.seek(SeekFrom::Start(page % PAGES * PAGE.len() as u64))?;
        page += 1;
        file.write_all(&PAGE)?;
        file.sync_data()
    })?;
    std::fs::remove_file(path)?;
    report("fsync", 1, measured, None);
    Ok(())
}

fn group_commit(directory: &Path, rows: u64, group: u64, seconds: f64) -> Outcome<()> {
    let path = directory.join("group.db");
    remove(&path)?;
    let connection = table::open(&path.to_string_lossy(), "OFF")?;
    table::fill(&connection, rows)?;
    connection.execute_batch("PRAGMA synchronous = FULL")?;
    let pool: Vec<Referral> = (0..rows.min(5000)).map(Referral::numbered).collect();
    let mut random = Random::seeded(99);
    let measured = repeat(seconds, || table::write_group(&connection, &pool, group, &mut random))?;
    drop(connection);
    remove(&path)?;
    report("group", group, measured, None);
    Ok(())
}

fn remove(database: &Path) -> Outcome<()> {
    for suffix in ["", "-wal", "-shm"] {
        let path = format!("{}{suffix}", database.display());
        if Path::new(&path).exists() {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}
