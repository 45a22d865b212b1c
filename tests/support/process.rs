//! Figures of the system about this process. They cover the whole process, so a test that reads
//! them runs alone in it: see [`children::ran_alone`](super::children::ran_alone). And what the
//! system says about another process.

use std::fs;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::Path;

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

/// Waits for the end of what is read from a child: no process has the other end any more.
pub(crate) fn until_closed(mut reader: &UnixStream) {
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).unwrap();
}

/// The state of a process, as in `"Z"` for a zombie; `None` if there is none.
pub(crate) fn state_of(pid: u32) -> Option<String> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    line.rsplit(')').next()?.split_whitespace().next().map(str::to_owned)
}

/// Waits until there is no such process any more, not even as a zombie.
pub(crate) fn until_gone(pid: u32) {
    let started = std::time::Instant::now();
    while state_of(pid).is_some() {
        assert!(started.elapsed().as_secs() < 20, "{pid} is there: {:?}", state_of(pid));
        std::thread::yield_now();
    }
}

/// Whether this process has a file of this path open.
pub(crate) fn is_open(path: &Path) -> bool {
    let open = fs::read_dir("/proc/self/fd").unwrap();
    // Some of them may be closed while this looks at them.
    let mut links = open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    links.any(|link| link == path)
}
