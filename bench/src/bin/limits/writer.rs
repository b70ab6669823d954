//! The one writer: writes the rows of every PUT that waits, commits once, answers all.

use std::sync::mpsc::Receiver;

use cosell_bench::rows::Rows;

use crate::answer::Waiting;

pub fn run(mut rows: Rows, waiting: &Receiver<Waiting>, most: usize) {
    while let Ok(first) = waiting.recv() {
        let mut group = vec![first];
        while group.len() < most {
            let Ok(next) = waiting.try_recv() else { break };
            group.push(next);
        }
        if let Err(error) = rows.write_group(group.len()) {
            eprintln!("limits: {error}");
            std::process::exit(1);
        }
        for done in group {
            // The client may be gone; the rows stay.
            let _ = done.send(());
        }
    }
}
