//! Signals of Unix: a stream of them, a body that they cancel, and the end of a process by one.
//!
//! - [`until_signal`] runs a body that the first signal cancels, so that it cleans up. The second
//!   signal ends the process.
//! - [`first_signal`] waits for the first signal, which stops a program on several cores.
//! - [`signals`] listens for signals and gives them one after the other.
//! - [`ctrl_c`] waits for Ctrl-C.
//! - [`Signal::die`] ends the process by a signal, so that a shell sees it.
//!
//! It needs the feature `signal`. Linux first; other Unix systems should work. Any number of
//! listeners may exist at once, in any kernels of the process, and each gets every signal. Without
//! a listener a signal has its default action. There is no thread for signals.
//!
//! The handlers are those of the crate `signal-hook`. It calls a handler that another library had
//! installed before. A library that installs one later, past `signal-hook`, must call the one that
//! it replaces, or no signal arrives here. If a library adds a handler through `signal-hook` while
//! a listener exists, the default action comes back all the same when the last listener is dropped.

pub use self::first::{FirstSignal, first_signal};
pub use self::signals::{Signals, ctrl_c, signals};
pub use self::until::{Signalled, until_signal};
pub use crate::number::*;

mod first;
mod hook;
mod listener;
mod send;
mod signals;
mod until;
