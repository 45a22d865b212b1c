//! What this folder needs of the system: a lock, and threads that sleep until they are woken.
//!
//! Under `cfg(loom)` these are the types of loom. So the models in `models.rs` run the same source
//! files that ship, in every interleaving. `Arc` is always that of std, because `std::task::Wake`
//! requires it.

use std::sync::Arc;
use std::task::{Wake, Waker};

#[cfg(loom)]
pub(super) use self::model::{Deadline, Looks, Mutex, park};
#[cfg(not(loom))]
pub(super) use self::real::{Deadline, Looks, Mutex, park};
#[cfg(loom)]
pub(super) use loom::sync::MutexGuard;
#[cfg(not(loom))]
pub(super) use std::sync::MutexGuard;

#[cfg(loom)]
use loom::thread::{self, Thread};
#[cfg(not(loom))]
use std::thread::{self, Thread};

/// Wakes a thread that sleeps in [`park`].
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// The waker of this thread.
pub(super) fn waker() -> Waker {
    #[cfg(not(loom))]
    if let Ok(waker) = real::WAKER.try_with(Waker::clone) {
        return waker;
    }
    new_waker()
}

fn new_waker() -> Waker {
    Waker::from(Arc::new(Unpark(thread::current())))
}

#[cfg(not(loom))]
mod real {
    use std::sync::{self, MutexGuard, PoisonError};
    use std::task::Waker;
    use std::thread;
    use std::time::{Duration, Instant};

    thread_local! {
        pub(super) static WAKER: Waker = super::new_waker();
    }

    /// A lock. A panic does not poison it: no code of the program runs under it.
    pub(crate) struct Mutex<T>(sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) const fn new(value: T) -> Self {
            Mutex(sync::Mutex::new(value))
        }

        #[inline]
        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            match self.0.try_lock() {
                Ok(guard) => guard,
                Err(_) => self.lock_contended(),
            }
        }

        /// Waits for the lock. It is held for some tens of nanoseconds, so a thread first tries
        /// again for about a microsecond, less and less often. Meanwhile the other can do several
        /// operations in a row, which is faster than to take turns. A thread that slept instead
        /// would leave the lock marked as contended, and then every release is a system call.
        #[cold]
        fn lock_contended(&self) -> MutexGuard<'_, T> {
            for round in 0..SPINS {
                for _ in 0..1 << round {
                    std::hint::spin_loop();
                }
                if let Ok(guard) = self.0.try_lock() {
                    return guard;
                }
            }
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    /// How often a thread tries to take a lock before it sleeps.
    const SPINS: u32 = 7;

    /// When a thread stops to wait. `None`: never.
    pub(crate) struct Deadline(Option<Instant>);

    impl Deadline {
        pub(crate) fn after(limit: Duration) -> Self {
            // A wait without a limit has no deadline.
            let limited = limit != Duration::MAX;
            Deadline(limited.then(|| Instant::now().checked_add(limit)).flatten())
        }
    }

    /// The looks of a thread that has to wait, before it sleeps. All together take less time than
    /// a sleep and a wake-up.
    pub(crate) struct Looks {
        left: u32,
        until: Instant,
    }

    impl Looks {
        const COUNT: u32 = 16;
        /// A thread that has not run for so long shares its processor. It sleeps then, because a
        /// wake-up gives it the processor sooner than its turn does.
        const TIME: Duration = Duration::from_micros(20);

        pub(crate) fn before(deadline: &Deadline) -> Self {
            let soon = Instant::now() + Self::TIME;
            let until = deadline.0.map_or(soon, |deadline| deadline.min(soon));
            Looks { left: Self::COUNT, until }
        }

        /// Lets other threads of this processor run. False: that was the last look.
        pub(crate) fn again(&mut self) -> bool {
            if self.left == 0 || Instant::now() >= self.until {
                return false;
            }
            self.left -= 1;
            thread::yield_now();
            true
        }
    }

    /// Sleeps until the waker of this thread is called, perhaps before. False: the deadline has
    /// passed.
    pub(crate) fn park(deadline: &Deadline) -> bool {
        let Some(deadline) = deadline.0 else {
            thread::park();
            return true;
        };
        let left = deadline.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            thread::park_timeout(left);
        }
        !left.is_zero()
    }
}

#[cfg(loom)]
mod model {
    use std::sync::OnceLock;
    use std::time::Duration;

    use loom::sync::MutexGuard;
    use loom::thread;

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

    /// Loom has no clock. A limit that is not `Duration::MAX` passes at the first sleep, which is
    /// at any moment for the other threads.
    pub(crate) struct Deadline(bool);

    impl Deadline {
        pub(crate) fn after(limit: Duration) -> Self {
            Deadline(limit != Duration::MAX)
        }
    }

    /// In a model a thread sleeps at once, which is the harder case: it can be woken at any moment.
    pub(crate) struct Looks;

    impl Looks {
        pub(crate) fn before(_: &Deadline) -> Self {
            Looks
        }

        pub(crate) fn again(&mut self) -> bool {
            false
        }
    }

    pub(crate) fn park(deadline: &Deadline) -> bool {
        if !deadline.0 {
            thread::park();
        }
        !deadline.0
    }
}
