//! The table of tasks: places, their tenants, and which are free.

use std::rc::Rc;

use crate::cell::TaskCell;
use crate::core::Core;
use crate::id::TaskId;

/// Free cells that are kept with all they own; what is beyond goes back to the allocator.
const KEEP_FREE: usize = 4096;

/// All tasks of a kernel, by place.
#[derive(Default)]
pub(crate) struct Table {
    places: Vec<Option<Rc<TaskCell>>>,
    /// Cells that were kept, each still in its place.
    kept: Vec<Rc<TaskCell>>,
    /// Free places without a cell, each with the generation of its next tenant.
    vacant: Vec<TaskId>,
    spawned: u64,
    /// The kernel is gone: no cell has a place any more.
    gone: bool,
}

impl Table {
    /// A cell for a new task; alive, but without a body.
    #[inline]
    pub(crate) fn admit(&mut self, core: &Rc<Core>) -> Rc<TaskCell> {
        self.spawned += 1;
        let cell = self.kept.pop().unwrap_or_else(|| self.make(core));
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

    /// The task of that name, if it has not been released.
    pub(crate) fn get(&self, id: TaskId) -> Option<&Rc<TaskCell>> {
        self.at(id.index).filter(|cell| cell.generation.get() == id.generation)
    }

    /// Whoever has that place now.
    pub(crate) fn at(&self, index: u32) -> Option<&Rc<TaskCell>> {
        self.places.get(index as usize).and_then(Option::as_ref)
    }

    /// Frees the place of an ended task. Gives the cell back if it is not kept: the caller drops
    /// it.
    pub(crate) fn release(&mut self, cell: &Rc<TaskCell>) -> Option<Rc<TaskCell>> {
        match cell.generation.get().checked_add(1) {
            Some(generation) if self.kept.len() < KEEP_FREE && !self.gone => {
                cell.generation.set(generation);
                self.kept.push(cell.clone());
                None
            }
            next => self.vacate(cell, next),
        }
    }

    /// Lets go of a cell. `next` is the generation of the next tenant of its place.
    #[inline(never)]
    fn vacate(&mut self, cell: &TaskCell, next: Option<u32>) -> Option<Rc<TaskCell>> {
        let index = cell.index;
        if let Some(generation) = next {
            cell.generation.set(generation);
            if self.gone {
                return None;
            }
            self.vacant.push(TaskId { index, generation });
        }
        // One whose generations are used up is never let again, so that names never lie.
        self.places.get_mut(index as usize).and_then(Option::take)
    }

    /// Lets go of every cell: the kernel closes.
    pub(crate) fn clear(&mut self) -> impl Sized + use<> {
        self.gone = true;
        self.vacant.clear();
        (std::mem::take(&mut self.places), std::mem::take(&mut self.kept))
    }

    /// Every cell that is not free, ended ones that are still held included.
    pub(crate) fn tenants(&self) -> impl Iterator<Item = &Rc<TaskCell>> {
        self.places.iter().flatten().filter(|cell| !cell.is_free())
    }
}
