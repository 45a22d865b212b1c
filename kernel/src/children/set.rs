//! The children of a scope: a set of boxed futures that grows and shrinks.

use std::any::type_name;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Pending;
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::children::bounds::ChildOutput;
use crate::children::hosting::Children;
use crate::core::current::Entered;
use crate::core::host_queue::HostQueue;
use crate::core::hosted::{Hosted, HostedBody, HostedEnd, HostedEntry, HostedFailure, HostedPoll};
use crate::core::nested::Nested;
use crate::core::owner::Owner;
use crate::core::state::{Core, TaskRef};
use crate::group::state::GroupState;
use crate::task::body::{Body, Slot};
use crate::task::cell::TaskEnd;
use crate::task::state::Flags;
use pin_project_lite::pin_project;

/// Where a child puts its value, and its handle takes it.
pub(super) type Value<T> = Rc<Cell<Option<T>>>;

/// The children of a scope that have not ended.
pub(super) struct ChildSet<'env> {
    pub(super) core: Rc<Core>,
    pub(super) group: Rc<GroupState>,
    entries: RefCell<Hosted<'env>>,
}

pin_project! {
    /// A future that puts its value where the handle of the child finds it.
    struct Kept<F, T, E> {
        #[pin]
        future: Option<F>,
        value: Value<T>,
        error: PhantomData<fn() -> E>,
    }
}

impl<F, T, E> HostedBody for Kept<F, T, E>
where
    F: Future,
    F::Output: ChildOutput<E, Value = T>,
    E: fmt::Debug + 'static,
{
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<HostedEnd> {
        let mut this = self.project();
        let Some(future) = this.future.as_mut().as_pin_mut() else {
            unreachable!("a child that has ended is not polled")
        };
        let Poll::Ready(output) = future.poll(cx) else { return Poll::Pending };
        this.future.set(None);
        Poll::Ready(match output.into_result() {
            Ok(value) => {
                // Without a handle nobody takes it, and it is dropped here.
                if Rc::strong_count(this.value) > 1 {
                    this.value.set(Some(value));
                }
                None
            }
            Err(error) => Some(body_of_error(error)),
        })
    }
}

/// A body that holds only an error, for the cell of a child that has failed.
fn body_of_error<E: fmt::Debug + 'static>(error: E) -> Pin<Box<dyn Body>> {
    Box::pin(Slot::<Pending<Result<(), E>>, (), E>::Ended { output: Some(Err(error)) })
}

impl<'env> ChildSet<'env> {
    pub(super) fn new(core: Rc<Core>, group: Rc<GroupState>) -> Self {
        let entries = RefCell::new(group.host_members().take_memory());
        ChildSet { core, group, entries }
    }

    pub(super) fn queue(&self) -> &HostQueue {
        self.group.host_queue().expect("it is open while the scope lives")
    }

    /// Starts a child. It is polled with the others, not before this returns. The caller owns one
    /// of its holders.
    pub(super) fn start<F, E>(
        &self,
        future: F,
    ) -> (TaskRef, Value<<F::Output as ChildOutput<E>>::Value>)
    where
        F: Future + 'env,
        F::Output: ChildOutput<E>,
        <F::Output as ChildOutput<E>>::Value: 'env,
        E: fmt::Debug + 'static,
    {
        let value = Value::default();
        let kept =
            Kept::<F, _, E> { future: Some(future), value: value.clone(), error: PhantomData };
        let body = Box::pin(kept);
        let task = self.core.admit_hosted(type_name::<F>, &*self.group);
        task.holders.set(task.holders.get() + 1);
        let slot = self.entries.borrow_mut().add(HostedEntry { task: task.clone(), body });
        task.membership().slot.set(slot);
        self.queue().push(slot);
        (task, value)
    }
}

impl Children for &ChildSet<'_> {
    fn poll_child(self: Pin<&mut Self>, slot: u32, nested: &mut Nested<'_>) -> bool {
        let entry = self.entries.borrow_mut().take(slot);
        let Some(HostedEntry { task, mut body }) = entry else { return false };
        let polled = if task.flags.any(Flags::ABORT) {
            nested.leave();
            task.flags.clear(Flags::QUEUED);
            HostedPoll::Ended(HostedFailure::Aborted)
        } else {
            self.core.poll_hosted(nested, &task, self.queue(), |cx| body.as_mut().poll(cx))
        };
        match polled {
            HostedPoll::Pending => {
                self.entries.borrow_mut().put(slot, HostedEntry { task, body });
                return false;
            }
            HostedPoll::Value => {
                // Its future is dropped already, and its value is not in it.
                drop(body);
                self.entries.borrow_mut().free(slot);
                self.end_well(&task, nested);
            }
            HostedPoll::Ended(failure) => self.end_badly(slot, HostedEntry { task, body }, failure),
        }
        true
    }
}

impl<'env> ChildSet<'env> {
    #[inline]
    fn end_well(&self, task: &TaskRef, nested: &mut Nested<'_>) {
        let (core, group) = (&*self.core, &*self.group);
        if group.member_ends_quietly()
            && !task.flags.any(Flags::COLD | Flags::CANCEL_REQUESTED | Flags::INHERITS)
        {
            // No code of the program runs, so the context may stay as it is.
            core.end_hosted_well(task, || group.ended_quietly(core, task));
        } else {
            nested.leave();
            core.end_hosted_well(task, || group.ended(core, task, TaskEnd::Ok));
        }
        core.drop_holder(task);
    }

    #[cold]
    #[inline(never)]
    fn end_badly(&self, slot: u32, entry: HostedEntry<'env>, failure: HostedFailure) {
        let HostedEntry { task, body } = entry;
        match failure {
            HostedFailure::Returned(_) => drop(body),
            _ => self.core.discard_in(self.core.take_values(&task), body),
        }
        self.entries.borrow_mut().free(slot);
        self.core.end_hosted(&task, failure);
        self.core.drop_holder(&task);
    }

    /// Drops the futures of the children, the youngest first.
    #[cold]
    fn drop_children(&self, mut left: Vec<HostedEntry<'env>>) {
        let _entered = Entered::unless_current(&self.core);
        left.sort_unstable_by_key(|entry| entry.task.serial.get());
        for HostedEntry { task, body } in left.into_iter().rev() {
            let values = self.core.take_values(&task);
            self.core.end_hosted(&task, HostedFailure::Aborted);
            self.core.discard_in(values, body);
            self.core.drop_holder(&task);
        }
    }
}

/// Drops the futures of the children, the youngest first, without awaiting their cleanup (S4).
impl Drop for ChildSet<'_> {
    fn drop(&mut self) {
        let mut entries = self.entries.take();
        let queue = self.queue();
        if !queue.is_empty() {
            // Children that wait in the queue are in no other.
            let queued = queue.batch().filter_map(|slot| entries.task(slot));
            queued.for_each(|task| task.flags.clear(Flags::QUEUED));
        }
        let left = entries.take_all();
        queue.keep_memory(entries);
        if !left.is_empty() {
            self.drop_children(left);
        }
    }
}
