//! Chunks of 64 task cells each, and `TaskRef`, which refers to one cell.
//!
//! ```text
//! TaskRef ──▶ Chunk ─┬─ cells        what every task needs
//!  (+ id)       │    ├─ origins      parent and type; made when they differ within the chunk
//!               │    ├─ joiners      the task that waits for its end; made for the first join
//!               │    ├─ records      the record of a parked leaf; made when the first leaf parks
//!               │    ├─ limits       the deadline of that leaf; made for the first timeout
//!               ▼    ├─ memberships  group and list links; made for the first member of a group
//!             Core   ├─ requests     the request to cancel the task; made for the first one
//!                    └─ extras       scopes and cold data; made when the first task needs one
//! ```
//!
//! Each array has one value for each cell. A task that only runs and ends needs its cell and its
//! future. The other arrays are allocated when a task of the chunk first needs them.

use std::array;
use std::cell::{Cell, OnceCell};
use std::ops::Deref;
use std::rc::Rc;

use crate::id::TaskId;
use crate::parts::list::ListLinks;
use crate::parts::scopes::Parked;
use crate::task::cell::{Membership, ScopeRoot, TaskCell};
use crate::task::origin::Origin;
use crate::task::request::Request;
use crate::task::state::Flags;

/// The number of cells in a chunk: one for each bit of [`Chunk::free`].
pub(crate) const CELLS: usize = 64;

/// The number of the chunk that contains a slot.
#[inline]
pub(crate) fn number_of(index: u32) -> u32 {
    index / CELLS as u32
}

/// Neighbouring cells, allocated and freed together.
pub(crate) struct Chunk<K> {
    /// The kernel, which owns the chunk: a reference cycle. The kernel breaks it by emptying its
    /// table when it closes.
    core: Rc<K>,
    /// The slot of the first cell.
    first: u32,
    /// One bit for each free cell.
    pub(super) free: Cell<u64>,
    /// Whether the chunk is in the table's list of empty chunks.
    pub(crate) listed: Cell<bool>,
    /// The links in the list of chunks with free cells (`task/table.rs`).
    pub(crate) open: Cell<ListLinks>,
    /// The `cancel_seq` of the shutdown, for the tasks with `Flags::SHUT_DOWN`.
    pub(crate) shutdown_seq: Cell<u64>,
    /// The origin of all tasks in the chunk, as long as it is the same for all.
    pub(super) origin: Cell<Origin>,
    pub(super) origins: OnceCell<Box<[Cell<Origin>; CELLS]>>,
    /// One bit for each cell of whose tasks a watcher knows the name, as long as the origin is the
    /// same for all. Of a kernel that is watched (`run/marker.rs`).
    pub(super) known: Cell<u64>,
    joiners: OnceCell<Box<[Cell<TaskId>; CELLS]>>,
    records: OnceCell<Box<[Cell<Option<Parked>>; CELLS]>>,
    limits: OnceCell<Box<[Cell<u64>; CELLS]>>,
    memberships: OnceCell<Box<[Membership; CELLS]>>,
    requests: OnceCell<Box<[Request; CELLS]>>,
    extras: OnceCell<Box<[ScopeRoot<K>; CELLS]>>,
    pub(super) cells: [TaskCell; CELLS],
}

impl<K> Chunk<K> {
    /// Makes a chunk for the slots from `number * 64` on. The first tasks in them have that
    /// generation.
    #[inline(never)]
    pub(crate) fn new(core: Rc<K>, number: u32, generation: u32) -> Rc<Self> {
        Rc::new(Chunk {
            core,
            first: number * CELLS as u32,
            free: Cell::new(u64::MAX),
            listed: Cell::new(false),
            open: Cell::new(ListLinks::ALONE),
            shutdown_seq: Cell::new(0),
            origin: Cell::new(Origin { parent: TaskId::NONE, type_name: || "no task" }),
            origins: OnceCell::new(),
            known: Cell::new(0),
            joiners: OnceCell::new(),
            records: OnceCell::new(),
            limits: OnceCell::new(),
            memberships: OnceCell::new(),
            requests: OnceCell::new(),
            extras: OnceCell::new(),
            cells: array::from_fn(|_| TaskCell::new(generation)),
        })
    }

    pub(crate) fn number(&self) -> u32 {
        self.first / CELLS as u32
    }

    /// Takes a free cell.
    #[inline]
    pub(crate) fn take(self: &Rc<Self>) -> TaskRef<K> {
        let free = self.free.get();
        debug_assert!(free != 0, "only chunks with free cells are open");
        self.free.set(free & free.wrapping_sub(1));
        self.at(self.first + free.trailing_zeros())
    }

    /// Frees the cell of a slot. Returns whether it is now the only free cell.
    #[inline]
    pub(crate) fn free(&self, index: u32) -> bool {
        let before = self.free.get();
        self.free.set(before | 1 << (index % CELLS as u32));
        before == 0
    }

    pub(crate) fn has_one_free(&self) -> bool {
        self.free.get().is_power_of_two()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.free.get() == 0
    }

    /// Whether all cells are free.
    pub(crate) fn is_empty(&self) -> bool {
        self.free.get() == u64::MAX
    }

    /// The task that occupies that slot now.
    #[inline]
    pub(crate) fn at(self: &Rc<Self>, index: u32) -> TaskRef<K> {
        let generation = self.cells[index as usize % CELLS].generation.get();
        TaskRef { chunk: self.clone(), id: TaskId::new(index, generation) }
    }

    /// The flags of the task with that id, if its slot has not been freed.
    #[inline]
    pub(crate) fn flags(&self, id: TaskId) -> Option<&Flags> {
        let cell = &self.cells[id.index() as usize % CELLS];
        if cell.generation.get() == id.generation() { Some(&cell.flags) } else { None }
    }

    /// The membership of the task in a slot, if any task of the chunk is in a group.
    #[inline]
    pub(crate) fn membership(&self, index: u32) -> Option<&Membership> {
        self.memberships.get().map(|memberships| &memberships[index as usize % CELLS])
    }

    /// The greatest generation of the cells.
    pub(crate) fn generation(&self) -> u32 {
        self.cells.iter().map(|cell| cell.generation.get()).max().unwrap_or(0)
    }

    /// All tasks that occupy a cell.
    pub(crate) fn occupied(self: &Rc<Self>) -> impl Iterator<Item = TaskRef<K>> {
        (self.first..=self.first + (CELLS as u32 - 1))
            .map(|index| self.at(index))
            .filter(|task| !task.flags.any(Flags::FREE))
    }
}

/// Refers to a task: to the chunk that contains its cell, and to the id of the task. The cell may
/// belong to a later task by now ([`is_current`](Self::is_current)).
///
/// It is two words. They are written and read as whole words because of store forwarding
/// (`task/state.rs`).
pub(crate) struct TaskRef<K> {
    chunk: Rc<Chunk<K>>,
    id: TaskId,
}

impl<K> Clone for TaskRef<K> {
    #[inline]
    fn clone(&self) -> Self {
        TaskRef { chunk: self.chunk.clone(), id: self.id }
    }
}

impl<K> TaskRef<K> {
    #[inline]
    pub(crate) fn id(&self) -> TaskId {
        self.id
    }

    /// The slot of the task in the table.
    #[inline]
    pub(crate) fn index(&self) -> u32 {
        self.id.index()
    }

    /// The kernel of the task.
    #[inline]
    pub(crate) fn core(&self) -> &Rc<K> {
        &self.chunk.core
    }

    pub(crate) fn chunk(&self) -> &Rc<Chunk<K>> {
        &self.chunk
    }

    /// Makes a reference from a chunk and an id.
    #[inline]
    pub(crate) fn by(chunk: Rc<Chunk<K>>, id: TaskId) -> Self {
        TaskRef { chunk, id }
    }

    #[inline]
    pub(crate) fn into_chunk(self) -> Rc<Chunk<K>> {
        self.chunk
    }

    /// Whether a slot is in the chunk of this task. Comparing the chunk numbers is enough: while a
    /// reference to a chunk exists, no other chunk gets its number (`Table::trim`).
    #[inline]
    pub(crate) fn is_in_chunk_of(&self, index: u32) -> bool {
        ((self.index() ^ index) as usize) < CELLS
    }

    /// The task that occupies that slot of the same chunk now.
    #[inline]
    pub(crate) fn neighbour(&self, index: u32) -> (TaskId, &TaskCell) {
        let cell = &self.chunk.cells[index as usize % CELLS];
        (TaskId::new(index, cell.generation.get()), cell)
    }

    /// Makes this refer to another task of the same chunk.
    #[inline]
    pub(crate) fn set_id(&mut self, neighbour: TaskId) {
        self.id = neighbour;
    }

    /// Whether both refer to the same task.
    #[inline]
    pub(crate) fn is(&self, other: &TaskRef<K>) -> bool {
        Rc::ptr_eq(&self.chunk, &other.chunk) && self.id == other.id
    }

    /// Whether both tasks belong to the same kernel.
    #[inline]
    pub(crate) fn is_neighbour(&self, other: &TaskRef<K>) -> bool {
        Rc::ptr_eq(&self.chunk.core, &other.chunk.core)
    }

    /// Whether the cell still belongs to this task.
    #[inline]
    pub(crate) fn is_current(&self) -> bool {
        self.generation.get() == self.id.generation()
    }

    /// The task that waits for the end of this one, if it is a task of the same kernel that polls
    /// the wait with its own waker, and was the first to wait. All other waiters are in
    /// `ColdData::joiners`.
    #[inline]
    pub(crate) fn joiner(&self) -> Option<TaskId> {
        let joiners = self.chunk.joiners.get().filter(|_| self.flags.any(Flags::AWAITED));
        joiners.map(|joiners| joiners[self.at()].get())
    }

    /// Stores the task that waits for the end of this one. The value is valid while
    /// `Flags::AWAITED` is set.
    #[inline]
    pub(crate) fn set_joiner(&self, joiner: TaskId) {
        self.chunk.joiners.get_or_init(|| make(|| Cell::new(TaskId::NONE)))[self.at()].set(joiner);
    }

    /// The record in the slot of the task, whether or not it is still valid.
    pub(crate) fn record(&self) -> Option<Parked> {
        self.record_slot().and_then(Cell::get)
    }

    /// Where the record of a leaf that parks in the current poll is stored, once
    /// [`make_records`](Self::make_records) was called for a task of the chunk. `Flags::PARKED` is
    /// set when the poll ends.
    #[inline]
    pub(crate) fn record_slot(&self) -> Option<&Cell<Option<Parked>>> {
        self.chunk.records.get().map(|records| &records[self.at()])
    }

    /// Makes room for the records of the chunk. Returns whether there was none.
    pub(crate) fn make_records(&self) -> bool {
        let none = self.chunk.records.get().is_none();
        self.chunk.records.get_or_init(|| make(|| Cell::new(None)));
        none
    }

    /// The earliest deadline of the timeouts around the leaf of [`record`](Self::record). Valid if
    /// `Flags::LIMITED` is set.
    pub(crate) fn limit(&self) -> u64 {
        self.chunk.limits.get().map_or(u64::MAX, |limits| limits[self.at()].get())
    }

    /// Stores that deadline.
    #[inline]
    pub(crate) fn set_limit(&self, deadline: u64) {
        self.chunk.limits.get_or_init(|| make(|| Cell::new(u64::MAX)))[self.at()].set(deadline);
    }

    /// The membership of the task in a group. Allocates the array if needed.
    #[inline]
    pub(crate) fn membership(&self) -> &Membership {
        &self.chunk.memberships.get_or_init(|| make(Membership::default))[self.at()]
    }

    /// The place of the request to cancel the task. Allocates the array if needed.
    #[inline]
    pub(super) fn make_request(&self) -> &Request {
        &self.chunk.requests.get_or_init(|| make(Request::default))[self.at()]
    }

    /// The same, without allocating.
    #[inline]
    pub(super) fn any_request(&self) -> Option<&Request> {
        self.chunk.requests.get().map(|requests| &requests[self.at()])
    }

    /// The root scope and the cold data of the task. Allocates the array if needed.
    #[inline]
    pub(crate) fn extras(&self) -> &ScopeRoot<K> {
        &self.chunk.extras.get_or_init(|| make(ScopeRoot::default))[self.at()]
    }

    /// The same, without allocating.
    #[inline]
    pub(crate) fn any_extras(&self) -> Option<&ScopeRoot<K>> {
        self.chunk.extras.get().map(|extras| &extras[self.at()])
    }

    /// The position of the cell in its chunk.
    #[inline]
    pub(super) fn at(&self) -> usize {
        self.id.index() as usize % CELLS
    }
}

impl<K> Deref for TaskRef<K> {
    type Target = TaskCell;

    #[inline]
    fn deref(&self) -> &TaskCell {
        &self.chunk.cells[self.at()]
    }
}

/// Makes an array with one value for each cell of a chunk.
#[cold]
#[inline(never)]
pub(super) fn make<T>(each: impl Fn() -> T) -> Box<[T; CELLS]> {
    Box::new(array::from_fn(|_| each()))
}
