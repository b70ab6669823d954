//! Writes the dataset.
//!
//! - `dataset --rows N --out DIR`
//!   - `rows.jsonl`: the referrals, one a line
//!   - `ids.txt`: their ids, in the same order
//!   - `open.jsonl`, `open.ids`: PUT bodies and ids of a thousand that a client may still change, from all over the table
//! - `dataset --rows N --out -`: the referrals alone, on standard output
//! - `dataset --rows N --out DIR --sample M`: no `rows.jsonl`, and `ids.txt` has M ids, from all over the table

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use cosell_bench::Outcome;
use cosell_bench::arguments::Arguments;
use cosell_bench::dataset::Referral;

const MOST_OPEN: u64 = 1000;
/// Two in five are open: in so many rows there is one.
const LONGEST_SEARCH: u64 = 100;

fn main() -> Outcome<()> {
    let mut arguments = Arguments::of_program()?;
    let rows: u64 = arguments.number("rows", 1000)?;
    let directory = arguments.require("out")?;
    let sample: u64 = arguments.number("sample", 0)?;
    arguments.finish()?;

    if directory == "-" {
        let mut output = BufWriter::with_capacity(1 << 20, std::io::stdout().lock());
        for number in 0..rows {
            writeln!(output, "{}", Referral::numbered(number).json)?;
        }
        return Ok(output.flush()?);
    }
    std::fs::create_dir_all(&directory)?;
    let create = |name: &str| -> Outcome<BufWriter<File>> {
        Ok(BufWriter::with_capacity(1 << 20, File::create(Path::new(&directory).join(name))?))
    };
    let mut ids = create("ids.txt")?;
    match rows.checked_div(sample) {
        None => {
            let mut documents = create("rows.jsonl")?;
            for referral in (0..rows).map(Referral::numbered) {
                writeln!(documents, "{}", referral.json)?;
                writeln!(ids, "{}", referral.id)?;
            }
            documents.flush()?;
        }
        Some(step) => {
            for number in (0..rows).step_by(usize::try_from(step.max(1))?) {
                writeln!(ids, "{}", Referral::numbered(number).id)?;
            }
        }
    }
    ids.flush()?;
    let (mut open_documents, mut open_ids) = (create("open.jsonl")?, create("open.ids")?);
    for referral in open_ones(rows) {
        writeln!(open_documents, "{}", referral.replacement())?;
        writeln!(open_ids, "{}", referral.id)?;
    }
    open_documents.flush()?;
    open_ids.flush()?;
    Ok(())
}

/// The first open one at each of a thousand evenly spaced places; in a small table all of them.
fn open_ones(rows: u64) -> impl Iterator<Item = Referral> {
    let step = (rows / MOST_OPEN).max(1);
    let search = step.min(LONGEST_SEARCH);
    (0..rows).step_by(step as usize).take(MOST_OPEN as usize).filter_map(move |from| {
        (from..(from + search).min(rows)).map(Referral::numbered).find(Referral::is_open)
    })
}
