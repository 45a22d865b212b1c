//! The one door from user code into the kernel of this thread.
//!
//! A leaf, `spawn`, a waker that fires on the kernel's own thread: all of them come in here, and
//! nowhere else. The thread-local is constant and has no destructor, so reaching for it is one
//! load, and it is still there when other thread-locals are gone (a wake from a late destructor is
//! a no-op, not a panic).
//!
//! What a leaf asks at every poll (is this the waker of the task itself, is the budget spent, is a
//! cancellation due) stands here in plain cells; [`with`] leads to the rest.
//!
//! Invariant *no user code under a kernel borrow*: the closures given to [`with`], [`try_with`],
//! [`with_own_task`] and [`with_polled_task`] run kernel code only: they never poll, wake a foreign
//! waker, drop a future or call back into a program.

use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;
use std::panic::Location;
use std::rc::Rc;
use std::task::{RawWakerVTable, Waker};

use crate::core::state::Core;
use crate::core::state::{Chunk, TaskRef};
use crate::id::TaskId;
use crate::parts::scopes::Ambient;
use crate::task::cell::TaskCell;
use crate::task::state::Flags;

pub(crate) use super::enter::{Entered, is_current};

pub(super) struct ThreadContext {
    /// `ManuallyDrop` takes the destructor away; [`Entered`] empties the slot instead.
    pub(super) kernel: RefCell<ManuallyDrop<Option<Rc<Core>>>>,
    /// Where the task that is being polled stands, or the last one: of `kernel`, or of an outer one
    /// that `Entered` has hidden.
    pub(super) chunk: Cell<ManuallyDrop<Option<Rc<Chunk>>>>,
    /// Its name there.
    pub(super) name: Cell<TaskId>,
    // What the poll that goes on has to offer to its leaves:
    /// The waker it is made with, to be recognised by its address.
    pub(super) waker: Cell<Address>,
    /// The same while what the scopes say is clear, and else none: most leaves ask for both.
    pub(super) plain: Cell<Address>,
    /// Operations that may still complete in this poll of the task (K2). Below zero it counts
    /// those that were refused because the budget was spent.
    pub(super) budget: Cell<i32>,
    /// [`AGAIN`] and [`RECORDED`].
    pub(super) marks: Cell<u32>,
    /// What the scopes around the leaf say; clear between polls.
    pub(super) ambient: Cell<Ambient>,
}

/// The task is to be queued again when this poll ends: as the flag of the task that it becomes.
const AGAIN: u32 = Flags::QUEUED;
/// A leaf has left its record at the place of the task, in this poll. Likewise.
const RECORDED: u32 = Flags::PARKED;

/// Refusals in one poll after which it must be an executor inside the task that keeps asking. A
/// combinator asks each of its leaves about once.
const REFUSALS: i32 = 1024;

const _: () = assert!((AGAIN | RECORDED) <= u8::MAX as u32, "see `end_poll`");

/// Where a waker is: two of one task are at one place.
pub(super) type Address = (*const (), *const RawWakerVTable);

pub(super) const NO_WAKER: Address = (std::ptr::null(), std::ptr::null());

impl ThreadContext {
    /// What leaves find from here on.
    #[inline]
    pub(super) fn offer(&self, waker: Address, ambient: Ambient) {
        self.waker.set(waker);
        self.ambient.set(ambient);
        self.plain.set(if ambient.is_clear() { waker } else { NO_WAKER });
    }
}

thread_local! {
    pub(super) static CONTEXT: ThreadContext = const {
        ThreadContext {
            kernel: RefCell::new(ManuallyDrop::new(None)),
            chunk: Cell::new(ManuallyDrop::new(None)),
            name: Cell::new(TaskId::NOBODY),
            waker: Cell::new(NO_WAKER),
            plain: Cell::new(NO_WAKER),
            budget: Cell::new(Core::BUDGET),
            marks: Cell::new(0),
            ambient: Cell::new(Ambient::CLEAR),
        }
    };
}

/// Runs `f` with the kernel that is running on this thread, if there is one.
#[inline]
pub(crate) fn try_with<R>(f: impl FnOnce(&Rc<Core>) -> R) -> Option<R> {
    CONTEXT.with(|context| context.kernel.borrow().as_ref().map(f))
}

/// Runs `f` with the kernel that is running on this thread.
///
/// # Panics
///
/// When there is none: the message names `what` was called, and the location is the caller's.
#[track_caller]
#[inline]
pub(crate) fn with<R>(what: &str, f: impl FnOnce(&Rc<Core>) -> R) -> R {
    match try_with(f) {
        Some(value) => value,
        None => outside(what),
    }
}

#[cold]
#[track_caller]
pub(crate) fn outside(what: &str) -> ! {
    panic!(
        "{what} was called outside a kernel; call it in a task, that is inside \
         `kernel::run(async || ...)`"
    );
}

/// The same for what was made at `site`; the location of the panic is where it is awaited.
#[cold]
#[track_caller]
pub(crate) fn outside_at(what: &str, site: &Location<'_>) -> ! {
    panic!(
        "{what} at {site} was polled outside a kernel; await it in a task, that is inside \
         `kernel::run(async || ...)`"
    );
}

/// Whether that is the own waker of the task that is being polled. Between polls nobody has it.
#[inline]
pub(crate) fn is_own(waker: &Waker) -> bool {
    is_at(waker, CONTEXT.with(|context| context.waker.get()))
}

#[inline]
fn is_at(waker: &Waker, (data, vtable): Address) -> bool {
    std::ptr::eq(waker.data(), data) && std::ptr::eq(waker.vtable(), vtable)
}

/// Runs `f` with the task that is being polled, if `waker` is its own and nothing around the leaf
/// is or was cancelled or is an inner scope.
#[inline]
pub(crate) fn with_plain_task<R>(waker: &Waker, f: impl FnOnce(&TaskRef) -> R) -> Option<R> {
    if is_at(waker, CONTEXT.with(|context| context.plain.get())) { with_last_task(f) } else { None }
}

/// Runs `f` with the task that is being polled, if `waker` is its own.
#[inline]
pub(crate) fn with_own_task<R>(waker: &Waker, f: impl FnOnce(&TaskRef) -> R) -> Option<R> {
    // Who has that waker is being polled: it is forgotten before others have it (`Core::polled`).
    if is_own(waker) { with_last_task(f) } else { None }
}

/// Runs `f` with the task that is being polled on this thread, of whichever kernel. Unlike the
/// others this does not nest.
#[inline]
pub(crate) fn with_polled_task<R>(f: impl FnOnce(&TaskRef) -> R) -> Option<R> {
    with_last_task(|task| (task.core().running.get() != TaskId::NOBODY).then(|| f(task))).flatten()
}

/// The same with the one that was polled last, if nobody is being polled. For who knows better.
#[inline]
fn with_last_task<R>(f: impl FnOnce(&TaskRef) -> R) -> Option<R> {
    CONTEXT.with(|context| {
        // Out of its place meanwhile, so `f` must not ask again.
        let chunk = ManuallyDrop::into_inner(context.chunk.replace(ManuallyDrop::new(None)));
        let task = TaskRef::by(chunk?, context.name.get());
        let result = f(&task);
        context.chunk.set(ManuallyDrop::new(Some(task.into_chunk())));
        Some(result)
    })
}

/// Queues the task that is being polled again when its poll ends, if `waker` is its own.
#[inline]
pub(crate) fn again(waker: &Waker) -> bool {
    let own = is_own(waker);
    if own {
        go_again();
    }
    own
}

/// Queues the task that is being polled again when its poll ends.
#[inline]
pub(crate) fn go_again() {
    CONTEXT.with(|context| context.marks.set(context.marks.get() | AGAIN));
}

/// Spends one operation of the budget of this poll; false if there is none left.
#[inline]
pub(crate) fn spend() -> bool {
    CONTEXT.with(|context| {
        let budget = context.budget.get();
        if budget > 0 {
            context.budget.set(budget - 1);
        }
        budget > 0
    })
}

/// Gives one operation back: only what completes costs anything.
#[inline]
pub(crate) fn unspend() {
    CONTEXT.with(|context| context.budget.set(context.budget.get() + 1));
}

/// An operation is refused, as the budget of this poll is spent. It stays spent until the poll of
/// the task ends, whatever combinator the leaf is in: otherwise its neighbour would go on with a
/// full one. But an executor that runs inside the task polls its leaves again and again without
/// returning to the kernel; after [`REFUSALS`] there is a budget anew for it.
#[cold]
pub(crate) fn refuse() {
    CONTEXT.with(|context| {
        let budget = context.budget.get() - 1;
        context.budget.set(if budget > -REFUSALS { budget } else { Core::BUDGET });
    });
}

/// A budget anew, where no task is polled.
#[cold]
pub(crate) fn renew_budget() {
    CONTEXT.with(|context| context.budget.set(Core::BUDGET));
}

/// Whether a leaf has left its record at the place of the task, in this poll.
#[inline]
pub(crate) fn has_recorded() -> bool {
    CONTEXT.with(|context| context.marks.get() & RECORDED != 0)
}

/// A leaf leaves its record at the place of the task, or takes it away.
#[inline]
pub(crate) fn set_recorded(recorded: bool) {
    CONTEXT.with(|context| {
        let others = context.marks.get() & !RECORDED;
        context.marks.set(if recorded { others | RECORDED } else { others });
    });
}

#[inline]
pub(crate) fn ambient() -> Ambient {
    CONTEXT.with(|context| context.ambient.get())
}

#[inline]
pub(crate) fn set_ambient(ambient: Ambient) {
    CONTEXT.with(|context| context.offer(context.waker.get(), ambient));
}

/// Says which waker the polls to come use, and what the task's root scope says.
#[inline]
pub(crate) fn offer(waker: &Waker, ambient: Ambient) {
    CONTEXT.with(|context| context.offer((waker.data(), waker.vtable()), ambient));
}

/// The poll of a task begins: it is the running one, with a budget anew. After a panic it still is:
/// [`stop_running`].
#[inline]
pub(crate) fn begin_poll(name: TaskId, cell: &TaskCell) {
    CONTEXT.with(|context| {
        context.budget.set(Core::BUDGET);
        context.marks.set(0);
        context.name.set(name);
    });
    cell.cycles.set(cell.cycles.get().wrapping_add(1));
}

/// The tasks to be polled next are in that chunk; with none, the kernel has stopped turning.
#[inline]
pub(crate) fn set_chunk(chunk: Option<Rc<Chunk>>) {
    let before = CONTEXT.with(|context| context.chunk.replace(ManuallyDrop::new(chunk)));
    drop(ManuallyDrop::into_inner(before));
}

/// What a poll has left at the door.
#[derive(Clone, Copy)]
pub(crate) struct Marks(u8);

impl Marks {
    /// The task asked to be queued again.
    #[inline]
    pub(crate) fn again(self) -> bool {
        self.flags() & AGAIN != 0
    }

    /// The same, the record put down elsewhere.
    pub(crate) fn without_record(self) -> Self {
        Marks(self.0 & !(RECORDED as u8))
    }

    /// `Flags::PARKED` if a leaf has left its record.
    #[inline]
    pub(crate) fn parked(self) -> u32 {
        self.flags() & RECORDED
    }

    /// The same, and `Flags::QUEUED` if the task asked to be queued again.
    #[inline]
    pub(crate) fn flags(self) -> u32 {
        self.0.into()
    }
}

/// The poll has ended: what it has left.
#[inline]
pub(crate) fn end_poll() -> Marks {
    // One byte, as the compiler has one byte written when a mark is made: who reads more than was
    // written last waits until that is through.
    CONTEXT.with(|context| Marks(context.marks.get() as u8))
}

/// Nobody runs any more: a poll has panicked.
pub(crate) fn stop_running() -> Option<TaskRef> {
    forget_poll();
    let task = with_polled_task(TaskRef::clone);
    if let Some(task) = &task {
        task.core().running.set(TaskId::NOBODY);
    }
    task
}

/// What the last poll offered to its leaves is nobody's any more: a program's code comes next.
pub(crate) fn forget_poll() {
    CONTEXT.with(|context| context.offer(NO_WAKER, Ambient::CLEAR));
}
