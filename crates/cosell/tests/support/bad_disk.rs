//! A disk that fails on demand, for the whole process: a few calls of libc, replaced by a library that the test
//! compiles and preloads. Linux with a C compiler, which the build needs anyway.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// fsync and fdatasync return EIO.
    Sync,
    /// Writing to a file returns ENOSPC.
    Full,
}

/// The library, and the switches it looks at.
pub struct BadDisk {
    folder: TempDir,
}

const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int is_on(const char *fault) {
  const char *folder = getenv("BAD_DISK");
  char path[4096];
  if (!folder || snprintf(path, sizeof path, "%s/%s", folder, fault) >= (int)sizeof path) return 0;
  return access(path, F_OK) == 0;
}

static int is_full(int file) {
  struct stat about;
  return fstat(file, &about) == 0 && S_ISREG(about.st_mode) && is_on("full");
}

#define REFUSE(condition, error) do { if (condition) { errno = (error); return -1; } } while (0)

int fsync(int file) { REFUSE(is_on("sync"), EIO); return syscall(SYS_fsync, file); }
int fdatasync(int file) { REFUSE(is_on("sync"), EIO); return syscall(SYS_fdatasync, file); }

ssize_t write(int file, const void *bytes, size_t count) {
  REFUSE(is_full(file), ENOSPC);
  return syscall(SYS_write, file, bytes, count);
}
ssize_t pwrite(int file, const void *bytes, size_t count, off_t at) {
  REFUSE(is_full(file), ENOSPC);
  return syscall(SYS_pwrite64, file, bytes, count, at);
}
ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t at) {
  REFUSE(is_full(file), ENOSPC);
  return syscall(SYS_pwrite64, file, bytes, count, at);
}
"#;

impl BadDisk {
    /// A disk that is well so far.
    pub fn new() -> BadDisk {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let source = folder.path().join("bad_disk.c");
        std::fs::write(&source, SOURCE).expect("a file can be written");
        let library = folder.path().join("bad_disk.so");
        let compiled =
            Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).output();
        let compiled = compiled.expect("a C compiler named cc is there: the build needs it too");
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        BadDisk { folder }
    }

    /// Lets a command write to this disk.
    pub fn under(&self, mut command: Command) -> Command {
        command.env("LD_PRELOAD", self.folder.path().join("bad_disk.so")).env("BAD_DISK", self.folder.path());
        command
    }

    /// From now on it fails.
    pub fn fail(&self, fault: Fault) {
        std::fs::write(self.switch(fault), "").expect("a file can be written");
    }

    /// From now on it is well again.
    pub fn mend(&self, fault: Fault) {
        std::fs::remove_file(self.switch(fault)).expect("the switch was on");
    }

    fn switch(&self, fault: Fault) -> PathBuf {
        self.folder.path().join(match fault {
            Fault::Sync => "sync",
            Fault::Full => "full",
        })
    }
}
