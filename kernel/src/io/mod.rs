//! Registrations: a source of readiness, and the leaf that tries an operation on it.
//!
//! `net` stands on this alone, and so can sources of other crates: anything that is a
//! `mio::event::Source` and can be tried without blocking.

// `IoPoint`, `Side` and the types of sides are for `net`, and hidden until their form is settled.
pub use self::point::IoPoint;
pub use self::registration::{Io, Registration};
pub use self::side::{Side, ToRead, ToWrite};
pub use crate::parts::reactor::Direction;

mod error;
mod point;
mod registration;
mod seat;
mod side;
