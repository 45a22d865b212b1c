//! The table of tasks: places, their tenants, and which are free.

use std::rc::Rc;

use crate::cell::TaskCell;
use crate::core::Core;
use crate::id::TaskId;

/// Free cells that are kept with all they own; what is beyond goes back to the allocator.
const KEEP_FREE: usize = 4096;

enum Place {
    Cell(Rc<TaskCell>),
    /// Nobody, and no cell either; the generation of the next tenant.
    Vacant(u32),
}

/// All tasks of a kernel, by place.
#[derive(Default)]
pub(crate) struct Table {
    places: Vec<Place>,
    /// Free places whose cell was kept.
    kept: Vec<u32>,
    /// Free places without a cell.
    vacant: Vec<u32>,
    live: usize,
    spawned: u64,
}

impl Table {
    /// A cell for a new task; its phase is still `Free`.
    pub(crate) fn admit(&mut self, core: &Rc<Core>) -> Rc<TaskCell> {
        self.live += 1;
        self.spawned += 1;
        let cell = match self.kept.pop().or_else(|| self.vacant.pop()) {
            Some(index) => match &mut self.places[index as usize] {
                Place::Cell(cell) => cell.clone(),
                place @ Place::Vacant(_) => {
                    let Place::Vacant(generation) = *place else { unreachable!() };
                    let cell = Rc::new(TaskCell::new(core.clone(), index, generation));
                    *place = Place::Cell(cell.clone());
                    cell
                }
            },
            None => {
                let index = u32::try_from(self.places.len()).expect("fewer than 2^32 tasks");
                let cell = Rc::new(TaskCell::new(core.clone(), index, 0));
                self.places.push(Place::Cell(cell.clone()));
                cell
            }
        };
        cell.begin(self.spawned);
        cell
    }

    /// The task of that name, if it has not been released.
    pub(crate) fn get(&self, id: TaskId) -> Option<&Rc<TaskCell>> {
        match self.places.get(id.index as usize) {
            Some(Place::Cell(cell)) if cell.generation.get() == id.generation => Some(cell),
            _ => None,
        }
    }

    /// Whoever has that place now.
    pub(crate) fn at(&self, index: u32) -> Option<&Rc<TaskCell>> {
        match self.places.get(index as usize) {
            Some(Place::Cell(cell)) => Some(cell),
            _ => None,
        }
    }

    /// Frees the place of an ended task. Gives the cell back if it is not kept: the caller drops
    /// it.
    pub(crate) fn release(&mut self, cell: &TaskCell) -> Option<Rc<TaskCell>> {
        let index = cell.index;
        let Some(generation) = cell.generation.get().checked_add(1) else {
            // Used up: never let again, so that names never lie.
            return None;
        };
        cell.generation.set(generation);
        if self.kept.len() < KEEP_FREE {
            self.kept.push(index);
            return None;
        }
        self.vacant.push(index);
        match std::mem::replace(&mut self.places[index as usize], Place::Vacant(generation)) {
            Place::Cell(cell) => Some(cell),
            Place::Vacant(_) => None,
        }
    }

    /// Lets go of every cell: the kernel closes.
    pub(crate) fn clear(&mut self) -> impl Sized + use<> {
        self.kept.clear();
        self.vacant.clear();
        std::mem::take(&mut self.places)
    }

    /// One task fewer is alive (it ended; its place may still be held by a handle).
    pub(crate) fn ended(&mut self) {
        self.live -= 1;
    }

    pub(crate) fn live(&self) -> usize {
        self.live
    }

    /// Every cell that is not free, ended ones that are still held included.
    pub(crate) fn tenants(&self) -> impl Iterator<Item = &Rc<TaskCell>> {
        self.places.iter().filter_map(|place| match place {
            Place::Cell(cell) if cell.phase.get() != crate::cell::Phase::Free => Some(cell),
            _ => None,
        })
    }
}
