//! Messages over a stream.

pub(crate) mod codec;
pub(crate) mod length_delimited;

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};

use crate::buffer::{Buffer, poll_write_out};
use crate::leaf::Leaf;
use codec::{Decoder, Encoder};

/// A stream of messages. A codec says how a message becomes bytes: a [`LengthDelimitedCodec`], or
/// an [`Encoder`] and a [`Decoder`] of your own.
///
/// ```
/// use std::io;
/// use curium::io::{Framed, LengthDelimitedCodec, duplex};
///
/// curium::run(async || {
///     let (ours, theirs) = duplex(64);
///     let mut ours = Framed::new(ours, LengthDelimitedCodec::new());
///     let mut theirs = Framed::new(theirs, LengthDelimitedCodec::new());
///     ours.send("hello").await?;
///     ours.send("world").await?;
///     ours.close().await?;
///     assert_eq!(theirs.recv().await?.as_deref(), Some(&b"hello"[..]));
///     assert_eq!(theirs.recv().await?.as_deref(), Some(&b"world"[..]));
///     assert_eq!(theirs.recv().await?, None);
///     Ok::<(), io::Error>(())
/// })
/// .unwrap();
/// ```
///
/// To send and receive in two tasks, give each half of a split connection to a `Framed` of its own.
///
/// [`LengthDelimitedCodec`]: crate::LengthDelimitedCodec
pub struct Framed<S, C> {
    stream: S,
    codec: C,
    /// What was read and not decoded.
    input: Buffer,
    /// What was encoded and not written: `output[written..]`.
    output: Vec<u8>,
    written: usize,
}

/// The size of the buffer for reading. While a longer message is read, it is larger.
const CAPACITY: usize = 8 * 1024;

/// The greatest memory that the buffer for writing keeps while it is empty.
const KEEP: usize = 64 * 1024;

impl<S, C> Framed<S, C> {
    /// Messages over `stream`.
    pub fn new(stream: S, codec: C) -> Self {
        let (input, output) = (Buffer::new(CAPACITY), Vec::new());
        Framed { stream, codec, input, output, written: 0 }
    }

    /// The stream.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// The stream. What is read from it or written to it overtakes the bytes in the buffers.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// The codec.
    pub fn codec_mut(&mut self) -> &mut C {
        &mut self.codec
    }

    /// The bytes that were read from the stream and are not decoded yet.
    pub fn buffer(&self) -> &[u8] {
        self.input.bytes()
    }

    /// The bytes of sent messages that are not written to the stream yet.
    pub fn unwritten(&self) -> &[u8] {
        &self.output[self.written..]
    }

    /// The stream, without the bytes in the buffers.
    pub fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead + Unpin, C: Decoder> Framed<S, C> {
    /// Waits for the next message. `None` is the end of the stream.
    ///
    /// # Errors
    ///
    /// Those of the stream and of the codec; a cancellation; [`io::ErrorKind::UnexpectedEof`] if
    /// the stream ends inside a message. What was not decoded stays in the
    /// [`buffer`](Framed::buffer).
    ///
    /// # Cancellation
    ///
    /// Nothing is lost. What was read of the message stays in the buffer, also if the future is
    /// dropped.
    #[track_caller]
    pub fn recv(&mut self) -> impl Future<Output = io::Result<Option<C::Item>>> {
        let mut leaf = Leaf::new("RECV", Location::caller());
        poll_fn(move |cx| leaf.poll(cx, |cx| self.poll_recv(cx)))
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<C::Item>>> {
        loop {
            if let Some(item) = self.decoded(C::decode)? {
                return Poll::Ready(Ok(Some(item)));
            }
            let Framed { stream, input, .. } = self;
            let read = ready!(Pin::new(stream).poll_read(cx, input.room()))?;
            if read > 0 {
                self.input.add(read);
                continue;
            }
            let last = self.decoded(C::decode_eof)?;
            return Poll::Ready(match self.input.bytes().len() {
                left if left > 0 && last.is_none() => Err(truncated(left)),
                _ => Ok(last),
            });
        }
    }

    /// The message at the front of the buffer, if it is whole.
    fn decoded(
        &mut self,
        decode: impl FnOnce(&mut C, &[u8]) -> io::Result<Option<(C::Item, usize)>>,
    ) -> io::Result<Option<C::Item>> {
        Ok(decode(&mut self.codec, self.input.bytes())?.map(|(item, len)| {
            self.input.consume(len);
            item
        }))
    }
}

fn truncated(left: usize) -> io::Error {
    let text = format!("the stream has ended inside a message, of which {left} bytes were read");
    io::Error::new(io::ErrorKind::UnexpectedEof, text)
}

impl<S: AsyncWrite + Unpin, C> Framed<S, C> {
    /// Sends a message, and waits until it has left the buffers of the stream.
    ///
    /// # Errors
    ///
    /// Those of the stream and of the codec, and a cancellation. If the codec fails, nothing of the
    /// message is sent.
    ///
    /// # Cancellation
    ///
    /// The message is sent all the same: what is not written of it stays in the buffer, and the
    /// next `send`, [`flush`](Framed::flush) or [`close`](Framed::close) writes it first. So the
    /// peer never reads half a message. That holds also if the future is dropped, unless it was
    /// never polled.
    #[track_caller]
    pub fn send<T>(&mut self, item: T) -> impl Future<Output = io::Result<()>>
    where
        C: Encoder<T>,
    {
        let mut leaf = Leaf::new("SEND", Location::caller());
        let mut item = Some(item);
        poll_fn(move |cx| {
            if let Some(item) = item.take() {
                let before = self.output.len();
                self.codec.encode(item, &mut self.output).inspect_err(|_| {
                    self.output.truncate(before);
                })?;
            }
            leaf.poll(cx, |cx| self.poll_flush(cx))
        })
    }

    /// Waits until the messages that were sent have left the buffers of the stream. It need only be
    /// called after a `send` that was cancelled.
    ///
    /// # Errors
    ///
    /// Those of the stream, and a cancellation.
    ///
    /// # Cancellation
    ///
    /// What has not left the buffers stays in them.
    #[track_caller]
    pub fn flush(&mut self) -> impl Future<Output = io::Result<()>> {
        let mut leaf = Leaf::new("FLUSH", Location::caller());
        poll_fn(move |cx| leaf.poll(cx, |cx| self.poll_flush(cx)))
    }

    /// Flushes, and ends the writing direction: the peer receives the end after the last message.
    ///
    /// # Errors
    ///
    /// Those of the stream, and a cancellation.
    ///
    /// # Cancellation
    ///
    /// The stream is not closed, and what has not left the buffers stays in them.
    #[track_caller]
    pub fn close(&mut self) -> impl Future<Output = io::Result<()>> {
        let mut leaf = Leaf::new("CLOSE", Location::caller());
        poll_fn(move |cx| {
            leaf.poll(cx, |cx| {
                ready!(self.poll_empty(cx))?;
                Pin::new(&mut self.stream).poll_close(cx)
            })
        })
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_empty(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Writes what is in the buffer to the stream.
    fn poll_empty(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(poll_write_out(&mut self.stream, cx, &mut self.output, &mut self.written))?;
        self.output.shrink_to(KEEP);
        Poll::Ready(Ok(()))
    }
}

impl<S, C> fmt::Debug for Framed<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Framed")
            .field("buffered", &self.buffer().len())
            .field("unwritten", &self.unwritten().len())
            .finish_non_exhaustive()
    }
}
