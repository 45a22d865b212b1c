//! Processes that this one starts: children. For Linux 5.4 or later.
//!
//! | you want | use |
//! |---|---|
//! | what a command prints | [`Command::output`], and [`Output::check`] if it must succeed |
//! | that a command is done | [`Command::status`] |
//! | to talk with a child while it runs | [`Command::run`] |
//! | a handle that you keep, for example in a pipeline | [`Command::spawn`] |
//!
//! ```
//! use curium::process::Command;
//! use std::io;
//! use std::time::Duration;
//!
//! curium::run(async || {
//!     let mut sort = Command::new("sort");
//!     sort.arg("-r").input("a\nb\n").timeout(Duration::from_secs(10));
//!     assert_eq!(sort.output().await?.check()?.stdout, b"b\na\n");
//!     Ok::<(), io::Error>(())
//! })
//! # .unwrap();
//! ```
//!
//! No child is left behind. A call that is left by an end, an error or a cancellation *stops* its
//! child: asks it by a signal, kills it after a grace, and reaps it ([`Stop`]). Only a future or a
//! [`Child`] that is dropped cannot wait for that: the child is killed at once, and reaped by a
//! thread. [`Child::detach`] is the exception, by name.
//!
//! A child that is killed leaves its own children alive, as a killed shell does.
//! [`Stop::whole_group`] stops them all. They may also keep the pipes of the child open when it has
//! ended; [`Command::pipes_within`] bounds how long that is waited for.
//!
//! A child is in the process group of this process unless it is put into another one, so a Ctrl-C
//! at the terminal reaches both. On the virtual clock of a test, a child that is silent for 10 ms
//! counts as parked, as the other end of a socket does, and then time limits pass.
//!
//! Ends are seen by process descriptors (`pidfd`), and a child is reaped by its descriptor. So the
//! handlers of `SIGCHLD` of other libraries do not matter. A program that ignores `SIGCHLD`, or
//! waits for *any* child, takes the status away: that is an error of [`Child::wait`].

mod child;
mod command;
mod group;
mod output;
mod pidfd;
mod pipe;
mod polls;
mod reaper;
mod start;
mod stdio;
mod stop;

pub use self::child::Child;
pub use self::command::Command;
pub use self::output::{CommandFailed, Output, OutputError};
pub use self::pipe::{ChildStderr, ChildStdin, ChildStdout};
pub use self::stdio::Stdio;
pub use self::stop::Stop;
pub use crate::number::*;
