//! A disk that fails on demand: SQLite's own VFS with two of its operations in our hands. For tests alone.
//!
//! ```no_run
//! use store::sqlite::{SqliteOptions, SqliteStore, faults::{FaultyDisk, Part}};
//! let disk = FaultyDisk::register("bad-day");
//! let options = SqliteOptions { vfs: Some(disk.name().to_owned()), ..SqliteOptions::default() };
//! let store = SqliteStore::open("data".as_ref(), options)?;
//! disk.fail_syncs(Part::Log, true); // the next commit stops the store
//! # Ok::<(), store::StoreError>(())
//! ```
//!
//! How: the platform's VFS is copied under another name, with an `xOpen` that lets the original open the file and
//! then exchanges the file's table of methods for a copy in which `xSync` and `xWrite` ask here first.

#![expect(unsafe_code, reason = "SQLite's VFS is a C interface; this module is compiled for tests alone")]

use std::ffi::{CString, c_char, c_int, c_void};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rusqlite::ffi;

/// Which of the database's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The write-ahead log: synced by every commit.
    Log,
    /// The database itself: synced by checkpoints.
    Database,
}

/// What one kind of file does, and has done.
#[derive(Default)]
struct Switches {
    fail_syncs: AtomicBool,
    fail_writes: AtomicBool,
    syncs: AtomicU64,
}

/// A registered VFS and its switches. Lives until the process ends, as SQLite's list of VFSs wants it.
pub struct FaultyDisk {
    name: CString,
    log: Switches,
    database: Switches,
}

/// SQLite's table of methods, ours behind it. `table` must come first: a file points to it.
#[repr(C)]
struct Methods {
    table: ffi::sqlite3_io_methods,
    original: &'static ffi::sqlite3_io_methods,
    switches: &'static Switches,
}

/// What our copy of the VFS carries. `vfs` must come first: SQLite hands it back to `xOpen`.
#[repr(C)]
struct Vfs {
    vfs: ffi::sqlite3_vfs,
    original: *mut ffi::sqlite3_vfs,
    disk: &'static FaultyDisk,
}

impl FaultyDisk {
    /// Registers a disk under a name no other VFS of this process has. It is well until told otherwise.
    ///
    /// # Panics
    /// When the name holds a NUL, or SQLite refuses it.
    pub fn register(name: &str) -> &'static FaultyDisk {
        let name = CString::new(name).expect("a name without NUL");
        let disk: &'static FaultyDisk =
            Box::leak(Box::new(FaultyDisk { name, log: Switches::default(), database: Switches::default() }));
        // SAFETY: a null name asks for the default VFS, which is never removed; `vfs` is leaked, so that it
        // outlives every use, and is a whole copy of the original but for its name and `xOpen`.
        let registered = unsafe {
            let original = ffi::sqlite3_vfs_find(std::ptr::null());
            assert!(!original.is_null(), "SQLite has a default VFS");
            let mut vfs = *original;
            vfs.pNext = std::ptr::null_mut();
            vfs.zName = disk.name.as_ptr();
            vfs.xOpen = Some(open);
            let vfs = Box::leak(Box::new(Vfs { vfs, original, disk }));
            ffi::sqlite3_vfs_register(&raw mut vfs.vfs, 0)
        };
        assert_eq!(registered, ffi::SQLITE_OK, "SQLite takes the VFS");
        disk
    }

    /// The name for [`SqliteOptions::vfs`](super::SqliteOptions::vfs).
    pub fn name(&self) -> &str {
        self.name.to_str().expect("made from a str")
    }

    /// From now on, whether fsync fails there (and nothing is synced).
    pub fn fail_syncs(&self, part: Part, fail: bool) {
        self.switches(part).fail_syncs.store(fail, Ordering::SeqCst);
    }

    /// From now on, whether the disk is full there.
    pub fn fail_writes(&self, part: Part, fail: bool) {
        self.switches(part).fail_writes.store(fail, Ordering::SeqCst);
    }

    /// How many fsyncs were asked for there, the failed ones too.
    pub fn syncs(&self, part: Part) -> u64 {
        self.switches(part).syncs.load(Ordering::SeqCst)
    }

    fn switches(&self, part: Part) -> &Switches {
        match part {
            Part::Log => &self.log,
            Part::Database => &self.database,
        }
    }
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    flags_out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite passes the VFS this function is registered with, which is the first member of a leaked `Vfs`;
    // the other arguments go on as they came. After success the file's methods are a static table of the original.
    unsafe {
        let ours = &*vfs.cast::<Vfs>();
        let Some(original) = (*ours.original).xOpen else { return ffi::SQLITE_CANTOPEN };
        // The copy, not the original: the platform's `xOpen` looks into the members both share.
        let outcome = original(vfs, name, file, flags, flags_out);
        let switches = match flags {
            _ if flags & ffi::SQLITE_OPEN_WAL != 0 => &ours.disk.log,
            _ if flags & ffi::SQLITE_OPEN_MAIN_DB != 0 => &ours.disk.database,
            _ => return outcome,
        };
        if outcome == ffi::SQLITE_OK && !(*file).pMethods.is_null() {
            let original: &'static ffi::sqlite3_io_methods = &*(*file).pMethods;
            let mut table = *original;
            table.xSync = Some(sync);
            table.xWrite = Some(write);
            // Some two hundred bytes for each file a test opens are left behind.
            (*file).pMethods = &raw const Box::leak(Box::new(Methods { table, original, switches })).table;
        }
        outcome
    }
}

/// # Safety
/// The file must be one that [`open`] has opened.
unsafe fn methods(file: *mut ffi::sqlite3_file) -> &'static Methods {
    // SAFETY: `open` made the pointer, to the first member of a leaked `Methods`.
    unsafe { &*(*file).pMethods.cast::<Methods>() }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: only files that `open` opened have this method.
    let methods = unsafe { methods(file) };
    methods.switches.syncs.fetch_add(1, Ordering::SeqCst);
    if methods.switches.fail_syncs.load(Ordering::SeqCst) {
        return ffi::SQLITE_IOERR_FSYNC;
    }
    match methods.original.xSync {
        // SAFETY: the original's method on the original's file.
        Some(sync) => unsafe { sync(file, flags) },
        None => ffi::SQLITE_OK,
    }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    bytes: *const c_void,
    count: c_int,
    at: i64,
) -> c_int {
    // SAFETY: only files that `open` opened have this method.
    let methods = unsafe { methods(file) };
    if methods.switches.fail_writes.load(Ordering::SeqCst) {
        return ffi::SQLITE_FULL;
    }
    match methods.original.xWrite {
        // SAFETY: the original's method on the original's file, with the caller's arguments.
        Some(write) => unsafe { write(file, bytes, count, at) },
        None => ffi::SQLITE_IOERR_WRITE,
    }
}
