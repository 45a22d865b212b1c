//! The executor: what hyper spawns belongs to a group.

use std::fmt;

use curium::kernel::{self, GroupRef, TaskCancelled};
use hyper::rt::Executor;

/// Spawns what hyper spawns (streams of HTTP/2, connections of a client) as daemons of a group, so
/// that nothing of it outlives the group.
///
/// The group does not wait for them: idle connections of a pool do not keep it open. When it ends,
/// they are cancelled and awaited. Code of Curium in them, such as the handler of a request, gets
/// the error where it waits, and cleans up; what waits without such code is dropped (see
/// [`cancellable_inside`](curium::cancellable_inside)).
///
/// Once the group has ended, and outside its kernel, what is to be spawned is dropped.
///
/// ```
/// use curium::prelude::*;
/// use curium_hyper::GroupExecutor;
/// use hyper::rt::Executor;
///
/// # curium::testing::run(async || {
/// TaskGroup::<TaskCancelled>::scope(async |group| {
///     // Usually hyper does this.
///     GroupExecutor::new(group).execute(std::future::pending::<()>());
///     Ok(())
/// })
/// .await // the daemon has ended
/// # }).unwrap();
/// ```
pub struct GroupExecutor<E>(GroupRef<E>);

impl<E> GroupExecutor<E> {
    /// An executor that spawns in `group`.
    pub fn new(group: GroupRef<E>) -> Self {
        GroupExecutor(group)
    }
}

impl<F, E> Executor<F> for GroupExecutor<E>
where
    F: Future + 'static,
    E: From<TaskCancelled> + fmt::Debug + 'static,
{
    #[track_caller]
    fn execute(&self, future: F) {
        if !kernel::is_running() {
            return;
        }
        let task = async { kernel::cancellable_inside(future).await.map(drop).map_err(E::from) };
        // That the group has ended is no error for hyper: the connection has ended as well.
        let _ = self.0.try_spawn_daemon(task);
    }
}

impl<E> Clone for GroupExecutor<E> {
    fn clone(&self) -> Self {
        GroupExecutor(self.0)
    }
}

impl<E> fmt::Debug for GroupExecutor<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupExecutor").finish_non_exhaustive()
    }
}
