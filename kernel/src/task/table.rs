//! The table of tasks: the slots, the tasks in them, and the free slots.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::id::TaskId;
use crate::parts::list::{ListLinks, NONE};
use crate::task::cell::{Membership, TaskCell};
use crate::task::chunk::{CELLS, Chunk, TaskRef, number_of};
use crate::task::state::Flags;

/// The number of free cells that are kept with their boxes. Chunks beyond that are freed, a few at
/// each call of `trim`, because freeing all at once would take too long.
const KEEP_FREE: usize = 4096;

/// The number of every chunk that is in no table. So tasks in different such chunks have equal ids.
/// No program can compare them, because these tasks end before a program gets a handle.
const NOWHERE: u32 = u32::MAX / CELLS as u32;

/// The number of chunks that are allocated together once there are many chunks. Then the cells of
/// many tasks are contiguous in memory, and so are their futures. The processor can prefetch them.
const ROW: usize = 16;

/// The number of chunks that one call of `trim` frees.
const TRIM: usize = 4;

/// All tasks of a kernel, by slot.
pub(crate) struct Table<K> {
    chunks: Vec<Option<Rc<Chunk<K>>>>,
    /// The first chunk with a free cell: the one that got a free cell last. `open` links it to the
    /// others.
    first_open: Option<Rc<Chunk<K>>>,
    /// The number of free cells.
    free: usize,
    /// Chunks that became empty while there were too many free cells.
    empty: VecDeque<u32>,
    /// The numbers of chunks that were freed, and the generation of the next tasks there.
    vacant: Vec<(u32, u32)>,
    spawned: u64,
    /// The kernel is closed: new chunks are not put into the table.
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

    /// Takes a cell and a serial number for a new task. The caller sets the flags.
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

    /// The number of tasks that were ever admitted.
    pub(crate) fn spawned(&self) -> u64 {
        self.spawned
    }

    /// Removes the first chunk from the list of chunks with free cells, because it is full or
    /// freed.
    #[inline(never)]
    fn open_next(&mut self, next: u32) {
        self.link(next, NONE);
        self.first_open = self.chunk(next).cloned();
    }

    /// Any chunk. The run loop starts with a reference to it.
    pub(crate) fn some_chunk(&mut self, core: &Rc<K>) -> Rc<Chunk<K>> {
        match self.chunks.iter().flatten().next() {
            Some(chunk) => chunk.clone(),
            None => Chunk::new(core.clone(), NOWHERE, 0),
        }
    }

    /// Takes a cell of a new chunk.
    #[inline(never)]
    fn make(&mut self, core: &Rc<K>) -> TaskRef<K> {
        if self.gone {
            // The table is not emptied again, so a chunk in it would keep the kernel alive.
            return Chunk::new(core.clone(), NOWHERE, 0).take();
        }
        let more = (self.chunks.len() / 4).clamp(1, ROW);
        let row: Vec<u32> = (0..more).map(|_| self.add(core)).collect();
        row.into_iter().rev().for_each(|number| self.open(number));
        let first = self.first_open.as_ref().expect("it was opened just now");
        self.free -= 1;
        first.take()
    }

    /// Adds a new chunk. It is not yet in the list of chunks with free cells.
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

    /// The task with that id, if its slot has not been freed. A slot whose generations are used up
    /// keeps its last id, so its last task is found although the slot is free.
    #[inline]
    pub(crate) fn get(&self, id: TaskId) -> Option<TaskRef<K>> {
        self.at(id.index()).filter(|task| task.id() == id)
    }

    /// The flags of the task with that id, if its slot has not been freed.
    #[inline]
    pub(crate) fn flags(&self, id: TaskId) -> Option<&Flags> {
        self.chunk_of(id.index())?.flags(id)
    }

    /// The task that occupies that slot now.
    #[inline]
    pub(crate) fn at(&self, index: u32) -> Option<TaskRef<K>> {
        self.chunk_of(index).map(|chunk| chunk.at(index))
    }

    /// The membership of the task in that slot, if any task of its chunk is in a group.
    pub(crate) fn membership(&self, index: u32) -> Option<&Membership> {
        self.chunk_of(index).and_then(|chunk| chunk.membership(index))
    }

    #[inline]
    fn chunk(&self, number: u32) -> Option<&Rc<Chunk<K>>> {
        self.chunks.get(number as usize).and_then(Option::as_ref)
    }

    /// The chunk that contains a slot.
    #[inline]
    fn chunk_of(&self, index: u32) -> Option<&Rc<Chunk<K>>> {
        self.chunk(number_of(index))
    }

    /// Frees the slot of an ended task.
    #[inline]
    pub(crate) fn release(&mut self, task: &TaskRef<K>, cell: &TaskCell) {
        // A slot whose generations are used up is not used again, so that no two tasks have the
        // same id.
        let Some(generation) = cell.generation.get().checked_add(1) else { return };
        cell.generation.set(generation);
        self.free += 1;
        let chunk = task.chunk();
        let is_first = chunk.free(task.index());
        if is_first || (self.free > KEEP_FREE && chunk.is_empty()) {
            self.released(chunk);
        }
    }

    /// The slow path of `release`: for the first free cell of a chunk, and for a chunk that becomes
    /// empty while there are too many free cells.
    #[inline(never)]
    fn released(&mut self, chunk: &Rc<Chunk<K>>) {
        if self.gone {
            return;
        }
        if chunk.has_one_free() {
            self.open(chunk.number());
        }
        if self.free > KEEP_FREE && chunk.is_empty() && !chunk.listed.replace(true) {
            self.empty.push_back(chunk.number());
        }
    }

    /// Puts a chunk at the front of the list of chunks with free cells.
    fn open(&mut self, number: u32) {
        let next = self.first_open.as_ref().map_or(NONE, |chunk| chunk.number());
        self.link(next, number);
        self.first_open = self.chunk(number).cloned();
        if let Some(chunk) = &self.first_open {
            chunk.open.set(ListLinks { previous: NONE, next });
        }
    }

    /// Sets the link from a chunk with free cells to the one before it.
    fn link(&self, number: u32, previous: u32) {
        if let Some(chunk) = self.chunk(number) {
            chunk.open.set(ListLinks { previous, ..chunk.open.get() });
        }
    }

    /// Whether some chunks may be freed.
    #[inline]
    pub(crate) fn has_surplus(&self) -> bool {
        !self.empty.is_empty()
    }

    /// Removes some of the empty chunks if there are too many; the caller drops them. A chunk with
    /// another reference to it stays for now, because its number must not be given to a new chunk.
    /// Such references are in the run loop: to the chunk of the task that it polled last, and to
    /// the one that it polled in before.
    pub(crate) fn trim(&mut self) -> Vec<Rc<Chunk<K>>> {
        let mut given_up = Vec::new();
        for _ in 0..self.empty.len().min(2 * TRIM) {
            if given_up.len() == TRIM || self.free <= KEEP_FREE {
                break;
            }
            let Some(number) = self.empty.pop_front() else { break };
            let chunk = self.chunk(number).inspect(|chunk| chunk.listed.set(false));
            let Some(chunk) = chunk.filter(|chunk| chunk.is_empty()) else {
                // The chunk is in use again. It is listed again when its tasks have ended.
                continue;
            };
            if self.is_spare(chunk) {
                given_up.extend(self.give_up(number));
            } else {
                chunk.listed.set(true);
                self.empty.push_back(number);
            }
        }
        if self.free <= KEEP_FREE {
            while let Some(number) = self.empty.pop_front() {
                self.chunk(number).inspect(|chunk| chunk.listed.set(false));
            }
        }
        given_up
    }

    /// Whether only the table refers to that chunk.
    fn is_spare(&self, chunk: &Rc<Chunk<K>>) -> bool {
        let first = self.first_open.as_ref().is_some_and(|first| Rc::ptr_eq(first, chunk));
        Rc::strong_count(chunk) == 1 + usize::from(first)
    }

    /// Removes an empty chunk from the table.
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

    /// Removes every cell because the kernel closes.
    pub(crate) fn clear(&mut self) -> impl Sized + use<K> {
        std::mem::replace(self, Table { gone: true, spawned: self.spawned, ..Table::new() }).chunks
    }

    /// The tasks of the chunk with that number; None after the last chunk.
    pub(crate) fn occupied_in(&self, number: usize) -> Option<Vec<TaskRef<K>>> {
        let chunk = self.chunks.get(number)?;
        Some(chunk.iter().flat_map(Chunk::occupied).collect())
    }

    /// Every task that occupies a cell, including ended tasks that have holders.
    pub(crate) fn occupied(&self) -> impl Iterator<Item = TaskRef<K>> {
        self.chunks.iter().flatten().flat_map(Chunk::occupied)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table, and the tasks in it.
    struct Tenancy {
        kernel: Rc<()>,
        table: Table<()>,
        occupied: Vec<TaskRef<()>>,
        seed: u64,
    }

    impl Tenancy {
        fn new() -> Self {
            Tenancy { kernel: Rc::new(()), table: Table::new(), occupied: Vec::new(), seed: 3 }
        }

        fn admit(&mut self) -> TaskId {
            let (task, serial) = self.table.admit(&self.kernel);
            task.begin(serial);
            task.flags.become_alive(0);
            let id = task.id();
            self.occupied.push(task);
            id
        }

        fn release(&mut self, at: usize) -> TaskId {
            let task = self.occupied.swap_remove(at);
            task.flags.become_free();
            self.table.release(&task, &task);
            task.id()
        }

        fn any(&mut self) -> usize {
            self.seed =
                self.seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (self.seed >> 33) as usize % self.occupied.len()
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
            while all.occupied.len() > kept {
                let at = all.any();
                all.release(at);
            }
            all.trim();
            for tenant in &all.occupied {
                assert!(all.table.get(tenant.id()).is_some_and(|found| found.is(tenant)));
            }
            assert_eq!(all.table.occupied().count(), kept);
        }
    }

    #[test]
    fn what_many_tasks_have_taken_is_given_back_when_they_have_ended() {
        let mut all = Tenancy::new();
        for _ in 0..100_000 {
            all.admit();
        }
        while !all.occupied.is_empty() {
            all.release(0);
        }
        assert!(all.table.has_surplus());
        all.trim();
        let left = all.table.chunks.iter().flatten().count();
        assert!(left * CELLS <= KEEP_FREE + CELLS, "{left} chunks are left");
        assert!(!all.table.has_surplus());
    }

    #[test]
    fn a_chunk_that_empties_again_and_again_is_listed_once() {
        let mut all = Tenancy::new();
        for _ in 0..4 * KEEP_FREE {
            all.admit();
        }
        for at in (0..all.occupied.len()).rev() {
            all.release(at);
        }
        for _ in 0..10_000 {
            all.admit();
            all.release(0);
        }
        assert!(all.table.empty.len() <= all.table.chunks.len(), "{}", all.table.empty.len());
    }

    #[test]
    fn a_chunk_that_somebody_refers_to_is_not_given_back() {
        let mut all = Tenancy::new();
        for _ in 0..2 * KEEP_FREE {
            all.admit();
        }
        let held = all.occupied.clone();
        while !all.occupied.is_empty() {
            all.release(0);
        }
        all.trim();
        for task in held {
            let there = all.table.chunk(task.chunk().number());
            assert!(there.is_some_and(|chunk| Rc::ptr_eq(chunk, task.chunk())));
        }
    }
}
