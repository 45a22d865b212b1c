//! A reference to a group, for its body and its members.

use std::any::{Any, type_name};
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;

use crate::core::current;
use crate::core::life::{SlotOf, by_size};
use crate::core::owner::Owner;
use crate::core::state::Core;
use crate::error::TaskCancelled;
use crate::group::state::GroupState;
use crate::id::GroupId;
use crate::spawn::Task;
use crate::task::body::TaskOutput;

/// A reference to a group, for its [`scope`](crate::TaskGroup::scope) and its members. It is
/// `Copy`, and members may keep it and use it.
///
/// To wait for one member after the other, await their handles. `next_done`, `cancel_remaining` and
/// `join` are methods of a group that was made by [`TaskGroup::new`](crate::TaskGroup::new).
pub struct GroupRef<E> {
    kernel: u32,
    id: GroupId,
    error: PhantomData<fn() -> E>,
}

/// The group has ended, so no member can be spawned in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the group has ended; a task that is to outlive it must be spawned elsewhere")]
pub struct GroupEnded;

/// The handle of a new member, unless its group has ended.
pub(crate) type Spawned<F, E> =
    Result<Task<<<F as Future>::Output as TaskOutput<E>>::Value, E>, GroupEnded>;

#[track_caller]
pub(crate) fn expect_open<T>(spawned: Result<T, GroupEnded>) -> T {
    match spawned {
        Ok(task) => task,
        Err(ended) => panic!("{ended}"),
    }
}

/// Identifies a group in the process.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupKey {
    kernel: u32,
    id: GroupId,
}

/// The first result of `look` for the group that the task is a member of that runs, or the task
/// that has spawned it, and so on, as long as these have not ended. For what belongs to a group and
/// is found without being handed on, as a server is by its handlers.
#[doc(hidden)]
pub fn look_at_groups_around<R>(mut look: impl FnMut(GroupKey) -> Option<R>) -> Option<R> {
    let core = current::try_with(Rc::clone)?;
    let kernel = core.number;
    core.look_at_groups_around(|id| look(GroupKey { kernel, id }))
}

/// A group that has not ended, and its kernel.
pub(super) type Open = Result<(Rc<Core>, Rc<dyn Owner>), GroupEnded>;

impl<E> GroupRef<E> {
    /// `kernel` is the number of the group's kernel.
    pub(crate) fn new(kernel: u32, id: GroupId) -> Self {
        GroupRef { kernel, id, error: PhantomData }
    }

    #[doc(hidden)]
    pub fn key(self) -> GroupKey {
        GroupKey { kernel: self.kernel, id: self.id }
    }

    /// The same group for code that does not know the type of its errors.
    pub(super) fn erased(self) -> GroupRef<()> {
        GroupRef::new(self.kernel, self.id)
    }

    /// The group, if this is its kernel and it has not ended.
    fn owner_in(self, core: &Core) -> Option<Rc<dyn Owner>> {
        // The ids of groups are unique only within one kernel.
        let mine = core.number == self.kernel;
        core.owners.borrow().get(self.id).filter(|_| mine).cloned()
    }

    /// The same with the type that it has in this room.
    pub(super) fn open_in(self, core: &Core) -> Option<Rc<GroupState>> {
        let owner: Rc<dyn Any> = self.owner_in(core)?.into_any();
        owner.downcast().ok()
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
        expect_open(Self::by_size::<F, F>()(self.state(), future, false))
    }

    /// Spawns a member that the group does not wait for; see
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
        expect_open(Self::by_size::<F, F>()(self.state(), future, true))
    }

    /// Spawns a member, unless the group has ended.
    ///
    /// # Errors
    ///
    /// [`GroupEnded`], also in another kernel. The future is dropped.
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
        Self::by_size::<F, F>()(self.state(), future, false)
    }

    /// [`try_spawn`](GroupRef::try_spawn), of a member that the group does not wait for. For
    /// adapters, which spawn what another crate asks them to.
    ///
    /// # Errors
    ///
    /// [`GroupEnded`], also in another kernel. The future is dropped.
    ///
    /// # Panics
    ///
    /// Outside a kernel.
    #[track_caller]
    pub fn try_spawn_daemon<F>(
        self,
        future: F,
    ) -> Result<Task<<F::Output as TaskOutput<E>>::Value, E>, GroupEnded>
    where
        F: Future + 'static,
        F::Output: TaskOutput<E>,
    {
        Self::by_size::<F, F>()(self.state(), future, true)
    }

    /// [`spawn_daemon`](GroupRef::spawn_daemon) of a future that runs code of the program: the task
    /// is named after `N`, the type of that code, and so is not named after the library.
    ///
    /// # Panics
    ///
    /// As [`spawn_daemon`](GroupRef::spawn_daemon).
    #[doc(hidden)]
    #[track_caller]
    pub fn spawn_daemon_as<N, F>(self, future: F) -> Task<<F::Output as TaskOutput<E>>::Value, E>
    where
        F: Future + 'static,
        F::Output: TaskOutput<E>,
    {
        expect_open(Self::by_size::<N, F>()(self.state(), future, true))
    }

    /// The function that makes a future a member, or a daemon, of a group, by the size of the
    /// future. The task is named after the type `N`.
    #[inline(always)]
    fn by_size<N, F>() -> fn(Open, F, bool) -> Spawned<F, E>
    where
        F: Future + 'static,
        F::Output: TaskOutput<E>,
    {
        by_size::<F, E, fn(Open, F, bool) -> Spawned<F, E>>(
            Self::admit_large::<N, F>,
            Self::admit_small::<N, F>,
        )
    }

    fn admit_large<N, F>(open: Open, future: F, daemon: bool) -> Spawned<F, E>
    where
        F: Future + 'static,
        F::Output: TaskOutput<E>,
    {
        let body = Box::pin(SlotOf::<F, E>::Running { future });
        let (core, state) = open?;
        Ok(Task::of(core.admit_boxed(body, type_name::<N>, Some((&*state, daemon)))))
    }

    fn admit_small<N, F>(open: Open, future: F, daemon: bool) -> Spawned<F, E>
    where
        F: Future + 'static,
        F::Output: TaskOutput<E>,
    {
        let (core, state) = open?;
        Ok(Task::of(core.admit_as::<N, F, E>(future, Some((&*state, daemon)))))
    }

    #[track_caller]
    fn state(self) -> Open {
        let core = current::with("spawning in a group", Rc::clone);
        let owner = self.owner_in(&core).ok_or(GroupEnded)?;
        Ok((core, owner))
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
