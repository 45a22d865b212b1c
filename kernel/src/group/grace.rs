//! The grace of a group: the time that its members have to clean up once they are cancelled (G12).
//!
//! ```text
//!   members cancelled ──── grace ────▶ the rest aborted, and reported
//!     (a failure, or the tear-down)
//! ```
//!
//! The timer belongs to the kernel and not to a future of the owner. So the grace also ends while
//! the owner is still in the body, perhaps waiting for the very member that does not end, and for a
//! group that nothing awaits. A group without a grace arms no timer.

use std::cell::Cell;
use std::fmt;
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use crate::core::current;
use crate::core::state::Core;
use crate::error::TaskCancelled;
use crate::group::bounds::ScopeBody;
use crate::group::end::run_scope;
use crate::group::handle::{GroupEnded, GroupRef, expect_open};
use crate::group::policy::WaitPolicy;
use crate::group::state::{GroupStage, GroupState};
use crate::group::task_group::TaskGroup;
use crate::parts::clock::NEVER;
use crate::parts::timers::{Action, TimerKey};
use crate::task::state::Flags;
use crate::wait::in_kernel::InKernel;

/// The grace of a group.
pub(crate) struct Grace {
    /// `Duration::MAX`: none.
    limit: Cell<Duration>,
    /// Armed when the members are cancelled. Kept after it has fired, until the group is closed.
    timer: Cell<Option<TimerKey>>,
    is_over: Cell<bool>,
}

impl Grace {
    pub(super) fn none() -> Self {
        Grace { limit: Cell::new(Duration::MAX), timer: Cell::new(None), is_over: Cell::new(false) }
    }

    /// For the next group in the same memory. The timer is disarmed already.
    pub(super) fn reset(&self) {
        self.limit.set(Duration::MAX);
        self.is_over.set(false);
    }
}

impl GroupState {
    /// Sets the grace. If the members are cancelled already, it counts from now. Does nothing for a
    /// group that has ended.
    pub(super) fn change_grace(&self, core: &Core, limit: Duration) {
        if self.stage.get() == GroupStage::Closed {
            return;
        }
        self.grace.limit.set(limit);
        if self.tear_down_reason().is_some() && !self.grace.is_over.get() {
            self.end_grace(core);
            self.begin_grace(core);
        }
    }

    /// The members have been cancelled. The grace counts from the first call.
    pub(super) fn begin_grace(&self, core: &Core) {
        let limit = self.grace.limit.get();
        let deadline = if limit == Duration::MAX { NEVER } else { core.clock.after(limit) };
        if deadline != NEVER && self.grace.timer.get().is_none() {
            self.grace.timer.set(Some(core.arm(deadline, Action::OwnerGrace(self.id.get()))));
        }
    }

    /// A member that was spawned after the grace gets none.
    pub(super) fn refuse_grace_to_late_member(&self, core: &Core) {
        if self.grace.is_over.get() {
            self.end_grace(core);
            let timer = core.arm(core.clock.now(), Action::OwnerGrace(self.id.get()));
            self.grace.timer.set(Some(timer));
        }
    }

    /// Whether its time is running.
    pub(super) fn is_in_grace(&self) -> bool {
        let timer = self.grace.timer.take();
        self.grace.timer.set(timer);
        timer.is_some() && !self.grace.is_over.get()
    }

    /// Disarms the timer.
    pub(super) fn end_grace(&self, core: &Core) {
        if let Some(timer) = self.grace.timer.take() {
            core.disarm(timer);
        }
    }

    /// The grace is over: aborts and reports the members that are left, the youngest first.
    pub(super) fn abort_members(&self, core: &Core) {
        self.grace.is_over.set(true);
        loop {
            // Repeated until no member is left, because destructors may spawn further ones.
            let mut left = self.members(core);
            // A hosted member ends at the next poll of its host.
            left.retain(|cell| !cell.flags.any(Flags::ABORT));
            if left.is_empty() {
                break;
            }
            for cell in left {
                // Aborting a younger member may have ended this one too.
                if cell.is_current() && !cell.is_ended() {
                    core.report_out_of_grace(&cell);
                    core.abort(&cell);
                }
            }
        }
    }
}

impl<E> TaskGroup<E>
where
    E: From<TaskCancelled> + fmt::Debug + 'static,
{
    /// Like [`scope`](TaskGroup::scope), but the members have at most `grace` to end once they are
    /// cancelled. Those that are left are then aborted and reported
    /// ([`Report::OutOfGrace`](crate::Report::OutOfGrace)), daemons among them. So no member can
    /// hold up the end of the group for ever.
    ///
    /// The grace counts from the moment at which the members are cancelled: because one has failed,
    /// because this task was cancelled or the body has returned an error, or because as many
    /// members have ended as the group waits for. Before that it has no effect: members may work as
    /// long as they like. It bounds the members and not the body, which runs in this task.
    ///
    /// An aborted member is no failure of the group: this returns what it would have returned if
    /// the member had ended. `task.await` on the member gives the reason
    /// [`Aborted`](crate::CancelReason::Aborted). A group inside a member ends with the member; a
    /// group in this body has its own grace, or none.
    ///
    /// ```
    /// use std::time::Duration;
    /// use curium::kernel::{self, TaskCancelled, TaskGroup, sleep};
    ///
    /// async fn stubborn() {
    ///     loop {
    ///         sleep(Duration::from_secs(1)).await.ok(); // swallows its cancellation
    ///     }
    /// }
    ///
    /// # kernel::testing::run(async || {
    /// let started = kernel::now();
    /// let ended = TaskGroup::<TaskCancelled>::scope_within(Duration::from_secs(5), async |g| {
    ///     g.spawn_daemon(stubborn());
    ///     Ok("done")
    /// });
    /// assert_eq!(ended.await, Ok("done"));
    /// assert_eq!(kernel::now() - started, Duration::from_secs(5));
    /// # });
    /// ```
    ///
    /// The other forms of a group have [`set_grace`](TaskGroup::set_grace). On the choice of a
    /// grace, see [`cancel_within`](crate::Task::cancel_within).
    ///
    /// # Errors
    ///
    /// As [`scope`](TaskGroup::scope).
    ///
    /// # Cancellation
    ///
    /// The members are cancelled together, the youngest first, and awaited under a shield until the
    /// grace is over. If the future is dropped instead, the members' futures are dropped, without
    /// awaiting their cleanup.
    ///
    /// # Panics
    ///
    /// As [`scope`](TaskGroup::scope).
    #[track_caller]
    pub fn scope_within<T, B>(grace: Duration, body: B) -> impl Future<Output = Result<T, E>>
    where
        B: ScopeBody<T, E>,
    {
        let site = Location::caller();
        InKernel::new("a task group", site, async move {
            let ended = run_scope(WaitPolicy::All, grace, body, site, false).await;
            ended.map_err(|errors| errors.first)
        })
    }

    /// Sets the time that the members have to end once they are cancelled; see
    /// [`scope_within`](TaskGroup::scope_within). A group has none unless it is set, and
    /// `Duration::MAX` takes it away.
    ///
    /// If a member has failed already, or the group is being left, the time counts from this call.
    /// [`cancel_remaining`](TaskGroup::cancel_remaining) does not end the group, so the grace does
    /// not apply to it.
    pub fn set_grace(&self, grace: Duration) {
        self.state.change_grace(&self.core, grace);
    }
}

impl<E> GroupRef<E>
where
    E: From<TaskCancelled> + fmt::Debug + 'static,
{
    /// Sets the time that the members have to end once they are cancelled; see
    /// [`scope_within`](TaskGroup::scope_within). For the body of
    /// [`scope_with`](TaskGroup::scope_with) and [`scope_all`](TaskGroup::scope_all), and for a
    /// body that decides later.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use curium::kernel::{TaskCancelled, TaskGroup, WaitPolicy, sleep};
    /// # async fn ask(_: &str) -> Result<u32, TaskCancelled> { Ok(1) }
    /// # async fn race() -> Result<(), TaskCancelled> {
    /// TaskGroup::<TaskCancelled>::scope_with(WaitPolicy::FirstOk, async |g| {
    ///     g.set_grace(Duration::from_secs(2));
    ///     g.spawn(ask("one"));
    ///     g.spawn(ask("two"));
    ///     Ok(())
    /// })
    /// .await
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If the group has ended, in another kernel, or outside any.
    #[track_caller]
    pub fn set_grace(self, grace: Duration) {
        let core = current::with("`set_grace` of a group", Rc::clone);
        expect_open(self.open_in(&core).ok_or(GroupEnded)).change_grace(&core, grace);
    }
}
