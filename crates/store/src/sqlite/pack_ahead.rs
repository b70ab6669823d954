//! The documents of a bulk load are packed by threads of their own, some batches ahead of the writer's.

use std::iter::Fuse;
use std::thread;

use bytes::Bytes;
use flume::{Receiver, Sender};

use super::compression::Compression;
use crate::Write;

/// More threads would wait for the writer.
const MOST_THREADS: usize = 4;
/// How many batches each thread has before it and behind it.
const BATCHES: usize = 2;

/// A referral to load, and the column of its document; the changes of its entry are packed in their place.
pub(super) type EncodedWrite = (Write, Bytes);

/// A thread: what it is given, and what it gives back.
type PackThread = (Sender<Vec<Write>>, Receiver<Vec<EncodedWrite>>);

/// Batches in their order, packed. They are drawn on the thread that asks for them.
pub(super) struct PackAhead<I> {
    batches: Fuse<I>,
    threads: Vec<PackThread>,
    drawn: usize,
    given: usize,
}

impl<I: Iterator<Item = Vec<Write>>> PackAhead<I> {
    /// The threads end when it is dropped.
    pub(super) fn new(batches: I, compression: Compression) -> PackAhead<I> {
        let threads = thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
        let start = |_| {
            let (give, to_do) = flume::bounded::<Vec<Write>>(BATCHES);
            let (done, take) = flume::bounded(BATCHES);
            thread::spawn(move || {
                while let Ok(batch) = to_do.recv() {
                    let packed = batch.into_iter().map(|write| compression.encode_write(write)).collect();
                    if done.send(packed).is_err() {
                        return; // nobody wants the rest
                    }
                }
            });
            (give, take)
        };
        PackAhead { batches: batches.fuse(), threads: (0..threads).map(start).collect(), drawn: 0, given: 0 }
    }

    /// The thread of the batch of this number.
    fn thread(&self, batch: usize) -> Option<&PackThread> {
        self.threads.get(batch % self.threads.len().max(1))
    }
}

impl<I: Iterator<Item = Vec<Write>>> Iterator for PackAhead<I> {
    type Item = Vec<EncodedWrite>;

    fn next(&mut self) -> Option<Vec<EncodedWrite>> {
        while self.drawn - self.given < self.threads.len() * BATCHES {
            let Some(batch) = self.batches.next() else { break };
            self.thread(self.drawn)?.0.send(batch).ok()?;
            self.drawn += 1;
        }
        if self.given == self.drawn {
            return None;
        }
        let packed = self.thread(self.given)?.1.recv().ok()?;
        self.given += 1;
        Some(packed)
    }
}
