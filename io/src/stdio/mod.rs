//! The standard streams of the process.
//!
//! They share their descriptors with other processes, such as the shell that has started the
//! program. So they are never made non-blocking. Before each read and write the system is asked
//! whether it would block, and then the task waits; no thread is needed, so none outlives `main`.
//! A file and `/dev/null` are always ready.
//!
//! # Limits
//!
//! - If another process takes the input between the question and the read, the read blocks the
//!   thread of the kernel until there is more. So does a write of up to 4,096 bytes if another
//!   process fills a pipe at that moment, or if a terminal has less room than that.
//! - The buffers of [`std::io::stdin`] and [`std::io::stdout`] are others. Do not read from both;
//!   what `print!` has in its buffer comes when that is flushed, `println!` flushes at once.
//! - A process that is started later does not see the bytes that were read ahead. A line that is
//!   typed at a terminal is read alone.

mod gate;
mod stdin;
mod stdout;

pub use self::stdin::{Stdin, StdinLines, stdin};
pub use self::stdout::{Stderr, Stdout, stderr, stdout};
