//! The monitor: looks into a running program from another terminal.
//!
//! A thread beside the kernel listens at a port of this machine, or at a socket of this user. It
//! answers also while a task blocks the thread of the kernel, and says which one does.
//!
//! ```text
//! $ nc 127.0.0.1 48802
//!
//! Curium Monitor: 3 tasks running
//! Type help for commands
//! curium > ps
//! Task   State        Cycles     Timeout Waiting Name
//! ------ ------------ ---------- ------- ------- --------
//! 0      JOIN         2          None    2.1 s   main
//! 1      SLEEP        1          None    2.1 s   countdown
//! 2      EVENT_WAIT   1          None    2.1 s   kid
//! curium > w 2
//! 2 EVENT_WAIT kid
//!   EVENT_WAIT at src/main.rs:12:9, for 2.1 s
//! ```
//!
//! The monitor says nothing before the first line, which may be empty, because a browser opens
//! connections before it needs them.
//!
//! A program has a monitor if it asks for one with [`MonitorExt::monitor`] or
//! [`run_with_monitor`], or if it is started with `CURIUM_MONITOR=1` and calls [`run`]. `help`
//! lists the commands. `cancel` and `signal` work only if the program allows them
//! ([`Monitor::allow_cancel`]).
//!
//! Kernels on several cores (the feature `cores`) share one monitor: `Cores` has the same method
//! [`monitor`](MonitorExt::monitor), and `kernels` of this crate is for `CURIUM_MONITOR=1`. Then
//! every view shows all cores, one after the other, and a task is named with its core in front:
//! `w 1:2` is the task 2 of core 1. A core that blocks its thread is named, with what was seen of it
//! before, and the others are shown as they are now.
//!
//! The same port speaks HTTP. `/` is a page for a browser, which shows the tree of the tasks, who
//! waits for whom, and the last ten seconds, live. It needs no other file and no network, and is
//! read-only unless the program allows `cancel` and the address has the token
//! ([`Listening::page`]). `GET /json` is one document with everything, `GET /events` sends it
//! four times a second, `GET /trace?secs=N` is the end of what the
//! [flight recorder](kernel::Builder::flight_recorder) has, for `ui.perfetto.dev` (the header
//! `X-Curium-Left-Out` names the cores that have not answered), and
//! `POST /cancel?task=ID` cancels a task, with the [token](Listening) in the header
//! `X-Curium-Token`.
//!
//! It is for Linux first. It runs on other systems with Unix sockets.

#![cfg(unix)]

mod attached;
mod command;
#[cfg(test)]
mod fuzz;
mod held;
mod http;
mod json;
mod known;
mod listen;
mod monitor;
mod server;
mod session;
mod shot;
mod signals;
mod text;
mod watched;
mod world;

#[cfg(feature = "cores")]
pub use crate::monitor::kernels;
pub use crate::monitor::{Listening, Monitor, MonitorExt, run, run_with_monitor};
