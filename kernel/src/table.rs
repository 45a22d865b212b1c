//! The table of tasks: places, their tenants, and which are free.

use std::rc::Rc;

use crate::cell::TaskCell;
use crate::core::Core;
use crate::id::TaskId;
use crate::links::{Links, NONE};

/// Free cells that are kept with all they own; those beyond go back to the allocator, some at each
/// look: one after the other, as they end, would be dearer, and all at once takes too long.
const KEEP_FREE: usize = 4096;

/// How many go back in one look.
const TRIM: usize = 256;

/// All tasks of a kernel, by place.
pub(crate) struct Table {
    places: Vec<Option<Rc<TaskCell>>>,
    /// The free cell that was freed last; each leads to the next by its `member`.
    first_free: u32,
    free: usize,
    /// Free places without a cell, each with the generation of its next tenant.
    vacant: Vec<TaskId>,
    spawned: u64,
    /// The kernel is gone: no cell has a place any more.
    gone: bool,
}

impl Table {
    pub(crate) const fn new() -> Self {
        Table {
            places: Vec::new(),
            first_free: NONE,
            free: 0,
            vacant: Vec::new(),
            spawned: 0,
            gone: false,
        }
    }

    /// A cell for a new task; alive, but without a body.
    #[inline]
    pub(crate) fn admit(&mut self, core: &Rc<Core>) -> Rc<TaskCell> {
        self.spawned += 1;
        let cell = match self.at(self.first_free) {
            None => self.make(core),
            Some(cell) => {
                let cell = cell.clone();
                self.first_free = cell.member.get().next;
                self.free -= 1;
                cell
            }
        };
        cell.begin(self.spawned);
        cell
    }

    /// A cell for a place that has none.
    #[inline(never)]
    fn make(&mut self, core: &Rc<Core>) -> Rc<TaskCell> {
        if self.gone {
            // A place here would keep a kernel that nobody will ever empty again.
            return Rc::new(TaskCell::new(core.clone(), u32::MAX, 0));
        }
        let TaskId { index, generation } = self.vacant.pop().unwrap_or_else(|| {
            let index = u32::try_from(self.places.len()).expect("fewer than 2^32 tasks");
            self.places.push(None);
            TaskId { index, generation: 0 }
        });
        let cell = Rc::new(TaskCell::new(core.clone(), index, generation));
        self.places[index as usize] = Some(cell.clone());
        cell
    }

    /// The task of that name, if it has not been released; one whose names are used up is found for
    /// good, free.
    pub(crate) fn get(&self, id: TaskId) -> Option<&Rc<TaskCell>> {
        self.at(id.index).filter(|cell| cell.generation.get() == id.generation)
    }

    /// Whoever has that place now.
    pub(crate) fn at(&self, index: u32) -> Option<&Rc<TaskCell>> {
        self.places.get(index as usize).and_then(Option::as_ref)
    }

    /// Frees the place of an ended task.
    #[inline]
    pub(crate) fn release(&mut self, cell: &TaskCell) {
        // One whose generations are used up is never let again, so that names never lie.
        if let Some(generation) = cell.generation.get().checked_add(1) {
            cell.generation.set(generation);
            cell.member.set(Links { previous: NONE, next: self.first_free });
            self.first_free = cell.index;
            self.free += 1;
        }
    }

    /// Whether there are more free cells than are to be kept.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.free > KEEP_FREE
    }

    /// Gives some of the free cells up, if there are too many, for the caller to drop.
    pub(crate) fn trim(&mut self) -> Vec<Rc<TaskCell>> {
        let beyond = self.free.saturating_sub(KEEP_FREE).min(TRIM);
        let mut cells = Vec::new();
        while cells.len() < beyond {
            let free = self.places.get_mut(self.first_free as usize).and_then(Option::take);
            let Some(cell) = free else { break };
            self.first_free = cell.member.get().next;
            self.free -= 1;
            self.vacant.push(cell.id());
            cells.push(cell);
        }
        cells
    }

    /// Lets go of every cell: the kernel closes.
    pub(crate) fn clear(&mut self) -> impl Sized + use<> {
        std::mem::replace(self, Table { gone: true, ..Table::new() }).places
    }

    /// Every cell that is not free, ended ones that are still held included.
    pub(crate) fn tenants(&self) -> impl Iterator<Item = &Rc<TaskCell>> {
        self.places.iter().flatten().filter(|cell| !cell.is_free())
    }
}
