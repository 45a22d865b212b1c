//! Intrusive doubly linked lists: the links are stored in the entries of an arena. Insertion and
//! removal are O(1) and allocate nothing.

use slab::Slab;

use crate::parts::KEEP;

/// No entry.
pub(crate) const NONE: u32 = u32::MAX;

/// The neighbours of an entry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ListLinks {
    pub(crate) previous: u32,
    pub(crate) next: u32,
}

impl ListLinks {
    pub(crate) const ALONE: ListLinks = ListLinks { previous: NONE, next: NONE };
}

/// An entry that is in at most one list.
pub(crate) trait Linked {
    fn links(&mut self) -> &mut ListLinks;
}

/// Puts `entry` at the front of the list that starts at `head`; the new head is `entry`.
pub(crate) fn push_front<T: Linked>(arena: &mut Slab<T>, head: u32, entry: u32) {
    *arena[entry as usize].links() = ListLinks { previous: NONE, next: head };
    if head != NONE {
        arena[head as usize].links().previous = entry;
    }
}

/// Takes `entry` out of its list. Returns the new head if `entry` was the head.
pub(crate) fn unlink<T: Linked>(arena: &mut Slab<T>, entry: u32) -> Option<u32> {
    let ListLinks { previous, next } = *arena[entry as usize].links();
    if next != NONE {
        arena[next as usize].links().previous = previous;
    }
    if previous == NONE {
        return Some(next);
    }
    arena[previous as usize].links().next = next;
    None
}

/// Releases the unused memory behind the last entry of an arena, if the arena is large and less
/// than a quarter of it is in use.
pub(crate) fn shrink_slab<T>(arena: &mut Slab<T>) {
    if arena.capacity() > KEEP && arena.len() < arena.capacity() / 4 {
        arena.shrink_to_fit();
    }
}
