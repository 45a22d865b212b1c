//! The combinators that own a cancel scope: timeouts and shields.

pub(crate) mod foreign;
pub(crate) mod guard;
mod put_back;
pub(crate) mod shield;
pub(crate) mod timeout;
