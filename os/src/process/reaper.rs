//! The thread that reaps children without an owner: those that were dropped, and were killed then,
//! and those that were detached.
//!
//! The process has at most one such thread, and has it only while there is such a child. It sleeps
//! until one of them ends. A child that does not end holds up no other.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use super::pidfd::has_ended;

/// Invariant: while `wake` is set, the thread runs, and looks at `new` before it ends.
static REAPER: Mutex<Reaper> = Mutex::new(Reaper { new: Vec::new(), wake: None });

struct Reaper {
    /// Children that the thread has not taken over yet.
    new: Vec<OwnedFd>,
    /// Wakes the thread.
    wake: Option<Arc<OwnedFd>>,
}

fn reaper() -> MutexGuard<'static, Reaper> {
    REAPER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has a child reaped when it has ended. If the system has neither a thread nor a descriptor for
/// that now, the next call tries again.
pub(super) fn adopt(child: OwnedFd) {
    let mut reaper = reaper();
    reaper.new.push(child);
    match &reaper.wake {
        Some(wake) => ring(wake),
        None => reaper.wake = start().ok(),
    }
}

/// Starts the thread if there is a child that it could not be started for.
pub(super) fn try_again() {
    let mut reaper = reaper();
    if reaper.wake.is_none() && !reaper.new.is_empty() {
        reaper.wake = start().ok();
    }
}

fn ring(wake: &OwnedFd) {
    // Fails only if it has been written very often and not been read, and then it is readable.
    let _ = rustix::io::write(wake, &1_u64.to_ne_bytes());
}

fn start() -> io::Result<Arc<OwnedFd>> {
    let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
    let theirs = wake.clone();
    thread::Builder::new().name("curium-reaper".into()).spawn(move || reap(&theirs))?;
    Ok(wake)
}

fn reap(wake: &OwnedFd) {
    let mut children = Vec::new();
    loop {
        children.append(&mut reaper().new);
        children.retain(|child: &OwnedFd| !has_ended(child.as_fd()));
        if children.is_empty() {
            let mut reaper = reaper();
            if reaper.new.is_empty() {
                reaper.wake = None;
                return;
            }
            continue;
        }
        let fds = [wake].into_iter().chain(&children);
        let mut fds: Vec<PollFd<'_>> = fds.map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        // An interruption, or a lack of memory: look at the children, and wait again.
        let _ = poll(&mut fds, None);
        let _ = rustix::io::read(wake, &mut [0; 8]);
    }
}
