//! What `parts/mailbox` shares between threads: std's lock and atomics, the poll's waker.
//!
//! Under `cfg(loom)` they are loom's, so that the models in `models.rs` run the very file
//! that ships, in every interleaving and with every value that the memory model lets a load see.
//! Such a build checks models and does nothing else.
//!
//! `Arc` stays std's in both, as `std::task::Wake` is for no other. So loom sees the whole
//! protocol, but not the reference counts below it: those are std's business, and what the kernel
//! concludes from one has its argument at `TaskWaker`.

#[cfg(not(loom))]
pub(crate) use mio::Waker;
#[cfg(not(loom))]
pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize},
};

#[cfg(all(test, loom))]
pub(crate) use self::model::Eventfd;
#[cfg(loom)]
pub(crate) use self::model::Waker;
#[cfg(loom)]
pub(crate) use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize},
};

#[cfg(loom)]
mod model {
    use std::io;
    use std::sync::Arc;

    use loom::sync::{Condvar, Mutex};

    /// Stands for the eventfd; what is shared, for the poll that sleeps on it.
    pub(crate) struct Waker(Arc<Eventfd>);

    pub(crate) struct Eventfd {
        rung: Mutex<bool>,
        changed: Condvar,
        /// Only counted, no part of the protocol; hence std's, which costs no interleaving.
        rings: std::sync::atomic::AtomicUsize,
    }

    impl Waker {
        /// In the place of `mio::Waker::new`.
        pub(crate) fn new(_: &mio::Registry, _: mio::Token) -> io::Result<Self> {
            Ok(Waker(Arc::new(Eventfd {
                rung: Mutex::new(false),
                changed: Condvar::new(),
                rings: std::sync::atomic::AtomicUsize::new(0),
            })))
        }

        /// In the place of `mio::Waker::wake`: one write to the eventfd.
        pub(crate) fn wake(&self) -> io::Result<()> {
            self.0.rings.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            *self.0.rung.lock().unwrap() = true;
            self.0.changed.notify_one();
            Ok(())
        }

        /// The end that the kernel sleeps on.
        #[cfg(test)]
        pub(crate) fn poll(&self) -> Arc<Eventfd> {
            self.0.clone()
        }
    }

    #[cfg(test)]
    impl Eventfd {
        /// Sleeps in the poll until somebody rings, or has rung since the last sleep.
        pub(crate) fn sleep(&self) {
            let mut rung = self.rung.lock().unwrap();
            while !*rung {
                rung = self.changed.wait(rung).unwrap();
            }
            *rung = false;
        }

        /// How often somebody rang.
        pub(crate) fn rings(&self) -> usize {
            self.rings.load(std::sync::atomic::Ordering::Relaxed)
        }
    }
}
