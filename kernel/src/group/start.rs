//! Starting a member and waiting until it says that it is ready (G9).
//!
//! Until then the member is a daemon of the group: the group does not count it, and its failure is
//! not the group's. [`Ready::set`] makes it a member like any other.

use std::cell::Cell;
use std::fmt;
use std::panic::Location;
use std::rc::Rc;

use crate::core::current;
use crate::core::queue::WaitQueue;
use crate::error::{CancelReason, TaskCancelled, TaskError};
use crate::group::handle::GroupRef;
use crate::group::task_group::TaskGroup;
use crate::id::TaskId;
use crate::scope::shield::shield;
use crate::spawn::Task;
use crate::task::body::TaskOutput;
use crate::wait::handoff::{Handoff, Wait};
use crate::wait::in_kernel::InKernel;

/// With this, a member that was started by [`start`](crate::GroupRef::start) says that it is ready.
///
/// If it is dropped without [`set`](Ready::set), `start` waits for the end of the member.
pub struct Ready<V> {
    /// Taken by `set`.
    start: Option<Rc<Start<V>>>,
    group: GroupRef<()>,
}

impl<V> Ready<V> {
    /// The member is ready: `start` returns `value`. From now on the group counts the member, waits
    /// for it, and fails if it fails.
    ///
    /// If the call of `start` was cancelled or dropped before, the member is being cancelled, and
    /// `value` is dropped. It is also dropped if the member has ended.
    pub fn set(mut self, value: V) {
        let Some(start) = self.start.take() else { unreachable!("`set` takes `self`") };
        if let Some(member) = start.member.get() {
            self.group.count_daemon(member);
        }
        let _ = start.queue.hand_over(Some(value));
    }
}

impl<V> Drop for Ready<V> {
    fn drop(&mut self) {
        if let Some(start) = self.start.take() {
            let _ = start.queue.hand_over(None);
        }
    }
}

impl<V> fmt::Debug for Ready<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ready").finish_non_exhaustive()
    }
}

impl GroupRef<()> {
    /// Makes a daemon a member that the group counts and waits for.
    fn count_daemon(self, member: TaskId) {
        let group = current::try_with(|core| Some((core.find(member)?, self.open_in(core)?)));
        if let Some((member, group)) = group.flatten() {
            group.count_daemon(&member);
        }
    }
}

/// What a call of `start` and its member share.
struct Start<V> {
    /// The call waits here. It is handed the value, or `None` if there will be none.
    queue: WaitQueue<Option<V>>,
    /// The member, as long as the call waits for it.
    member: Cell<Option<TaskId>>,
}

/// In the future of the member. Dropped when the body has ended: if that has given its `Ready`
/// away, the call waits no longer for it.
struct EndOfBody<V>(Rc<Start<V>>);

impl<V> Drop for EndOfBody<V> {
    fn drop(&mut self) {
        let _ = self.0.queue.hand_over(None);
    }
}

/// The wait of a call of `start`.
struct UntilReady<V>(Rc<Start<V>>);

impl<V> Handoff for UntilReady<V> {
    type Item = Option<V>;
    type Output = Option<V>;

    fn queue(&self) -> &WaitQueue<Option<V>> {
        &self.0.queue
    }

    /// The member runs after the call has entered the queue.
    fn try_take(&mut self) -> Option<Option<V>> {
        None
    }

    fn finish(&mut self, item: Option<V>) -> Option<V> {
        item
    }

    /// The call was dropped, so the member is cancelled.
    fn pass_on(&mut self, _: Option<V>) {}
}

/// A member that is being started. Dropped, it cancels the member.
struct Starting<V, T: 'static, E: 'static> {
    start: Rc<Start<V>>,
    member: Task<T, E>,
    is_ready: bool,
}

impl<V, T, E> Drop for Starting<V, T, E> {
    fn drop(&mut self) {
        if !self.is_ready {
            self.start.member.set(None);
            self.member.request_cancel();
        }
    }
}

impl<V, T, E: From<TaskCancelled>> Starting<V, T, E> {
    /// The call was cancelled: cancels the member, and awaits its cleanup.
    async fn abandon(self, cancelled: TaskCancelled) -> E {
        self.start.member.set(None);
        self.member.request_cancel();
        // In a shield, so it always returns `Ok`.
        let _ = shield(self.member.wait()).await;
        cancelled.into()
    }

    /// The member has dropped `ready` without a value: awaits its end.
    async fn without_value(self, site: &'static Location<'static>) -> E {
        match self.member.join().await {
            Err(cancelled) => self.abandon(cancelled).await,
            Ok(Err(TaskError::Failed(error) | TaskError::Cancelled(error))) => error,
            Ok(Err(TaskError::Panicked(panic))) => panic.resume(),
            Ok(Err(TaskError::Aborted)) => TaskCancelled::new(CancelReason::Aborted).into(),
            Ok(Err(TaskError::Taken)) => unreachable!("no other task has a handle of the member"),
            // A member that returns `()`, or that swallows its cancellation, ends well.
            Ok(Ok(_)) => match self.member.cell.cancellation(&self.member.cell.core().spare) {
                Some(cancelled) => cancelled.into(),
                None => panic!("the member that was started at {site} has not called `ready.set`"),
            },
        }
    }
}

async fn run_start<V, B, R, E>(
    group: GroupRef<E>,
    body: B,
    site: &'static Location<'static>,
) -> Result<V, E>
where
    V: 'static,
    B: AsyncFnOnce(Ready<V>) -> R + 'static,
    R: TaskOutput<E>,
    E: From<TaskCancelled> + fmt::Debug + 'static,
{
    let start = Rc::new(Start { queue: WaitQueue::new(), member: Cell::new(None) });
    let ready = Ready { start: Some(start.clone()), group: group.erased() };
    let end = EndOfBody(start.clone());
    let member = group.try_spawn_daemon(async move {
        let _end = end;
        body(ready).await
    });
    let member = match member {
        Ok(member) => member,
        Err(ended) => panic!("{ended}; `start` was called at {site}"),
    };
    member.name_after::<B>();
    start.member.set(Some(member.id()));
    let mut starting = Starting { start: start.clone(), member, is_ready: false };
    match Wait::at("GROUP_START", site, UntilReady(start)).await {
        Ok(Some(value)) => {
            starting.is_ready = true;
            Ok(value)
        }
        Ok(None) => Err(starting.without_value(site).await),
        Err(cancelled) => Err(starting.abandon(cancelled).await),
    }
}

impl<E> GroupRef<E>
where
    E: From<TaskCancelled> + fmt::Debug + 'static,
{
    /// Spawns a member, and waits until it has called [`ready.set(value)`](Ready::set). Returns the
    /// value. For a member that others use, such as a server: when this returns, it is ready to be
    /// used.
    ///
    /// Until then the group does not count the member, and its failure is returned here and nowhere
    /// else: the group goes on. After that it is a member like any other. The member is spawned at
    /// the first poll.
    ///
    /// ```
    /// use std::rc::Rc;
    /// use curium::kernel::{self, TaskCancelled, TaskGroup};
    /// use curium::sync::Queue;
    ///
    /// # kernel::testing::run(async || {
    /// TaskGroup::<TaskCancelled>::scope(async |g| {
    ///     let requests = g
    ///         .start(async |ready| {
    ///             let requests = Rc::new(Queue::bounded(8));
    ///             ready.set(requests.clone());
    ///             while let Some(request) = requests.next().await? {
    ///                 println!("served {request}");
    ///             }
    ///             Ok(())
    ///         })
    ///         .await?;
    ///     requests.put("one").await?;
    ///     requests.close();
    ///     Ok(())
    /// })
    /// .await
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// The error of the member, if it ends in one before it is ready. Its cancellation, or reason
    /// [`Aborted`](crate::CancelReason::Aborted), if it was cancelled before and ended without an
    /// error. A cancellation of this call.
    ///
    /// # Cancellation
    ///
    /// The member is cancelled and awaited, under a shield; a failure of its cleanup is reported. A
    /// member that was ready before is not cancelled: this returns its value. If the future is
    /// dropped before it has returned, the member is cancelled, and the group awaits it.
    ///
    /// # Panics
    ///
    /// When polled: if the group has ended, in another kernel, or outside any; and if the member
    /// ends well without having called `set`. A panic of the member before that is resumed here.
    #[track_caller]
    pub fn start<V, B, R>(self, body: B) -> impl Future<Output = Result<V, E>>
    where
        V: 'static,
        B: AsyncFnOnce(Ready<V>) -> R + 'static,
        R: TaskOutput<E>,
    {
        let site = Location::caller();
        InKernel::new("`start` of a group", site, run_start(self, body, site))
    }
}

impl<E> TaskGroup<E>
where
    E: From<TaskCancelled> + fmt::Debug + 'static,
{
    /// Spawns a member, and waits until it says that it is ready; see
    /// [`GroupRef::start`](crate::GroupRef::start).
    ///
    /// # Cancellation
    ///
    /// As [`GroupRef::start`](crate::GroupRef::start).
    #[track_caller]
    pub fn start<V, B, R>(&self, body: B) -> impl Future<Output = Result<V, E>> + use<V, B, R, E>
    where
        V: 'static,
        B: AsyncFnOnce(Ready<V>) -> R + 'static,
        R: TaskOutput<E>,
    {
        self.by_ref().start(body)
    }
}
