//! Data structures that depend on no other module of the kernel but `id` and `error`: lists, the
//! clock, the timers, the ready queue, the tree of scopes, the mailbox and the reactor.

pub(crate) mod clock;
pub(crate) mod fifo;
pub(crate) mod held;
pub(crate) mod list;
pub(crate) mod mailbox;
pub(crate) mod reactor;
pub(crate) mod ready;
pub(crate) mod scopes;
pub(crate) mod timers;
pub(crate) mod values;
pub(crate) mod waiter;

/// The number of entries for which a data structure keeps memory after a burst.
pub(crate) const KEEP: usize = 1024;
