//! A child process by its descriptor: its end, signals to it, and what its drop does.
//!
//! A process descriptor (`pidfd`) is readable when its process has ended. It never stands for
//! another process, and it needs no handler of `SIGCHLD`, which a process has only one of. The
//! number of a child stays its own until it is reaped, which only this file does.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, WaitId, WaitIdOptions, kill_process_group, pidfd_open, pidfd_send_signal,
    waitid,
};

use super::reaper;
use crate::number::{SIGKILL, Signal};

/// A child that this process has started. Its drop kills it at once, and has it reaped.
pub(super) struct Process {
    /// Taken when it is dropped.
    fd: Option<OwnedFd>,
    pid: Pid,
    /// Whether signals go to its group, which has its number.
    group: bool,
    state: Cell<State>,
}

#[derive(Clone, Copy)]
enum State {
    Runs,
    /// It has ended and is not reaped, so that the number of its group stays reserved.
    Ended(ExitStatus),
    Reaped(ExitStatus),
    /// Another part of the program has reaped it.
    Lost,
}

impl Process {
    /// Takes over a child that has just started. If the system has no descriptor for it, the child
    /// is killed.
    pub(super) fn of(mut child: std::process::Child, group: bool) -> io::Result<Process> {
        let pid = Pid::from_child(&child);
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(fd) => Ok(Process { fd: Some(fd), pid, group, state: Cell::new(State::Runs) }),
            // It has ended, and is reaped already: its number may be that of another process.
            Err(Errno::SRCH) => Err(io::Error::other(Lost)),
            Err(error) => {
                if group {
                    let _ = kill_process_group(pid, rustix::process::Signal::KILL);
                }
                let _ = child.kill();
                // This is a thread that starts children, which may wait.
                let _ = child.wait();
                Err(error.into())
            }
        }
    }

    pub(super) fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// The group that signals go to.
    pub(super) fn group(&self) -> Option<Pid> {
        self.group.then_some(self.pid)
    }

    /// How it has ended; [`io::ErrorKind::WouldBlock`] while it runs. The process is reaped, unless
    /// its group is watched: see [`reap`](Process::reap).
    pub(super) fn end(&self) -> io::Result<ExitStatus> {
        match self.state.get() {
            State::Ended(status) | State::Reaped(status) => return Ok(status),
            State::Lost => return Err(io::Error::other(Lost)),
            State::Runs => {}
        }
        match look(self.as_fd(), self.group) {
            Ok(None) => Err(io::ErrorKind::WouldBlock.into()),
            Ok(Some(status)) => {
                let state = if self.group { State::Ended } else { State::Reaped };
                self.state.set(state(status));
                Ok(status)
            }
            Err(Errno::CHILD) => {
                self.state.set(State::Lost);
                Err(io::Error::other(Lost))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Reaps it if it has ended and its group was watched. No signal reaches the group from then
    /// on.
    pub(super) fn reap(&self) {
        if let State::Ended(status) = self.state.get() {
            let _ = look(self.as_fd(), false);
            self.state.set(State::Reaped(status));
        }
    }

    /// Sends a signal, to its group if that is watched. Does nothing once it is reaped.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        match self.state.get() {
            State::Runs | State::Ended(_) => send(self.as_fd(), self.group(), signal),
            State::Reaped(_) | State::Lost => Ok(()),
        }
    }

    /// Kills it, and its group if that is watched. An error means that it goes on, or if it has
    /// ended, its group.
    pub(super) fn kill(&self) -> io::Result<()> {
        let killed = self.signal(SIGKILL);
        match self.state.get() {
            // A signal to a group is a success if one process gets it, which may be another one.
            State::Runs if self.group => send(self.as_fd(), None, SIGKILL),
            _ => killed,
        }
    }

    /// Lets it run, without an owner. It is reaped when it has ended.
    pub(super) fn let_go(mut self) {
        if let (Some(fd), State::Runs | State::Ended(_)) = (self.fd.take(), self.state.get()) {
            ensure_reaped(fd);
        }
    }
}

/// Reaps a child, now if it has ended, otherwise in the reaper.
fn ensure_reaped(fd: OwnedFd) {
    if !has_ended(fd.as_fd()) {
        reaper::adopt(fd);
    }
}

/// Whether a child has ended, and how. Reaps it unless it is to be `kept`.
fn look(fd: BorrowedFd<'_>, kept: bool) -> rustix::io::Result<Option<ExitStatus>> {
    let mut options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    if kept {
        options |= WaitIdOptions::NOWAIT;
    }
    let ended = waitid(WaitId::PidFd(fd), options)?;
    // The status as `wait` encodes it.
    Ok(ended.map(|ended| {
        let code = ended.exit_status().unwrap_or(0) << 8;
        let signal = ended.terminating_signal().unwrap_or(0);
        let dumped = if ended.dumped() { 0x80 } else { 0 };
        ExitStatus::from_raw(code | signal | dumped)
    }))
}

/// Whether a child has ended; if so, it is reaped. Also if another part of the program has done
/// that.
pub(super) fn has_ended(fd: BorrowedFd<'_>) -> bool {
    !matches!(look(fd, false), Ok(None))
}

fn send(fd: BorrowedFd<'_>, group: Option<Pid>, signal: Signal) -> io::Result<()> {
    let Some(signal) = rustix::process::Signal::from_named_raw(signal.as_raw()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("no signal {signal}")));
    };
    let sent = match group {
        Some(group) => kill_process_group(group, signal),
        None => pidfd_send_signal(fd, signal),
    };
    match sent {
        // It has ended.
        Err(Errno::SRCH) => Ok(()),
        sent => Ok(sent?),
    }
}

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_ref().expect("it is taken only by the drop").as_fd()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let Some(fd) = self.fd.take() else { return };
        if let State::Runs | State::Ended(_) = self.state.get() {
            // Fails for a process that runs as another user. It is reaped all the same.
            let _ = send(fd.as_fd(), self.group(), SIGKILL);
            ensure_reaped(fd);
        }
    }
}

/// Another part of the program has reaped the child.
#[derive(Debug, thiserror::Error)]
#[error(
    "the end of a child was lost: this program ignores SIGCHLD, or another part of it has waited \
     for any child"
)]
struct Lost;
