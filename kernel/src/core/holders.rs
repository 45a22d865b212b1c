//! The tasks that hold an object: what the primitives of `sync` note for the wait graph.
//!
//! A parked leaf has the number of its wait queue in its record ([`Parked::object`]). Here that
//! number leads to the tasks that hold the object. A [`Holder`] is part of an object that one task
//! holds at a time, [`Holders`] of one that several hold. The object notes each taking, and what it
//! has noted is in a table of the thread from the first parked waiter on. So a lock that no task
//! ever waits for costs a few stores, and no memory outside itself.
//!
//! # What the note proves
//!
//! The note says which task *took* the object. The guard is a value: the program may move it to
//! another task, through a `RefCell` or a channel, and no code of the kernel runs when it does. So
//! "took" does not imply "still holds", and no note can: between the taking and the drop, a guard
//! leaves no trace. What is certain is this:
//! 1. A guard is not `Send`. Only code on this thread can have it: the tasks of this kernel and
//!    what they leave behind; and for a guest, the code between its turns and the other kernels of
//!    the thread.
//! 2. A guard comes to another task only while some task runs, and from one that is stuck no more.
//! 3. An object that was *granted* (handed over, but not taken by its waiter yet) is held by the
//!    wait itself, and changes its owner only when the wait is polled or dropped.
//!
//! Hence an edge to a holder is part of a *certain* verdict only if every task of the kernel that
//! has not ended is stuck, by the same edges, and the kernel is no guest: then nothing is left that
//! could have the guard and run. In any other kernel the verdict holds on the condition that the
//! guard was not moved, and says so. The same is true of an edge to the task that has polled a
//! borrowing scope last, because a scope is a value as well. Edges of `join`, of groups and of
//! `cancel` need no condition, because no value can be moved away from them.
//!
//! A note has the number of the kernel beside the id of the task, because guests may share an
//! object, and an object may outlive its kernel. Another kernel shows no holder of it.
//!
//! A waiter that is polled with another waker than that of its task, such as one of a
//! `FuturesUnordered`, counts for the task that polled it first. One that was polled outside a task
//! is not known: if it holds the object, no holder of that is shown.
//!
//! [`Parked::object`]: crate::parts::scopes::Parked::object

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::rc::{Rc, Weak};

use slab::Slab;

use crate::core::current;
use crate::core::queue::WaitQueue;
use crate::core::state::{Core, TaskRef, Waiter};
use crate::id::TaskId;
use crate::parts::fifo::Site;
use crate::parts::held::{Held, Taker};

/// An object in the table.
trait Object {
    /// The tasks that hold it, if all of them are known and of that kernel.
    fn held(&self, kernel: u32) -> Option<Held>;
}

thread_local! {
    /// The objects that a task has waited for, by the number of their queue.
    static OBJECTS: RefCell<HashMap<u64, Weak<dyn Object>>> = RefCell::default();
}

/// The tasks that hold the object with the wait queue of that number. None if the object does not
/// note them all, or if one is not of that kernel.
pub(crate) fn find(object: u64, kernel: u32) -> Option<Held> {
    let found = OBJECTS.try_with(|objects| objects.borrow().get(&object)?.upgrade());
    found.ok().flatten()?.held(kernel)
}

fn enter(number: u64, object: Weak<dyn Object>) {
    // A destructor of another thread-local may come late; then nothing is shown any more.
    let _ = OBJECTS.try_with(|objects| objects.borrow_mut().insert(number, object));
}

fn leave(number: u64) {
    let _ = OBJECTS.try_with(|objects| {
        let mut objects = objects.borrow_mut();
        objects.remove(&number);
        if objects.is_empty() {
            *objects = HashMap::new();
        }
    });
}

impl Taker {
    /// The task that runs. None outside a kernel, and in a destructor that the kernel itself runs
    /// between tasks.
    pub fn running() -> Option<Self> {
        let of = |core: &Rc<Core>| Some(Taker { task: core.running_id()?, kernel: core.number });
        current::try_with(of).flatten()
    }

    /// The task that is handed something.
    #[inline]
    fn of(waiter: &Waiter) -> Self {
        let of_task = |task: &TaskRef| Taker { task: task.id(), kernel: task.core().number };
        waiter.noted_task().map_or(Taker::NONE, of_task)
    }
}

/// Notes the task that holds an object which one task holds at a time.
#[doc(hidden)]
pub struct Holder {
    /// What is noted, until the object is in the table.
    first: Cell<Taker>,
    shown: OnceCell<Rc<One>>,
}

struct One {
    number: u64,
    held: Cell<Taker>,
    /// The wait to which the object was handed over, until that takes it.
    untaken: Cell<Site>,
}

impl Holder {
    /// Of an object that no task holds.
    pub const fn new() -> Self {
        Holder { first: Cell::new(Taker::NONE), shown: OnceCell::new() }
    }

    #[inline]
    fn note(&self) -> &Cell<Taker> {
        self.shown.get().map_or(&self.first, |shown| &shown.held)
    }

    /// The task that was noted last. It holds nothing if the object is free.
    pub fn taker(&self) -> Taker {
        self.note().get()
    }

    /// The task that is polled takes the object.
    #[inline]
    pub fn take(&self) {
        let task = current::taker();
        match self.shown.get() {
            Some(shown) => {
                shown.held.set(task);
                shown.untaken.set(None);
            }
            None => self.first.set(task),
        }
    }

    /// The wait that it was handed over to takes the object.
    #[inline]
    pub fn take_handed(&self) {
        if let Some(shown) = self.shown.get() {
            shown.untaken.set(None);
        }
    }

    /// Hands the object over to the oldest waiter, and notes that. False if there is none.
    #[inline]
    pub fn hand_over(&self, queue: &WaitQueue) -> bool {
        let waits = !queue.is_empty();
        if waits {
            self.hand_to_oldest(queue);
        }
        waits
    }

    #[inline(never)]
    fn hand_to_oldest(&self, queue: &WaitQueue) {
        let waiter = queue.fifo().hand_to_oldest(|waiter, site| {
            let task = Taker::of(waiter);
            match self.shown.get() {
                Some(shown) => {
                    shown.held.set(task);
                    shown.untaken.set(site);
                }
                None => self.first.set(task),
            }
        });
        waiter.wake();
    }

    /// Called when a leaf has parked in `queue`: from now on the kernel sees the object.
    #[inline]
    pub fn show(&self, queue: &WaitQueue) {
        if self.shown.get().is_none() {
            self.show_first(queue.fifo().number());
        }
    }

    #[cold]
    fn show_first(&self, number: u64) {
        let one = Rc::new(One { number, held: self.first.clone(), untaken: Cell::new(None) });
        enter(number, Rc::<One>::downgrade(&one));
        let _ = self.shown.set(one);
    }
}

impl Default for Holder {
    fn default() -> Self {
        Holder::new()
    }
}

impl fmt::Debug for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Holder").field(&self.taker().task()).finish()
    }
}

impl Object for One {
    fn held(&self, kernel: u32) -> Option<Held> {
        let tasks = vec![self.held.get().in_kernel(kernel)?];
        Some(Held { tasks, ended: Vec::new(), untaken: self.untaken.get() })
    }
}

impl Drop for One {
    fn drop(&mut self) {
        leave(self.number);
    }
}

/// Notes the tasks that hold an object which several tasks hold together. Each holding has a
/// number, which its guard keeps. This allocates for the first one.
#[doc(hidden)]
pub struct Holders {
    many: OnceCell<Rc<Many>>,
}

/// The number of holdings that cost least.
const FIRST: usize = 8;

struct Many {
    /// 0 until the object is in the table.
    number: Cell<u64>,
    /// One bit for each of `first` that is free.
    free: Cell<u32>,
    first: [Cell<Taker>; FIRST],
    /// The holdings with the numbers from `FIRST` on.
    more: RefCell<Slab<Taker>>,
    /// The wait to which a part was handed over last, until that or another takes its part.
    untaken: Cell<Site>,
}

impl Default for Many {
    fn default() -> Self {
        Many {
            number: Cell::new(0),
            free: Cell::new((1 << FIRST) - 1),
            first: [const { Cell::new(Taker::NONE) }; FIRST],
            more: RefCell::default(),
            untaken: Cell::new(None),
        }
    }
}

impl Many {
    #[inline]
    fn add(&self, held: Taker) -> u32 {
        let free = self.free.get();
        let number = free.trailing_zeros();
        match self.first.get(number as usize) {
            Some(place) => {
                self.free.set(free & free.wrapping_sub(1));
                place.set(held);
                number
            }
            None => self.add_more(held),
        }
    }

    #[cold]
    #[inline(never)]
    fn add_more(&self, held: Taker) -> u32 {
        (FIRST + self.more.borrow_mut().insert(held)) as u32
    }

    #[inline]
    fn remove(&self, number: u32) {
        if (number as usize) < FIRST {
            self.free.set(self.free.get() | 1 << number);
        } else {
            self.remove_more(number);
        }
    }

    #[cold]
    #[inline(never)]
    fn remove_more(&self, number: u32) {
        let mut more = self.more.borrow_mut();
        more.remove(number as usize - FIRST);
        if more.is_empty() {
            *more = Slab::new();
        }
    }
}

impl Holders {
    /// Of an object that no task holds.
    pub const fn new() -> Self {
        Holders { many: OnceCell::new() }
    }

    #[inline]
    fn many(&self) -> &Many {
        self.many.get_or_init(Rc::default)
    }

    /// The task that is polled takes a part of the object.
    #[inline]
    pub fn take(&self) -> u32 {
        self.many().add(current::taker())
    }

    /// A wait takes the part that it was handed, or gives it up.
    #[inline]
    pub fn take_handed(&self) {
        if let Some(many) = self.many.get() {
            many.untaken.set(None);
        }
    }

    /// That part is given back.
    #[inline]
    pub fn give_back(&self, number: u32) {
        if let Some(many) = self.many.get() {
            many.remove(number);
        }
    }

    /// Hands a part over to the oldest waiter, and notes that.
    ///
    /// # Panics
    ///
    /// If there is no waiter.
    pub fn hand_over(&self, queue: &WaitQueue<u32>) {
        let many = self.many();
        let waiter = queue.fifo().hand_to_oldest(|waiter, site| {
            many.untaken.set(site);
            many.add(Taker::of(waiter))
        });
        waiter.wake();
    }

    /// The ids of the tasks that were noted.
    fn noted(&self) -> Vec<Option<TaskId>> {
        let noted = self.many.get().map(|many| many.noted()).unwrap_or_default();
        noted.into_iter().map(Taker::task).collect()
    }

    /// See [`Holder::show`].
    #[inline]
    pub fn show(&self, queue: &WaitQueue<u32>) {
        let many = self.many.get_or_init(Rc::default);
        if many.number.get() == 0 {
            many.show_first(queue.fifo().number());
        }
    }
}

impl Many {
    /// What was noted and is not given back.
    fn noted(&self) -> Vec<Taker> {
        let free = self.free.get();
        let first = self.first.iter().enumerate().filter(|(at, _)| free & (1 << at) == 0);
        let first = first.map(|(_, held)| held.get());
        first.chain(self.more.borrow().iter().map(|(_, held)| *held)).collect()
    }

    #[cold]
    fn show_first(self: &Rc<Self>, number: u64) {
        self.number.set(number);
        enter(number, Rc::<Many>::downgrade(self));
    }
}

impl Default for Holders {
    fn default() -> Self {
        Holders::new()
    }
}

impl fmt::Debug for Holders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Holders").field(&self.noted()).finish()
    }
}

impl Object for Many {
    fn held(&self, kernel: u32) -> Option<Held> {
        let tasks = self.noted().into_iter().map(|held| held.in_kernel(kernel));
        let tasks: Vec<_> = tasks.collect::<Option<_>>()?;
        let untaken = self.untaken.get().filter(|_| tasks.len() == 1);
        Some(Held { tasks, ended: Vec::new(), untaken })
    }
}

impl Drop for Many {
    fn drop(&mut self) {
        if self.number.get() != 0 {
            leave(self.number.get());
        }
    }
}
