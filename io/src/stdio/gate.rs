//! A descriptor of the process, which any number of handles share, and one uses at a time.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use crate::Registration;
use crate::fd::{FdSource, is_ready};
use kernel::io::Side;
use kernel::{PolledWait, note_wait};

/// What the handles of one descriptor share.
pub(super) struct Gate<T: AsFd + 'static> {
    name: &'static str,
    open: fn() -> T,
    state: Mutex<State<T>>,
}

struct State<T: AsFd + 'static> {
    /// Made for the first operation, and dropped with the last handle.
    registration: Option<Registration<FdSource<T>>>,
    /// An operation is being tried, and has the registration.
    lent: bool,
    /// The handle that waits or holds bytes; 0 if none does.
    holder: u64,
    /// The holder has read ahead, so it stays the holder when it does not wait.
    keeps: bool,
    handles: usize,
    /// What dropped handles have read ahead.
    unread: Vec<u8>,
}

impl<T: AsFd + 'static> Gate<T> {
    pub(super) const fn new(name: &'static str, open: fn() -> T) -> Self {
        let state = State {
            registration: None,
            lent: false,
            holder: 0,
            keeps: false,
            handles: 0,
            unread: Vec::new(),
        };
        Gate { name, open, state: Mutex::new(state) }
    }

    /// No code of the program runs under the lock: it is held for a few lines at a time.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tries `operation` if that would not block, and waits otherwise. The handle is the holder
    /// then, until [`release`](Handle::release) or until the leaf around the poll ends.
    pub(super) fn poll<R>(
        &'static self,
        handle: &Handle<T>,
        direction: impl Side,
        cx: &mut Context<'_>,
        mut operation: impl FnMut(BorrowedFd<'_>) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        let registration = {
            let mut state = self.lock();
            self.hold(&mut state, handle)?;
            state.lent = true;
            state.registration.take()
        };
        let registration = registration.unwrap_or_else(|| {
            let made = Registration::new(FdSource((self.open)()));
            // Its drop does not close the descriptor.
            made.may_be_duplicated();
            made
        });
        let lent = Lent { gate: self, registration: Some(registration) };
        let polled = lent.registration().poll_io(direction, cx, |source| {
            let fd = source.0.as_fd();
            is_ready(fd, direction.direction())?;
            operation(fd)
        });
        if polled.is_pending() {
            note_wait(handle.0.clone());
        }
        polled
    }

    fn hold(&self, state: &mut State<T>, handle: &Handle<T>) -> io::Result<()> {
        if state.lent || (state.holder != 0 && state.holder != handle.0.id) {
            let name = self.name;
            let text = format!("another handle of {name} waits, or holds what it has read ahead");
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, text));
        }
        state.holder = handle.0.id;
        Ok(())
    }

    /// Reads of what dropped handles have read ahead. 0 if there is none.
    pub(super) fn read_unread(&self, handle: &Handle<T>, buf: &mut [u8]) -> io::Result<usize> {
        let mut state = self.lock();
        if state.unread.is_empty() {
            return Ok(0);
        }
        self.hold(&mut state, handle)?;
        let read = buf.len().min(state.unread.len());
        buf[..read].copy_from_slice(&state.unread[..read]);
        state.unread.drain(..read);
        Ok(read)
    }
}

/// A registration that is being used, and is given back at the end.
struct Lent<T: AsFd + 'static> {
    gate: &'static Gate<T>,
    registration: Option<Registration<FdSource<T>>>,
}

impl<T: AsFd + 'static> Lent<T> {
    fn registration(&self) -> &Registration<FdSource<T>> {
        self.registration.as_ref().expect("it is given back in the drop")
    }
}

impl<T: AsFd + 'static> Drop for Lent<T> {
    fn drop(&mut self) {
        let mut state = self.gate.lock();
        state.lent = false;
        if state.handles > 0 {
            state.registration = self.registration.take();
        }
        // Otherwise it is dropped with this, after the lock.
    }
}

/// A handle of a descriptor: its part of the gate.
pub(super) struct Handle<T: AsFd + 'static>(Arc<Key<T>>);

/// What the gate knows a handle by.
struct Key<T: AsFd + 'static> {
    gate: &'static Gate<T>,
    id: u64,
}

impl<T: AsFd + 'static> Handle<T> {
    pub(super) fn new(gate: &'static Gate<T>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        gate.lock().handles += 1;
        Handle(Arc::new(Key { gate, id: NEXT.fetch_add(1, Ordering::Relaxed) }))
    }

    pub(super) fn gate(&self) -> &'static Gate<T> {
        self.0.gate
    }

    /// It has read ahead: no other handle uses the descriptor before this is released.
    pub(super) fn keep(&self) {
        self.gate().lock().keeps = true;
    }

    /// Lets other handles use the descriptor.
    pub(super) fn release(&self) {
        let mut state = self.gate().lock();
        if state.holder == self.0.id {
            state.holder = 0;
            state.keeps = false;
        }
    }

    /// Leaves what it has read ahead to the next handle.
    pub(super) fn leave(&self, ahead: &[u8]) {
        if !ahead.is_empty() {
            self.gate().lock().unread.splice(..0, ahead.iter().copied());
        }
    }
}

impl<T: AsFd + 'static> PolledWait for Key<T> {
    fn leaf_ended(&self) {
        let mut state = self.gate.lock();
        if state.holder == self.id && !state.keeps {
            state.holder = 0;
        }
    }
}

impl<T: AsFd + 'static> Drop for Handle<T> {
    fn drop(&mut self) {
        self.release();
        let mut state = self.gate().lock();
        state.handles -= 1;
        let last = state.handles == 0;
        let registration = if last { state.registration.take() } else { None };
        drop(state);
        // Wakes a task that has polled, so not under the lock.
        drop(registration);
    }
}
