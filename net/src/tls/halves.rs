//! Halves that own a TLS connection together: one task has one, another task has the other.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use ::io::{AsyncRead, AsyncWrite};

use super::TlsStream;
use crate::owned::ReuniteError;

/// The reading half of a TLS connection, made by [`TlsStream::into_split`]. It is a stream for the
/// traits of `futures-io`.
///
/// The connection is dropped with the second half.
pub struct TlsReadHalf<S>(Rc<RefCell<TlsStream<S>>>);

/// The writing half of a TLS connection, made by [`TlsStream::into_split`]. It is a stream for the
/// traits of `futures-io`.
///
/// Its drop sends nothing, because that may have to wait: [`close`](::io::WriteExt::close) it, so
/// that the peer reads the end of the stream. The connection is dropped with the second half.
pub struct TlsWriteHalf<S>(Rc<RefCell<TlsStream<S>>>);

pub(super) fn into_split<S>(stream: TlsStream<S>) -> (TlsReadHalf<S>, TlsWriteHalf<S>) {
    let stream = Rc::new(RefCell::new(stream));
    (TlsReadHalf(stream.clone()), TlsWriteHalf(stream))
}

impl<S> TlsReadHalf<S> {
    /// The stream again, from both halves of it.
    ///
    /// # Errors
    ///
    /// [`ReuniteError`] with the halves, if they are not of one stream.
    pub fn reunite(
        self,
        write: TlsWriteHalf<S>,
    ) -> Result<TlsStream<S>, ReuniteError<Self, TlsWriteHalf<S>>> {
        if !Rc::ptr_eq(&self.0, &write.0) {
            return Err(ReuniteError { read: self, write });
        }
        drop(write);
        Ok(Rc::into_inner(self.0).expect("there are no more than two halves").into_inner())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsReadHalf<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsWriteHalf<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_close(cx)
    }
}

impl<S> fmt::Debug for TlsReadHalf<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsReadHalf").finish_non_exhaustive()
    }
}

impl<S> fmt::Debug for TlsWriteHalf<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsWriteHalf").finish_non_exhaustive()
    }
}

::io::other_traits!(read [S: AsyncRead + AsyncWrite + Unpin] TlsReadHalf<S>);
::io::other_traits!(write [S: AsyncRead + AsyncWrite + Unpin] TlsWriteHalf<S>, true);
