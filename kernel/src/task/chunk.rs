//! Where the cells of tasks stand: sixty-four side by side, and what refers to one of them.
//!
//! ```text
//! TaskRef ──▶ Chunk ─┬─ cells        all that a plain task has to itself
//!  (+ name)     │    ├─ origins      parent and type; made when they are not the same for all
//!               │    ├─ joiners      who waits for its end; made when the first is waited for
//!               │    ├─ records      where it is parked; made when the first one parks
//!               ▼    ├─ memberships  its group; made when the first one is in any
//!             Core   └─ extras       scopes and rarities; made when the first one has any
//! ```
//!
//! A task that only runs and ends costs its cell and its future; what it does not use is not even
//! allocated.

use std::array;
use std::cell::{Cell, OnceCell};
use std::ops::Deref;
use std::rc::Rc;

use crate::id::TaskId;
use crate::parts::list::ListLinks;
use crate::parts::scopes::Parked;
use crate::task::cell::{Membership, ScopeRoot, TaskCell};
use crate::task::state::Flags;

/// Cells in a chunk: as many as bits in [`Chunk::free`].
pub(crate) const CELLS: usize = 64;

/// What spawned a task, and the type of its future, which names it unless a name was given.
#[derive(Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) parent: TaskId,
    pub(crate) type_name: fn() -> &'static str,
}

impl Origin {
    #[inline]
    fn is(self, other: Origin) -> bool {
        self.parent == other.parent && std::ptr::fn_addr_eq(self.type_name, other.type_name)
    }
}

/// The number of the chunk that a place is in.
#[inline]
pub(crate) fn number_of(index: u32) -> u32 {
    index / CELLS as u32
}

/// Neighbouring cells, recycled together.
pub(crate) struct Chunk<K> {
    /// Its kernel. The kernel's table is emptied when it closes, which ends the circle.
    core: Rc<K>,
    /// The place of its first cell.
    first: u32,
    /// A bit for each cell that is nobody's.
    free: Cell<u64>,
    /// Its neighbours among the chunks with free cells (`task/table.rs`).
    pub(crate) open: Cell<ListLinks>,
    /// Where its tenants come from, as long as it is the same for all.
    origin: Cell<Origin>,
    origins: OnceCell<Box<[Cell<Origin>; CELLS]>>,
    joiners: OnceCell<Box<[Cell<TaskId>; CELLS]>>,
    records: OnceCell<Box<[Cell<Option<Parked>>; CELLS]>>,
    memberships: OnceCell<Box<[Membership; CELLS]>>,
    extras: OnceCell<Box<[ScopeRoot<K>; CELLS]>>,
    cells: [TaskCell; CELLS],
}

impl<K> Chunk<K> {
    /// A chunk for the places from `number * 64` on, whose first tenants have that generation.
    #[inline(never)]
    pub(crate) fn new(core: Rc<K>, number: u32, generation: u32) -> Rc<Self> {
        Rc::new(Chunk {
            core,
            first: number * CELLS as u32,
            free: Cell::new(u64::MAX),
            open: Cell::new(ListLinks::ALONE),
            origin: Cell::new(Origin { parent: TaskId::NOBODY, type_name: || "nobody" }),
            origins: OnceCell::new(),
            joiners: OnceCell::new(),
            records: OnceCell::new(),
            memberships: OnceCell::new(),
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

    /// Frees the cell at a place. Whether it is the only free one.
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

    /// Whether no cell is anybody's.
    pub(crate) fn is_empty(&self) -> bool {
        self.free.get() == u64::MAX
    }

    /// Whoever has that place now.
    #[inline]
    pub(crate) fn at(self: &Rc<Self>, index: u32) -> TaskRef<K> {
        let generation = self.cells[index as usize % CELLS].generation.get();
        TaskRef { chunk: self.clone(), id: TaskId::new(index, generation) }
    }

    /// The flags of the task of that name, if it has not been released.
    #[inline]
    pub(crate) fn flags(&self, id: TaskId) -> Option<&Flags> {
        let cell = &self.cells[id.index() as usize % CELLS];
        if cell.generation.get() == id.generation() { Some(&cell.flags) } else { None }
    }

    /// How the task at a place stands in its group, if any in its chunk is in one.
    #[inline]
    pub(crate) fn membership(&self, index: u32) -> Option<&Membership> {
        self.memberships.get().map(|memberships| &memberships[index as usize % CELLS])
    }

    /// The greatest generation of its cells.
    pub(crate) fn generation(&self) -> u32 {
        self.cells.iter().map(|cell| cell.generation.get()).max().unwrap_or(0)
    }

    /// Not all tenants come from the same place any more, unless this is the only one.
    #[inline(never)]
    fn tell_apart(&self, at: usize, origin: Origin) {
        if self.free.get() == !(1 << at) {
            self.origin.set(origin);
        } else {
            let same = self.origin.get();
            self.origins.get_or_init(|| make(|| Cell::new(same)))[at].set(origin);
        }
    }

    /// All that have tenants.
    pub(crate) fn tenants(self: &Rc<Self>) -> impl Iterator<Item = TaskRef<K>> {
        (self.first..=self.first + (CELLS as u32 - 1))
            .map(|index| self.at(index))
            .filter(|task| !task.flags.any(Flags::FREE))
    }
}

/// Refers to a task: to its cell, by the name that it had then.
///
/// Two words, so that it is written and read as they are: copied in other pieces, it would wait
/// for the writes to be through.
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

    /// Its place in the table.
    #[inline]
    pub(crate) fn index(&self) -> u32 {
        self.id.index()
    }

    /// Its kernel.
    #[inline]
    pub(crate) fn core(&self) -> &Rc<K> {
        &self.chunk.core
    }

    pub(crate) fn chunk(&self) -> &Rc<Chunk<K>> {
        &self.chunk
    }

    /// A reference by a chunk and the name that it was taken apart into.
    #[inline]
    pub(crate) fn by(chunk: Rc<Chunk<K>>, id: TaskId) -> Self {
        TaskRef { chunk, id }
    }

    /// Gives the chunk away.
    #[inline]
    pub(crate) fn into_chunk(self) -> Rc<Chunk<K>> {
        self.chunk
    }

    /// Whether a place is in the same chunk: of the same number, which is as good, as a chunk that
    /// somebody refers to keeps its number (`Table::trim`).
    #[inline]
    pub(crate) fn is_in_chunk_of(&self, index: u32) -> bool {
        ((self.index() ^ index) as usize) < CELLS
    }

    /// Whoever has that place of the same chunk now.
    #[inline]
    pub(crate) fn neighbour(&self, index: u32) -> (TaskId, &TaskCell) {
        let cell = &self.chunk.cells[index as usize % CELLS];
        (TaskId::new(index, cell.generation.get()), cell)
    }

    /// Refers to that task of the same chunk instead.
    #[inline]
    pub(crate) fn set_id(&mut self, neighbour: TaskId) {
        self.id = neighbour;
    }

    /// Whether both were made for the same task.
    #[inline]
    pub(crate) fn is(&self, other: &TaskRef<K>) -> bool {
        Rc::ptr_eq(&self.chunk, &other.chunk) && self.id == other.id
    }

    /// Whether both tasks have one kernel.
    #[inline]
    pub(crate) fn is_neighbour(&self, other: &TaskRef<K>) -> bool {
        Rc::ptr_eq(&self.chunk.core, &other.chunk.core)
    }

    /// Whether the cell is still that task's.
    #[inline]
    pub(crate) fn is_current(&self) -> bool {
        self.generation.get() == self.id.generation()
    }

    /// Where this new task comes from.
    #[inline]
    pub(crate) fn set_origin(&self, origin: Origin) {
        match self.chunk.origins.get() {
            Some(origins) => origins[self.at()].set(origin),
            None if self.chunk.origin.get().is(origin) => {}
            None => self.chunk.tell_apart(self.at(), origin),
        }
    }

    /// Where it comes from; the main task does from nowhere.
    pub(crate) fn origin(&self) -> Option<Origin> {
        let common = || self.chunk.origin.get();
        let origin = self.chunk.origins.get().map_or_else(common, |all| all[self.at()].get());
        (!self.flags.any(Flags::MAIN)).then_some(origin)
    }

    /// Who waits for its end, if that is one task of this kernel that polls the wait itself; all
    /// others stand in `Rare::joiners`.
    #[inline]
    pub(crate) fn joiner(&self) -> Option<TaskId> {
        let joiners = self.chunk.joiners.get().filter(|_| self.flags.any(Flags::AWAITED));
        joiners.map(|joiners| joiners[self.at()].get())
    }

    /// That task waits for its end; the flag says so.
    #[inline]
    pub(crate) fn set_joiner(&self, joiner: TaskId) {
        self.chunk.joiners.get_or_init(|| make(|| Cell::new(TaskId::NOBODY)))[self.at()]
            .set(joiner);
    }

    /// The record beside its cell, whether or not it still says something of the task.
    pub(crate) fn record(&self) -> Option<Parked> {
        self.chunk.records.get().and_then(|records| records[self.at()].get())
    }

    /// It is parked there, as it is being polled; the flag follows when it stops.
    #[inline]
    pub(crate) fn set_parked(&self, parked: Parked) {
        let records = self.chunk.records.get_or_init(|| make(|| Cell::new(None)));
        records[self.at()].set(Some(parked));
    }

    /// How it stands in its group; from here on it may.
    #[inline]
    pub(crate) fn membership(&self) -> &Membership {
        &self.chunk.memberships.get_or_init(|| make(Membership::default))[self.at()]
    }

    /// What few tasks have; from here on it may.
    #[inline]
    pub(crate) fn extras(&self) -> &ScopeRoot<K> {
        &self.chunk.extras.get_or_init(|| make(ScopeRoot::default))[self.at()]
    }

    /// The same, if any in its chunk has some.
    #[inline]
    pub(crate) fn any_extras(&self) -> Option<&ScopeRoot<K>> {
        self.chunk.extras.get().map(|extras| &extras[self.at()])
    }

    #[inline]
    fn at(&self) -> usize {
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

/// Something for each cell of a chunk.
#[cold]
#[inline(never)]
fn make<T>(each: impl Fn() -> T) -> Box<[T; CELLS]> {
    Box::new(array::from_fn(|_| each()))
}
