//! A TLS connection.

use std::fmt;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker, ready};

use ::io::{AsyncRead, AsyncWrite};
use rustls::Connection;

use super::halves::{TlsReadHalf, TlsWriteHalf, into_split};

/// A TLS connection over a stream, from a [`TlsConnector`](crate::TlsConnector) or a
/// [`TlsAcceptor`](crate::TlsAcceptor).
///
/// It is a stream for the traits of `futures-io`, so that [`ReadExt`](::io::ReadExt) and
/// [`WriteExt`](::io::WriteExt) give it calls to await. A call that is cancelled leaves the
/// connection as it is, and can be made again.
///
/// A write has an effect when its bytes are accepted, and gives their number, as plain text. They
/// are encrypted and sent as far as the stream below has room. The rest, up to 64 KiB, is sent by
/// the next calls, a read among them. [`flush`](::io::WriteExt::flush) waits until everything is
/// sent.
///
/// [`close`](::io::WriteExt::close) ends the writing direction with the alert `close_notify`; the
/// other direction stays open. The peer reads the end of the stream after everything that was
/// written. A stream that ends without this alert may have been cut by a third party: reading its
/// end is an error of the kind [`UnexpectedEof`](ErrorKind::UnexpectedEof). So is it for the peer
/// if a `TlsStream` is dropped and was not closed.
///
/// To read through a buffer, or lines, put a [`BufReader`](::io::BufReader) round it.
pub struct TlsStream<S> {
    stream: S,
    /// Boxed, because every async function that a stream is passed through keeps space for it.
    session: Box<Connection>,
    /// Something was sent that the stream below may keep in a buffer.
    unflushed: bool,
    /// It was closed for writing.
    closed: bool,
    /// The error that has ended the session.
    failed: Option<rustls::Error>,
    /// The last write that was pending: a read that sends must not take its wake-up.
    writer: Option<Waker>,
}

impl<S> TlsStream<S> {
    pub(super) fn new(stream: S, session: Connection) -> Self {
        let session = Box::new(session);
        TlsStream { stream, session, unflushed: false, closed: false, failed: None, writer: None }
    }

    /// The stream below.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// The stream below. Bytes that are read from it or written to it break the connection.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// The state of the protocol: by its methods `alpn_protocol()`, `peer_certificates()` and
    /// `protocol_version()` what was agreed, and on a server the `server_name()` that the client
    /// has asked for.
    ///
    /// ```no_run
    /// use curium::net::rustls::Connection;
    /// use curium::net::{TcpStream, TlsStream};
    ///
    /// fn name(stream: &TlsStream<TcpStream>) -> Option<&str> {
    ///     assert_eq!(stream.session().alpn_protocol(), Some(&b"h2"[..]));
    ///     match stream.session() {
    ///         Connection::Server(session) => session.server_name(),
    ///         Connection::Client(_) => None,
    ///     }
    /// }
    /// ```
    pub fn session(&self) -> &Connection {
        &self.session
    }

    /// A reading half and a writing half that own the connection together, so that each may move
    /// into a task of its own. [`reunite`](TlsReadHalf::reunite) makes the stream of them again.
    ///
    /// ```no_run
    /// use std::io;
    /// use curium::io::{ReadExt, WriteExt};
    /// use curium::kernel::spawn;
    /// use curium::net::{TcpStream, TlsStream};
    ///
    /// async fn ask(stream: TlsStream<TcpStream>) -> io::Result<String> {
    ///     let (mut read, mut write) = stream.into_split();
    ///     let writer = spawn(async move {
    ///         write.write_all(b"a long question").await?;
    ///         write.close().await // the peer reads the end
    ///     });
    ///     let mut answer = String::new();
    ///     read.read_to_string(&mut answer).await?; // also before the question is written
    ///     writer.await?;
    ///     Ok(answer)
    /// }
    /// ```
    pub fn into_split(self) -> (TlsReadHalf<S>, TlsWriteHalf<S>) {
        into_split(self)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    /// Sends what waits to be sent, and flushes the stream below.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.wants_write() {
            let sent = self.session.write_tls(&mut Sync { stream: &mut self.stream, cx });
            match ready!(pending(sent))? {
                0 => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                _ => self.unflushed = true,
            }
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// [`poll_send`](TlsStream::poll_send) for a write, a flush or a close.
    fn poll_send_written(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = self.poll_send(cx);
        let is_kept = self.writer.as_ref().is_some_and(|kept| kept.will_wake(cx.waker()));
        if sent.is_ready() {
            self.writer = None;
        } else if !is_kept {
            self.writer = Some(cx.waker().clone());
        }
        sent
    }

    /// [`poll_send`](TlsStream::poll_send) for a read, because the peer may wait for what was
    /// written. An error is one of the next write; there may still be something to read.
    fn send_for_a_read(&mut self, cx: &mut Context<'_>) {
        if !self.session.wants_write() && !self.unflushed {
            return;
        }
        match &self.writer {
            // The stream below wakes the last one alone.
            Some(writer) if !writer.will_wake(cx.waker()) => {
                let both = Waker::from(Arc::new(Both(writer.clone(), cx.waker().clone())));
                let _ = self.poll_send(&mut Context::from_waker(&both));
            }
            _ => drop(self.poll_send(cx)),
        }
    }

    /// Receives some bytes, and decrypts what is complete. 0 is the end of the stream below.
    pub(super) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.check()?;
        let read = self.session.read_tls(&mut Sync { stream: &mut self.stream, cx });
        let read = ready!(pending(read))?;
        if let Err(error) = self.session.process_new_packets() {
            self.failed = Some(error);
            // The alert that tells the peer, if there is room for it.
            let _ = self.poll_send(cx);
        }
        self.check()?;
        Poll::Ready(Ok(read))
    }

    /// An error of the protocol is given to every later call.
    fn check(&self) -> io::Result<()> {
        match &self.failed {
            Some(error) => Err(io::Error::new(ErrorKind::InvalidData, error.clone())),
            None => Ok(()),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        loop {
            match this.session.reader().read(buf) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // The end after `close_notify` is 0, and without it an error. For an empty buffer
                // it is 0 at any time.
                read => return Poll::Ready(read),
            }
            this.send_for_a_read(cx);
            ready!(this.poll_receive(cx))?;
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if bufs.iter().all(|buf| buf.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        this.check()?;
        if this.closed {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        loop {
            let accepted = this.session.writer().write_vectored(bufs)?;
            let sent = this.poll_send_written(cx)?;
            if accepted > 0 {
                return Poll::Ready(Ok(accepted));
            }
            ready!(sent);
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_send_written(cx)
    }

    /// Sends `close_notify`, and closes the stream below for writing.
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !std::mem::replace(&mut this.closed, true) {
            this.session.send_close_notify();
        }
        ready!(this.poll_send_written(cx))?;
        Pin::new(&mut this.stream).poll_close(cx)
    }
}

impl<S: fmt::Debug> fmt::Debug for TlsStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream").field("stream", &self.stream).finish_non_exhaustive()
    }
}

/// Wakes a writer and a reader.
struct Both(Waker, Waker);

impl Wake for Both {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.wake_by_ref();
        self.1.wake_by_ref();
    }
}

/// A stream for rustls, to which `WouldBlock` is what `Pending` is here.
struct Sync<'a, 'b, S> {
    stream: &'a mut S,
    cx: &'a mut Context<'b>,
}

fn blocking<T>(polled: Poll<io::Result<T>>) -> io::Result<T> {
    match polled {
        Poll::Ready(result) => result,
        Poll::Pending => Err(ErrorKind::WouldBlock.into()),
    }
}

fn pending<T>(result: io::Result<T>) -> Poll<io::Result<T>> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
        result => Poll::Ready(result),
    }
}

impl<S: AsyncRead + Unpin> Read for Sync<'_, '_, S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        blocking(Pin::new(&mut *self.stream).poll_read(self.cx, buf))
    }
}

impl<S: AsyncWrite + Unpin> Write for Sync<'_, '_, S> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        blocking(Pin::new(&mut *self.stream).poll_write(self.cx, buf))
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        blocking(Pin::new(&mut *self.stream).poll_write_vectored(self.cx, bufs))
    }

    fn flush(&mut self) -> io::Result<()> {
        blocking(Pin::new(&mut *self.stream).poll_flush(self.cx))
    }
}

::io::other_traits!(read [S: AsyncRead + AsyncWrite + Unpin] TlsStream<S>);
::io::other_traits!(write [S: AsyncRead + AsyncWrite + Unpin] TlsStream<S>, true);
