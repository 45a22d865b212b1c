//! Groups: tasks that all end before the block that started them ends.
//!
//! When a group has ended, on every path, all its members have ended (G1). If it ends with success,
//! with an error or by a cancellation of its owner, the remaining members are cancelled together
//! and awaited. If it is dropped before its end, their futures are dropped. Source: trio's nursery,
//! curio's `TaskGroup`, eio's switch. The bookkeeping is in `group/state.rs`.

use std::any::type_name;
use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use crate::core::current;
use crate::core::life::{SlotOf, by_size};
use crate::core::state::Core;
use crate::error::{CancelReason, GroupError, TaskCancelled};
use crate::group::body::{Progress, Until};
use crate::group::bounds::ScopeBody;
use crate::group::end::run_scope;
use crate::group::handle::{GroupEnded, GroupRef, Spawned, expect_open};
use crate::group::policy::WaitPolicy;
use crate::group::state::GroupState;
use crate::group::view::Line;
use crate::spawn::Task;
use crate::task::body::TaskOutput;
use crate::wait::in_kernel::InKernel;

/// A group of tasks that are cancelled and awaited together.
///
/// The usual form is [`TaskGroup::scope`]. For a group that lives longer than a block, make one
/// with [`TaskGroup::new`] and end it with [`join`](TaskGroup::join). A group that is dropped
/// without `join` drops its members' futures, without a chance to clean up. A `?` that returns
/// between `new` and `join` drops the group in this way.
///
/// ```
/// use curium::kernel::{self, TaskCancelled, TaskGroup, sleep};
/// use std::time::Duration;
///
/// kernel::run(async || {
///     let total = TaskGroup::<TaskCancelled>::scope(async |g| {
///         let one = g.spawn(async { Ok(1) });
///         let two = g.spawn(async {
///             sleep(Duration::from_millis(1)).await?;
///             Ok(2)
///         });
///         Ok(one.await? + two.await?)
///     })
///     .await?;
///     assert_eq!(total, 3);
///     Ok::<(), TaskCancelled>(())
/// })?;
/// # Ok::<(), TaskCancelled>(())
/// ```
///
/// A member may outlive the function that spawned it, though not the group. So it must own what it
/// uses: a member that borrows does not compile. Move the value in, or share it with `Rc`.
///
/// ```compile_fail,E0597
/// # use curium::kernel::{self, TaskCancelled, TaskGroup};
/// # kernel::run(async || {
/// let name = String::from("Ann");
/// TaskGroup::<TaskCancelled>::scope(async |g| {
///     g.spawn(async { println!("{}", name.len()) }); // `name` does not live long enough
///     Ok(())
/// })
/// .await
/// # }).unwrap();
/// ```
#[must_use = "dropped, a group drops its members' futures; end it with `join`"]
#[doc(alias("JoinSet", "nursery"))]
// The compiler shows the next line when it refuses to send a group.
pub struct TaskGroup<E> /* stays on its thread: send `kernel::handle()` instead */ {
    pub(crate) core: Rc<Core>,
    pub(crate) state: Rc<GroupState>,
    error: PhantomData<fn() -> E>,
}

impl<E> TaskGroup<E>
where
    E: From<TaskCancelled> + fmt::Debug + 'static,
{
    /// Runs `body` with a group, and waits until all its members have ended.
    ///
    /// The first member that fails cancels its siblings and the body. An error of the body, or a
    /// cancellation of this task, cancels the members. In every case, all members have ended when
    /// this returns. A member that uses the group captures `g`, which is `Copy`.
    ///
    /// Members return `Result<_, E>`, or `()` if they cannot fail. `task.await` gives the value.
    ///
    /// `body` is an async closure, `async |g| ..`, which may borrow, or a closure that returns a
    /// future, `|g| async move ..`. As the last expression of a function, this call takes the error
    /// type of the function. Elsewhere, for example before a `?`, write the type after `TaskGroup`:
    ///
    /// ```
    /// # use std::{error::Error, io};
    /// # use curium::kernel::{self, TaskCancelled, TaskGroup};
    /// # async fn read() -> io::Result<u8> { Ok(1) }
    /// #[derive(Debug, thiserror::Error)]
    /// enum MyError {
    ///     #[error(transparent)]
    ///     Cancelled(#[from] TaskCancelled),
    ///     #[error(transparent)]
    ///     Io(#[from] io::Error),
    /// }
    ///
    /// # kernel::run(async || {
    /// let io = TaskGroup::<io::Error>::scope(async |g| g.spawn(read()).await).await?;
    /// let own = TaskGroup::<MyError>::scope(async |g| {
    ///     // The `?` makes a `MyError` of the `io::Error`.
    ///     g.spawn(async { Ok(read().await?) }).await
    /// })
    /// .await?;
    /// let boxed = TaskGroup::<Box<dyn Error>>::scope(|g| async move {
    ///     g.spawn(async { Ok(read().await?) }).await
    /// })
    /// .await?;
    /// assert_eq!(io + own + boxed, 3);
    /// # Ok::<_, Box<dyn Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// The first error, of a member or of the body. Further errors are reported; see
    /// [`scope_all`](TaskGroup::scope_all).
    ///
    /// # Cancellation
    ///
    /// The members are cancelled together, the youngest first, and awaited under a shield. If the
    /// future is dropped instead, the members' futures are dropped, without awaiting their cleanup.
    ///
    /// # Panics
    ///
    /// When polled outside a kernel. The panic of a member or of the body is resumed after all
    /// members have ended.
    #[track_caller]
    pub fn scope<T, B>(body: B) -> impl Future<Output = Result<T, E>>
    where
        B: ScopeBody<T, E>,
    {
        Self::scope_with(WaitPolicy::All, body)
    }

    /// Like [`scope`](TaskGroup::scope), but waits as `wait` specifies, and then cancels the
    /// remaining members. It fails and panics as `scope` does.
    ///
    /// # Cancellation
    ///
    /// As [`scope`](TaskGroup::scope).
    #[track_caller]
    pub fn scope_with<T, B>(wait: WaitPolicy, body: B) -> impl Future<Output = Result<T, E>>
    where
        B: ScopeBody<T, E>,
    {
        let site = Location::caller();
        InKernel::new("a task group", site, async move {
            let ended = run_scope(wait, Duration::MAX, body, site, false).await;
            ended.map_err(|errors| errors.first)
        })
    }

    /// Like [`scope`](TaskGroup::scope), but returns every error, in the order in which they
    /// occurred. It panics as `scope` does.
    ///
    /// # Errors
    ///
    /// All errors of the members and the body. A body that only returns the cancellation that a
    /// failing member caused adds no error.
    ///
    /// # Cancellation
    ///
    /// As [`scope`](TaskGroup::scope).
    #[track_caller]
    pub fn scope_all<T, B>(body: B) -> impl Future<Output = Result<T, GroupError<E>>>
    where
        B: ScopeBody<T, E>,
    {
        let site = Location::caller();
        let ended = run_scope(WaitPolicy::All, Duration::MAX, body, site, true);
        InKernel::new("a task group", site, ended)
    }

    /// A group that is not bound to a block and waits for all its members.
    ///
    /// Each member that ends uses a few bytes until [`next_done`](TaskGroup::next_done) returns it.
    /// A server that never calls `next_done` should use [`scope`](TaskGroup::scope).
    ///
    /// # Panics
    ///
    /// Outside a kernel.
    #[track_caller]
    pub fn new() -> Self {
        TaskGroup::with(WaitPolicy::All)
    }

    /// A group that is not bound to a block and waits as `wait` specifies.
    ///
    /// # Panics
    ///
    /// Outside a kernel.
    #[track_caller]
    pub fn with(wait: WaitPolicy) -> Self {
        let core = current::with("TaskGroup::new", Rc::clone);
        let task = core.running.get();
        let group = TaskGroup::open(core, wait, true, Location::caller());
        group.state.opened.by(task);
        group
    }

    pub(crate) fn open(core: Rc<Core>, wait: WaitPolicy, records: bool, site: Line) -> Self {
        let state = GroupState::open::<E>(&core, wait, records, site);
        TaskGroup { core, state, error: PhantomData }
    }

    /// A reference to the group, which is `Copy` and which members may keep.
    pub fn by_ref(&self) -> GroupRef<E> {
        GroupRef::new(self.core.number, self.state.id.get())
    }

    /// Spawns a member.
    ///
    /// # Panics
    ///
    /// If the group has ended.
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> Task<<F::Output as TaskOutput<E>>::Value, E>
    where
        F: Future + 'static,
        F::Output: TaskOutput<E>,
    {
        expect_open(Self::by_size()(self, future, false))
    }

    /// Spawns a member that the group does not wait for. [`len`](TaskGroup::len) does not count it,
    /// its failure is only reported, and it is cancelled when the group ends.
    ///
    /// # Panics
    ///
    /// If the group has ended.
    #[track_caller]
    pub fn spawn_daemon<F>(&self, future: F) -> Task<<F::Output as TaskOutput<E>>::Value, E>
    where
        F: Future + 'static,
        F::Output: TaskOutput<E>,
    {
        expect_open(Self::by_size()(self, future, true))
    }

    /// Spawns a member, unless the group has ended.
    ///
    /// # Errors
    ///
    /// [`GroupEnded`]; the future is dropped.
    pub fn try_spawn<F>(
        &self,
        future: F,
    ) -> Result<Task<<F::Output as TaskOutput<E>>::Value, E>, GroupEnded>
    where
        F: Future + 'static,
        F::Output: TaskOutput<E>,
    {
        Self::by_size()(self, future, false)
    }

    /// The function that makes a future a member, or a daemon: by the size of the future.
    #[inline(always)]
    fn by_size<F>() -> fn(&Self, F, bool) -> Spawned<F, E>
    where
        F: Future + 'static,
        F::Output: TaskOutput<E>,
    {
        by_size::<F, E, fn(&Self, F, bool) -> Spawned<F, E>>(Self::admit_large, Self::admit_small)
    }

    fn admit_large<F>(&self, future: F, daemon: bool) -> Spawned<F, E>
    where
        F: Future + 'static,
        F::Output: TaskOutput<E>,
    {
        let body = Box::pin(SlotOf::<F, E>::Running { future });
        let group = Some((self.state.unless_closed()?, daemon));
        Ok(Task::of(self.core.admit_boxed(body, type_name::<F>, group)))
    }

    fn admit_small<F>(&self, future: F, daemon: bool) -> Spawned<F, E>
    where
        F: Future + 'static,
        F::Output: TaskOutput<E>,
    {
        let group = Some((self.state.unless_closed()?, daemon));
        Ok(Task::of(self.core.admit(future, group)))
    }

    /// Waits as the `WaitPolicy` of the group specifies, cancels the remaining members, and ends
    /// the group. A second call does nothing.
    ///
    /// # Errors
    ///
    /// The first failure of a member; further failures are reported. A cancellation of this task,
    /// after the members have been cancelled and have ended.
    ///
    /// # Cancellation
    ///
    /// The members are cancelled and awaited under a shield. If the future is dropped before its
    /// end, the group stays as it is and can be joined again.
    ///
    /// # Panics
    ///
    /// The panic of a member is resumed after all members have ended.
    #[track_caller]
    pub fn join(&self) -> impl Future<Output = Result<(), E>> + '_ {
        let site = Location::caller();
        async move { self.conclude(Ok(()), site, false).await.map_err(|errors| errors.first) }
    }

    /// Like [`join`](TaskGroup::join), but returns every error, in the order in which they
    /// occurred. It panics as `join` does.
    ///
    /// # Cancellation
    ///
    /// As [`join`](TaskGroup::join).
    #[track_caller]
    pub fn join_all(&self) -> impl Future<Output = Result<(), GroupError<E>>> + '_ {
        self.conclude(Ok(()), Location::caller(), true)
    }

    /// Cancels all members that have not ended, except daemons, together, and waits for them. The
    /// group continues.
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`], also if a member calls this, because it then cancels its caller too.
    ///
    /// # Cancellation
    ///
    /// Only the wait is abandoned: the members stay cancelled.
    #[track_caller]
    pub fn cancel_remaining(&self) -> impl Future<Output = Result<(), TaskCancelled>> + '_ {
        let site = Location::caller();
        async move {
            let by = self.core.running_id();
            self.state.cancel_members(&self.core, CancelReason::Requested { by }, false);
            Progress::new(&self.state, Until::NonDaemonsEnded, site).await
        }
    }

    /// The number of members that have not ended, without daemons.
    pub fn len(&self) -> usize {
        self.state.counted.get()
    }

    /// Whether all members have ended, without daemons.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<E> Default for TaskGroup<E>
where
    E: From<TaskCancelled> + fmt::Debug + 'static,
{
    /// As [`new`](TaskGroup::new).
    #[track_caller]
    fn default() -> Self {
        TaskGroup::new()
    }
}

impl<E> Drop for TaskGroup<E> {
    fn drop(&mut self) {
        self.state.abandon(&self.core);
        self.state.recycle(&self.core);
    }
}

impl<E> fmt::Debug for TaskGroup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskGroup")
            .field("wait", &self.state.wait.get())
            .field("members", &self.state.counted.get())
            .finish_non_exhaustive()
    }
}
