//! When a leaf must be ready: an exact model of everything that a leaf can wait for.
//!
//! A gate says at every poll whether the operation can complete. If it can, the leaf must return it
//! (C1). If it cannot, the leaf must not (Y2).

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use super::model::TaskModel;
use super::program::Ms;

/// What the leaf with this number waits for.
#[derive(Clone)]
pub(crate) enum Gate {
    /// Something that the model does not know.
    Unknown,
    /// Nothing: it is always ready.
    Open,
    /// The second poll.
    Again,
    /// A time, but never at the first poll.
    Time(Option<Ms>),
    /// The end of a task.
    End(Rc<TaskModel>),
    /// Permits of a semaphore, or the one of a lock.
    Permits(Rc<Turnstile>, usize),
    Event(Rc<Flag>),
}

impl Gate {
    /// Whether the leaf completes in this poll. `None` if the model does not know.
    pub(crate) fn opens(&self, leaf: u64, first: bool, now: Ms) -> Option<bool> {
        match self {
            Gate::Unknown => None,
            Gate::Open => Some(true),
            Gate::Again => Some(!first),
            Gate::Time(due) => Some(!first && due.is_some_and(|due| due <= now)),
            Gate::End(task) => Some(!task.live.get()),
            Gate::Permits(turnstile, n) if first => Some(turnstile.enter(leaf, *n)),
            Gate::Permits(turnstile, _) => Some(turnstile.granted.borrow().contains_key(&leaf)),
            Gate::Event(flag) if first => Some(flag.enter(leaf)),
            Gate::Event(flag) => Some(flag.set.get() || !flag.waiting.borrow().contains(&leaf)),
        }
    }

    /// The leaf has taken what it waited for.
    pub(crate) fn taken(&self, leaf: u64) {
        if let Gate::Permits(turnstile, _) = self {
            turnstile.granted.borrow_mut().remove(&leaf);
        }
    }

    /// The leaf ends without it.
    pub(crate) fn left(&self, leaf: u64) {
        match self {
            Gate::Permits(turnstile, _) => turnstile.leave(leaf),
            Gate::Event(flag) => flag.waiting.borrow_mut().retain(|other| *other != leaf),
            _ => {}
        }
    }
}

/// Permits, strictly first come, first served (Y2).
pub(crate) struct Turnstile {
    pub(crate) free: Cell<usize>,
    queue: RefCell<VecDeque<(u64, usize)>>,
    /// The waiters that were granted permits and have not been polled.
    granted: RefCell<BTreeMap<u64, usize>>,
}

impl Turnstile {
    pub(crate) fn new(free: usize) -> Rc<Self> {
        let (queue, granted) = (RefCell::default(), RefCell::default());
        Rc::new(Turnstile { free: Cell::new(free), queue, granted })
    }

    fn enter(&self, leaf: u64, n: usize) -> bool {
        if self.queue.borrow().is_empty() && self.free.get() >= n {
            self.free.set(self.free.get() - n);
            self.granted.borrow_mut().insert(leaf, n);
            return true;
        }
        self.queue.borrow_mut().push_back((leaf, n));
        false
    }

    pub(crate) fn release(&self, n: usize) {
        self.free.set(self.free.get() + n);
        self.serve();
    }

    fn serve(&self) {
        let mut queue = self.queue.borrow_mut();
        while let Some((leaf, n)) = queue.front().copied().filter(|(_, n)| *n <= self.free.get()) {
            queue.pop_front();
            self.free.set(self.free.get() - n);
            self.granted.borrow_mut().insert(leaf, n);
        }
    }

    fn leave(&self, leaf: u64) {
        let granted = self.granted.borrow_mut().remove(&leaf);
        self.queue.borrow_mut().retain(|(other, _)| *other != leaf);
        self.release(granted.unwrap_or(0));
    }
}

/// An event: a pulse reaches all waiters.
pub(crate) struct Flag {
    pub(crate) set: Cell<bool>,
    waiting: RefCell<Vec<u64>>,
}

impl Flag {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Flag { set: Cell::new(false), waiting: RefCell::default() })
    }

    fn enter(&self, leaf: u64) -> bool {
        if !self.set.get() {
            self.waiting.borrow_mut().push(leaf);
        }
        self.set.get()
    }

    pub(crate) fn set(&self) {
        self.set.set(true);
        self.waiting.borrow_mut().clear();
    }
}
