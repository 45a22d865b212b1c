//! Ids of tasks and groups.
//!
//! Invariant *ids never lie*: the id of a task consists of a slot of the task table and a
//! generation, which increases with each task in the slot. A slot whose generations are used up is
//! not used again. So an id never refers to a later task.

use std::cmp::Ordering;
use std::fmt;

/// Identifies a task of a kernel. While the kernel exists, no other task of it has the same id.
///
/// Shown as `#3`, or `#3.1` for the next task in the same slot.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TaskId {
    /// The generation in the upper half, the slot in the lower half. It is one word because of
    /// store forwarding (`task/state.rs`): an id is copied right after it is made.
    bits: u64,
}

impl TaskId {
    /// No task.
    pub(crate) const NONE: TaskId = TaskId { bits: u64::MAX };

    #[inline]
    pub(crate) const fn new(index: u32, generation: u32) -> Self {
        TaskId { bits: ((generation as u64) << 32) | index as u64 }
    }

    #[inline]
    pub(crate) const fn index(self) -> u32 {
        self.bits as u32
    }

    #[inline]
    pub(crate) const fn generation(self) -> u32 {
        (self.bits >> 32) as u32
    }

    pub(crate) fn as_option(self) -> Option<TaskId> {
        (self != TaskId::NONE).then_some(self)
    }

    pub(crate) const fn to_bits(self) -> u64 {
        self.bits
    }

    pub(crate) const fn from_bits(bits: u64) -> Self {
        TaskId { bits }
    }
}

/// Orders by slot, then by generation.
impl Ord for TaskId {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.index(), self.generation()).cmp(&(other.index(), other.generation()))
    }
}

impl PartialOrd for TaskId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.generation() {
            0 => write!(f, "#{}", self.index()),
            generation => write!(f, "#{}.{generation}", self.index()),
        }
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Identifies a group of a kernel: its index in `Owners`, and the number of groups that the kernel
/// had opened by then, which wraps after 2^32.
///
/// Shown as `g3.8`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct GroupId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl GroupId {
    /// No group.
    pub(crate) const NONE: GroupId = GroupId { index: u32::MAX, generation: 0 };
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "g{}.{}", self.index, self.generation)
    }
}

impl fmt::Debug for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
