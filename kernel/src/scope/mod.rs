//! The combinators that own a cancel scope: timeouts and shields.

pub(crate) mod guard;
pub(crate) mod shield;
pub(crate) mod timeout;
