//! The task that has waited for an item of a queue last: what a queue of `sync` notes for the tasks
//! that wait for room.
//!
//! Any task that can reach a queue may read from it, so no verdict follows. But where the reader
//! has ended, that is in most programs why no item is taken any more.
//!
//! A reader notes itself when it begins to wait, that is, while the queue is empty. A task that
//! waits for room copies the note to where the kernel finds it. Until that task goes on, the queue
//! is full, and no reader waits.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::rc::{Rc, Weak};

use crate::core::queue::WaitQueue;
use crate::id::TaskId;
use crate::parts::held::Taker;

thread_local! {
    /// By the number of the wait queue of those that wait for room.
    static QUEUES: RefCell<HashMap<u64, Weak<Shown>>> = RefCell::default();
}

/// The task of that kernel that has waited last for an item of the queue in which the waiters of
/// that number wait for room.
pub(crate) fn find(number: u64, kernel: u32) -> Option<TaskId> {
    let found = QUEUES.try_with(|queues| queues.borrow().get(&number)?.upgrade());
    found.ok().flatten()?.last.get().in_kernel(kernel)
}

/// Notes the task that has waited for an item last.
#[doc(hidden)]
pub struct Reader {
    last: Cell<Taker>,
    shown: OnceCell<Rc<Shown>>,
}

struct Shown {
    number: u64,
    last: Cell<Taker>,
}

impl Reader {
    /// Of a queue for whose items no task has waited.
    pub const fn new() -> Self {
        Reader { last: Cell::new(Taker::NONE), shown: OnceCell::new() }
    }

    /// That task begins to wait for an item.
    #[inline]
    pub fn note(&self, reader: Taker) {
        self.last.set(reader);
    }

    /// Called when a leaf waits for room in `queue`: the kernel sees the note.
    pub fn show<T>(&self, queue: &WaitQueue<T>) {
        let shown = self.shown.get_or_init(|| {
            let number = queue.fifo().number();
            let shown = Rc::new(Shown { number, last: Cell::new(Taker::NONE) });
            // A destructor of another thread-local may come late; then nothing is shown any more.
            let _ = QUEUES.try_with(|all| all.borrow_mut().insert(number, Rc::downgrade(&shown)));
            shown
        });
        shown.last.set(self.last.get());
    }
}

impl Default for Reader {
    fn default() -> Self {
        Reader::new()
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reader").field(&self.last.get().task.as_option()).finish()
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        let _ = QUEUES.try_with(|queues| {
            let mut queues = queues.borrow_mut();
            queues.remove(&self.number);
            if queues.is_empty() {
                *queues = HashMap::new();
            }
        });
    }
}
