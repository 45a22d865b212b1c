//! Streams for Curium: leaves over the traits of `futures-io`, and buffers.
//!
//! A stream is a type that implements [`AsyncRead`] or [`AsyncWrite`], the traits of `futures-io`.
//! [`ReadExt`], [`BufReadExt`] and [`WriteExt`] give every stream the calls to await, whether it is
//! of Curium or of another crate. Every call is a cancellation point and says what a cancellation
//! keeps; the poll functions of the traits never return one.
//!
//! ```
//! use std::io;
//! use curium::io::{BufReader, WriteExt, duplex};
//!
//! curium::run(async || {
//!     let (client, server) = duplex(1024);
//!     let echo = curium::spawn(async move {
//!         let mut server = BufReader::new(server);
//!         let mut line = String::new();
//!         while server.read_line(&mut line).await? > 0 {
//!             server.write_all(line.as_bytes()).await?;
//!             line.clear();
//!         }
//!         Ok::<_, io::Error>(())
//!     });
//!     let mut client = BufReader::new(client);
//!     client.write_all(b"hello\n").await?;
//!     let mut answer = String::new();
//!     client.read_line(&mut answer).await?;
//!     assert_eq!(answer, "hello\n");
//!     client.close().await?;
//!     echo.await
//! })
//! .unwrap();
//! ```
//!
//! [`stdin`], [`stdout`] and [`stderr`] are the standard streams: see [`stdio`].
//!
//! # The traits of other crates
//!
//! With the features `tokio-io` and `hyper`, of this crate or of `curium`, every stream of Curium
//! also has the traits of tokio (`AsyncRead`, `AsyncBufRead`, `AsyncWrite`) and those of hyper 1
//! (`rt::Read`, `rt::Write`). They are off by default. Neither turns on a feature of tokio, so
//! there is no second reactor.
//!
//! # A stream of your own
//!
//! A [`Registration`] makes a stream of anything that the system can wait for:
//! [`poll_io`](Registration::poll_io) is a `poll_read` or a `poll_write`.
//!
//! ```
//! use std::io::{self, Read};
//! use std::pin::Pin;
//! use std::task::{Context, Poll};
//! use curium::io::{AsyncRead, Direction, ReadExt, Registration};
//!
//! struct Pipe(Registration<mio::unix::pipe::Receiver>);
//!
//! impl AsyncRead for Pipe {
//!     fn poll_read(
//!         self: Pin<&mut Self>,
//!         cx: &mut Context<'_>,
//!         buf: &mut [u8],
//!     ) -> Poll<io::Result<usize>> {
//!         self.0.poll_io(Direction::Read, cx, |mut pipe| pipe.read(buf))
//!     }
//! }
//!
//! curium::run(async || {
//!     let (sender, receiver) = mio::unix::pipe::new()?;
//!     let mut pipe = Pipe(Registration::new(receiver));
//!     let sends = std::thread::spawn(move || io::Write::write_all(&mut &sender, b"hello"));
//!     let mut text = String::new();
//!     pipe.read_to_string(&mut text).await?;
//!     assert_eq!(text, "hello");
//!     sends.join().unwrap()
//! })?;
//! # Ok::<(), io::Error>(())
//! ```

#[cfg(unix)]
mod async_fd;
mod buf_read_ext;
mod buf_reader;
mod buf_writer;
mod buffer;
mod copy;
mod copy_bidirectional;
mod duplex;
mod errors;
#[cfg(unix)]
mod fd;
mod framed;
mod leaf;
#[doc(hidden)]
pub mod leaves;
mod read_ext;
#[doc(hidden)]
pub mod shortage;
#[cfg(unix)]
pub mod stdio;
#[doc(hidden)]
pub mod traits;
mod write_ext;

pub use futures_io::{AsyncBufRead, AsyncRead, AsyncSeek, AsyncWrite};
pub use kernel::io::*;

#[cfg(unix)]
pub use crate::async_fd::AsyncFd;
pub use crate::buf_read_ext::{BufReadExt, Lines};
pub use crate::buf_reader::BufReader;
pub use crate::buf_writer::BufWriter;
pub use crate::copy::{CopyError, copy};
pub use crate::copy_bidirectional::{CopyBidirectionalError, copy_bidirectional};
pub use crate::duplex::{DuplexStream, duplex};
pub use crate::errors::{ReadExactError, WriteAllError};
#[cfg(unix)]
#[doc(hidden)]
pub use crate::fd::{FdSource, is_ready};
pub use crate::framed::Framed;
pub use crate::framed::codec::{Decoder, Encoder};
pub use crate::framed::length_delimited::LengthDelimitedCodec;
pub use crate::read_ext::ReadExt;
#[cfg(unix)]
pub use crate::stdio::{stderr, stdin, stdout};
pub use crate::write_ext::WriteExt;
