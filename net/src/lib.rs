//! TCP, UDP and Unix sockets for Curium, and TLS.
//!
//! The methods of [`TcpListener`] and [`TcpStream`] take `&self` and return `io::Error`. Every call
//! that may wait is a cancellation point: the error then holds a `TaskCancelled`, which
//! `kernel::cancelled` finds. An operation that has completed returns its result even if a
//! cancellation is pending, so a cancelled read has consumed nothing.
//!
//! An error of `connect`, `bind`, a look-up or an option says in its text what failed, and has the
//! error of the system as its `source`, which knows the number (`raw_os_error`).
//!
//! One task reads and one task writes on a socket at a time. A second reader or writer gets a busy
//! error, and the first is not affected. A socket can move to the kernel of another thread while
//! no task is parked on it.
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
//! Unix sockets, TLS and the simulated network are features: `unix-sockets`, `tls` and
//! `simulated-net`.
//!
//! # Descriptors and processes
//!
//! Every descriptor is closed on `exec`, so `std::process::Command` is safe. A child process that
//! is forked and does not call `exec` is not safe: it shares the poll, the timer and the waker of
//! its parent's kernel. If the child uses, closes or drops a socket, it may remove the parent's
//! socket from the poll, and the parent's tasks then wait for ever. A kernel that runs on in the
//! child takes events of the parent. Threads are not copied, so a lock that one of them held stays
//! locked, and a job that waits for a thread waits for ever. Such a child must not use anything of
//! this library, not even a destructor: it calls `exec` or `_exit`. A program that must fork does
//! so before it makes its first kernel.
//!
//! The source is curio's `io.py` and `socket.py`. Deliberately absent is `settimeout`: wrap the
//! call in `timeout_after`. Buffers for streams are in `curium::io`.

mod accept;
mod address;
mod connect;
#[cfg(all(unix, feature = "cores"))]
mod cores;
mod error;
mod halves;
mod listener;
mod live;
mod options;
mod origin;
mod owned;
mod polls;
mod serve;
mod server;
#[cfg(all(unix, feature = "simulated-net"))]
pub mod simulated;
mod socket;
mod stopping;
mod stream;
#[cfg(feature = "tls")]
mod tls;
mod udp;
#[cfg(all(unix, feature = "unix-sockets"))]
mod unix;
mod wire;

pub use crate::address::{ToSocketAddrs, resolve};
#[cfg(all(unix, feature = "cores"))]
pub use crate::cores::{Balance, CoreExt};
pub use crate::halves::{ReadHalf, WriteHalf};
pub use crate::listener::TcpListener;
pub use crate::options::{Keepalive, TcpOptions};
pub use crate::owned::{OwnedReadHalf, OwnedWriteHalf, ReuniteError};
pub use crate::serve::Serve;
pub use crate::server::tcp_server;
#[cfg(all(unix, feature = "simulated-net"))]
pub use crate::simulated::SimulatedNetExt;
pub use crate::stopping::{is_stopping, stopping, stopping_and_test};
pub use crate::stream::TcpStream;
#[cfg(feature = "tls")]
pub use crate::tls::{TlsAcceptor, TlsConnector, TlsReadHalf, TlsStream, TlsWriteHalf};
pub use crate::udp::{Received, UdpSocket};
#[cfg(all(any(target_os = "linux", target_os = "android"), feature = "unix-sockets"))]
pub use crate::unix::PeerCred;
#[cfg(all(unix, feature = "unix-sockets"))]
pub use crate::unix::{ToUnixAddr, UnixDatagram, UnixListener, UnixStream, unix_server};
#[doc(inline)]
pub use ::io::{ReadExactError, WriteAllError};
/// The library whose configurations [`TlsConnector`] and [`TlsAcceptor`] take.
#[cfg(feature = "tls")]
pub use ::rustls;
