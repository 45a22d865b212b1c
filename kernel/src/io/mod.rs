//! Registrations: a source of readiness, and the leaf that tries an operation on it.
//!
//! `net` is built on this alone, and so can sources of other crates be: any `mio::event::Source`
//! with an operation that does not block. The events of a source
//! in memory come from an [`Extension`](crate::Extension).

// `IoPoint`, `Side` and its types are for `net`. They stay hidden while their interface may change.
pub use self::point::IoPoint;
pub use self::registration::{Io, Registration};
pub use self::side::{Side, ToRead, ToWrite};
#[doc(hidden)]
pub use crate::core::budget::poll_counted;
pub use crate::core::extension::report_readiness;
pub use crate::parts::reactor::{Direction, Readiness};

mod error;
mod leaf;
mod point;
mod poll;
mod registration;
mod side;
