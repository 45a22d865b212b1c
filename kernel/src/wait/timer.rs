//! `Timer`: time for the poll functions of other crates.

use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::core::current;
use crate::core::state::Core;
use crate::parts::clock::NEVER;
use crate::parts::timers::TimerKey;
use crate::parts::waiter::LocalWaiter;
use crate::task::waker::{Message, Remote};

/// A time that a poll function waits for: a future that is `Send` and `Sync`, whose deadline can be
/// moved. It is what the timer traits of other crates ask for. In code that awaits, use
/// [`sleep`](crate::sleep()).
///
/// It is no leaf: it never returns a cancellation. Put a leaf around the poll function that uses
/// it, such as [`cancellable`](crate::cancellable). It counts against the budget of the task.
///
/// It ends at its deadline or later, never earlier, by the clock of the kernel that polls it. Once
/// it has ended, each further poll is ready until it is reset. It may be made, reset and dropped
/// anywhere, and move to another kernel between two polls.
///
/// ```
/// use std::time::Duration;
/// use curium::kernel::{self, Timer};
///
/// kernel::run(async || {
///     let started = kernel::now();
///     let mut timer = Timer::after(Duration::from_secs(3600));
///     timer.reset(started + Duration::from_millis(1));
///     (&mut timer).await;
///     assert!(kernel::now() >= timer.deadline().unwrap());
/// });
/// ```
///
/// # Cancellation
///
/// None is returned. A timer that is dropped or polled no more costs nothing further.
///
/// # Panics
///
/// When polled outside a kernel.
#[must_use = "futures do nothing unless you `.await` or poll them"]
pub struct Timer {
    due: Due,
    armed: Option<Armed>,
    site: &'static Location<'static>,
}

#[derive(Debug, Clone, Copy)]
enum Due {
    /// Counted from the first poll.
    After(Duration),
    At(Instant),
    /// At a time that no `Instant` represents.
    Never,
}

/// A timer of a kernel. It may be armed for a time before the deadline, which was moved since. Then
/// it wakes the task at that time, and the poll arms it again. So moving a deadline on is free.
struct Armed {
    remote: Arc<Remote>,
    key: TimerKey,
    at: u64,
    /// The deadline for which it was armed: the same as `at`.
    deadline: Instant,
}

impl Timer {
    /// A timer that ends at `deadline`, an instant of the kernel's clock ([`now`](crate::now)).
    #[track_caller]
    pub fn at(deadline: Instant) -> Self {
        Timer { due: Due::At(deadline), armed: None, site: Location::caller() }
    }

    /// A timer that ends `duration` after its first poll. `Duration::MAX` is never.
    #[track_caller]
    pub fn after(duration: Duration) -> Self {
        Timer { due: Due::After(duration), armed: None, site: Location::caller() }
    }

    /// Moves the deadline. If the timer is being waited for, it ends at the new one.
    pub fn reset(&mut self, deadline: Instant) {
        self.due = Due::At(deadline);
        if self.armed.as_ref().is_none_or(|armed| deadline >= armed.deadline) {
            return;
        }
        // The task that waits is woken, and its poll arms the timer again.
        let armed = self.armed.take().expect("it is armed");
        match armed.here() {
            Some(core) => core.disarm_and_wake(armed.key),
            None => drop(armed.remote.post(Message::Disarm(armed.key))),
        }
    }

    /// The time at which it ends. `None` if no `Instant` represents that, and until the first poll
    /// of a timer whose time counts from there.
    pub fn deadline(&self) -> Option<Instant> {
        match self.due {
            Due::At(deadline) => Some(deadline),
            Due::After(_) | Due::Never => None,
        }
    }

    /// The deadline in kernel time. The first poll computes it.
    fn deadline_of(&mut self, core: &Core) -> u64 {
        match self.due {
            Due::At(deadline) => core.clock.at(deadline),
            Due::Never => NEVER,
            Due::After(duration) => {
                let at = core.clock.after(duration);
                self.due = core.clock.instant(at).map_or(Due::Never, Due::At);
                at
            }
        }
    }

    /// Whether it is armed in this kernel, for a time that is to come and not after the deadline.
    fn is_armed(&self, core: &Core) -> bool {
        match (&self.armed, self.due) {
            (Some(armed), Due::At(deadline)) => {
                deadline >= armed.deadline && armed.at > core.tick_now() && armed.is_of(core)
            }
            _ => false,
        }
    }

    /// Whether it is armed, and for the waker of `cx`: then a poll has nothing to do.
    fn is_settled(&self, core: &Core, cx: &Context<'_>) -> bool {
        match &self.armed {
            Some(armed) if self.is_armed(core) => core.is_target(armed.key, cx),
            _ => false,
        }
    }

    fn arm(&mut self, core: &Rc<Core>, at: u64, cx: &Context<'_>) {
        self.disarm();
        let Due::At(deadline) = self.due else { return };
        if at != NEVER {
            let waiter = LocalWaiter::of(cx);
            let key = core.timers.borrow_mut().arm_for(at, waiter);
            self.armed = Some(Armed { remote: core.remote().clone(), key, at, deadline });
        }
    }

    fn disarm(&mut self) {
        let Some(armed) = self.armed.take() else { return };
        match armed.here() {
            Some(core) => core.disarm(armed.key),
            // The mailbox of a closed kernel refuses it, and needs it no more.
            None => drop(armed.remote.post(Message::Disarm(armed.key))),
        }
    }
}

impl Armed {
    fn is_of(&self, core: &Core) -> bool {
        Arc::ptr_eq(&self.remote, core.remote())
    }

    /// Its kernel, if that runs on this thread.
    fn here(&self) -> Option<Rc<Core>> {
        current::try_with(Rc::clone).filter(|core| self.is_of(core))
    }
}

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if current::must_yield(cx) {
            return Poll::Pending;
        }
        if current::try_with(|core| self.is_settled(core, cx)) == Some(true) {
            return Poll::Pending;
        }
        let Some(core) = current::try_with(Rc::clone) else {
            current::outside_at("a timer", self.site);
        };
        if let Some(armed) = self.armed.as_ref().filter(|_| self.is_armed(&core)) {
            core.retarget(armed.key, cx);
            return Poll::Pending;
        }
        let at = self.deadline_of(&core);
        let now = if self.armed.is_some() { core.tick_now() } else { core.clock.now() };
        if at > now {
            self.arm(&core, at, cx);
            return Poll::Pending;
        }
        self.disarm();
        current::spend();
        Poll::Ready(())
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.disarm();
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timer")
            .field("due", &self.due)
            .field("armed", &self.armed.is_some())
            .finish_non_exhaustive()
    }
}
