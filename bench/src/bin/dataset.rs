//! `dataset --rows N --out DIR`: writes the dataset.
//!
//! - `rows.jsonl`: the referrals, one a line
//! - `ids.txt`: their ids, in the same order
//! - `open.jsonl`, `open.ids`: PUT bodies and ids of the first thousand that a client may still change

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use cosell_bench::Outcome;
use cosell_bench::arguments::Arguments;
use cosell_bench::dataset::Referral;

const MOST_OPEN: usize = 1000;

fn main() -> Outcome<()> {
    let mut arguments = Arguments::of_program()?;
    let rows: u64 = arguments.number("rows", 1000)?;
    let directory = arguments.require("out")?;
    arguments.finish()?;

    std::fs::create_dir_all(&directory)?;
    let create = |name: &str| -> Outcome<BufWriter<File>> {
        Ok(BufWriter::with_capacity(1 << 20, File::create(Path::new(&directory).join(name))?))
    };
    let mut documents = create("rows.jsonl")?;
    let mut ids = create("ids.txt")?;
    let mut open_documents = create("open.jsonl")?;
    let mut open_ids = create("open.ids")?;
    let mut open = 0;
    for number in 0..rows {
        let referral = Referral::numbered(number);
        writeln!(documents, "{}", referral.json)?;
        writeln!(ids, "{}", referral.id)?;
        if referral.is_open() && open < MOST_OPEN {
            open += 1;
            writeln!(open_documents, "{}", referral.replacement())?;
            writeln!(open_ids, "{}", referral.id)?;
        }
    }
    for mut file in [documents, ids, open_documents, open_ids] {
        file.flush()?;
    }
    Ok(())
}
