//! Encodes the documents of a bulk load on separate threads, some batches ahead of the writer.

use std::iter::Fuse;
use std::thread;

use bytes::Bytes;
use flume::{Receiver, Sender};

use super::compression::Compression;
use crate::Write;

/// With more threads, some would wait for the writer.
const MOST_THREADS: usize = 4;
/// Capacity of the channels of each thread, in batches.
const BATCHES: usize = 2;

/// A referral to load, and the column of its document. The changes of its log entry are encoded in place.
pub(super) type EncodedWrite = (Write, Bytes);

/// The channels of a thread: its input and its output.
type PackThread = (Sender<Vec<Write>>, Receiver<Vec<EncodedWrite>>);

/// Encoded batches in their order. The source is read on the thread that calls `next`.
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
