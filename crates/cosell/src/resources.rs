//! What this machine gives the process: memory and file descriptors. The limits of `serve` follow from them.

use std::path::Path;

use crate::failure::Failure;

const MIB: u64 = 1024 * 1024;

/// File descriptors that are not for connections: the database's files, standard streams, and what is opened in passing.
const RESERVED_FILES: u64 = 96;
/// With fewer connections a server is none.
const MIN_CONNECTIONS: u64 = 16;

/// How much memory the process may use, in bytes: what the machine has, or less where its control group says so. `None`
/// where the system does not tell.
pub fn memory() -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    memory_by(&read)
}

fn memory_by(read: &dyn Fn(&str) -> Option<String>) -> Option<u64> {
    let machine = read("/proc/meminfo").and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
    });
    let groups = read("/proc/self/cgroup").unwrap_or_default();
    let limits = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        match controllers {
            "" => limit_of(read, "/sys/fs/cgroup", path, "memory.max"),
            named if named.split(',').any(|name| name == "memory") => {
                limit_of(read, "/sys/fs/cgroup/memory", path, "memory.limit_in_bytes")
            }
            _ => None,
        }
    });
    machine.into_iter().chain(limits).min()
}

/// The smallest limit of a control group and of those around it. Inside a container its own may be all that is to be seen,
/// at the root.
fn limit_of(read: &dyn Fn(&str) -> Option<String>, root: &str, path: &str, file: &str) -> Option<u64> {
    let folders = Path::new(path).ancestors().map(|folder| folder.to_string_lossy().into_owned());
    let limits = folders.filter_map(|folder| {
        let text = read(&format!("{root}{}/{file}", folder.trim_end_matches('/')))?;
        // `max`, and in version 1 a number near 2^63, stand for no limit.
        text.trim().parse::<u64>().ok().filter(|limit| *limit < 1 << 60)
    });
    limits.min()
}

/// What may be kept in memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryPlan {
    /// For requests: bodies, what is read from them, and writes that wait for the rest of their group.
    pub requests: u64,
    /// For responses that clients have not read yet.
    pub answers: u64,
    /// For the referrals that are read most.
    pub cache: u64,
    /// For list responses that are sent again.
    pub list_cache: u64,
    /// For what one list or aggregation sorts and groups.
    pub list: u64,
}

impl MemoryPlan {
    /// A part of the memory for each, between what it needs and what helps. Unknown memory is taken for plenty.
    pub fn for_memory(memory: Option<u64>) -> MemoryPlan {
        let memory = memory.unwrap_or(u64::MAX);
        let part = |of: u64, least: u64, most: u64| (memory / of).clamp(least * MIB, most * MIB);
        MemoryPlan {
            requests: part(16, 12, 64),
            answers: part(16, 8, 64),
            cache: part(32, 2, 16),
            list_cache: part(64, 1, 8),
            list: part(32, 4, 64),
        }
    }
}

/// How many connections there can be, of those that are wanted, beside so many other files: the limit of the process is
/// raised as far as the system lets it. Fewer than wanted come with a warning.
///
/// # Errors
/// When there are next to none.
pub fn connections(wanted: usize, files: u64) -> Result<usize, Failure> {
    let Some(limit) = raise_file_limit((wanted as u64).saturating_add(files + RESERVED_FILES)) else {
        return Ok(wanted);
    };
    let possible = limit.saturating_sub(files + RESERVED_FILES);
    if possible >= wanted as u64 {
        return Ok(wanted);
    }
    if possible < MIN_CONNECTIONS.min(wanted as u64) {
        return Err(Failure::failed(format!(
            "the process may open {limit} files, which leaves {possible} for connections: raise the limit of open files (ulimit -n)"
        )));
    }
    tracing::warn!(
        limit,
        connections = possible,
        "The process may open {limit} files: at most {possible} connections instead of listener.max_connections = \
         {wanted}. Raise the limit of open files (ulimit -n, LimitNOFILE), or lower the setting"
    );
    Ok(possible as usize)
}

/// Raises the limit of open files to what is needed, where it is lower and may be raised; the limit then.
#[cfg(unix)]
fn raise_file_limit(needed: u64) -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let current = current?;
    if current >= needed {
        return Some(current);
    }
    let raised = maximum.map_or(needed, |maximum| maximum.min(needed));
    match setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum }) {
        Ok(()) => Some(raised),
        Err(_) => Some(current),
    }
}

#[cfg(not(unix))]
fn raise_file_limit(_: u64) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn memory_of(files: &[(&str, &str)]) -> Option<u64> {
        let files: HashMap<String, String> =
            files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        memory_by(&|path| files.get(path).cloned())
    }

    const MEMINFO: (&str, &str) = ("/proc/meminfo", "MemTotal:        8000000 kB\nMemFree: 1 kB\n");

    #[test]
    fn memory_is_the_machines_or_the_smallest_limit_around_the_process() {
        let two = |path: &'static str| [MEMINFO, ("/proc/self/cgroup", path)];
        assert_eq!(memory_of(&[]), None);
        assert_eq!(memory_of(&[MEMINFO]), Some(8_192_000_000));
        assert_eq!(memory_of(&two("0::/a/b\n")), Some(8_192_000_000));
        let second = ("/sys/fs/cgroup/a/b/memory.max", "max\n");
        let first = ("/sys/fs/cgroup/a/memory.max", "268435456\n");
        assert_eq!(memory_of(&[&two("0::/a/b\n")[..], &[first, second]].concat()), Some(268_435_456));
        let inside = ("/sys/fs/cgroup/memory.max", "134217728\n");
        assert_eq!(memory_of(&[&two("0::/\n")[..], &[inside]].concat()), Some(134_217_728));
        let old = ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "104857600\n");
        let groups = two("5:cpu,memory:/docker/x\n1:name=systemd:/\n");
        assert_eq!(memory_of(&[&groups[..], &[old]].concat()), Some(104_857_600));
        let unlimited = ("/sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(memory_of(&[&groups[..], &[unlimited]].concat()), Some(8_192_000_000));
    }

    #[test]
    fn small_machines_keep_less_in_memory() {
        let plan = |mib: u64| MemoryPlan::for_memory(Some(mib * MIB));
        assert_eq!(plan(64 * 1024), MemoryPlan::for_memory(None));
        for (mib, requests, answers, cache, list_cache) in [
            (64, 12, 8, 2, 1),
            (256, 16, 16, 8, 4),
            (512, 32, 32, 16, 8),
            (1024, 64, 64, 16, 8),
            (8192, 64, 64, 16, 8),
        ] {
            let MemoryPlan { requests: r, answers: a, cache: c, list_cache: l, .. } = plan(mib);
            assert_eq!(
                [r, a, c, l],
                [requests, answers, cache, list_cache].map(|mib| mib * MIB),
                "{mib} MiB"
            );
            let lists = 3 * plan(mib).list;
            assert!(r + a + c + l + lists <= (mib * MIB / 2).max(36 * MIB), "{mib} MiB");
        }
    }

    #[test]
    fn connections_fit_into_the_files_that_there_may_be() {
        assert_eq!(connections(1, 0).unwrap(), 1);
        let few = connections(usize::MAX / 2, 0).unwrap();
        assert!((16..usize::MAX / 2).contains(&few), "{few}");
    }
}
