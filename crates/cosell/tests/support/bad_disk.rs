//! A disk and a clock in the hands of a test, for the whole process of a server: calls of libc, replaced by a library
//! (`bad_disk.c`) that the test compiles and preloads. Linux with a C compiler, which the build needs anyway.
//!
//! ```ignore
//! let disk = BadDisk::new();
//! let server = Sandbox::start_command(disk.under(command));
//! disk.fail(Fault::Sync); // from now on
//! ```

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::journal::{Files, Journal};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// fsync and fdatasync return EIO.
    Sync,
    /// Writing to a file returns ENOSPC, for the larger writes after their first half.
    Full,
    /// Writing to a file returns EIO.
    Write,
    /// A write to a file takes only the first half, which POSIX allows.
    Short,
}

/// A call that changes files, or makes changes durable. A name is a file's in the watched directory; `"any"` is all of
/// them, and `"."` the directory itself, whose fsync makes names durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Any of these.
    Any,
    /// write and pwrite.
    Write(&'static str),
    /// fsync and fdatasync.
    Sync(&'static str),
    /// ftruncate.
    Truncate(&'static str),
    /// An open that makes the file.
    Create(&'static str),
    /// unlink.
    Unlink(&'static str),
    /// A rename to this name.
    Rename(&'static str),
}

/// What happens at a chosen call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// The process dies before it.
    DiesBefore,
    /// The process dies when half of a write is done; before anything else.
    DiesAmid,
    /// The process dies when it is done, and nobody has heard of it.
    DiesAfter,
    /// The call returns EIO, once, and is not done. After a failed fsync the kernel takes the pages for clean.
    Fails,
    /// Half of a write is done, and ENOSPC returned, once. Anything else fails.
    RunsFull,
}

/// A call of one process, and what happens there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Which kind of call.
    pub call: Call,
    /// Which of them, from 1.
    pub number: u64,
    /// What happens.
    pub then: Then,
}

impl fmt::Display for Moment {
    /// As the library reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (call, file) = match self.call {
            Call::Any => ("any", "any"),
            Call::Write(file) => ("write", file),
            Call::Sync(file) => ("sync", file),
            Call::Truncate(file) => ("truncate", file),
            Call::Create(file) => ("create", file),
            Call::Unlink(file) => ("unlink", file),
            Call::Rename(file) => ("rename", file),
        };
        let then = match self.then {
            Then::DiesBefore => "before",
            Then::DiesAmid => "half",
            Then::DiesAfter => "after",
            Then::Fails => "fail",
            Then::RunsFull => "full",
        };
        write!(f, "{call} {file} {} {then}", self.number)
    }
}

/// The library, and the switches it looks at.
pub struct BadDisk {
    folder: TempDir,
}

impl BadDisk {
    /// A disk that is well so far, and a clock that is right.
    pub fn new() -> BadDisk {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let source = folder.path().join("bad_disk.c");
        std::fs::write(&source, include_str!("bad_disk.c")).expect("a file can be written");
        let library = folder.path().join("bad_disk.so");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-pthread", "-o"])
            .arg(&library)
            .arg(&source)
            .output();
        let compiled = compiled.expect("a C compiler named cc is there: the build needs it too");
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        BadDisk { folder }
    }

    /// Lets a command write to this disk.
    pub fn under(&self, mut command: Command) -> Command {
        command.env("LD_PRELOAD", self.folder.path().join("bad_disk.so")).env("BAD_DISK", self.folder.path());
        command
    }

    /// The same, with a journal of what is done to the files of a directory, which is there already. Nothing is really
    /// synced there. One process at a time is
    /// watched.
    pub fn watched(&self, command: Command, directory: &Path) -> (Command, WatchedDirectory) {
        let directory = directory.canonicalize().expect("the directory is there");
        let watched =
            WatchedDirectory { before: Files::read(&directory), journal: self.folder.path().join("journal") };
        let _ = std::fs::remove_file(&watched.journal);
        (self.watching(command, &directory), watched)
    }

    /// The next process on the same directory of the same machine, which never lost its power: the journal goes on. The
    /// process before is gone.
    pub fn watched_on(&self, command: Command, directory: &Path, watched: &WatchedDirectory) -> Command {
        let directory = directory.canonicalize().expect("the directory is there");
        watched.journal().complete(&directory, &watched.journal);
        self.watching(command, &directory)
    }

    fn watching(&self, command: Command, directory: &Path) -> Command {
        let _ = std::fs::remove_file(self.folder.path().join("at"));
        let mut command = self.under(command);
        command.env("BAD_DISK_DATA", directory).env("BAD_DISK_JOURNAL", self.folder.path().join("journal"));
        command
    }

    /// Once for a watched process: the moment to come. Calls are counted from now on.
    pub fn strike_at(&self, moment: Moment) {
        self.put_in_place("at", &moment.to_string());
    }

    /// From now on it fails.
    pub fn fail(&self, fault: Fault) {
        std::fs::write(self.switch(fault), "").expect("a file can be written");
    }

    /// From now on it is well again.
    pub fn mend(&self, fault: Fault) {
        std::fs::remove_file(self.switch(fault)).expect("the switch was on");
    }

    /// From now on the wall clock is wrong by so many seconds; the clock that measures durations is not.
    pub fn shift_clock(&self, seconds: i64) {
        self.put_in_place("clock", &seconds.to_string());
    }

    /// Nobody reads half of it.
    fn put_in_place(&self, name: &str, text: &str) {
        let new = self.folder.path().join("new");
        std::fs::write(&new, text).expect("a file can be written");
        std::fs::rename(new, self.folder.path().join(name)).expect("a file can be renamed");
    }

    fn switch(&self, fault: Fault) -> PathBuf {
        self.folder.path().join(match fault {
            Fault::Sync => "sync",
            Fault::Full => "full",
            Fault::Write => "write",
            Fault::Short => "short",
        })
    }
}

/// A directory as it was when a process was started on it, and where the journal of that process is.
pub struct WatchedDirectory {
    before: Files,
    journal: PathBuf,
}

impl WatchedDirectory {
    /// What the process did so far.
    pub fn journal(&self) -> Journal {
        Journal::read(self.before.clone(), &self.journal)
    }
}
