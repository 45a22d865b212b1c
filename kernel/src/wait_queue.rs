//! FIFO waiters with hand-over: what every primitive of `sync` stands on.
//!
//! A release gives what it releases to the oldest waiter, at once: nobody who comes later can take
//! it first, and the waiter owns it before it has run. A waiter that then dies passes it on
//! ([`Handoff::pass_on`]); one that is cancelled keeps it (C1). Source: the parking lot of trio and
//! `join_with_cleanup` of lilos; what this deliberately lacks is waking without handing over.
//!
//! It needs no kernel: waiters may be polled by any executor of the thread.

use std::cell::{Cell, RefCell};
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::error::TaskCancelled;
use crate::leaf::CancelPoint;
use crate::links::NONE;
use crate::target::Target;

/// Waiters in order of arrival, each of which will be handed a `T`.
pub struct WaitQueue<T = ()> {
    waiting: Cell<u32>,
    list: RefCell<List<T>>,
}

struct List<T> {
    nodes: Vec<Node<T>>,
    head: u32,
    tail: u32,
    free: u32,
}

struct Node<T> {
    previous: u32,
    next: u32,
    weight: usize,
    state: State<T>,
}

/// `poll_enter`: `Free` → `Waiting`; `hand_over`: → `Handed`; `leave`, or `poll_enter` once more: →
/// `Free`. `waiting` counts those that are `Waiting`, which are the linked ones.
enum State<T> {
    Free,
    Waiting(Target),
    Handed(T),
}

/// The place of one waiter in a [`WaitQueue`]; belongs to one queue.
///
/// Not tied to it by a reference, so whoever holds it gives it back with [`WaitQueue::leave`].
#[derive(Debug, Default)]
pub struct WaitSlot(Option<u32>);

impl<T> WaitQueue<T> {
    /// An empty queue; it allocates at its first waiter.
    pub const fn new() -> Self {
        let list = List { nodes: Vec::new(), head: NONE, tail: NONE, free: NONE };
        WaitQueue { waiting: Cell::new(0), list: RefCell::new(list) }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.get() as usize
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the oldest waiter asked for, if anybody waits: the `weight` of its [`poll_enter`].
    ///
    /// [`poll_enter`]: WaitQueue::poll_enter
    pub fn oldest_weight(&self) -> Option<usize> {
        let list = self.list.borrow();
        list.nodes.get(list.head as usize).map(|node| node.weight)
    }

    /// Takes what was handed over to `slot`; else puts it at the end of the queue, or leaves it in
    /// its place, to be woken as `cx` says. `weight` is how much it asks for, 1 for most.
    pub fn poll_enter(&self, slot: &mut WaitSlot, weight: usize, cx: &Context<'_>) -> Poll<T> {
        let Some(at) = slot.0 else {
            let target = Target::of(cx);
            slot.0 = Some(self.list.borrow_mut().push(target, weight));
            self.waiting.set(self.waiting.get() + 1);
            return Poll::Pending;
        };
        let stale = {
            let mut list = self.list.borrow_mut();
            match &list.nodes[at as usize].state {
                State::Handed(_) => {
                    slot.0 = None;
                    return Poll::Ready(list.take_handed(at));
                }
                State::Waiting(target) => !target.is(cx),
                State::Free => unreachable!("a slot holds its node"),
            }
        };
        if stale { self.retarget(slot, at, cx) } else { Poll::Pending }
    }

    /// It waits, to be woken otherwise than it said.
    #[cold]
    fn retarget(&self, slot: &mut WaitSlot, at: u32, cx: &Context<'_>) -> Poll<T> {
        let mut target = Target::of(cx);
        let mut list = self.list.borrow_mut();
        let handed = match &mut list.nodes[at as usize].state {
            State::Waiting(old) => {
                std::mem::swap(old, &mut target);
                Poll::Pending
            }
            // While a program's code cloned the waker.
            _ => {
                slot.0 = None;
                Poll::Ready(list.take_handed(at))
            }
        };
        drop(list);
        drop(target);
        handed
    }

    /// Hands `value` to the oldest waiter and wakes it; gives it back if nobody waits.
    pub fn hand_over(&self, value: T) -> Result<(), T> {
        if self.is_empty() {
            return Err(value);
        }
        self.waiting.set(self.waiting.get() - 1);
        let target = self.list.borrow_mut().hand_over(value);
        target.wake();
        Ok(())
    }

    /// Hands to everybody who waits now, oldest first, and wakes them.
    pub fn hand_over_all(&self, mut value: impl FnMut() -> T) {
        // One after the other, as waking may run foreign code that enters or leaves the queue.
        for _ in 0..self.len() {
            if self.hand_over(value()).is_err() {
                break;
            }
        }
    }

    /// Takes the waiter out. Gives what it had been handed, which somebody must now pass on.
    pub fn leave(&self, slot: &mut WaitSlot) -> Option<T> {
        let at = slot.0.take()?;
        let (target, handed) = {
            let mut list = self.list.borrow_mut();
            match list.nodes[at as usize].state {
                State::Handed(_) => (None, Some(list.take_handed(at))),
                _ => {
                    self.waiting.set(self.waiting.get() - 1);
                    (Some(list.remove(at)), None)
                }
            }
        };
        drop(target);
        handed
    }
}

impl<T> List<T> {
    fn push(&mut self, target: Target, weight: usize) -> u32 {
        let at = if self.free == NONE { self.grow() } else { self.free };
        let node = &mut self.nodes[at as usize];
        self.free = node.next;
        node.previous = self.tail;
        node.next = NONE;
        node.weight = weight;
        node.state = State::Waiting(target);
        match self.tail {
            NONE => self.head = at,
            tail => self.nodes[tail as usize].next = at,
        }
        self.tail = at;
        at
    }

    /// One more node, free.
    #[cold]
    fn grow(&mut self) -> u32 {
        let at = u32::try_from(self.nodes.len()).expect("fewer than 2^32 waiters");
        self.nodes.push(Node { previous: NONE, next: NONE, weight: 0, state: State::Free });
        at
    }

    fn unlink(&mut self, at: u32) {
        let Node { previous, next, .. } = self.nodes[at as usize];
        match previous {
            NONE => self.head = next,
            previous => self.nodes[previous as usize].next = next,
        }
        match next {
            NONE => self.tail = previous,
            next => self.nodes[next as usize].previous = previous,
        }
    }

    fn release(&mut self, at: u32) -> State<T> {
        self.nodes[at as usize].next = self.free;
        self.free = at;
        std::mem::replace(&mut self.nodes[at as usize].state, State::Free)
    }

    /// To the oldest, which there is.
    fn hand_over(&mut self, value: T) -> Target {
        let at = self.head;
        self.unlink(at);
        match std::mem::replace(&mut self.nodes[at as usize].state, State::Handed(value)) {
            State::Waiting(target) => target,
            _ => unreachable!("only waiting nodes are linked"),
        }
    }

    fn take_handed(&mut self, at: u32) -> T {
        match self.release(at) {
            State::Handed(value) => value,
            _ => unreachable!("asked only of a node that was handed something"),
        }
    }

    fn remove(&mut self, at: u32) -> State<T> {
        self.unlink(at);
        self.release(at)
    }
}

impl<T> Default for WaitQueue<T> {
    fn default() -> Self {
        WaitQueue::new()
    }
}

impl<T> std::fmt::Debug for WaitQueue<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WaitQueue").field("waiting", &self.len()).finish()
    }
}

/// One kind of waiting on a primitive: how to get the thing at once, and what becomes of it.
///
/// [`Wait`] turns it into a leaf. See `sync::Lock` for the smallest use.
pub trait Handoff {
    /// What the queue hands over.
    type Item;
    /// What the leaf gives.
    type Output;

    /// The queue to wait in.
    fn queue(&self) -> &WaitQueue<Self::Item>;

    /// The thing, if it can be had without waiting and without overtaking anybody.
    fn try_take(&mut self) -> Option<Self::Item>;

    /// How much it asks for: see [`WaitQueue::oldest_weight`].
    fn weight(&self) -> usize {
        1
    }

    /// Makes the output of what was taken or handed over.
    fn finish(&mut self, item: Self::Item) -> Self::Output;

    /// The waiter was handed `item` and dropped before it took it: give it to the next, or back.
    fn pass_on(&mut self, item: Self::Item);

    /// The waiter left the queue with nothing: those behind it may be served now, where that
    /// depends on what it asked for.
    fn left(&mut self) {}
}

/// The leaf that waits for a [`Handoff`].
///
/// # Cancellation
///
/// Nothing is lost: cancelled or dropped while it waits, it leaves the queue without a trace;
/// cancelled after the hand-over, it returns what it was handed; dropped after it, it passes it on.
#[must_use = "futures do nothing unless you `.await` or poll them"]
pub struct Wait<H: Handoff> {
    handoff: H,
    slot: WaitSlot,
    point: CancelPoint,
}

impl<H: Handoff> Wait<H> {
    /// Waits as `kind`, shown at the caller's place.
    #[track_caller]
    pub fn new(kind: &'static str, handoff: H) -> Self {
        Wait::at(kind, Location::caller(), handoff)
    }

    /// The same, shown at another place.
    pub fn at(kind: &'static str, site: &'static Location<'static>, handoff: H) -> Self {
        Wait { handoff, slot: WaitSlot::default(), point: CancelPoint::at(kind, site) }
    }
}

// No field is ever pinned.
impl<H: Handoff> Unpin for Wait<H> {}

impl<H: Handoff> Future for Wait<H> {
    type Output = Result<H::Output, TaskCancelled>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Wait { handoff, slot, point } = &mut *self;
        let polled = point.poll(cx, |cx| {
            if slot.0.is_none() {
                if let Some(item) = handoff.try_take() {
                    return Poll::Ready(item);
                }
            }
            handoff.queue().poll_enter(slot, handoff.weight(), cx)
        });
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(item)) => Poll::Ready(Ok(handoff.finish(item))),
            Poll::Ready(Err(cancelled)) => {
                self.leave();
                Poll::Ready(Err(cancelled))
            }
        }
    }
}

impl<H: Handoff> Wait<H> {
    /// Out of the queue. What had been handed over is there only if this is dropped, or if a budget
    /// was spent before it could be looked at; a leaf that would park has been handed nothing.
    #[inline]
    fn leave(&mut self) {
        if self.slot.0.is_some() {
            self.leave_queue();
        }
    }

    #[inline(never)]
    fn leave_queue(&mut self) {
        match self.handoff.queue().leave(&mut self.slot) {
            Some(item) => self.handoff.pass_on(item),
            None => self.handoff.left(),
        }
    }
}

impl<H: Handoff> Drop for Wait<H> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl<H: Handoff> std::fmt::Debug for Wait<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wait").field("point", &self.point).finish()
    }
}
