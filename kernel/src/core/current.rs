//! The context of the thread: the way from the code of a program into the kernel that runs on this
//! thread.
//!
//! Leaves, `spawn`, and wakers that fire on the kernel's own thread all enter here. The
//! thread-local is initialised by a constant and has no destructor. So an access is one load, and
//! it still works after other thread-locals are destroyed: a wake from a late destructor does
//! nothing instead of panicking.
//!
//! What a leaf needs at every poll is in plain cells here: the waker of the task, the budget, and
//! whether a cancellation is due. [`with`] gives access to the rest of the kernel.
//!
//! Invariant *no user code under a kernel borrow*: the closures given to [`with`], [`try_with`],
//! [`with_own_task`] and [`with_polled_task`] run kernel code only. They never poll, wake a foreign
//! waker, drop a future or call back into a program.

use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::task::{RawWakerVTable, Waker};

use crate::core::polled::Notes;
use crate::core::state::{Chunk, Core, TaskRef};
use crate::core::unopened;
use crate::id::TaskId;
use crate::parts::held::Taker;
use crate::parts::list::NONE;
use crate::parts::scopes::Ambient;
use crate::parts::timers::TimerKey;
use crate::task::cell::TaskCell;
use crate::task::request::CancelRequest;

pub(crate) use super::budget::{
    Survey, allow_one, is_spent, must_yield, refuse, renew_budget, spend, unspend,
};
pub(crate) use super::enter::{Entered, is_current, outside, outside_at, with};
pub(crate) use super::marks::{
    Marks, again, end_poll, go_again, has_recorded, is_limited, limit_record, set_recorded, taker,
};

pub(super) struct ThreadContext {
    /// `ManuallyDrop` removes the destructor; [`Entered`] empties the cell instead.
    pub(super) kernel: RefCell<ManuallyDrop<Option<Rc<Core>>>>,
    /// The chunk of the task that is being polled, or was polled last. It belongs to `kernel`, or
    /// to an outer kernel that `Entered` has hidden.
    pub(super) chunk: Cell<ManuallyDrop<Option<Rc<Chunk>>>>,
    /// The id of that task.
    pub(super) name: Cell<TaskId>,
    /// The number of `kernel`, or of the last one.
    pub(super) number: Cell<u32>,
    /// The same while a task is being polled, otherwise `Taker::NO_KERNEL`.
    pub(super) polled_in: Cell<u32>,
    // What the current poll provides to its leaves:
    /// The waker of the current poll, recognised by its address.
    pub(super) waker: Cell<Address>,
    /// The same waker while the ambient is clear and no scope hides it, otherwise `NO_WAKER`. Most
    /// leaves need both conditions, and so make one comparison.
    pub(super) plain: Cell<Address>,
    /// The number of operations that may still complete in this poll of the task (K2). Below zero
    /// it counts the operations that were refused because the budget was spent.
    pub(super) budget: Cell<i32>,
    /// What a leaf that parks gives back of it: its operation. In a survey of the test kit nothing,
    /// so that the next leaf finds the budget spent.
    pub(super) refund: Cell<i32>,
    /// What the leaves of the poll have noted: see `marks.rs`.
    pub(super) marks: Cell<u32>,
    /// The state of the scopes around the leaf, as far as they are open. Clear between polls.
    pub(super) ambient: Cell<Ambient>,
    /// The number of scopes inside those that are not open (`unopened.rs`). 0 between polls.
    pub(super) unopened: Cell<u32>,
    /// How many of these must be open when a leaf inside parks.
    pub(super) hiding: Cell<u32>,
    /// The scopes inside all those, which are not on the stack (`unopened.rs`). 0 between polls.
    pub(super) unstacked: Cell<u32>,
    /// The deadline of the timeout among them.
    pub(super) deadline: Cell<u64>,
    /// The timer of that timeout.
    pub(super) timer: Cell<Option<TimerKey>>,
    /// Whether the poll function that runs is to note what it begins.
    pub(super) notes: Cell<Notes>,
}

/// The address of a waker. All clones of the waker of a task have the same address.
pub(super) type Address = (*const (), *const RawWakerVTable);

pub(super) const NO_WAKER: Address = (std::ptr::null(), std::ptr::null());

impl ThreadContext {
    /// Sets the waker and the ambient for the leaves that are polled from now on.
    #[inline]
    pub(super) fn offer(&self, waker: Address, ambient: Ambient) {
        self.waker.set(waker);
        // The waker of a task is never null.
        let polls = !waker.0.is_null();
        self.polled_in.set(if polls { self.number.get() } else { Taker::NO_KERNEL });
        self.set_ambient(ambient);
    }

    #[inline]
    pub(super) fn set_ambient(&self, ambient: Ambient) {
        self.ambient.set(ambient);
        let shields = self.unstacked.get() & unopened::SHIELDS;
        let plain = ambient.is_clear() && self.hiding.get() == 0 && shields == 0;
        self.plain.set(if plain { self.waker.get() } else { NO_WAKER });
    }
}

thread_local! {
    pub(super) static CONTEXT: ThreadContext = const {
        ThreadContext {
            kernel: RefCell::new(ManuallyDrop::new(None)),
            chunk: Cell::new(ManuallyDrop::new(None)),
            name: Cell::new(TaskId::NONE),
            number: Cell::new(Taker::NO_KERNEL),
            polled_in: Cell::new(Taker::NO_KERNEL),
            waker: Cell::new(NO_WAKER),
            plain: Cell::new(NO_WAKER),
            budget: Cell::new(Core::BUDGET),
            refund: Cell::new(1),
            marks: Cell::new(0),
            ambient: Cell::new(Ambient::CLEAR),
            unopened: Cell::new(0),
            hiding: Cell::new(0),
            unstacked: Cell::new(0),
            deadline: Cell::new(0),
            timer: Cell::new(None),
            notes: Cell::new(Notes::Unwanted),
        }
    };
}

/// Runs `f` with the kernel of this thread, if one is running.
#[inline]
pub(crate) fn try_with<R>(f: impl FnOnce(&Rc<Core>) -> R) -> Option<R> {
    CONTEXT.with(|context| context.kernel.borrow().as_ref().map(f))
}

/// Whether `waker` is the waker of the task that is being polled. Always false between polls.
#[inline]
pub(crate) fn is_own(waker: &Waker) -> bool {
    is_at(waker, CONTEXT.with(|context| context.waker.get()))
}

#[inline]
fn is_at(waker: &Waker, (data, vtable): Address) -> bool {
    std::ptr::eq(waker.data(), data) && std::ptr::eq(waker.vtable(), vtable)
}

/// Whether `waker` is that of the task that is being polled, the leaf is in no open scope, and the
/// task was never cancelled.
#[inline]
pub(crate) fn is_plain(waker: &Waker) -> bool {
    is_at(waker, CONTEXT.with(|context| context.plain.get()))
}

/// Runs `f` with the task that is being polled, if [`is_plain`].
#[inline]
pub(crate) fn with_plain_task<R>(waker: &Waker, f: impl FnOnce(&TaskRef) -> R) -> Option<R> {
    if is_plain(waker) { with_last_task(f) } else { None }
}

/// Runs `f` with the task that is being polled, if `waker` is its own.
#[inline]
pub(crate) fn with_own_task<R>(waker: &Waker, f: impl FnOnce(&TaskRef) -> R) -> Option<R> {
    // The waker matches only while its task is being polled: `forget_poll` clears the address
    // before code of a program can run between polls.
    if is_own(waker) { with_last_task(f) } else { None }
}

/// Runs `f` with the task that is being polled on this thread, of any kernel. Like the functions
/// above, this must not be nested: the chunk is moved out while `f` runs.
#[inline]
pub(crate) fn with_polled_task<R>(f: impl FnOnce(&TaskRef) -> R) -> Option<R> {
    with_last_task(|task| (task.core().running.get() != TaskId::NONE).then(|| f(task))).flatten()
}

/// Also runs `f` between polls, with the task that was polled last. The caller must know that this
/// task is the right one.
#[inline]
fn with_last_task<R>(f: impl FnOnce(&TaskRef) -> R) -> Option<R> {
    CONTEXT.with(|context| {
        // The chunk is moved out while `f` runs, so `f` must not call this again.
        let chunk = ManuallyDrop::into_inner(context.chunk.replace(ManuallyDrop::new(None)));
        let task = TaskRef::by(chunk?, context.name.get());
        let result = f(&task);
        context.chunk.set(ManuallyDrop::new(Some(task.into_chunk())));
        Some(result)
    })
}

/// The state of the scopes around the leaf that is being polled. Opens those that are not open, so
/// it must not be called while the scopes of the kernel are borrowed.
#[inline]
pub(crate) fn ambient() -> Ambient {
    if CONTEXT.with(|context| context.unopened.get() | context.unstacked.get() != 0) {
        unopened::open_all();
    }
    open_ambient()
}

/// The same without the scopes that are not open. A timeout among them changes nothing in it.
#[inline]
pub(crate) fn open_ambient() -> Ambient {
    CONTEXT.with(|context| context.ambient.get())
}

#[inline]
pub(crate) fn set_ambient(ambient: Ambient) {
    CONTEXT.with(|context| context.set_ambient(ambient));
}

/// Sets the waker that the next polls use, and the ambient of the root scope of the task.
#[inline]
pub(crate) fn offer(waker: &Waker, ambient: Ambient) {
    CONTEXT.with(|context| context.offer((waker.data(), waker.vtable()), ambient));
}

/// Sets the waker of the next polls, while the ambient is clear.
#[inline]
pub(crate) fn lend(waker: &Waker) {
    let address = (waker.data(), waker.vtable() as *const _);
    CONTEXT.with(|context| {
        debug_assert!(context.ambient.get().is_clear() && context.hiding.get() == 0);
        debug_assert_eq!((context.unstacked.get(), context.unopened.get()), (0, 0));
        context.waker.set(address);
        context.plain.set(address);
    });
}

/// Sets the ambient for the poll of a task whose cancellation was requested, with the waker that is
/// set.
#[inline]
pub(crate) fn begin_cancelled(request: Option<CancelRequest>) {
    let (cancel_seq, pending) = request.map_or((0, false), |it| (it.cancel_seq, it.pending));
    CONTEXT.with(|context| {
        context.ambient.set(Ambient { scope: NONE, cancel_seq, pending });
        context.plain.set(NO_WAKER);
    });
}

/// Ends that poll: the next polls are of plain tasks.
#[inline]
pub(crate) fn end_cancelled() {
    CONTEXT.with(|context| {
        debug_assert_eq!((context.unstacked.get(), context.hiding.get()), (0, 0));
        context.ambient.set(Ambient::CLEAR);
        context.plain.set(context.waker.get());
    });
}

/// Whether the cancellation of the task itself is due, and no scope is between it and the leaf.
#[inline]
pub(crate) fn is_cancelled() -> bool {
    CONTEXT.with(|context| {
        let ambient = context.ambient.get();
        let is_root =
            context.unopened.get() | context.unstacked.get() == 0 && ambient.scope == NONE;
        is_root && ambient.pending
    })
}

/// The cancellation for which [`is_cancelled`] is true was delivered.
#[inline]
pub(crate) fn end_pending() {
    CONTEXT.with(|context| {
        // The ambient was not clear and is not: the task was cancelled.
        context.ambient.set(Ambient { pending: false, ..context.ambient.get() });
    });
}

/// Begins the poll of a task: makes it the current one and renews the budget. It stays the current
/// one after a panic, until [`stop_running`].
#[inline]
pub(crate) fn begin_poll(name: TaskId, cell: &TaskCell) {
    CONTEXT.with(|context| {
        context.budget.set(Core::BUDGET);
        context.marks.set(0);
        context.name.set(name);
    });
    cell.cycles.set(cell.cycles.get().wrapping_add(1));
}

/// Sets the chunk of the tasks that are polled next. None when the run loop stops.
#[inline]
pub(crate) fn set_chunk(chunk: Option<Rc<Chunk>>) {
    drop(replace_chunk(chunk));
}

/// The same. Returns the chunk before.
#[inline]
pub(crate) fn replace_chunk(chunk: Option<Rc<Chunk>>) -> Option<Rc<Chunk>> {
    let before = CONTEXT.with(|context| context.chunk.replace(ManuallyDrop::new(chunk)));
    ManuallyDrop::into_inner(before)
}

/// Ends the running of a task whose poll has panicked.
pub(crate) fn stop_running() -> Option<TaskRef> {
    forget_poll();
    let task = with_polled_task(TaskRef::clone);
    if let Some(task) = &task {
        task.core().running.set(TaskId::NONE);
    }
    task
}

/// Clears what the last poll provided to its leaves, before code of a program runs outside a poll.
pub(crate) fn forget_poll() {
    CONTEXT.with(|context| context.offer(NO_WAKER, Ambient::CLEAR));
}
