//! The standard output, and the one for errors.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::AsyncWrite;
use kernel::io::ToWrite;

use super::gate::{Gate, Handle};

/// The most that is written at once. When a pipe is ready, it has room for so much.
const MOST: usize = 4096;

static OUTPUT: Gate<io::Stdout> = Gate::new("the standard output", io::stdout);
static ERRORS: Gate<io::Stderr> = Gate::new("the standard output for errors", io::stderr);

/// A handle of the standard output of the process. See [`Stdout`].
pub fn stdout() -> Stdout {
    Stdout(Handle::new(&OUTPUT))
}

/// A handle of the standard output for errors. See [`Stderr`].
pub fn stderr() -> Stderr {
    Stderr(Handle::new(&ERRORS))
}

/// A handle of the standard output of the process, without a buffer: the calls of
/// [`WriteExt`](crate::WriteExt) write to it. At most 4,096 bytes are written at once, so that a
/// pipe that is ready has room for them.
///
/// While one handle waits for room, a write of another is an error of the kind
/// [`io::ErrorKind::ResourceBusy`]. Tasks that write side by side share a
/// [`BufWriter`](crate::BufWriter) and a lock. To close it does nothing: the descriptor belongs to
/// the process.
///
/// Its limits are those of [the module](crate::stdio).
pub struct Stdout(Handle<io::Stdout>);

/// A handle of the standard output of the process for errors. As [`Stdout`].
pub struct Stderr(Handle<io::Stderr>);

macro_rules! writes {
    ($type:ident) => {
        impl AsyncWrite for $type {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                if buf.is_empty() {
                    return Poll::Ready(Ok(0));
                }
                let piece = &buf[..buf.len().min(MOST)];
                let Self(handle) = &*self;
                let polled =
                    handle.gate().poll(handle, ToWrite, cx, |fd| Ok(rustix::io::write(fd, piece)?));
                if polled.is_ready() {
                    self.0.release();
                }
                polled
            }

            fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }
        }

        $crate::other_traits!(write [] $type, false);

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($type)).finish_non_exhaustive()
            }
        }
    };
}

writes!(Stdout);
writes!(Stderr);
