//! Names of tasks.
//!
//! Invariant *ids never lie*: a name is a place in the task table and the generation of its tenant.
//! A place whose generations are used up is never let again, so no name ever means a later task.

use std::fmt;

/// Names a task for as long as its kernel lives; never means another task of that kernel.
///
/// Shown as `#3`, or `#3.1` for the next tenant of the same place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl TaskId {
    /// No task.
    pub(crate) const NOBODY: TaskId = TaskId { index: u32::MAX, generation: u32::MAX };

    pub(crate) fn somebody(self) -> Option<TaskId> {
        (self != TaskId::NOBODY).then_some(self)
    }

    pub(crate) const fn to_bits(self) -> u64 {
        ((self.generation as u64) << 32) | self.index as u64
    }

    pub(crate) const fn from_bits(bits: u64) -> Self {
        TaskId { index: bits as u32, generation: (bits >> 32) as u32 }
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.generation {
            0 => write!(f, "#{}", self.index),
            generation => write!(f, "#{}.{generation}", self.index),
        }
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Names a group, likewise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GroupId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl GroupId {
    /// No group.
    pub(crate) const NONE: GroupId = GroupId { index: u32::MAX, generation: 0 };
}
