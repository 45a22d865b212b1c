//! Owners of tasks: the interface of the kernel to groups.
//!
//! The kernel calls the methods of [`Owner`] and depends on nothing else of a group. The calls are
//! dynamic and out of line, because most tasks have no owner and make none.

use std::any::Any;
use std::rc::Rc;

use slab::Slab;

use crate::core::state::{Core, TaskRef};
use crate::error::{CancelReason, TaskCancelled};
use crate::id::{GroupId, TaskId};
use crate::insight::snapshot::ScopeInfo;
use crate::parts::list::shrink_slab;
use crate::task::cell::TaskEnd;

pub(crate) trait Owner {
    /// The owner, for its own room, where its type is known.
    fn into_any(self: Rc<Self>) -> Rc<dyn Any>;

    /// Adds a new task. Returns a reason if the task must be cancelled at once.
    fn adopt(&self, core: &Core, task: &TaskRef, daemon: bool) -> Option<CancelReason>;

    /// Whether the program makes an error like this one of any cancellation, without keeping it.
    fn is_bare(&self, error: &dyn Any, kept: &TaskCancelled) -> bool;

    /// Called when a task of this owner has ended.
    fn ended(&self, core: &Core, task: &TaskRef, end: TaskEnd);

    /// Called when a hosted task of this owner is to be polled.
    fn woken(&self, task: &TaskRef);

    /// The task that polls the hosted tasks of this owner.
    fn host(&self) -> TaskId;

    /// Called when that time is over.
    fn out_of_grace(&self, core: &Core);

    /// What a snapshot shows of the owner. Its members are added later.
    fn info(&self, core: &Core) -> ScopeInfo;

    /// Called when a `join` has returned the outcome of a task of this owner that was cancelled.
    fn joined_cancelled(&self, core: &Core, task: &TaskRef);
}

/// All owners of a kernel, by id.
#[derive(Default)]
pub(crate) struct Owners {
    owners: Slab<(GroupId, Rc<dyn Owner>)>,
    opened: u32,
    /// Owners that have ended, whose memory is used again.
    spare: Vec<Rc<dyn Any>>,
}

/// The most owners whose memory is kept.
const MAX_SPARE: usize = 32;

impl Owners {
    /// Releases the memory that a burst took.
    pub(crate) fn shrink(&mut self) {
        shrink_slab(&mut self.owners);
        self.spare = Vec::new();
    }

    /// An owner that has ended, for a new one.
    #[inline]
    pub(crate) fn take_spare(&mut self) -> Option<Rc<dyn Any>> {
        self.spare.pop()
    }

    /// Keeps the memory of an owner that has ended.
    #[inline]
    pub(crate) fn keep_spare(&mut self, owner: Rc<dyn Any>) {
        if self.spare.len() < MAX_SPARE {
            self.spare.push(owner);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.owners.len()
    }

    /// The owner with that id, until it is removed.
    #[inline]
    pub(crate) fn get(&self, id: GroupId) -> Option<&Rc<dyn Owner>> {
        let (named, owner) = self.owners.get(id.index as usize)?;
        (*named == id).then_some(owner)
    }

    /// At most `most` owners from a place in the list on, each with its place.
    pub(crate) fn from(&self, place: usize, most: usize) -> Vec<(usize, Rc<dyn Owner>)> {
        let places = place..self.owners.capacity();
        let owner = |at| self.owners.get(at).map(|(_, owner)| (at, owner.clone()));
        places.filter_map(owner).take(most).collect()
    }

    /// Adds an owner. Returns its id.
    pub(crate) fn add(&mut self, owner: Rc<dyn Owner>) -> GroupId {
        self.opened = self.opened.wrapping_add(1);
        let entry = self.owners.vacant_entry();
        let index = u32::try_from(entry.key()).expect("fewer than 2^32 groups");
        let id = GroupId { index, generation: self.opened };
        entry.insert((id, owner));
        id
    }

    /// Removes an owner, for the caller to drop.
    pub(crate) fn remove(&mut self, id: GroupId) -> Rc<dyn Owner> {
        self.owners.remove(id.index as usize).1
    }
}

impl Core {
    /// The owner of a task, if it has one that still exists.
    #[inline]
    fn owner_of(&self, task: &TaskRef) -> Option<Rc<dyn Owner>> {
        self.owners.borrow().get(task.group()).cloned()
    }

    /// The first result of `look` for the group of the task that runs, of the task that has spawned
    /// it, and so on, as long as these have not ended.
    pub(crate) fn look_at_groups_around<R>(
        &self,
        mut look: impl FnMut(GroupId) -> Option<R>,
    ) -> Option<R> {
        let mut task = self.find(self.running_id()?)?;
        loop {
            if let Some(found) = look(task.group()) {
                return Some(found);
            }
            task = self.find(task.origin()?.parent)?;
        }
    }

    /// Informs the owner of a task, if the owner still exists, that the task has ended.
    #[inline(never)]
    pub(crate) fn owned_ended(&self, task: &TaskRef, end: TaskEnd) {
        if let Some(owner) = self.owner_of(task) {
            owner.ended(self, task, end);
        }
    }

    /// Informs the owner of a hosted task, if it still exists, that the task is to be polled.
    pub(super) fn owned_woken(&self, task: &TaskRef) {
        if let Some(owner) = self.owner_of(task) {
            owner.woken(task);
        }
    }

    /// The task that polls a hosted task, if its owner still exists.
    pub(super) fn host_of(&self, task: &TaskRef) -> Option<TaskRef> {
        self.find(self.owner_of(task)?.host())
    }

    /// The grace of an owner is over.
    #[cold]
    pub(crate) fn owner_out_of_grace(&self, id: GroupId) {
        let owner = self.owners.borrow().get(id).cloned();
        if let Some(owner) = owner {
            owner.out_of_grace(self);
        }
    }

    /// Whether the owner of the task takes its error for the echo of `kept`, although the program
    /// has no copy of it.
    pub(super) fn is_bare(&self, task: &TaskRef, error: &dyn Any, kept: &TaskCancelled) -> bool {
        self.owner_of(task).is_some_and(|owner| owner.is_bare(error, kept))
    }

    /// Informs the owner of a cancelled task that the task was joined.
    #[cold]
    pub(crate) fn owned_joined(&self, task: &TaskRef) {
        if let Some(owner) = self.owner_of(task) {
            owner.joined_cancelled(self, task);
        }
    }
}
