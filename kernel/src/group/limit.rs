//! A limit of the number of members, and spawning when there is room (G10).
//!
//! A member that ends hands its place to the oldest waiter. So the number of members and of places
//! that are handed over is at most the limit, as far as members are not spawned without a wait.

use std::cell::Cell;
use std::fmt;
use std::panic::Location;
use std::rc::Rc;

use crate::core::current;
use crate::core::queue::WaitQueue;
use crate::error::TaskCancelled;
use crate::group::handle::{GroupEnded, GroupRef, expect_open};
use crate::group::state::{GroupStage, GroupState};
use crate::group::task_group::TaskGroup;
use crate::spawn::Task;
use crate::task::body::TaskOutput;
use crate::wait::handoff::{Handoff, Wait};
use crate::wait::in_kernel::InKernel;

/// The limit of a group, and the tasks that wait for a place.
pub(super) struct Limit {
    /// `usize::MAX`: none.
    most: Cell<usize>,
    waiters: WaitQueue,
}

impl Limit {
    pub(super) fn none() -> Self {
        Limit { most: Cell::new(usize::MAX), waiters: WaitQueue::new() }
    }

    /// For the next group in the same memory.
    pub(super) fn reset(&self) {
        self.most.set(usize::MAX);
    }
}

impl GroupState {
    /// Whether a member may be spawned. A place that was handed over counts as a member.
    fn has_room(&self) -> bool {
        self.counted.get() + self.limit.waiters.handed() < self.limit.most.get()
    }

    /// Hands the free places to the tasks that wait for one, the oldest first. If the group is
    /// closed, all of them must notice it.
    #[inline]
    pub(super) fn hand_over_places(&self) {
        if !self.limit.waiters.is_empty() {
            self.serve_waiters();
        }
    }

    #[cold]
    #[inline(never)]
    fn serve_waiters(&self) {
        if self.stage.get() == GroupStage::Closed {
            self.limit.waiters.hand_over_all(|| ());
        }
        while self.has_room() && self.limit.waiters.hand_over(()).is_ok() {}
    }

    fn change_limit(&self, most: usize) {
        self.limit.most.set(most);
        self.hand_over_places();
    }
}

/// The wait for a place. If the group is closed, the wait is over too.
struct UntilFree(Rc<GroupState>);

impl Handoff for UntilFree {
    type Item = ();
    type Output = ();

    fn queue(&self) -> &WaitQueue {
        &self.0.limit.waiters
    }

    fn try_take(&mut self) -> Option<()> {
        let free = self.0.limit.waiters.is_empty() && self.0.has_room();
        (free || self.0.stage.get() == GroupStage::Closed).then_some(())
    }

    fn finish(&mut self, (): ()) {}

    fn pass_on(&mut self, (): ()) {
        self.0.hand_over_places();
    }
}

impl<E> GroupRef<E>
where
    E: From<TaskCancelled> + fmt::Debug + 'static,
{
    /// Limits the number of members that run at once to `most`, for
    /// [`spawn_when_free`](GroupRef::spawn_when_free), which waits for a place. Members that are
    /// spawned in another way have a place too, but do not wait for it. Daemons have none.
    ///
    /// A group has no limit unless it is set; `usize::MAX` takes it away. A lower limit than before
    /// ends no member. With 0, no member is spawned until the limit is raised.
    ///
    /// # Panics
    ///
    /// If the group has ended, in another kernel, or outside any.
    #[track_caller]
    pub fn limit(self, most: usize) {
        let core = current::with("`limit` of a group", Rc::clone);
        expect_open(self.open_in(&core).ok_or(GroupEnded)).change_limit(most);
    }

    /// Waits until fewer members run than the [`limit`](GroupRef::limit) of the group, and then
    /// spawns `future` as a member. Those that wait are served in the order of arrival.
    ///
    /// A member that calls this has a place itself, and keeps it meanwhile. If all members wait
    /// here, none can go on.
    ///
    /// ```
    /// use std::time::Duration;
    /// use curium::kernel::{self, TaskCancelled, TaskGroup, sleep};
    ///
    /// # kernel::testing::run(async || {
    /// // A hundred requests, ten at once: ten rounds of one second.
    /// let started = kernel::now();
    /// TaskGroup::<TaskCancelled>::scope(async |g| {
    ///     g.limit(10);
    ///     for _ in 0..100 {
    ///         g.spawn_when_free(sleep(Duration::from_secs(1))).await?;
    ///     }
    ///     Ok(())
    /// })
    /// .await?;
    /// assert_eq!(kernel::now() - started, Duration::from_secs(10));
    /// # Ok::<_, TaskCancelled>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`].
    ///
    /// # Cancellation
    ///
    /// `future` is dropped and was not spawned. The place goes to the next that waits.
    ///
    /// # Panics
    ///
    /// When polled: if the group has ended, or ends meanwhile; in another kernel, or outside any.
    #[track_caller]
    pub fn spawn_when_free<F>(
        self,
        future: F,
    ) -> impl Future<Output = Result<Task<<F::Output as TaskOutput<E>>::Value, E>, TaskCancelled>>
    where
        F: Future + 'static,
        F::Output: TaskOutput<E>,
    {
        let site = Location::caller();
        InKernel::new("`spawn_when_free` of a group", site, async move {
            let core = current::with("`spawn_when_free` of a group", Rc::clone);
            if let Some(group) = self.open_in(&core) {
                Wait::at("GROUP_LIMIT", site, UntilFree(group)).await?;
            }
            match self.try_spawn(future) {
                Ok(member) => Ok(member),
                Err(ended) => panic!("{ended}; `spawn_when_free` was called at {site}"),
            }
        })
    }
}

impl<E> TaskGroup<E>
where
    E: From<TaskCancelled> + fmt::Debug + 'static,
{
    /// Limits the number of members that run at once; see
    /// [`GroupRef::limit`](crate::GroupRef::limit).
    pub fn limit(&self, most: usize) {
        self.state.change_limit(most);
    }

    /// Waits until there is room for a member, and spawns it; see
    /// [`GroupRef::spawn_when_free`](crate::GroupRef::spawn_when_free).
    ///
    /// # Cancellation
    ///
    /// As [`GroupRef::spawn_when_free`](crate::GroupRef::spawn_when_free).
    #[track_caller]
    pub fn spawn_when_free<F>(
        &self,
        future: F,
    ) -> impl Future<Output = Result<Task<<F::Output as TaskOutput<E>>::Value, E>, TaskCancelled>>
    + use<F, E>
    where
        F: Future + 'static,
        F::Output: TaskOutput<E>,
    {
        self.by_ref().spawn_when_free(future)
    }
}
