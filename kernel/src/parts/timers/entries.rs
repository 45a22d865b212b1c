//! The entries of the timers, and which of them comes first.
//!
//! A new entry is appended to a list. When the first entry is asked for, the list is emptied: an
//! entry that is not before the last one of the *line* is appended to the line, and any other moves
//! into a 4-ary heap. A program whose timeouts all have the same limit arms them in order of
//! deadline. Then all entries are in the line, and each costs O(1) until its end.

use std::collections::VecDeque;

use crate::parts::KEEP;

/// What is kept of an armed timer to find the first. It is dead once the timer is disarmed.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) deadline: u64,
    /// Timers with equal deadlines fire in order of arming.
    pub(super) order: u64,
    pub(super) slot: u32,
}

impl Entry {
    #[inline]
    fn before(&self, other: &Entry) -> bool {
        (self.deadline, self.order) < (other.deadline, other.order)
    }
}

/// The number of late entries at the end of the line that make way for an earlier one. Without
/// that, one timer of an hour would keep all timers of seconds out of the line for an hour.
const LATE: usize = 4;

/// The entries of all armed timers, and dead ones.
#[derive(Default)]
pub(super) struct Entries {
    /// The entries that are not in order yet, as they were armed.
    fresh: Vec<Entry>,
    /// Entries in order.
    pub(super) line: VecDeque<Entry>,
    /// All others, as a 4-ary heap.
    pub(super) heap: Vec<Entry>,
    /// The first entry is that of the line, and not that of the heap.
    is_in_line: bool,
}

impl Entries {
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.fresh.len() + self.line.len() + self.heap.len()
    }

    /// The number of entries that are not in order yet.
    #[inline]
    pub(super) fn fresh(&self) -> usize {
        self.fresh.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.fresh.iter().chain(&self.line).chain(&self.heap)
    }

    #[inline]
    pub(super) fn push(&mut self, entry: Entry) {
        self.fresh.push(entry);
    }

    /// Removes the entry that was pushed last, if it has that order and is not in order yet.
    #[inline]
    pub(super) fn take_last(&mut self, order: u64) -> bool {
        let is_last = self.fresh.last().is_some_and(|entry| entry.order == order);
        if is_last {
            self.fresh.pop();
        }
        is_last
    }

    /// Removes the first entry of the line, if it has that order.
    #[inline]
    pub(super) fn take_first(&mut self, order: u64) -> bool {
        let is_first = self.line.front().is_some_and(|entry| entry.order == order);
        if is_first {
            self.line.pop_front();
        }
        is_first
    }

    pub(super) fn clear(&mut self) {
        self.fresh.clear();
        self.line.clear();
        self.heap.clear();
    }

    /// The first entry that lives. All are in order afterwards, and none before it is dead.
    pub(super) fn first(&mut self, lives: impl Fn(&Entry) -> bool) -> Option<Entry> {
        for at in 0..self.fresh.len() {
            let entry = self.fresh[at];
            if lives(&entry) {
                self.put_in_order(entry);
            }
        }
        self.fresh.clear();
        // Releases the memory that a burst took.
        self.fresh.shrink_to(KEEP);
        while self.line.front().is_some_and(|first| !lives(first)) {
            self.line.pop_front();
        }
        while self.heap.first().is_some_and(|first| !lives(first)) {
            self.pop_heap();
        }
        let (in_line, in_heap) = (self.line.front(), self.heap.first());
        self.is_in_line = match (in_line, in_heap) {
            (Some(in_line), Some(in_heap)) => in_line.before(in_heap),
            (in_line, _) => in_line.is_some(),
        };
        if self.is_in_line { in_line.copied() } else { in_heap.copied() }
    }

    /// Removes the entry that [`first`](Entries::first) has returned just now.
    pub(super) fn pop_first(&mut self) {
        match self.is_in_line {
            true => drop(self.line.pop_front()),
            false => self.pop_heap(),
        }
    }

    #[inline]
    fn put_in_order(&mut self, entry: Entry) {
        // Entries come in order of arming, so one with the same deadline is not before the last.
        if self.line.back().is_none_or(|last| last.deadline <= entry.deadline) {
            self.line.push_back(entry);
            return;
        }
        let many = self.line.len().checked_sub(LATE + 1);
        if many.is_some_and(|at| self.line[at].deadline > entry.deadline) {
            self.push_heap(entry);
        } else {
            self.put_before_the_last(entry);
        }
    }

    #[inline(never)]
    fn put_before_the_last(&mut self, entry: Entry) {
        while let Some(&last) = self.line.back() {
            if last.deadline <= entry.deadline {
                break;
            }
            self.line.pop_back();
            self.push_heap(last);
        }
        self.line.push_back(entry);
    }

    /// Removes all entries that do not live.
    pub(super) fn retain(&mut self, lives: impl Fn(&Entry) -> bool) {
        self.fresh.retain(&lives);
        self.line.retain(&lives);
        self.heap.retain(&lives);
        for at in (0..self.heap.len().div_ceil(4)).rev() {
            self.sift_down(at);
        }
    }

    /// Releases memory, but for so many entries in each of the two places.
    pub(super) fn shrink(&mut self, few: usize) {
        self.line.shrink_to(few);
        self.heap.shrink_to(few);
    }

    #[inline]
    fn push_heap(&mut self, entry: Entry) {
        self.heap.push(entry);
        self.sift_up(self.heap.len() - 1);
    }

    /// Removes the top of the heap.
    fn pop_heap(&mut self) {
        self.heap.swap_remove(0);
        self.sift_down(0);
    }

    fn sift_up(&mut self, mut at: usize) {
        while at > 0 {
            let parent = (at - 1) / 4;
            if !self.heap[at].before(&self.heap[parent]) {
                break;
            }
            self.heap.swap(at, parent);
            at = parent;
        }
    }

    fn sift_down(&mut self, mut at: usize) {
        loop {
            let first = 4 * at + 1;
            let children = first..(first + 4).min(self.heap.len());
            let least =
                children.reduce(|a, b| if self.heap[b].before(&self.heap[a]) { b } else { a });
            match least {
                Some(child) if self.heap[child].before(&self.heap[at]) => {
                    self.heap.swap(at, child);
                    at = child;
                }
                _ => break,
            }
        }
    }
}
