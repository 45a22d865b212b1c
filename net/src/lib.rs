//! TCP for Curium.
//!
//! [`TcpListener`] and [`TcpStream`] work on `&self`, return `io::Error`, and every call that may
//! wait is a cancellation point: the error then holds a `TaskCancelled`, which `kernel::cancelled`
//! finds. A call that did something returns it, whatever else is due; so a cancelled read has
//! consumed nothing.
//!
//! One task reads and one writes on a socket at a time; another gets a clear error, and the first
//! is unharmed. A socket moves to the kernel of another thread with the value, while nobody is
//! parked on it.
//!
//! ```
//! use std::io;
//! use curium::kernel;
//! use curium::net::{TcpListener, TcpStream};
//!
//! kernel::run(async || -> io::Result<()> {
//!     let listener = TcpListener::bind("127.0.0.1:0").await?;
//!     let address = listener.local_addr()?;
//!     let client = kernel::spawn(async move {
//!         let stream = TcpStream::connect(address).await?;
//!         stream.write_all(b"hello").await?;
//!         Ok::<(), io::Error>(())
//!     });
//!     let (stream, _peer) = listener.accept().await?;
//!     let mut buf = [0; 5];
//!     stream.read_exact(&mut buf).await?;
//!     assert_eq!(&buf, b"hello");
//!     client.await?;
//!     Ok(())
//! })?;
//! # Ok::<(), io::Error>(())
//! ```
//!
//! # Descriptors and processes
//!
//! Every descriptor is closed in a program that is executed, so `std::process::Command` is safe. A
//! child process that is forked and executes nothing (`fork` alone) is not: it shares the poll, the
//! timer and the waker of its parent's kernel. A socket that is used, closed or dropped there may
//! take the parent's out of the poll, whose tasks then wait for ever, and a kernel that goes on in
//! the child takes events that were the parent's. Threads are not copied, so whatever one of them
//! had locked stays locked, and a job that waits for one waits for ever. Such a child must leave
//! everything of this library alone, destructors included: it executes a program or ends with
//! `_exit`. Fork before the first kernel is made, where a fork is needed.
//!
//! Source: curio's `io.py` and `socket.py`. Deliberately absent: `settimeout` (wrap the call in
//! `timeout_after`), vectored and buffered I/O (later).

mod address;
mod connect;
mod halves;
mod listener;
mod server;
mod socket;
mod stream;

pub use crate::address::ToSocketAddrs;
pub use crate::halves::{ReadHalf, WriteHalf};
pub use crate::listener::TcpListener;
pub use crate::server::tcp_server;
pub use crate::stream::{TcpStream, WriteAllError};
