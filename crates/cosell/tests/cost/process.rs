//! Work and memory of processes, as Linux tells them.

use std::sync::OnceLock;

use crate::database::Database;
use crate::support::chance::Chance;

/// How many threads of a process want a processor at this moment, whether they have one or wait for it. Unlike processor
/// time, this says the same on a machine that others use too.
pub fn runnable_threads(process: u32) -> usize {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let runs = |thread: &std::fs::DirEntry| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // The name, in parentheses, may hold anything.
        stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" R"))
    };
    threads.filter(runs).count()
}

/// Processor time that processes and their ended children have used so far, in ticks of the system.
pub fn ticks(processes: &[u32]) -> u64 {
    processes.iter().map(|process| ticks_of_one(*process)).sum()
}

fn ticks_of_one(process: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // `utime`, `stime`, `cutime` and `cstime` are the 14th to the 17th field of all.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(4).filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}

/// Processor time that the machine has used so far, and how much there was, in the same ticks.
pub fn ticks_of_machine() -> (u64, u64) {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().next().unwrap_or_default();
    // user, nice, system, idle, iowait, irq, softirq, steal; guests are counted among the first two.
    let fields: Vec<u64> =
        line.split_whitespace().skip(1).take(8).filter_map(|ticks| ticks.parse().ok()).collect();
    let all: u64 = fields.iter().sum();
    let idle: u64 = fields.iter().skip(3).take(2).sum();
    (all - idle, all)
}

/// How many times slower this machine is than the one that the bounds were tried on; 1 where it is faster. Measured in
/// processor time, so that other processes do not count.
pub fn slowness() -> f64 {
    static SLOWNESS: OnceLock<f64> = OnceLock::new();
    *SLOWNESS.get_or_init(|| {
        let before = nanoseconds_of_this_thread();
        let mut chance = Chance::from_seed(1);
        let sum = (0..NUMBERS).fold(0u64, |sum, _| sum.wrapping_add(chance.next()));
        std::hint::black_box(sum);
        let took = nanoseconds_of_this_thread().saturating_sub(before);
        (took as f64 / TIME_FOR_NUMBERS).max(1.0)
    })
}

/// So many numbers are drawn to measure the machine, and the nanoseconds that they took where the bounds were tried.
const NUMBERS: u64 = 5_000_000;
const TIME_FOR_NUMBERS: f64 = 100_000_000.0;

/// Processor time of the calling thread so far; 0 where the system does not tell.
fn nanoseconds_of_this_thread() -> u64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    told.split_whitespace().next().and_then(|time| time.parse().ok()).unwrap_or(0)
}

/// Memory that a process holds, in bytes.
pub fn resident(process: u32) -> u64 {
    status(process, "VmRSS:")
}

/// The most that it held since [`forget_peak`].
pub fn peak(process: u32) -> u64 {
    status(process, "VmHWM:")
}

/// Sets the peak back to what the process holds now.
pub fn forget_peak(process: u32) {
    // The process may be gone, which others notice.
    let _ = std::fs::write(format!("/proc/{process}/clear_refs"), "5");
}

fn status(process: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    let kilobytes: u64 = line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0);
    kilobytes * 1024
}

/// Ends what PostgreSQL still does for a server that was killed.
pub fn end_backends(database: &Database) {
    let begun = std::time::Instant::now();
    loop {
        let backends = serving(database);
        if backends.is_empty() {
            return;
        }
        assert!(begun.elapsed() < crate::support::PATIENCE, "PostgreSQL goes on for a server that is gone");
        let mut kill = std::process::Command::new("kill");
        kill.arg("-TERM").args(backends.iter().map(u32::to_string)).stderr(std::process::Stdio::null());
        // Those that have ended by themselves meanwhile are as good.
        let _ = kill.status();
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// The server processes of PostgreSQL that serve connections to a database, and their parent, to which the time of those
/// that have ended is added.
pub fn backends(database: &Database) -> Vec<u32> {
    let mut processes = serving(database);
    let parent = |process: &u32| -> Option<u32> {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
    };
    processes.extend(processes.first().and_then(parent).filter(|parent| *parent > 1));
    processes
}

/// The processes whose titles say that they serve a connection to a database.
fn serving(database: &Database) -> Vec<u32> {
    let words = format!(" cosell {} ", database.name());
    let listed = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = listed.filter_map(|process| process.file_name().to_str()?.parse::<u32>().ok());
    let title =
        |process: u32| std::fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap_or_default();
    numbers.filter(|process| title(*process).contains(&words)).collect()
}

/// Lets this process open as many files as the system allows: a test has thousands of connections.
pub fn raise_file_limit() {
    let process = std::process::id().to_string();
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap_or_default();
    let hard = line.split_whitespace().nth(4).unwrap_or("1024");
    let raised = std::process::Command::new("prlimit")
        .args(["--pid", &process, &format!("--nofile={hard}:{hard}")])
        .status();
    assert!(raised.is_ok_and(|status| status.success()), "prlimit of util-linux cannot raise the limit");
}
