//! Members of a group that are threads.

use std::fmt;
use std::panic::Location;

use crate::error::TaskCancelled;
use crate::group::handle::GroupRef;
use crate::group::task_group::TaskGroup;
use crate::spawn::Task;
use crate::task::body::TaskOutput;
use crate::threads::here::Here;
use crate::threads::thread_task::serve_thread;

impl<E> GroupRef<E>
where
    E: From<TaskCancelled> + fmt::Debug + 'static,
{
    /// Spawns a member that is a thread: synchronous code, which the group waits for; see
    /// [`spawn_thread`](crate::spawn_thread()).
    ///
    /// ```
    /// use curium::kernel::{self, TaskCancelled, TaskGroup};
    ///
    /// kernel::run(async || {
    ///     let sum = TaskGroup::<TaskCancelled>::scope(async |g| {
    ///         let [one, two] = [0..1000_u64, 1000..2000].map(|part| {
    ///             g.spawn_thread(move |here| {
    ///                 let mut sum = 0;
    ///                 for number in part {
    ///                     here.check()?; // ends the thread if the group is cancelled
    ///                     sum += number;
    ///                 }
    ///                 Ok(sum)
    ///             })
    ///         });
    ///         Ok(one.await? + two.await?)
    ///     })
    ///     .await?;
    ///     assert_eq!(sum, 1_999_000);
    ///     Ok::<_, TaskCancelled>(())
    /// })?;
    /// # Ok::<(), TaskCancelled>(())
    /// ```
    ///
    /// # Cancellation
    ///
    /// The group waits until the body of the thread has ended, also when it is cancelled. A grace
    /// bounds that ([`scope_within`](TaskGroup::scope_within),
    /// [`set_grace`](TaskGroup::set_grace)): when it is over, the thread is abandoned.
    ///
    /// # Panics
    ///
    /// If the group has ended, in another kernel, or outside any.
    #[track_caller]
    pub fn spawn_thread<B, R>(self, body: B) -> Task<R::Value, E>
    where
        B: FnOnce(&Here) -> R + Send + 'static,
        R: TaskOutput<E> + Send,
    {
        let member = self.spawn(serve_thread(body, Location::caller()));
        member.name_after::<B>();
        member
    }
}

impl<E> TaskGroup<E>
where
    E: From<TaskCancelled> + fmt::Debug + 'static,
{
    /// Spawns a member that is a thread; see [`GroupRef::spawn_thread`].
    ///
    /// # Panics
    ///
    /// If the group has ended.
    #[track_caller]
    pub fn spawn_thread<B, R>(&self, body: B) -> Task<R::Value, E>
    where
        B: FnOnce(&Here) -> R + Send + 'static,
        R: TaskOutput<E> + Send,
    {
        self.by_ref().spawn_thread(body)
    }
}
