//! The one thread that writes: group commit.
//!
//! It takes every command that waits, runs them in one transaction, commits once, brings the cache up to date and
//! only then answers. A command that fails by itself (which none should) takes nobody with it: the transaction is
//! rolled back and the others run again without it, which costs nothing in the common case, where savepoints would.
//!
//! Checkpoints are this thread's work too, not SQLite's own: an automatic checkpoint swallows the error of its
//! fsync, and after a failed fsync nobody knows what the disk holds.

use std::collections::HashSet;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use flume::{Receiver, RecvTimeoutError};
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use tokio::sync::oneshot;

use super::SqliteOptions;
use super::cache::{Cache, PendingVersion};
use super::changes;
use super::compression::{Compression, EncodedChange};
use super::errors::{is_fatal, is_transient, to_store_error};
use super::files::Files;
use super::health::{Health, StopOnPanic};
use super::inline_reads::InlineReads;
use crate::{AllOrNone, CommitOutcome, StoreError, StoredReferral};

/// Number of pages in the write-ahead log from which it is moved into the database (8 MiB).
const CHECKPOINT_PAGES: i64 = 2048;
/// The log's file is cut when it is longer, in bytes, and nothing has been written for a while; and while much is, when it
/// is much longer: somebody's long read has held it.
const LONG_LOG: u64 = 8 << 20;
const VERY_LONG_LOG: u64 = 8 * LONG_LOG;
/// Idle time before the log is truncated, and between two attempts.
const IDLE: Duration = Duration::from_secs(1);
/// Number of groups between two checks of the length of the log.
const LOOK_EVERY: u32 = 16;
/// Minimum size up to which a group always grows.
const SMALLEST_GROUP: usize = 32;
/// Cost of a commit for each change of its group above which groups grow.
const COMMIT_SHARE: Duration = Duration::from_micros(16);

pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;
/// A small write of its own: how many rows it touched. It may run twice; its transaction counts once.
pub(super) type Task = Box<dyn Fn(&Connection) -> rusqlite::Result<u64> + Send>;
/// Work that needs the thread for itself, such as bulk loading.
pub(super) type Exclusive = Box<dyn FnOnce(&mut Writer) + Send>;

/// A command for the writer.
pub(super) enum Command {
    Commit { change: Box<EncodedChange>, reply: Reply<CommitOutcome> },
    CommitAll { changes: Vec<EncodedChange>, reply: Reply<AllOrNone> },
    Task { task: Task, reply: Reply<u64> },
    Exclusive(Exclusive),
}

/// A member of a group, and how it ended.
enum GroupMember {
    Change {
        change: Box<EncodedChange>,
        reply: Reply<CommitOutcome>,
        ended: Option<Result<CommitOutcome, StoreError>>,
    },
    Changes {
        changes: Vec<EncodedChange>,
        reply: Reply<AllOrNone>,
        ended: Option<Result<AllOrNone, StoreError>>,
    },
    Task {
        task: Task,
        reply: Reply<u64>,
        ended: Option<Result<u64, StoreError>>,
    },
}

/// The state of the writer thread.
pub(super) struct Writer {
    /// `None` only while a bulk load exchanges the files, or after it failed to.
    pub(super) connection: Option<Connection>,
    pub(super) files: Files,
    pub(super) cache: Arc<Cache>,
    inline_reads: Arc<InlineReads>,
    pub(super) health: Arc<Health>,
    group_limit: usize,
    last_commit: Duration,
    /// True if words are added to the search index.
    pub(super) searchable: bool,
    /// How a bulk load writes documents; those of changes are encoded already.
    pub(super) compression: Compression,
    groups_since_look: u32,
    /// True if something was written since the log was checked.
    may_be_long: bool,
    /// Held for as long as the files may be touched.
    _lock: File,
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        files: Files,
        cache: Arc<Cache>,
        inline_reads: Arc<InlineReads>,
        health: Arc<Health>,
        options: &SqliteOptions,
        lock: File,
    ) -> Writer {
        Writer {
            connection: Some(connection),
            files,
            cache,
            inline_reads,
            health,
            group_limit: options.group_limit.max(1),
            last_commit: Duration::ZERO,
            searchable: options.search,
            compression: Compression::new(options.compression),
            groups_since_look: 0,
            may_be_long: true,
            _lock: lock,
        }
    }

    /// Serves until nobody can ask any more; then waits until the readers are gone (that channel is disconnected),
    /// because the last checkpoint needs the files for itself.
    pub(super) fn run(mut self, commands: &Receiver<Command>, readers_gone: &Receiver<()>) {
        while let Some(first) = self.next(commands) {
            let enough = self.enough();
            let mut next = Some(first);
            let mut group = Vec::new();
            let mut alone = None;
            while let Some(command) = next.take() {
                match command {
                    Command::Commit { change, reply } => {
                        group.push(GroupMember::Change { change, reply, ended: None })
                    }
                    Command::CommitAll { changes, reply } => {
                        group.push(GroupMember::Changes { changes, reply, ended: None })
                    }
                    Command::Task { task, reply } => {
                        group.push(GroupMember::Task { task, reply, ended: None })
                    }
                    Command::Exclusive(work) => alone = Some(work),
                }
                if alone.is_none() && group.len() < enough {
                    next = commands.try_recv().ok();
                }
            }
            // After a panic the thread lives on, only to tell every caller that it writes no more.
            let _ = catch_unwind(AssertUnwindSafe(|| {
                self.group(group);
                if let Some(work) = alone {
                    work(&mut self);
                }
            }));
        }
        let _ = readers_gone.recv();
        self.shut();
    }

    /// The next command; when there has been none for a while, a long log is cut.
    fn next(&mut self, commands: &Receiver<Command>) -> Option<Command> {
        while self.may_be_long {
            match commands.recv_timeout(IDLE) {
                Ok(command) => return Some(command),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {
                    if self.log_bytes() > LONG_LOG && self.health.check().is_ok() {
                        self.cut_log();
                    }
                    self.may_be_long = self.log_bytes() > LONG_LOG && self.health.check().is_ok();
                }
            }
        }
        let command = commands.recv().ok();
        self.may_be_long = true;
        command
    }

    /// The length of the log's file.
    fn log_bytes(&self) -> u64 {
        std::fs::metadata(self.files.log()).map_or(0, |log| log.len())
    }

    /// Moves the log into the database and makes its file empty, if nobody reads from it: that is not waited for.
    fn cut_log(&self) {
        let Some(connection) = &self.connection else { return };
        let outcome = connection.busy_timeout(Duration::ZERO).and_then(|()| {
            self.cache.begin_writes(&[]);
            self.inline_reads.release_snapshots();
            let cut = checkpoint(connection, "TRUNCATE");
            self.cache.end_writes(std::iter::empty(), &[]);
            cut
        });
        let again = connection.busy_timeout(self.files.busy());
        if let Err(error) = outcome.map(drop).and(again)
            && !is_transient(&error)
        {
            self.health.stop("a checkpoint", &error);
        }
    }

    /// How many changes make a commit worth its while. More can wait for the next one, and those who were answered get
    /// their next changes ready meanwhile: else all clients would wait for the disk, and then the disk for all of them.
    fn enough(&self) -> usize {
        let shares = self.last_commit.as_nanos() / COMMIT_SHARE.as_nanos();
        usize::try_from(shares).unwrap_or(usize::MAX).max(SMALLEST_GROUP).min(self.group_limit)
    }

    fn group(&mut self, mut group: Vec<GroupMember>) {
        if group.is_empty() {
            return;
        }
        let _stop = StopOnPanic(Arc::clone(&self.health));
        if let Err(error) = self.attempt(&mut group) {
            for member in &mut group {
                member.end(error.clone());
            }
        }
        for member in group {
            member.answer();
        }
        self.groups_since_look += 1;
        if self.groups_since_look >= LOOK_EVERY {
            self.groups_since_look = 0;
            self.checkpoint_if_long();
        }
    }

    /// Runs and commits a group; every member has its end then. An error is everybody's.
    fn attempt(&mut self, group: &mut [GroupMember]) -> Result<(), StoreError> {
        self.health.check()?;
        let connection = self.connection.as_ref().ok_or(StoreError::Closed)?;
        let stop = |what: &str, error: rusqlite::Error| self.health.stop(what, &error);
        loop {
            connection.execute_batch("BEGIN IMMEDIATE").map_err(|error| match is_transient(&error) {
                // A person's own tool holds the database. Nothing was written, and the disk is well.
                true => to_store_error(&error),
                false => stop("the begin of a transaction", error),
            })?;
            match run_members(connection, group, self.searchable) {
                Ok(()) => break,
                Err(error) => {
                    // What the statement's error undid already need not be undone again.
                    let rolled_back =
                        connection.is_autocommit() || connection.execute_batch("ROLLBACK").is_ok();
                    if is_fatal(&error) || !rolled_back {
                        return Err(stop("a write", error));
                    }
                }
            }
        }
        let marked: Vec<_> = group.iter().flat_map(GroupMember::marks).collect();
        self.cache.begin_writes(&marked);
        let begun = Instant::now();
        let committed = connection.execute_batch("COMMIT");
        let took = begun.elapsed();
        self.last_commit = took;
        if let Err(error) = committed {
            let error = stop("a commit", error);
            let _ = connection.execute_batch("ROLLBACK"); // so that readers of this connection's files are not held
            self.cache.end_writes(std::iter::empty(), &marked);
            return Err(error);
        }
        self.cache.end_writes(group.iter_mut().flat_map(GroupMember::take_committed).map(Arc::new), &marked);
        self.health.commits.add(group.len(), took);
        Ok(())
    }

    fn checkpoint_if_long(&self) {
        let Some(connection) = &self.connection else { return };
        if self.health.check().is_err() {
            return;
        }
        let outcome = checkpoint(connection, "NOOP").and_then(|(pages, moved)| {
            if pages - moved < CHECKPOINT_PAGES { Ok(()) } else { self.move_log(connection) }
        });
        match outcome {
            Err(error) if !is_transient(&error) => {
                self.health.stop("a checkpoint", &error);
            }
            Ok(()) if self.log_bytes() > VERY_LONG_LOG => self.cut_log(),
            _ => {}
        }
    }

    /// Moves the log into the database, so that the next commit can begin it anew. That takes a moment in which nobody
    /// keeps a snapshot of it: one that was begun in the midst would hold the log until the commit after, and so on. So
    /// the cache says that something is written, as around a commit.
    pub(super) fn move_log(&self, connection: &Connection) -> rusqlite::Result<()> {
        self.cache.begin_writes(&[]);
        self.inline_reads.release_snapshots();
        let moved = checkpoint(connection, "PASSIVE");
        // Those that were being read from when the others were let go.
        self.inline_reads.release_snapshots();
        self.cache.end_writes(std::iter::empty(), &[]);
        moved.map(|_| ())
    }

    /// Moves the log into the database and closes; after a failed write it touches nothing any more.
    fn shut(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        if self.health.check().is_ok()
            && let Err(error) = checkpoint(&connection, "TRUNCATE")
        {
            self.health.stop("the last checkpoint", &error);
        }
        if self.health.check().is_err() {
            let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        }
        if let Err((_, error)) = connection.close() {
            tracing::warn!(%error, "Closing the database reported an error: {error}");
        }
        self.cache.clear();
    }
}

/// Runs a checkpoint: pages in the log, and how many of them are in the database.
pub(super) fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<(i64, i64)> {
    connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| Ok((row.get(1)?, row.get(2)?)))
}

/// Runs those that have not failed before. On an error the failing member has its end, and the rest must run again.
fn run_members(connection: &Connection, group: &mut [GroupMember], searchable: bool) -> rusqlite::Result<()> {
    for member in group {
        if member.failed() {
            continue;
        }
        if let Err(error) = member.run(connection, searchable) {
            member.end(to_store_error(&error));
            return Err(error);
        }
    }
    Ok(())
}

impl GroupMember {
    fn run(&mut self, connection: &Connection, searchable: bool) -> rusqlite::Result<()> {
        match self {
            GroupMember::Change { change, ended, .. } => {
                *ended = Some(Ok(changes::apply(connection, change, searchable)?))
            }
            GroupMember::Changes { changes, ended, .. } => {
                *ended = Some(Ok(changes::apply_all(connection, changes, searchable)?));
            }
            GroupMember::Task { task, ended, .. } => *ended = Some(Ok(task(connection)?)),
        }
        Ok(())
    }

    fn failed(&self) -> bool {
        match self {
            GroupMember::Change { ended, .. } => matches!(ended, Some(Err(_))),
            GroupMember::Changes { ended, .. } => matches!(ended, Some(Err(_))),
            GroupMember::Task { ended, .. } => matches!(ended, Some(Err(_))),
        }
    }

    fn end(&mut self, error: StoreError) {
        match self {
            GroupMember::Change { ended, .. } => *ended = Some(Err(error)),
            GroupMember::Changes { ended, .. } => *ended = Some(Err(error)),
            GroupMember::Task { ended, .. } => *ended = Some(Err(error)),
        }
    }

    /// Its changes, if they are to be committed.
    fn committed(&self) -> &[EncodedChange] {
        match self {
            GroupMember::Change { change, ended: Some(Ok(CommitOutcome::Committed(_))), .. } => {
                std::slice::from_ref(&**change)
            }
            GroupMember::Changes { changes, ended: Some(Ok(AllOrNone::All(_))), .. } => changes,
            _ => &[],
        }
    }

    /// The referrals this member gives a new version.
    fn marks(&self) -> impl Iterator<Item = PendingVersion> {
        self.committed()
            .iter()
            .filter_map(|encoded| encoded.change.write.as_ref())
            .map(|write| PendingVersion::of(&write.referral))
    }

    /// Their new versions, in commit order; of several of one referral the last, for only that has its document for
    /// certain.
    fn take_committed(&mut self) -> impl Iterator<Item = StoredReferral> {
        let changes = match self {
            GroupMember::Change { change, ended: Some(Ok(CommitOutcome::Committed(_))), .. } => {
                std::slice::from_mut(&mut **change)
            }
            GroupMember::Changes { changes, ended: Some(Ok(AllOrNone::All(_))), .. } => changes,
            _ => &mut [],
        };
        let several = changes.len() > 1;
        let mut later = HashSet::new();
        let writes = changes.iter_mut().rev().filter_map(|encoded| encoded.change.write.take());
        let newest = writes.map(|write| write.referral).filter(|one| !several || later.insert(one.id));
        let mut last: Vec<_> = newest.collect();
        last.reverse();
        last.into_iter()
    }

    /// Tells the caller, who may have gone.
    fn answer(self) {
        match self {
            GroupMember::Change { reply, ended, .. } => {
                drop(reply.send(ended.unwrap_or(Err(StoreError::Closed))))
            }
            GroupMember::Changes { reply, ended, .. } => {
                drop(reply.send(ended.unwrap_or(Err(StoreError::Closed))));
            }
            GroupMember::Task { reply, ended, .. } => {
                drop(reply.send(ended.unwrap_or(Err(StoreError::Closed))))
            }
        }
    }
}
