//! Time: `sleep`, `sleep_until`, `yield_now`, `now`.
//!
//! A sleep never ends early. A sleep of zero still yields once and returns a cancellation that is
//! due. A sleep of `Duration::MAX` never ends. A duration counts from the first poll of the future.

use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::core::current;
use crate::core::state::Core;
use crate::core::state::TaskRef;
use crate::error::TaskCancelled;
use crate::parts::clock::{Clock, NEVER};
use crate::parts::timers::TimerKey;
use crate::parts::waiter::LocalWaiter;
use crate::wait::deliver::Pause;
use crate::wait::point::{CancelPoint, Quick};

/// The time of this kernel's clock, which is virtual in a test.
///
/// # Panics
///
/// Outside a kernel.
#[track_caller]
pub fn now() -> Instant {
    current::with("kernel::now", |core| core.now())
}

/// Waits for `duration`, counted from the first poll.
///
/// It ends late rather than early. The delay is the time that the system takes to wake a thread,
/// some tens of microseconds, and the time of the polls of other tasks that come first. A kernel
/// without ready tasks sleeps for at least 50 µs on Linux, and for whole milliseconds elsewhere.
///
/// # Cancellation
///
/// The rest of the time is not waited for; nothing is lost.
///
/// # Panics
///
/// When polled outside a kernel.
#[track_caller]
pub fn sleep(duration: Duration) -> Sleep {
    Sleep::at("SLEEP", Location::caller(), When::After(duration))
}

/// Waits until `deadline`, an instant of this kernel's clock ([`now`]).
///
/// # Cancellation
///
/// The rest of the time is not waited for; nothing is lost.
///
/// # Panics
///
/// When polled outside a kernel.
#[track_caller]
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep::at("SLEEP", Location::caller(), When::Until(deadline))
}

#[derive(Clone, Copy)]
pub(crate) enum When {
    After(Duration),
    Until(Instant),
    /// A deadline in kernel time (`parts/clock.rs`), computed at the first poll.
    At(u64),
}

/// The state of a sleep. The first poll changes it from `New` to `Due` or `Armed`. It is as large
/// as the key beside it, so that both are written at once.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
enum State {
    New,
    /// The deadline had passed at the first poll. The sleep yields once and then ends.
    Due,
    Armed,
}

/// The timer of a sleep, and how far the sleep is. It is flat: with the state beside the timer, the
/// future of a task that only sleeps is small enough for the compiler to copy it without a call.
struct Timer {
    /// The kernel of the timer, if that is armed.
    owner: Option<Rc<Core>>,
    /// Valid while there is an owner.
    key: TimerKey,
    state: State,
}

impl Timer {
    #[inline]
    fn armed(&self) -> Option<(&Rc<Core>, TimerKey)> {
        self.owner.as_ref().map(|owner| (owner, self.key))
    }

    #[inline]
    fn set(&mut self, owner: &Rc<Core>, key: TimerKey) {
        (self.owner, self.key) = (Some(owner.clone()), key);
    }

    #[inline(always)]
    fn disarm(&mut self) -> Option<Rc<Core>> {
        let owner = self.owner.take()?;
        owner.disarm(self.key);
        Some(owner)
    }
}

/// The leaf of [`sleep`] and [`sleep_until`].
#[must_use = "futures do nothing unless you `.await` or poll them"]
pub struct Sleep {
    when: When,
    timer: Timer,
    point: CancelPoint,
}

impl Sleep {
    /// A sleep that shows as `kind` at `site`.
    pub(crate) fn at(kind: &'static str, site: &'static Location<'static>, when: When) -> Self {
        let timer = Timer { owner: None, key: TimerKey::NONE, state: State::New };
        Sleep { when, timer, point: CancelPoint::at(kind, site) }
    }
}

impl Future for Sleep {
    type Output = Result<(), TaskCancelled>;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let site = self.point.site();
        if !current::spend() {
            return self.poll_spent(cx);
        }
        let Sleep { when, timer, point } = &mut *self;
        if !current::is_plain(cx.waker()) {
            if let Some(core) = interrupted(when, timer) {
                current::unspend();
                return Poll::Ready(Err(point.interrupt(core)));
            }
        }
        let polled = point.park_by(
            cx,
            &mut (when, timer),
            |(when, timer), task| match (&timer.owner, &timer.state) {
                (None, State::New) => begin(task, when, timer),
                _ => Quick::Unsure,
            },
            |(when, timer), cx| match go_on(when, timer, cx) {
                Some(polled) => polled.map(|()| true),
                None => Poll::Ready(false),
            },
        );
        match polled {
            Poll::Ready(Ok(true)) => Poll::Ready(Ok(())),
            // The panic is raised here so that it has the location of the `await`.
            Poll::Ready(Ok(false)) => current::outside_at("a sleep", site),
            Poll::Ready(Err(cancelled)) => Poll::Ready(Err(cancelled)),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Sleep {
    /// A poll in which the budget is spent. The sleep begins in this poll, but can complete only in
    /// the next poll of the task.
    #[cold]
    fn poll_spent(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TaskCancelled>> {
        match self.point.pause() {
            Pause::Cancelled(cancelled) => return Poll::Ready(Err(cancelled)),
            Pause::GoOn => return Pin::new(self).poll(cx),
            Pause::Yield => {}
        }
        let Sleep { when, timer, point } = self;
        match go_on(when, timer, cx) {
            Some(Poll::Ready(())) => point.yield_turn(cx).map(Err),
            // Only a task has a budget, so there is a kernel here.
            Some(Poll::Pending) | None => point.park_unpaid(cx).map(Err),
        }
    }
}

/// What a poll of a sleep does next.
enum Step {
    Over,
    Yield,
    Until(u64),
}

/// The first poll, with the task's own waker: arms the timer.
#[inline]
fn begin(task: &TaskRef, when: &mut When, timer: &mut Timer) -> Quick<bool> {
    match start(task.core(), when, &mut timer.state) {
        Step::Until(deadline) if deadline != NEVER => {
            let key = task.core().arm_for_task(deadline, task);
            timer.set(task.core(), key);
            Quick::Parked
        }
        Step::Until(_) => Quick::Parked,
        Step::Yield => {
            current::go_again();
            Quick::Parked
        }
        Step::Over => Quick::Done(true),
    }
}

/// The kernel, if the cancellation of the task is due, and an armed sleep would park otherwise.
#[inline]
fn interrupted<'a>(when: &When, timer: &'a Timer) -> Option<&'a Core> {
    match (&timer.owner, when) {
        (Some(owner), When::At(deadline)) => {
            let is = current::is_cancelled()
                && *deadline > owner.tick_now()
                && current::is_current(owner);
            is.then_some(owner)
        }
        _ => None,
    }
}

/// Any other poll. Returns `None` outside a kernel.
fn go_on(when: &mut When, timer: &mut Timer, cx: &mut Context<'_>) -> Option<Poll<()>> {
    let next = current::try_with(|core| match &timer.owner {
        Some(owner) if !Rc::ptr_eq(owner, core) => None,
        _ => Some(step(core, when, &mut timer.state)),
    });
    match next? {
        None => {
            leave_kernel(timer, when);
            return go_on(when, timer, cx);
        }
        Some(Step::Over) => return Some(Poll::Ready(())),
        Some(Step::Yield) => cx.waker().wake_by_ref(),
        Some(Step::Until(NEVER)) => {}
        // The sleep ends in this poll: it would park, and returns the cancellation instead.
        Some(Step::Until(_)) if current::ambient().pending => {}
        Some(Step::Until(deadline)) => arm(timer, deadline, cx),
    }
    Some(Poll::Pending)
}

#[inline]
fn step(core: &Core, when: &mut When, state: &mut State) -> Step {
    match (*state, *when) {
        (State::Due, _) => Step::Over,
        (State::Armed, When::At(deadline)) if deadline <= core.tick_now() => Step::Over,
        (_, When::At(deadline)) => Step::Until(deadline),
        _ => start(core, when, state),
    }
}

/// The first step: computes the deadline.
#[inline]
fn start(core: &Core, when: &mut When, state: &mut State) -> Step {
    let now = core.clock.now();
    let deadline = match *when {
        When::After(duration) => Clock::later(now, duration),
        When::Until(instant) => core.clock.at(instant),
        When::At(deadline) => deadline,
    };
    *when = When::At(deadline);
    if deadline <= now {
        *state = State::Due;
        return Step::Yield;
    }
    *state = State::Armed;
    Step::Until(deadline)
}

/// Disarms the timer of a sleep that has moved to another kernel of this thread. Converts the
/// deadline to an instant, because the two kernels count time from different origins.
#[cold]
fn leave_kernel(timer: &mut Timer, when: &mut When) {
    timer.state = State::New;
    if let (Some(owner), When::At(deadline)) = (timer.disarm(), *when) {
        *when = owner.clock.instant(deadline).map_or(*when, When::Until);
    }
}

/// Arms the timer. If it is armed already, makes it wake the waker of `cx`.
#[inline]
fn arm(timer: &mut Timer, deadline: u64, cx: &Context<'_>) {
    if let Some((owner, key)) = timer.armed() {
        owner.retarget(key, cx);
        return;
    }
    let waiter = LocalWaiter::of(cx);
    current::try_with(|core| {
        let key = core.timers.borrow_mut().arm_for(deadline, waiter);
        timer.set(core, key);
    });
}

impl Drop for Sleep {
    fn drop(&mut self) {
        drop(self.timer.disarm());
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("point", &self.point).finish_non_exhaustive()
    }
}

/// Lets every other ready task run once. Returns a cancellation that is due.
///
/// # Cancellation
///
/// Nothing is lost.
pub fn yield_now() -> YieldNow {
    YieldNow { yielded: false }
}

/// The leaf of [`yield_now`].
#[derive(Debug)]
#[must_use = "futures do nothing unless you `.await` or poll them"]
pub struct YieldNow {
    yielded: bool,
}

impl Future for YieldNow {
    type Output = Result<(), TaskCancelled>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if std::mem::replace(&mut self.yielded, true) {
            return Poll::Ready(Ok(()));
        }
        if current::open_ambient().pending {
            if let Some(cancelled) = deliver() {
                return Poll::Ready(Err(cancelled));
            }
        }
        // If the waker is the task's own, the task is queued again without a use of the waker.
        if !current::again(cx.waker()) {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

/// Delivers the cancellation that is pending outside, unless a scope that was not open until now
/// holds it back.
#[cold]
fn deliver() -> Option<TaskCancelled> {
    let pending = current::ambient().pending;
    pending.then(|| current::with("a yield", |core| core.deliver(0, None)))
}
