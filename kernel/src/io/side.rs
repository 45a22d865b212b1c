//! Directions as types, so that a leaf that only reads contains no code for writing.

use crate::parts::reactor::Direction;

/// A direction: a type if it is known at compile time, otherwise a [`Direction`].
#[doc(hidden)]
pub trait Side: Copy + sealed::Sealed {
    #[doc(hidden)]
    fn direction(self) -> Direction;
}

/// [`Direction::Read`], known at compile time.
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub struct ToRead;

/// [`Direction::Write`], known at compile time.
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub struct ToWrite;

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::ToRead {}
    impl Sealed for super::ToWrite {}
    impl Sealed for super::Direction {}
}

impl Side for Direction {
    #[inline]
    fn direction(self) -> Direction {
        self
    }
}

impl Side for ToRead {
    #[inline]
    fn direction(self) -> Direction {
        Direction::Read
    }
}

impl Side for ToWrite {
    #[inline]
    fn direction(self) -> Direction {
        Direction::Write
    }
}
