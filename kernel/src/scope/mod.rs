//! The combinators that own a cancel scope: timeouts, shields, and `finally`.

mod bare;
pub(crate) mod bounds;
pub(crate) mod cancel_scope;
pub(crate) mod finally;
pub(crate) mod foreign;
pub(crate) mod guard;
pub(crate) mod lazy;
mod put_back;
pub(crate) mod scope_handle;
pub(crate) mod shield;
pub(crate) mod timed;
pub(crate) mod timeout;
