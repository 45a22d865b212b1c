//! The types that `parts/mailbox` and `threads` share between threads: the locks and atomics of
//! std, and the waker of the poll.
//!
//! Under `cfg(loom)` they are the types of loom. So the models in `models.rs` run the same source
//! file that ships, in every interleaving and with every value that the memory model allows a load
//! to return. Such a build can only run the models.
//!
//! `Arc` is always that of std, because `std::task::Wake` requires it. So loom checks the whole
//! protocol, but not the reference counts below it. The kernel relies on one reference count; the
//! argument for that is at `TaskWaker`.

#[cfg(not(loom))]
pub(crate) use mio::Waker;
#[cfg(not(loom))]
pub(crate) use std::sync::{
    Condvar, Mutex, MutexGuard, RwLock,
    atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize},
};

#[cfg(all(test, loom))]
pub(crate) use self::model::Eventfd;
#[cfg(loom)]
pub(crate) use self::model::Waker;
#[cfg(loom)]
pub(crate) use loom::sync::{
    Condvar, Mutex, MutexGuard, RwLock,
    atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize},
};

#[cfg(loom)]
mod model {
    use std::io;
    use std::sync::{Arc, OnceLock};

    use loom::sync::atomic::{AtomicBool, Ordering};
    use loom::sync::{Condvar, Mutex};

    /// Stands for the eventfd. The poll that sleeps on it shares the inner value.
    pub(crate) struct Waker(Arc<Eventfd>);

    pub(crate) struct Eventfd {
        rung: Mutex<bool>,
        changed: Condvar,
        /// Whether the kernel has closed it.
        closed: AtomicBool,
        /// Counts the writes, and is no part of the protocol. It is an atomic of std, which adds no
        /// interleavings.
        rings: std::sync::atomic::AtomicUsize,
        check: OnceLock<Box<dyn Fn() + Send + Sync>>,
    }

    impl Waker {
        /// Replaces `mio::Waker::new`.
        pub(crate) fn new(_: &mio::Registry, _: mio::Token) -> io::Result<Self> {
            Ok(Waker(Arc::new(Eventfd {
                rung: Mutex::new(false),
                changed: Condvar::new(),
                closed: AtomicBool::new(false),
                rings: std::sync::atomic::AtomicUsize::new(0),
                check: OnceLock::new(),
            })))
        }

        /// Replaces `mio::Waker::wake`: one write to the eventfd.
        pub(crate) fn wake(&self) -> io::Result<()> {
            if let Some(check) = self.0.check.get() {
                check();
            }
            self.0.rings.fetch_add(1, Ordering::Relaxed);
            *self.0.rung.lock().unwrap() = true;
            self.0.changed.notify_one();
            // Read at the end of the write: it was open all the time.
            assert!(!self.0.closed.load(Ordering::Relaxed), "the eventfd is closed");
            Ok(())
        }

        /// The part of the eventfd on which the kernel sleeps.
        #[cfg(test)]
        pub(crate) fn poll(&self) -> Arc<Eventfd> {
            self.0.clone()
        }
    }

    #[cfg(test)]
    impl Eventfd {
        /// Sleeps in the poll until the eventfd is written, or returns at once if it was written
        /// since the last sleep.
        pub(crate) fn sleep(&self) {
            let mut rung = self.rung.lock().unwrap();
            while !*rung {
                rung = self.changed.wait(rung).unwrap();
            }
            *rung = false;
        }

        /// The number of writes.
        pub(crate) fn rings(&self) -> usize {
            self.rings.load(Ordering::Relaxed)
        }

        /// Calls `check` at the beginning of each write, on the thread that writes.
        pub(crate) fn before_each_ring(&self, check: impl Fn() + Send + Sync + 'static) {
            assert!(self.check.set(Box::new(check)).is_ok(), "one check");
        }

        /// A write that has not ended, or that comes later, is a failure.
        pub(crate) fn close(&self) {
            self.closed.store(true, Ordering::Relaxed);
        }
    }
}
