//! Cancel scopes as a combinator owns them: timeouts and shields.

pub(crate) mod guard;
pub(crate) mod shield;
pub(crate) mod timeout;
