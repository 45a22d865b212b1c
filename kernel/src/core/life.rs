//! The life of a task from spawn to release. The states are drawn in `task/cell.rs`.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;

use crate::core::observer::Moment;
use crate::core::owner::Owner;
use crate::core::state::{Core, Stage, TaskRef};
use crate::error::CancelReason;
use crate::task::body::{Body, Slot, TaskOutput, Verdict};
use crate::task::cell::{TaskCell, TaskEnd};
use crate::task::origin::Origin;
use crate::task::state::Flags;

/// Up to this size, the box of an ended task is kept for the next one of its type.
pub(crate) const KEEP_BODY: usize = 1024;

/// The body of a task with a future of type `F` and the error `E`.
pub(crate) type SlotOf<F, E> = Slot<F, <<F as Future>::Output as TaskOutput<E>>::Value, E>;

/// Chooses the function that makes a task of a future: a large future is boxed first.
///
/// The choice is between functions, because an unoptimized build copies a future once for each
/// function that it is passed to, and once for each branch in one. Each copy of a large future
/// takes its size on the stack.
#[inline(always)]
pub(crate) fn by_size<F, E, W>(large: W, small: W) -> W
where
    F: Future,
    F::Output: TaskOutput<E>,
{
    if size_of::<SlotOf<F, E>>() > KEEP_BODY { large } else { small }
}

impl Core {
    /// Makes a task of a small future and queues it. The caller owns one of its `holders`, and
    /// calls [`TaskRef::announce_if_not_queued`].
    pub(crate) fn admit<F, E>(
        self: &Rc<Self>,
        future: F,
        owner: Option<(&dyn Owner, bool)>,
    ) -> TaskRef
    where
        F: Future + 'static,
        F::Output: TaskOutput<E>,
        E: fmt::Debug + 'static,
    {
        self.admit_as::<F, F, E>(future, owner)
    }

    /// The same for a task that is named after the type `N`.
    pub(crate) fn admit_as<N, F, E>(
        self: &Rc<Self>,
        future: F,
        owner: Option<(&dyn Owner, bool)>,
    ) -> TaskRef
    where
        F: Future + 'static,
        F::Output: TaskOutput<E>,
        E: fmt::Debug + 'static,
    {
        // The copy is made early: it is copied again below, and a copy right after the writes would
        // stall on store forwarding.
        let mut next = Some(future);
        let task = self.reserve(std::any::type_name::<N>);
        let cell = &*task;
        let mut body = cell.body.take();
        if let Some(kept) = &mut body {
            kept.as_mut().refill(&mut next);
        }
        if let Some(future) = next {
            body = Some(Box::pin(SlotOf::<F, E>::Running { future }));
        }
        cell.body.put_some(body);
        self.begin(&task, cell, 0, owner);
        task
    }

    /// The same for a future that is already boxed.
    #[inline(never)]
    pub(crate) fn admit_boxed(
        self: &Rc<Self>,
        body: Pin<Box<dyn Body>>,
        type_name: fn() -> &'static str,
        owner: Option<(&dyn Owner, bool)>,
    ) -> TaskRef {
        let task = self.reserve(type_name);
        drop(task.body.take());
        task.body.put(body);
        self.begin(&task, &task, Flags::LARGE, owner);
        task
    }

    /// Makes a task whose future another future polls: the host, which is among the tasks of
    /// `owner`. The caller owns one of its `holders`, gives it a slot of the host, and adds the
    /// slot to the queue of the host. No borrow may be held, because observers see the task.
    #[inline(never)]
    pub(crate) fn admit_hosted(
        self: &Rc<Self>,
        type_name: fn() -> &'static str,
        owner: &impl Owner,
    ) -> TaskRef {
        let task = self.reserve(type_name);
        task.flags.become_alive(Flags::HOSTED | Flags::QUEUED);
        // Hosted tasks are not counted among the tasks that live: they end with their host.
        self.ended.set(self.ended.get() + 1);
        if self.spawns_plain.get() {
            if let Some(reason) = owner.adopt(self, &task, false) {
                self.request(&task, reason);
            }
        } else {
            self.begin_hosted(&task, owner);
        }
        task
    }

    /// The slow path of `admit_hosted`, in the cases of `admit_special`.
    #[cold]
    #[inline(never)]
    fn begin_hosted(&self, task: &TaskRef, owner: &impl Owner) {
        let shutdown = self.prepare(task);
        if let Some(reason) = shutdown.or(owner.adopt(self, task, false)) {
            self.request(task, reason);
        }
        self.observe_if_marked(task, Moment::Created);
    }

    /// Takes a cell for a new task. It has no body, but perhaps the box of an earlier one.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn reserve(self: &Rc<Self>, type_name: fn() -> &'static str) -> TaskRef {
        let (task, serial) = self.tasks.borrow_mut().admit(self);
        task.begin(serial);
        task.set_origin(Origin { parent: self.running.get(), type_name });
        task
    }

    /// The task has its body: sets its flags and queues it.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn begin(
        &self,
        task: &TaskRef,
        cell: &TaskCell,
        large: u32,
        owner: Option<(&dyn Owner, bool)>,
    ) {
        if self.spawns_plain.get() && owner.is_none() {
            cell.flags.become_alive(large | Flags::QUEUED | Flags::NEW);
            self.ready.borrow_mut().push(task.index());
        } else {
            cell.flags.become_alive(large | Flags::NEW);
            self.admit_special(task, owner);
        }
    }

    /// The slow path of `begin`: for a member of a group, a task that inherits values or is
    /// observed, and during the shutdown. Leaves an observed task, and every task once the kernel
    /// is closed, for [`TaskRef::announce_if_not_queued`].
    #[inline(never)]
    fn admit_special(&self, cell: &TaskRef, owner: Option<(&dyn Owner, bool)>) {
        let mut born_cancelled = None;
        if !self.spawns_plain.get() {
            if self.stage.get() == Stage::Closed {
                return self.mark_observed(cell);
            }
            born_cancelled = self.prepare(cell);
        }
        if let Some((owner, daemon)) = owner {
            let reason = owner.adopt(self, cell, daemon);
            born_cancelled = born_cancelled.or(reason);
        }
        if cell.flags.any(Flags::OBSERVED) {
            if let Some(reason) = born_cancelled {
                cell.set_request(self.next_cancel_seq(), reason, self.tick_now());
            }
            return;
        }
        self.make_ready(cell);
        if let Some(reason) = born_cancelled {
            self.request(cell, reason);
        }
    }

    /// The part of `begin` for a kernel whose spawns are not plain. Returns a reason if the task
    /// must be cancelled at once.
    #[cold]
    #[inline(never)]
    fn prepare(&self, task: &TaskRef) -> Option<CancelReason> {
        self.mark_observed(task);
        self.inherit(task);
        (self.stage.get() != Stage::Open).then_some(CancelReason::Shutdown)
    }

    /// Takes a cell for the main task.
    pub(crate) fn admit_main(self: &Rc<Self>) -> TaskRef {
        let (task, serial) = self.tasks.borrow_mut().admit(self);
        task.begin(serial);
        task.flags.become_alive(Flags::MAIN | Flags::NEW);
        task.set_known(false);
        self.mark_observed(&task);
        // The main task has no body, so it does not keep the box of an earlier task.
        drop(task.body.take());
        task
    }

    /// Ends a task: informs its group and wakes its joiners. `real`: its error after a delivered
    /// cancellation is not the echo of that cancellation.
    #[inline]
    pub(crate) fn finish(&self, task: &TaskRef, end: TaskEnd, real: bool) {
        let cell = &**task;
        cell.flags.finish(end);
        let failure = match end {
            TaskEnd::Ok | TaskEnd::Aborted => false,
            TaskEnd::Failed | TaskEnd::Panicked => true,
            TaskEnd::Cancelled => real,
        };
        if failure {
            cell.flags.set(Flags::FAILURE);
        }
        self.ended.set(self.ended.get() + 1);
        if cell.flags.any(Flags::MEMBER) {
            self.owned_ended(task, end);
        }
        if cell.flags.any(Flags::AWAITED | Flags::COLD) {
            task.wake_waiters(self);
        }
        if cell.holders.get() == 0 {
            self.release(task);
        }
    }

    /// The poll of a task returned its output.
    #[inline(always)]
    pub(crate) fn returned(&self, task: &TaskRef, verdict: Verdict) {
        match verdict {
            Verdict::Ok => self.finish(task, TaskEnd::Ok, false),
            Verdict::Err => self.failed(task),
        }
    }

    #[inline(never)]
    fn failed(&self, task: &TaskRef) {
        let (end, real) = match task.delivered_identity() {
            Some(identity) => (TaskEnd::Cancelled, !self.is_echo_of_own(task, identity)),
            None => (TaskEnd::Failed, true),
        };
        self.finish(task, end, real);
    }

    /// Removes one holder.
    #[inline]
    pub(crate) fn drop_holder(&self, cell: &TaskRef) {
        let left = cell.holders.get() - 1;
        cell.holders.set(left);
        if left == 0 {
            self.release(cell);
        }
    }

    /// Frees the cell of an ended task without holders. Reports a failure that was not taken (K6).
    #[inline(never)]
    pub(crate) fn release(&self, task: &TaskRef) {
        let cell = &**task;
        if cell.holders.get() > 0 || !cell.flags.are(Flags::ENDED | Flags::QUEUED, Flags::ENDED) {
            return;
        }
        if !cell.flags.are(Flags::NEEDS_CLEARING, Flags::TAKEN) {
            self.clear_away(task);
        }
        cell.flags.become_free();
        self.tasks.borrow_mut().release(task, cell);
    }
}
