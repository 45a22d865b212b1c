//! The table of tasks: places, their tenants, and which are free.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::id::TaskId;
use crate::parts::list::{ListLinks, NONE};
use crate::task::cell::{Membership, TaskCell};
use crate::task::chunk::{CELLS, Chunk, TaskRef, number_of};
use crate::task::state::Flags;

/// Free cells that are kept with all they own; chunks beyond go back to the allocator, some at each
/// look: all at once would take too long.
const KEEP_FREE: usize = 4096;

/// The number of a chunk that is in no table. All of these share their names: nobody can compare
/// them, as their tasks have ended before a program gets to see them.
const NOWHERE: u32 = u32::MAX / CELLS as u32;

/// Chunks that are made at once, once there are many, so that the cells of many tasks stand in
/// long rows and their futures in others: processors read ahead in rows.
const ROW: usize = 16;

/// How many chunks go back in one look.
const TRIM: usize = 4;

/// All tasks of a kernel, by place.
pub(crate) struct Table<K> {
    chunks: Vec<Option<Rc<Chunk<K>>>>,
    /// The chunk that got a free cell last; each leads to the next by its `open`.
    first_open: Option<Rc<Chunk<K>>>,
    /// Free cells.
    free: usize,
    /// Chunks that were without tenants when there were too many free cells.
    empty: VecDeque<u32>,
    /// Places of chunks that have gone back, and the generation of their next tenants.
    vacant: Vec<(u32, u32)>,
    spawned: u64,
    /// The kernel is gone: no cell has a place any more.
    gone: bool,
}

impl<K> Table<K> {
    pub(crate) const fn new() -> Self {
        Table {
            chunks: Vec::new(),
            first_open: None,
            free: 0,
            empty: VecDeque::new(),
            vacant: Vec::new(),
            spawned: 0,
            gone: false,
        }
    }

    /// A cell for a new task, and its serial number; not yet alive.
    #[inline]
    pub(crate) fn admit(&mut self, core: &Rc<K>) -> (TaskRef<K>, u64) {
        self.spawned += 1;
        let task = match &self.first_open {
            None => self.make(core),
            Some(chunk) => {
                let task = chunk.take();
                self.free -= 1;
                if chunk.is_full() {
                    self.open_next(chunk.open.get().next);
                }
                task
            }
        };
        (task, self.spawned)
    }

    /// How many were ever admitted.
    pub(crate) fn spawned(&self) -> u64 {
        self.spawned
    }

    /// The first chunk with free cells has none left, or is gone.
    #[inline(never)]
    fn open_next(&mut self, next: u32) {
        self.link(next, NONE);
        self.first_open = self.chunk(next).cloned();
    }

    /// Any chunk, for one that needs one to start with.
    pub(crate) fn some_chunk(&mut self, core: &Rc<K>) -> Rc<Chunk<K>> {
        match self.chunks.iter().flatten().next() {
            Some(chunk) => chunk.clone(),
            None => Chunk::new(core.clone(), NOWHERE, 0),
        }
    }

    /// A cell of a new chunk.
    #[inline(never)]
    fn make(&mut self, core: &Rc<K>) -> TaskRef<K> {
        if self.gone {
            // A place here would keep a kernel that nobody will ever empty again.
            return Chunk::new(core.clone(), NOWHERE, 0).take();
        }
        let more = (self.chunks.len() / 4).clamp(1, ROW);
        let row: Vec<u32> = (0..more).map(|_| self.add(core)).collect();
        row.into_iter().rev().for_each(|number| self.open(number));
        let first = self.first_open.as_ref().expect("it was opened just now");
        self.free -= 1;
        first.take()
    }

    /// A new chunk, which is not open yet.
    fn add(&mut self, core: &Rc<K>) -> u32 {
        let (number, generation) = self.vacant.pop().unwrap_or_else(|| {
            let number = self.chunks.len();
            assert!(number < NOWHERE as usize, "fewer than 2^32 tasks");
            self.chunks.push(None);
            (number as u32, 0)
        });
        self.chunks[number as usize] = Some(Chunk::new(core.clone(), number, generation));
        self.free += CELLS;
        number
    }

    /// The task of that name, if it has not been released; one whose names are used up is found for
    /// good, free.
    #[inline]
    pub(crate) fn get(&self, id: TaskId) -> Option<TaskRef<K>> {
        self.at(id.index()).filter(|task| task.id() == id)
    }

    /// The flags of the task of that name, if it has not been released.
    #[inline]
    pub(crate) fn flags(&self, id: TaskId) -> Option<&Flags> {
        self.chunk_of(id.index())?.flags(id)
    }

    /// Whoever has that place now.
    #[inline]
    pub(crate) fn at(&self, index: u32) -> Option<TaskRef<K>> {
        self.chunk_of(index).map(|chunk| chunk.at(index))
    }

    /// How the task in that place stands in its group, if any of its chunk is in one.
    pub(crate) fn membership(&self, index: u32) -> Option<&Membership> {
        self.chunk_of(index).and_then(|chunk| chunk.membership(index))
    }

    #[inline]
    fn chunk(&self, number: u32) -> Option<&Rc<Chunk<K>>> {
        self.chunks.get(number as usize).and_then(Option::as_ref)
    }

    /// The chunk that a place is in.
    #[inline]
    fn chunk_of(&self, index: u32) -> Option<&Rc<Chunk<K>>> {
        self.chunk(number_of(index))
    }

    /// Frees the place of an ended task.
    #[inline]
    pub(crate) fn release(&mut self, task: &TaskRef<K>, cell: &TaskCell) {
        // One whose generations are used up is never let again, so that names never lie.
        let Some(generation) = cell.generation.get().checked_add(1) else { return };
        cell.generation.set(generation);
        self.free += 1;
        let chunk = task.chunk();
        let is_first = chunk.free(task.index());
        if is_first || (self.free > KEEP_FREE && chunk.is_empty()) {
            self.released(chunk);
        }
    }

    /// The rest for the first free cell of a chunk, and for the last when there are many.
    #[inline(never)]
    fn released(&mut self, chunk: &Rc<Chunk<K>>) {
        if self.gone {
            return;
        }
        if chunk.has_one_free() {
            self.open(chunk.number());
        }
        if self.free > KEEP_FREE && chunk.is_empty() {
            self.empty.push_back(chunk.number());
        }
    }

    /// A chunk has a free cell: it comes first.
    fn open(&mut self, number: u32) {
        let next = self.first_open.as_ref().map_or(NONE, |chunk| chunk.number());
        self.link(next, number);
        self.first_open = self.chunk(number).cloned();
        if let Some(chunk) = &self.first_open {
            chunk.open.set(ListLinks { previous: NONE, next });
        }
    }

    /// Tells an open chunk which one is before it.
    fn link(&self, number: u32, previous: u32) {
        if let Some(chunk) = self.chunk(number) {
            chunk.open.set(ListLinks { previous, ..chunk.open.get() });
        }
    }

    /// Whether there are more free cells than are to be kept.
    #[inline]
    pub(crate) fn has_surplus(&self) -> bool {
        !self.empty.is_empty()
    }

    /// Gives some of the free chunks up, if there are too many, for the caller to drop. One that
    /// something refers to stays for now, because another in its place would not be the one that is
    /// meant: the run itself refers to the chunk of the task that it polled last.
    pub(crate) fn trim(&mut self) -> Vec<Rc<Chunk<K>>> {
        let mut given_up = Vec::new();
        for _ in 0..self.empty.len().min(2 * TRIM) {
            if given_up.len() == TRIM || self.free <= KEEP_FREE {
                break;
            }
            let Some(number) = self.empty.pop_front() else { break };
            let Some(chunk) = self.chunk(number).filter(|chunk| chunk.is_empty()) else {
                // It has tenants again, and comes back when they have ended.
                continue;
            };
            if self.is_spare(chunk) {
                given_up.extend(self.give_up(number));
            } else {
                self.empty.push_back(number);
            }
        }
        if self.free <= KEEP_FREE {
            self.empty.clear();
        }
        given_up
    }

    /// Whether nothing refers to that chunk.
    fn is_spare(&self, chunk: &Rc<Chunk<K>>) -> bool {
        let first = self.first_open.as_ref().is_some_and(|first| Rc::ptr_eq(first, chunk));
        Rc::strong_count(chunk) == 1 + usize::from(first)
    }

    /// Takes a chunk without tenants out of the table.
    fn give_up(&mut self, number: u32) -> Option<Rc<Chunk<K>>> {
        let chunk = self.chunks[number as usize].take()?;
        let ListLinks { previous, next } = chunk.open.get();
        match self.chunk(previous) {
            None => self.open_next(next),
            Some(before) => {
                before.open.set(ListLinks { next, ..before.open.get() });
                self.link(next, previous);
            }
        }
        self.free -= CELLS;
        self.vacant.push((number, chunk.generation()));
        Some(chunk)
    }

    /// Lets go of every cell: the kernel closes.
    pub(crate) fn clear(&mut self) -> impl Sized + use<K> {
        std::mem::replace(self, Table { gone: true, spawned: self.spawned, ..Table::new() }).chunks
    }

    /// Every task that is not free, ended ones that are still held included.
    pub(crate) fn tenants(&self) -> impl Iterator<Item = TaskRef<K>> {
        self.chunks.iter().flatten().flat_map(Chunk::tenants)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets and frees places.
    struct Tenancy {
        kernel: Rc<()>,
        table: Table<()>,
        tenants: Vec<TaskRef<()>>,
        seed: u64,
    }

    impl Tenancy {
        fn new() -> Self {
            Tenancy { kernel: Rc::new(()), table: Table::new(), tenants: Vec::new(), seed: 3 }
        }

        fn admit(&mut self) -> TaskId {
            let (task, serial) = self.table.admit(&self.kernel);
            task.begin(serial);
            task.flags.become_alive(0);
            let id = task.id();
            self.tenants.push(task);
            id
        }

        fn release(&mut self, at: usize) -> TaskId {
            let task = self.tenants.swap_remove(at);
            task.flags.become_free();
            self.table.release(&task, &task);
            task.id()
        }

        fn any(&mut self) -> usize {
            self.seed =
                self.seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (self.seed >> 33) as usize % self.tenants.len()
        }

        fn trim(&mut self) {
            while !self.table.trim().is_empty() {}
        }
    }

    #[test]
    fn a_name_is_given_once_whatever_ends_and_is_given_back() {
        let mut all = Tenancy::new();
        let mut names = std::collections::HashSet::new();
        for round in 0..6 {
            for _ in 0..10_000 {
                assert!(names.insert(all.admit()), "a name was given twice");
                let at = all.any();
                if round % 2 == 1 && all.seed >> 60 < 5 {
                    let gone = all.release(at);
                    assert!(all.table.get(gone).is_none());
                }
            }
            let kept = if round % 2 == 0 { 0 } else { 100 };
            while all.tenants.len() > kept {
                let at = all.any();
                all.release(at);
            }
            all.trim();
            for tenant in &all.tenants {
                assert!(all.table.get(tenant.id()).is_some_and(|found| found.is(tenant)));
            }
            assert_eq!(all.table.tenants().count(), kept);
        }
    }

    #[test]
    fn what_many_tasks_have_taken_is_given_back_when_they_have_ended() {
        let mut all = Tenancy::new();
        for _ in 0..100_000 {
            all.admit();
        }
        while !all.tenants.is_empty() {
            all.release(0);
        }
        assert!(all.table.has_surplus());
        all.trim();
        let left = all.table.chunks.iter().flatten().count();
        assert!(left * CELLS <= KEEP_FREE + CELLS, "{left} chunks are left");
        assert!(!all.table.has_surplus());
    }

    #[test]
    fn a_chunk_that_somebody_refers_to_is_not_given_back() {
        let mut all = Tenancy::new();
        for _ in 0..2 * KEEP_FREE {
            all.admit();
        }
        let held = all.tenants.clone();
        while !all.tenants.is_empty() {
            all.release(0);
        }
        all.trim();
        for task in held {
            let there = all.table.chunk(task.chunk().number());
            assert!(there.is_some_and(|chunk| Rc::ptr_eq(chunk, task.chunk())));
        }
    }
}
