//! Figures of the system about this process. They cover the whole process, so a test that reads
//! them runs alone in it: see [`children::ran_alone`](super::children::ran_alone).

use std::fs;

/// How many descriptors are open.
pub(crate) fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// A line of `/proc/self/status`, in bytes: `VmRSS:` is the resident memory, `VmHWM:` its peak.
pub(crate) fn memory(name: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    let kilobytes: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes * 1024
}
