//! The children of a scope: a set of boxed futures that grows and shrinks.

use std::any::type_name;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Pending;
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use slab::Slab;

use crate::children::bounds::ChildOutput;
use crate::children::hosting::Children;
use crate::core::current::Entered;
use crate::core::hosted::{HostQueue, HostedEnd, HostedPoll};
use crate::core::state::{Core, TaskRef};
use crate::group::state::GroupState;
use crate::task::body::{Body, Slot};
use crate::task::state::Flags;

/// Where a child puts its value, and its handle takes it.
pub(super) type Value<T> = Rc<Cell<Option<T>>>;

/// The children of a scope that have not ended.
pub(super) struct ChildSet<'env> {
    pub(super) core: Rc<Core>,
    pub(super) group: Rc<GroupState>,
    entries: RefCell<Slab<Entry<'env>>>,
}

struct Entry<'env> {
    /// The set is a holder of it.
    task: TaskRef,
    /// None while it is being polled.
    body: Option<Pin<Box<dyn ChildBody + 'env>>>,
}

/// The future of a child, whatever it returns.
trait ChildBody {
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<HostedEnd>;
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

impl<F, T, E> ChildBody for Kept<F, T, E>
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
                this.value.set(Some(value));
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
        group.host_members();
        ChildSet { core, group, entries: RefCell::default() }
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
        let entry = Entry { task: task.clone(), body: Some(body) };
        let slot = self.entries.borrow_mut().insert(entry);
        let slot = u32::try_from(slot).expect("fewer than 2^32 children");
        task.membership().slot.set(slot);
        self.queue().push(slot);
        (task, value)
    }

    /// Ends a child whose future has been dropped, and removes it.
    fn end(&self, slot: u32, polled: HostedPoll) {
        let Entry { task, .. } = self.entries.borrow_mut().remove(slot as usize);
        self.core.end_hosted(&task, polled);
        self.core.drop_holder(&task);
    }
}

impl Children for &ChildSet<'_> {
    fn poll_child(self: Pin<&mut Self>, slot: u32) -> bool {
        let entry = self.entries.borrow_mut().get_mut(slot as usize).and_then(|entry| {
            let body = entry.body.take()?;
            Some((entry.task.clone(), body))
        });
        let Some((task, mut body)) = entry else { return false };
        let polled = if task.flags.any(Flags::ABORT) {
            task.flags.clear(Flags::QUEUED);
            HostedPoll::Aborted
        } else {
            self.core.poll_hosted(&task, self.queue(), |cx| body.as_mut().poll(cx))
        };
        if let HostedPoll::Pending = polled {
            self.entries.borrow_mut()[slot as usize].body = Some(body);
            return false;
        }
        if let HostedPoll::Returned(_) = polled {
            // Its future is dropped already.
            drop(body);
        } else {
            self.core.discard_in(self.core.take_values(&task), body);
        }
        self.end(slot, polled);
        true
    }
}

/// Drops the futures of the children, the youngest first, without awaiting their cleanup (S4).
impl Drop for ChildSet<'_> {
    fn drop(&mut self) {
        // Children that wait in the queue are in no other.
        while let Some(slot) = self.queue().pop() {
            if let Some(entry) = self.entries.get_mut().get(slot as usize) {
                entry.task.flags.clear(Flags::QUEUED);
            }
        }
        let mut left: Vec<_> = self.entries.take().into_iter().map(|(_, entry)| entry).collect();
        if left.is_empty() {
            return;
        }
        let _entered = Entered::unless_current(&self.core);
        left.sort_unstable_by_key(|entry| entry.task.serial.get());
        for Entry { task, body } in left.into_iter().rev() {
            let values = self.core.take_values(&task);
            self.core.end_hosted(&task, HostedPoll::Aborted);
            self.core.discard_in(values, body);
            self.core.drop_holder(&task);
        }
    }
}
