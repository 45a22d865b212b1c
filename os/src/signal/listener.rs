//! A listener: the handlers of its signals, and the pipe by which they wake its task.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::future::poll_fn;
use std::io::{self, ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use kernel::io::{Direction, Registration};
use kernel::{TaskCancelled, shield, sleep};
use mio::unix::pipe::{self, Receiver};

use super::hook::Hook;
use crate::number::*;

/// The pause between two looks while the system refuses to report events of the pipe.
const RETRY: Duration = Duration::from_millis(100);

/// The system acts on these and delivers them to no process.
const UNSTOPPABLE: [Signal; 2] = [SIGKILL, SIGSTOP];

/// These report a fault of the instruction that runs. After a handler it would run again.
const FAULTS: [Signal; 7] = [SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP];

/// Why a program cannot listen for a signal.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("no process can listen for {0}: the system acts on it by itself")]
    Unstoppable(Signal),
    #[error(
        "a task cannot listen for {0}: it reports a fault, after which the program cannot go on"
    )]
    Fault(Signal),
}

fn cannot_listen(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot listen for signals: {error}"))
}

pub(super) struct Listener {
    pipe: Registration<Receiver>,
    hooks: Vec<Hook>,
    /// The signal that is looked at first, so that none starves another.
    first: Cell<usize>,
}

impl Listener {
    /// Listens for these signals from now on. For `second`, see [`Hook::new`].
    pub(super) fn new(
        signals: impl IntoIterator<Item = Signal>,
        second: Option<&Arc<AtomicBool>>,
    ) -> io::Result<Listener> {
        // Each of them once.
        let signals = BTreeSet::from_iter(signals);
        for signal in &signals {
            let refused = match signal {
                signal if UNSTOPPABLE.contains(signal) => Refused::Unstoppable(*signal),
                signal if FAULTS.contains(signal) => Refused::Fault(*signal),
                _ => continue,
            };
            return Err(io::Error::new(ErrorKind::InvalidInput, refused));
        }
        let (sender, receiver) = pipe::new().map_err(|error| cannot_listen(&error))?;
        let sender = OwnedFd::from(sender);
        let hook = |signal| Hook::new(signal, sender.try_clone()?, second, || ());
        let hooks = signals.into_iter().map(hook).collect::<io::Result<_>>();
        let hooks = hooks.map_err(|error| cannot_listen(&error))?;
        Ok(Listener { pipe: Registration::new(receiver), hooks, first: Cell::new(0) })
    }

    /// What it listens for.
    pub(super) fn signals(&self) -> impl Iterator<Item = Signal> + '_ {
        self.hooks.iter().map(|hook| hook.signal)
    }

    /// The leaf: waits for the next signal.
    pub(super) async fn recv(
        &self,
        site: &'static Location<'static>,
    ) -> Result<Signal, TaskCancelled> {
        loop {
            let look = |pipe: &Receiver| self.look(pipe);
            match self.pipe.io_at(Direction::Read, "SIGNAL_RECV", site, look).await {
                Ok(signal) => return Ok(signal),
                Err(error) => match error.downcast::<TaskCancelled>() {
                    Ok(cancelled) => return Err(cancelled),
                    // The poll takes no further source, for lack of memory. The flags still work.
                    Err(_) => sleep(RETRY).await?,
                },
            }
        }
    }

    /// Waits for the next signal, but is no leaf: a cancellation is for the code beside it.
    pub(super) async fn arrival(&self) -> Signal {
        loop {
            let look = |pipe: &Receiver| self.look(pipe);
            match poll_fn(|cx| self.pipe.poll_io(Direction::Read, cx, look)).await {
                Ok(signal) => return signal,
                // As in `recv`. A shielded sleep has no error.
                Err(_) => drop(shield(sleep(RETRY)).await),
            }
        }
    }

    /// Takes a signal that has arrived, if there is one.
    ///
    /// It empties the pipe first. A signal that arrives afterwards sets its flag and then writes,
    /// so it is either found here or makes the pipe readable again.
    fn look(&self, mut pipe: &Receiver) -> io::Result<Signal> {
        let mut bytes = [0; 1024];
        loop {
            match pipe.read(&mut bytes) {
                Ok(n) if n == bytes.len() => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
                _ => break,
            }
        }
        let (before, from) = self.hooks.split_at(self.first.get());
        let found = from.iter().chain(before).position(Hook::take);
        let Some(found) = found else { return Err(ErrorKind::WouldBlock.into()) };
        let found = (self.first.get() + found) % self.hooks.len();
        self.first.set((found + 1) % self.hooks.len());
        Ok(self.hooks[found].signal)
    }
}
