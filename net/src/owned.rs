//! Halves that own their stream together: one task has one, another task has the other.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::panic::Location;
use std::rc::Rc;

use ::io::{ReadExactError, WriteAllError};

use crate::stream::TcpStream;
use crate::wire::{self, Stream};

/// The reading half of a stream, made by [`TcpStream::into_split`]. It is a stream for the traits
/// of `futures-io`, so it may get a buffer of its own.
///
/// The connection is closed when both halves are dropped. What the stream has beside reads and
/// writes, such as its addresses, is reached by [`as_ref`](AsRef::as_ref).
#[derive(Debug)]
pub struct OwnedReadHalf<S: Stream = TcpStream>(pub(crate) Rc<S>);

/// The writing half of a stream, made by [`TcpStream::into_split`]. It is a stream for the traits
/// of `futures-io`, so it may get a buffer of its own.
///
/// When it is dropped, the writing direction is shut down: the peer reads the end of the stream.
/// The connection is closed when both halves are dropped.
#[derive(Debug)]
pub struct OwnedWriteHalf<S: Stream = TcpStream> {
    pub(crate) stream: Rc<S>,
    /// Its drop shuts the writing direction down.
    shuts_down: bool,
}

/// The halves are not of one stream. It has both.
#[derive(thiserror::Error)]
#[error("these halves are not of one stream")]
pub struct ReuniteError<R = OwnedReadHalf, W = OwnedWriteHalf> {
    /// The reading half.
    pub read: R,
    /// The writing half.
    pub write: W,
}

impl<R, W> fmt::Debug for ReuniteError<R, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReuniteError").finish_non_exhaustive()
    }
}

pub(crate) fn into_split<S: Stream>(stream: S) -> (OwnedReadHalf<S>, OwnedWriteHalf<S>) {
    let stream = Rc::new(stream);
    (OwnedReadHalf(stream.clone()), OwnedWriteHalf { stream, shuts_down: true })
}

impl<S: Stream> OwnedReadHalf<S> {
    /// The stream again, from both halves of it.
    ///
    /// # Errors
    ///
    /// [`ReuniteError`] with the halves, if they are not of one stream.
    pub fn reunite(
        self,
        mut write: OwnedWriteHalf<S>,
    ) -> Result<S, ReuniteError<Self, OwnedWriteHalf<S>>> {
        if !Rc::ptr_eq(&self.0, &write.stream) {
            return Err(ReuniteError { read: self, write });
        }
        write.shuts_down = false;
        drop(write);
        Ok(Rc::into_inner(self.0).expect("there are no more than two halves"))
    }

    /// As [`TcpStream::read`].
    ///
    /// # Errors
    ///
    /// As [`TcpStream::read`].
    ///
    /// # Cancellation
    ///
    /// Nothing is consumed.
    #[track_caller]
    pub fn read<'a>(&'a self, buf: &'a mut [u8]) -> impl Future<Output = io::Result<usize>> + 'a {
        wire::read(self.0.registration(), Location::caller(), buf)
    }

    /// As [`TcpStream::read_vectored`].
    ///
    /// # Errors
    ///
    /// As [`TcpStream::read`].
    ///
    /// # Cancellation
    ///
    /// Nothing is consumed.
    #[track_caller]
    pub fn read_vectored<'a>(
        &'a self,
        bufs: &'a mut [IoSliceMut<'_>],
    ) -> impl Future<Output = io::Result<usize>> + 'a {
        wire::read_vectored(self.0.registration(), Location::caller(), bufs)
    }

    /// As [`TcpStream::read_exact`].
    ///
    /// # Errors
    ///
    /// As [`TcpStream::read_exact`].
    ///
    /// # Cancellation
    ///
    /// The error says how many bytes were read.
    #[track_caller]
    pub fn read_exact<'a>(
        &'a self,
        buf: &'a mut [u8],
    ) -> impl Future<Output = Result<(), ReadExactError>> + 'a {
        wire::read_exact(self.0.registration(), Location::caller(), buf)
    }

    /// As [`TcpStream::peek`].
    ///
    /// # Errors
    ///
    /// As [`TcpStream::read`].
    ///
    /// # Cancellation
    ///
    /// Nothing is consumed.
    #[track_caller]
    pub fn peek<'a>(&'a self, buf: &'a mut [u8]) -> impl Future<Output = io::Result<usize>> + 'a {
        wire::peek(self.0.registration(), Location::caller(), buf)
    }
}

impl<S: Stream> OwnedWriteHalf<S> {
    /// As [`TcpStream::write`].
    ///
    /// # Errors
    ///
    /// As [`TcpStream::write`].
    ///
    /// # Cancellation
    ///
    /// Nothing was written.
    #[track_caller]
    pub fn write<'a>(&'a self, buf: &'a [u8]) -> impl Future<Output = io::Result<usize>> + 'a {
        wire::write(self.stream.registration(), Location::caller(), buf)
    }

    /// As [`TcpStream::write_vectored`].
    ///
    /// # Errors
    ///
    /// As [`TcpStream::write`].
    ///
    /// # Cancellation
    ///
    /// Nothing was written.
    #[track_caller]
    pub fn write_vectored<'a>(
        &'a self,
        bufs: &'a [IoSlice<'_>],
    ) -> impl Future<Output = io::Result<usize>> + 'a {
        wire::write_vectored(self.stream.registration(), Location::caller(), bufs)
    }

    /// As [`TcpStream::write_all`].
    ///
    /// # Errors
    ///
    /// As [`TcpStream::write_all`].
    ///
    /// # Cancellation
    ///
    /// The error says how many bytes were written.
    #[track_caller]
    pub fn write_all<'a>(
        &'a self,
        buf: &'a [u8],
    ) -> impl Future<Output = Result<(), WriteAllError>> + 'a {
        wire::write_all(self.stream.registration(), Location::caller(), buf)
    }

    /// Shuts the writing direction down, as a drop of this half does, and says whether it worked.
    ///
    /// # Errors
    ///
    /// As [`TcpStream::shutdown`].
    pub fn shutdown(&self) -> io::Result<()> {
        wire::shutdown(self.stream.registration(), Shutdown::Write)
    }
}

impl<S: Stream> AsRef<S> for OwnedReadHalf<S> {
    fn as_ref(&self) -> &S {
        &self.0
    }
}

impl<S: Stream> AsRef<S> for OwnedWriteHalf<S> {
    fn as_ref(&self) -> &S {
        &self.stream
    }
}

impl<S: Stream> Drop for OwnedWriteHalf<S> {
    fn drop(&mut self) {
        // Without the other half the close does it.
        if self.shuts_down && Rc::strong_count(&self.stream) > 1 {
            // An error means that the connection is gone or closed, which the peer learns anyway.
            let _ = self.shutdown();
        }
    }
}
