//! Where a core runs, and how willingly: what the system is asked for.

use std::io;

/// Runs this thread on one processor only.
#[cfg(target_os = "linux")]
pub(super) fn pin(processor: usize) -> io::Result<()> {
    use rustix::thread::{CpuSet, sched_setaffinity};

    if processor >= CpuSet::MAX_CPU {
        return Err(named(&io::ErrorKind::InvalidInput.into(), processor));
    }
    let mut processors = CpuSet::new();
    processors.set(processor);
    sched_setaffinity(None, &processors).map_err(|error| named(&error.into(), processor))
}

#[cfg(target_os = "linux")]
fn named(error: &io::Error, processor: usize) -> io::Error {
    let kind = error.kind();
    io::Error::new(kind, format!("its thread cannot be pinned to processor {processor}: {error}"))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn pin(_: usize) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "threads can be pinned on Linux only"))
}

/// Sets the nice value of this thread.
#[cfg(target_os = "linux")]
pub(super) fn set_nice(nice: i32) -> io::Result<()> {
    // On Linux, each thread has a nice value of its own.
    rustix::process::setpriority_process(None, nice).map_err(|error| {
        let text = format!("its thread cannot have the nice value {nice}: {error}");
        io::Error::new(io::Error::from(error).kind(), text)
    })
}

#[cfg(not(target_os = "linux"))]
pub(super) fn set_nice(_: i32) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "a thread has a nice value on Linux only"))
}
