//! The group inside its scope: a name that members may keep.

use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;

use crate::body::TaskOutput;
use crate::current;
use crate::error::TaskCancelled;
use crate::group::{GroupEnded, must};
use crate::id::GroupId;
use crate::task::Task;

/// The group inside its [`scope`](crate::TaskGroup::scope): a name, `Copy`, that members may keep
/// and use.
pub struct GroupRef<E> {
    kernel: u32,
    id: GroupId,
    error: PhantomData<fn() -> E>,
}

impl<E> GroupRef<E> {
    /// `kernel` is the number of the group's kernel.
    pub(crate) fn new(kernel: u32, id: GroupId) -> Self {
        GroupRef { kernel, id, error: PhantomData }
    }
}

impl<E> GroupRef<E>
where
    E: From<TaskCancelled> + fmt::Debug + 'static,
{
    /// Spawns a member.
    ///
    /// # Panics
    ///
    /// If the group has ended, in another kernel, or outside any.
    #[track_caller]
    pub fn spawn<F>(self, future: F) -> Task<<F::Output as TaskOutput<E>>::Value, E>
    where
        F: Future + 'static,
        F::Output: TaskOutput<E>,
    {
        must(self.admit(future, false))
    }

    /// Spawns a member that nobody waits for; see
    /// [`TaskGroup::spawn_daemon`](crate::TaskGroup::spawn_daemon).
    ///
    /// # Panics
    ///
    /// If the group has ended, in another kernel, or outside any.
    #[track_caller]
    pub fn spawn_daemon<F>(self, future: F) -> Task<<F::Output as TaskOutput<E>>::Value, E>
    where
        F: Future + 'static,
        F::Output: TaskOutput<E>,
    {
        must(self.admit(future, true))
    }

    /// Spawns a member, unless the group has ended.
    ///
    /// # Errors
    ///
    /// [`GroupEnded`], in another kernel too; the future is dropped.
    ///
    /// # Panics
    ///
    /// Outside a kernel.
    #[track_caller]
    pub fn try_spawn<F>(
        self,
        future: F,
    ) -> Result<Task<<F::Output as TaskOutput<E>>::Value, E>, GroupEnded>
    where
        F: Future + 'static,
        F::Output: TaskOutput<E>,
    {
        self.admit(future, false)
    }

    #[track_caller]
    fn admit<F>(
        self,
        future: F,
        daemon: bool,
    ) -> Result<Task<<F::Output as TaskOutput<E>>::Value, E>, GroupEnded>
    where
        F: Future + 'static,
        F::Output: TaskOutput<E>,
    {
        let core = current::with("spawning in a group", Rc::clone);
        // Another kernel counts its groups from one, too.
        let mine = core.number == self.kernel;
        let state = core.groups.borrow().get(self.id).filter(|_| mine).cloned();
        match state {
            Some(state) => Ok(Task::of(core.admit(future, Some((&state, daemon))))),
            None => Err(GroupEnded),
        }
    }
}

impl<E> Clone for GroupRef<E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for GroupRef<E> {}

impl<E> fmt::Debug for GroupRef<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupRef").finish_non_exhaustive()
    }
}
