//! Work on several threads, with the results in the order of the work.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// How many pieces may wait before and after each thread.
const WAITING: usize = 2;

/// The results, in order. Dropping it stops the threads and waits for them.
pub struct InOrder<T> {
    /// Those of the pieces 0, n, 2n, …; those of 1, n+1, …; and so on.
    results: Vec<Receiver<T>>,
    next: usize,
    threads: Vec<JoinHandle<()>>,
}

/// Applies `make` to every piece of `work`, on so many threads as there are processors.
pub fn map<W, T>(
    work: impl Iterator<Item = W> + Send + 'static,
    make: impl Fn(W) -> T + Send + Sync + 'static,
) -> InOrder<T>
where
    W: Send + 'static,
    T: Send + 'static,
{
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let make = Arc::new(make);
    let mut in_order = InOrder { results: Vec::new(), next: 0, threads: Vec::new() };
    let mut pieces = Vec::new();
    for _ in 0..workers {
        let (piece, to_do) = sync_channel(WAITING);
        let (done, result) = sync_channel(WAITING);
        let make = Arc::clone(&make);
        in_order.threads.push(std::thread::spawn(move || work_on(&to_do, &done, make.as_ref())));
        in_order.results.push(result);
        pieces.push(piece);
    }
    in_order.threads.push(std::thread::spawn(move || hand_out(work, &pieces)));
    in_order
}

fn work_on<W, T>(to_do: &Receiver<W>, done: &SyncSender<T>, make: &impl Fn(W) -> T) {
    while let Ok(piece) = to_do.recv() {
        if done.send(make(piece)).is_err() {
            return; // nobody wants the results any more
        }
    }
}

fn hand_out<W>(work: impl Iterator<Item = W>, pieces: &[SyncSender<W>]) {
    for (place, piece) in work.enumerate() {
        if pieces[place % pieces.len()].send(piece).is_err() {
            return;
        }
    }
}

impl<T> Iterator for InOrder<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        let result = self.results.get(self.next % self.results.len().max(1))?.recv().ok()?;
        self.next += 1;
        Some(result)
    }
}

impl<T> Drop for InOrder<T> {
    fn drop(&mut self) {
        self.results.clear();
        for thread in self.threads.drain(..) {
            let _ = thread.join(); // a panic there has been reported by the thread
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_work() {
        let squares: Vec<u64> = map(0..1000u64, |number| number * number).collect();
        assert_eq!(squares, (0..1000).map(|number| number * number).collect::<Vec<u64>>());
    }

    #[test]
    fn who_stops_listening_stops_the_work() {
        let mut endless = map(0u64.., |number| number);
        assert_eq!(endless.next(), Some(0));
        drop(endless); // would never return otherwise
    }
}
