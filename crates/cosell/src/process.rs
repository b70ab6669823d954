//! What Linux says of this process, in `/proc/self`. Elsewhere nothing is said.

use std::fs;

use referral::Timestamp;
use server::{ProcessMetrics, ProcessProbe};

/// Linux tells times of processors in hundredths of a second, whatever its own clock does. Source: times(2), USER_HZ.
const CPU_TICKS: f64 = 100.0;

/// 100 ns steps in a second.
const TICKS_PER_SECOND: f64 = 10_000_000.0;

/// This process.
#[derive(Debug)]
pub struct ThisProcess {
    began_at: Timestamp,
}

impl ThisProcess {
    /// Begun now.
    pub fn started_at(now: Timestamp) -> ThisProcess {
        ThisProcess { began_at: now }
    }
}

impl ProcessProbe for ThisProcess {
    fn metrics(&self) -> ProcessMetrics {
        let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
        ProcessMetrics {
            resident_bytes: resident_bytes(&read("status")),
            cpu_seconds: cpu_seconds(&read("stat")),
            // The directory itself is open while it is read.
            open_files: fs::read_dir("/proc/self/fd")
                .ok()
                .map(|files| files.count().saturating_sub(1) as u64),
            most_files: most_files(&read("limits")),
            began_at: Some(self.began_at.ticks() as f64 / TICKS_PER_SECOND),
        }
    }
}

/// `VmRSS:     12345 kB`
fn resident_bytes(status: &str) -> Option<u64> {
    let kilobytes: u64 = line_after(status, "VmRSS:")?.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// The 14th and 15th words, of user and system; the second is a name in parentheses, with any characters.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut words = after_name.split_whitespace().skip(11);
    let mut ticks = || words.next()?.parse::<u64>().ok();
    Some((ticks()? + ticks()?) as f64 / CPU_TICKS)
}

/// `Max open files            1024                 524288               files`, the soft limit first.
fn most_files(limits: &str) -> Option<u64> {
    line_after(limits, "Max open files")?.split_whitespace().next()?.parse().ok()
}

fn line_after<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_writes_is_read() {
        assert_eq!(
            resident_bytes("VmPeak:\t  9 kB\nVmRSS:\t   2048 kB\nRssAnon: 1 kB\n"),
            Some(2 * 1024 * 1024)
        );
        let stat = "42 (co) sell) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 7";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        let limits = "Limit   Soft   Hard   Units\nMax open files            1024                 524288               files\n";
        assert_eq!(most_files(limits), Some(1024));
        assert_eq!((resident_bytes(""), cpu_seconds(""), most_files("")), (None, None, None));
        assert_eq!(cpu_seconds("42 (cosell) S 1"), None);
    }
}
