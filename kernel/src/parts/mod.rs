//! Data structures that name no other room: lists, the clock, the timers, the ready queue, the tree
//! of scopes, the mailbox and the reactor.

pub(crate) mod clock;
pub(crate) mod fifo;
pub(crate) mod list;
pub(crate) mod mailbox;
pub(crate) mod reactor;
pub(crate) mod ready;
pub(crate) mod scopes;
pub(crate) mod timers;
pub(crate) mod waiter;

/// Room for so many entries of a kind is kept after a burst.
pub(crate) const KEEP: usize = 1024;
