//! What the pool needs of the system: a lock, and threads that sleep until they are called.
//!
//! Under `cfg(loom)` these are the types of loom. So the models in `models.rs` run the same source
//! files that ship, in every interleaving. `Arc` is always that of std, because `std::task::Wake`
//! requires it.

#[cfg(loom)]
pub(super) use self::model::{Mutex, Thread, current, park, spawn};
#[cfg(not(loom))]
pub(super) use self::real::{Mutex, Thread, current, park, spawn};
#[cfg(loom)]
pub(super) use loom::sync::MutexGuard;
#[cfg(not(loom))]
pub(super) use std::sync::MutexGuard;

#[cfg(not(loom))]
mod real {
    use std::io;
    use std::sync::{self, MutexGuard, PoisonError};
    use std::thread;
    use std::time::Duration;

    pub(crate) use std::thread::{Thread, current};

    /// A lock. A panic does not poison it: no code of the program runs under it.
    pub(crate) struct Mutex<T>(sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) const fn new(value: T) -> Self {
            Mutex(sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    /// Starts a thread. Nothing joins it.
    pub(crate) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
        thread::Builder::new().name(name.to_owned()).spawn(body).map(drop)
    }

    /// Sleeps until this thread is unparked, perhaps before, and at most that long.
    pub(crate) fn park(limit: Duration) {
        thread::park_timeout(limit);
    }
}

#[cfg(loom)]
mod model {
    use std::cell::{Cell, RefCell};
    use std::io;
    use std::sync::OnceLock;
    use std::time::Duration;

    use loom::sync::MutexGuard;
    use loom::thread;

    pub(crate) use loom::thread::{Thread, current};

    /// Loom's lock. It is made at its first use, because loom cannot make one in a constant.
    pub(crate) struct Mutex<T> {
        value: std::sync::Mutex<Option<T>>,
        lock: OnceLock<loom::sync::Mutex<T>>,
    }

    impl<T> Mutex<T> {
        pub(crate) const fn new(value: T) -> Self {
            Mutex { value: std::sync::Mutex::new(Some(value)), lock: OnceLock::new() }
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            let make = || {
                let value = self.value.lock().unwrap().take();
                loom::sync::Mutex::new(value.expect("it is made once"))
            };
            self.lock.get_or_init(make).lock().unwrap()
        }
    }

    thread_local! {
        /// How many of the next starts of a thread fail. All threads of a model share it, because
        /// loom runs them on one thread.
        pub(crate) static REFUSALS: Cell<u32> = const { Cell::new(0) };
        /// The threads that were started and not joined.
        static STARTED: RefCell<Vec<thread::JoinHandle<()>>> = const { RefCell::new(Vec::new()) };
    }

    pub(crate) fn spawn(_name: &str, body: impl FnOnce() + 'static) -> io::Result<()> {
        let refusals = REFUSALS.get();
        if refusals > 0 {
            REFUSALS.set(refusals - 1);
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let thread = thread::spawn(body);
        STARTED.with_borrow_mut(|started| started.push(thread));
        Ok(())
    }

    /// Waits until every thread that was started has ended.
    #[cfg(test)]
    pub(crate) fn join() {
        while let Some(thread) = STARTED.with_borrow_mut(Vec::pop) {
            thread.join().unwrap();
        }
    }

    /// Loom has no clock. The time is over at once, which is at any moment for the other threads.
    pub(crate) fn park(_limit: Duration) {
        thread::yield_now();
    }
}

#[cfg(all(test, loom))]
pub(super) use self::model::{REFUSALS, join};
