// A disk and a clock in the hands of a test: calls of libc, replaced in the server's process by LD_PRELOAD. Linux.
//
// BAD_DISK is a folder. A file in it is a switch:
//   sync   fsync and fdatasync fail with EIO
//   full   writes to files fail with ENOSPC, the larger ones after their first half
//   write  writes to files fail with EIO
//   short  a write to a file takes only its first half; this is no error
//   clock  holds the seconds by which the wall clock is wrong
//
// BAD_DISK_DATA is a directory whose files are watched, none below it. What is done to them is told to the file
// BAD_DISK_JOURNAL (see `journal.rs`), in the order in which it happens, and fsync does nothing but that: what
// would be on the disk after a loss of power is worked out from the journal. One more switch then:
//   at     holds "CALL FILE NUMBER THEN": at the call of that number from now on (the first is 1; CALL and FILE may be
//          "any") the process dies ("before" it, amid it: "half", "after" it), or the call fails with EIO ("fail"), or a
//          write finds the disk full after its first half, and any other call fails ("full")
//
// In here files are reached by bare system calls, and nothing is allocated.

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { NAME = 64, FILES = 256 };
enum kind { WRITE = 1, TRUNCATE, SYNC, CREATE, UNLINK, RENAME, SYNC_NAMES, STRUCK, FAILED_SYNC };
enum then { NOTHING, HALF, AFTER, FAIL, FULL };

struct file {
  ino_t inode;
  char name[NAME];
};

static const char *data;
static int journal = -1;
static dev_t device;
static ino_t directory;
static struct file files[FILES];
static int known;

static struct {
  char call[16], file[NAME], then[16];
  long left;
  int is_set;
} at;

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

#define REFUSE(condition, error) \
  do { \
    if (condition) { \
      errno = (error); \
      return -1; \
    } \
  } while (0)

// ---- switches

static int open_switch(const char *name) {
  const char *folder = getenv("BAD_DISK");
  char path[4096];
  if (!folder || snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path) return -1;
  return syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
}

static int is_on(const char *name) {
  int error = errno, file = open_switch(name);
  if (file >= 0) syscall(SYS_close, file);
  errno = error;
  return file >= 0;
}

// Whether it is on; what it holds.
static int read_switch(const char *name, char *text, size_t length) {
  int error = errno, file = open_switch(name);
  long count = file < 0 ? 0 : syscall(SYS_read, file, text, length - 1);
  text[count > 0 ? count : 0] = 0;
  if (file >= 0) syscall(SYS_close, file);
  errno = error;
  return file >= 0;
}

static long clock_is_wrong_by(void) {
  char text[32];
  return read_switch("clock", text, sizeof text) ? atol(text) : 0;
}

// ---- the journal

static void tell(enum kind kind, ino_t inode, uint64_t where, const void *bytes, size_t length) {
  struct {
    uint32_t kind, length;
    uint64_t inode, where;
  } head = {kind, length, inode, where};
  struct iovec parts[2] = {{&head, sizeof head}, {(void *)bytes, length}};
  if (syscall(SYS_writev, journal, parts, 2) != (long)(sizeof head + length)) abort();
}

static void strike(const char *call, const char *name, const char *then) {
  char text[128];
  int length = snprintf(text, sizeof text, "%s %s %s", call, name, then);
  tell(STRUCK, 0, 0, text, length);
}

static void die(const char *call, const char *name, const char *then) {
  strike(call, name, then);
  syscall(SYS_kill, getpid(), SIGKILL);
  for (;;) pause();
}

// Whether this is the call, and what is to become of it. Counts.
static enum then now(const char *call, const char *name) {
  char text[128];
  if (!at.is_set && read_switch("at", text, sizeof text)) {
    at.is_set = 1;
    if (sscanf(text, "%15s %63s %ld %15s", at.call, at.file, &at.left, at.then) != 4) abort();
  }
  if (at.left == 0) return NOTHING;
  if (strcmp(at.call, "any") != 0 && strcmp(at.call, call) != 0) return NOTHING;
  if (strcmp(at.file, "any") != 0 && strcmp(at.file, name) != 0) return NOTHING;
  if (--at.left > 0) return NOTHING;
  if (strcmp(at.then, "before") == 0) die(call, name, "before");
  if (strcmp(at.then, "half") == 0) return strcmp(call, "write") == 0 ? HALF : (die(call, name, "before"), NOTHING);
  if (strcmp(at.then, "after") == 0) return AFTER;
  strike(call, name, at.then);
  return strcmp(at.then, "full") == 0 && strcmp(call, "write") == 0 ? FULL : FAIL;
}

static struct file *file_of(ino_t inode) {
  for (int i = 0; i < known; i++)
    if (files[i].inode == inode) return &files[i];
  return NULL;
}

static struct file *file_named(const char *name) {
  for (int i = 0; i < known; i++)
    if (strcmp(files[i].name, name) == 0) return &files[i];
  return NULL;
}

static void learn(ino_t inode, const char *name) {
  if (known == FILES) abort();
  files[known].inode = inode;
  snprintf(files[known++].name, NAME, "%s", name);
}

// The name of a path right in the watched directory.
static const char *watched(const char *path) {
  if (journal < 0) return NULL;
  size_t length = strlen(data);
  if (strncmp(path, data, length) != 0 || path[length] != '/') return NULL;
  const char *name = path + length + 1;
  return strchr(name, '/') || strlen(name) >= NAME ? NULL : name;
}

// The number of a file whose last name goes must not be given to another one while this process lives.
static void hold(const char *path) { syscall(SYS_openat, AT_FDCWD, path, O_PATH | O_NOFOLLOW | O_CLOEXEC); }

__attribute__((constructor)) static void begin(void) {
  struct stat about;
  const char *path = getenv("BAD_DISK_JOURNAL");
  data = getenv("BAD_DISK_DATA");
  if (!data || !path || stat(data, &about) != 0) return;
  device = about.st_dev;
  directory = about.st_ino;
  DIR *listing = opendir(data);
  if (!listing) abort();
  for (struct dirent *entry; (entry = readdir(listing));)
    if (entry->d_type == DT_REG) learn(entry->d_ino, entry->d_name);
  closedir(listing);
  journal = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (journal < 0) abort();
}

// ---- what stands in for libc

static ssize_t bare_write(int file, const void *bytes, size_t count, off64_t where, int is_placed) {
  return is_placed ? syscall(SYS_pwrite64, file, bytes, count, where) : syscall(SYS_write, file, bytes, count);
}

static ssize_t watched_write(int file, const void *bytes, size_t count, off64_t where, int is_placed, ino_t inode) {
  struct file *to = file_of(inode);
  if (!to) return bare_write(file, bytes, count, where, is_placed);
  enum then then = now("write", to->name);
  REFUSE(then == FAIL, EIO);
  if (!is_placed) {
    int is_appended = fcntl(file, F_GETFL) & O_APPEND;
    where = syscall(SYS_lseek, file, 0, is_appended ? SEEK_END : SEEK_CUR);
  }
  int is_cut = then == HALF || then == FULL;
  ssize_t written = bare_write(file, bytes, is_cut ? count / 2 : count, where, is_placed);
  int error = errno;
  if (written > 0) tell(WRITE, inode, where, bytes, written);
  if (then == HALF) die("write", to->name, "half");
  if (then == AFTER) die("write", to->name, "after");
  REFUSE(then == FULL, ENOSPC);
  errno = error;
  return written;
}

static ssize_t any_write(int file, const void *bytes, size_t count, off64_t where, int is_placed) {
  struct stat about;
  if (fstat(file, &about) != 0 || !S_ISREG(about.st_mode)) return bare_write(file, bytes, count, where, is_placed);
  REFUSE(is_on("write"), EIO);
  if (is_on("full")) {
    REFUSE(count < 1024, ENOSPC);
    count /= 2;
  }
  if (count > 1 && is_on("short")) count /= 2;
  if (journal < 0 || about.st_dev != device) return bare_write(file, bytes, count, where, is_placed);
  pthread_mutex_lock(&turn);
  ssize_t written = watched_write(file, bytes, count, where, is_placed, about.st_ino);
  pthread_mutex_unlock(&turn);
  return written;
}

ssize_t write(int file, const void *bytes, size_t count) { return any_write(file, bytes, count, 0, 0); }
ssize_t pwrite(int file, const void *bytes, size_t count, off_t where) { return any_write(file, bytes, count, where, 1); }
ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t where) {
  return any_write(file, bytes, count, where, 1);
}

static int watched_sync(const char *name, ino_t inode) {
  enum then then = now("sync", name);
  enum kind kind = inode == directory ? SYNC_NAMES : SYNC;
  if (then == FAIL) tell(FAILED_SYNC, inode, 0, NULL, 0);
  REFUSE(then == FAIL, EIO);
  tell(kind, inode, 0, NULL, 0);
  if (then == AFTER) die("sync", name, "after");
  return 0;
}

static int any_sync(int file, long call) {
  struct stat about;
  REFUSE(is_on("sync"), EIO);
  if (journal < 0 || fstat(file, &about) != 0 || about.st_dev != device) return syscall(call, file);
  pthread_mutex_lock(&turn);
  struct file *known_file = file_of(about.st_ino);
  int is_watched = about.st_ino == directory || known_file;
  int synced = is_watched ? watched_sync(known_file ? known_file->name : ".", about.st_ino) : syscall(call, file);
  pthread_mutex_unlock(&turn);
  return synced;
}

int fsync(int file) { return any_sync(file, SYS_fsync); }
int fdatasync(int file) { return any_sync(file, SYS_fdatasync); }

static int any_truncate(int file, off64_t length) {
  struct stat about;
  if (journal < 0 || fstat(file, &about) != 0 || about.st_dev != device) return syscall(SYS_ftruncate, file, length);
  pthread_mutex_lock(&turn);
  struct file *known_file = file_of(about.st_ino);
  const char *name = known_file ? known_file->name : "";
  enum then then = known_file ? now("truncate", name) : NOTHING;
  int cut = then == FAIL ? (errno = EIO, -1) : (int)syscall(SYS_ftruncate, file, length);
  int error = errno;
  if (known_file && cut == 0) tell(TRUNCATE, about.st_ino, length, NULL, 0);
  if (then == AFTER) die("truncate", name, "after");
  pthread_mutex_unlock(&turn);
  errno = error;
  return cut;
}

int ftruncate(int file, off_t length) { return any_truncate(file, length); }
int ftruncate64(int file, off64_t length) { return any_truncate(file, length); }

static int watched_open(const char *path, const char *name, int flags, mode_t mode) {
  struct stat about;
  int was_there = syscall(SYS_faccessat, AT_FDCWD, path, F_OK) == 0;
  enum then then = was_there ? NOTHING : now("create", name);
  REFUSE(then == FAIL, EIO);
  int file = syscall(SYS_openat, AT_FDCWD, path, flags, mode);
  int error = errno;
  if (file >= 0 && fstat(file, &about) == 0) {
    if (!was_there) {
      learn(about.st_ino, name);
      tell(CREATE, about.st_ino, 0, name, strlen(name));
    } else if (flags & O_TRUNC) {
      tell(TRUNCATE, about.st_ino, 0, NULL, 0);
    }
  }
  if (then == AFTER) die("create", name, "after");
  errno = error;
  return file;
}

static int any_open(int folder, const char *path, int flags, mode_t mode) {
  const char *name = flags & (O_CREAT | O_TRUNC) ? watched(path) : NULL;
  if (!name) return syscall(SYS_openat, folder, path, flags, mode);
  pthread_mutex_lock(&turn);
  int file = watched_open(path, name, flags, mode);
  pthread_mutex_unlock(&turn);
  return file;
}

#define OPEN(folder) \
  va_list rest; \
  va_start(rest, flags); \
  mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
  va_end(rest); \
  return any_open(folder, path, flags, mode);

int open(const char *path, int flags, ...) { OPEN(AT_FDCWD) }
int open64(const char *path, int flags, ...) { OPEN(AT_FDCWD) }
int openat(int folder, const char *path, int flags, ...) { OPEN(folder) }
int openat64(int folder, const char *path, int flags, ...) { OPEN(folder) }

int unlink(const char *path) {
  const char *name = watched(path);
  if (!name) return syscall(SYS_unlinkat, AT_FDCWD, path, 0);
  pthread_mutex_lock(&turn);
  struct file *file = file_named(name);
  enum then then = file ? now("unlink", name) : NOTHING;
  hold(path);
  int removed = then == FAIL ? (errno = EIO, -1) : (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
  int error = errno;
  if (removed == 0) {
    tell(UNLINK, 0, 0, name, strlen(name));
    if (file) file->name[0] = 0;
  }
  if (then == AFTER) die("unlink", name, "after");
  pthread_mutex_unlock(&turn);
  errno = error;
  return removed;
}

int rename(const char *from, const char *to) {
  const char *old = watched(from), *new = watched(to);
  if (!old || !new) return syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
  pthread_mutex_lock(&turn);
  struct file *file = file_named(old), *replaced = file_named(new);
  enum then then = now("rename", new);
  hold(to);
  int renamed = then == FAIL ? (errno = EIO, -1) : (int)syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
  int error = errno;
  if (renamed == 0) {
    char names[2 * NAME];
    int length = snprintf(names, sizeof names, "%s/%s", old, new);
    tell(RENAME, 0, 0, names, length);
    if (replaced) replaced->name[0] = 0;
    if (file) snprintf(file->name, NAME, "%s", new);
  }
  if (then == AFTER) die("rename", new, "after");
  pthread_mutex_unlock(&turn);
  errno = error;
  return renamed;
}

// ---- the clock

int clock_gettime(clockid_t clock, struct timespec *time) {
  int outcome = syscall(SYS_clock_gettime, clock, time);
  if (outcome == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) time->tv_sec += clock_is_wrong_by();
  return outcome;
}

int gettimeofday(struct timeval *time, void *zone) {
  int outcome = syscall(SYS_gettimeofday, time, zone);
  if (outcome == 0) time->tv_sec += clock_is_wrong_by();
  return outcome;
}

time_t time(time_t *into) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (into) *into = now.tv_sec;
  return now.tv_sec;
}
