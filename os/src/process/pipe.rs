//! The pipes to and from a child.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::panic::Location;

use ::io::WriteAllError;
use ::io::leaves::{self, nothing};
use kernel::io::{Direction, IoPoint, Registration, ToRead, ToWrite};
use mio::unix::pipe::{Receiver, Sender};

/// The most bytes that one read of [`ReadPipe::read_into`] appends, so that a flood does not keep
/// the task from other work.
const CHUNK: usize = 64 * 1024;

/// The end of a pipe that a child writes to.
pub(super) struct ReadPipe(pub(super) Box<Registration<Receiver>>);

impl ReadPipe {
    fn new(pipe: Receiver) -> io::Result<ReadPipe> {
        pipe.set_nonblocking(true)?;
        Ok(ReadPipe(Box::new(Registration::new(pipe))))
    }

    fn read<'a>(
        &'a self,
        site: &'static Location<'static>,
        buf: &'a mut [u8],
    ) -> impl Future<Output = io::Result<usize>> + 'a {
        let mut point = IoPoint::new(&self.0, ToRead, site);
        poll_fn(move |cx| {
            if buf.is_empty() {
                return nothing(cx);
            }
            point.poll("READ", cx, |mut pipe| pipe.read(buf))
        })
    }

    /// Appends what has come, at most `most` bytes and at most 64 KiB. 0 is the end, unless `most`
    /// is 0.
    pub(super) fn read_into<'a>(
        &'a self,
        site: &'static Location<'static>,
        buf: &'a mut Vec<u8>,
        most: usize,
    ) -> impl Future<Output = io::Result<usize>> + 'a {
        let most = most.min(CHUNK) as u64;
        self.0.io_at(Direction::Read, "READ", site, move |mut pipe| {
            let before = buf.len();
            // Keeps in `buf` what it read before an error.
            let read = (&mut pipe).take(most).read_to_end(buf);
            match buf.len() - before {
                0 => read,
                n => Ok(n),
            }
        })
    }

    fn into_fd(self) -> io::Result<OwnedFd> {
        let Some(pipe) = self.0.into_source() else { return Err(closed()) };
        // The new owner, another program, expects to wait in its reads.
        pipe.set_nonblocking(false)?;
        Ok(pipe.into())
    }
}

/// What a child reads as its standard input: the end of the pipe that is written to.
///
/// Every method takes `&self`. It is a stream as well: [`WriteExt`](::io::WriteExt) adds the calls
/// of all streams. The child reads the end of its input when this is dropped or
/// [closed](ChildStdin::close).
pub struct ChildStdin(pub(super) Box<Registration<Sender>>);

impl ChildStdin {
    pub(super) fn new(pipe: std::process::ChildStdin) -> io::Result<ChildStdin> {
        let pipe = Sender::from(pipe);
        pipe.set_nonblocking(true)?;
        Ok(ChildStdin(Box::new(Registration::new(pipe))))
    }

    /// Writes some bytes, at least one. Waits while the pipe is full. An empty `buf` gives 0 at
    /// once.
    ///
    /// # Errors
    ///
    /// `BrokenPipe` if the child has closed its standard input or has ended (never a signal, unless
    /// the program has set the action of `SIGPIPE`); another error of the system; a cancellation;
    /// `ResourceBusy` if another task is writing; `NotConnected` once it is closed.
    ///
    /// # Cancellation
    ///
    /// Nothing was written.
    #[track_caller]
    pub fn write<'a>(&'a self, buf: &'a [u8]) -> impl Future<Output = io::Result<usize>> + 'a {
        let mut point = IoPoint::new(&self.0, ToWrite, Location::caller());
        poll_fn(move |cx| {
            if buf.is_empty() {
                return nothing(cx);
            }
            point.poll("WRITE", cx, |mut pipe| pipe.write(buf))
        })
    }

    /// Writes everything.
    ///
    /// # Errors
    ///
    /// [`WriteAllError`] says how many bytes were written and why it stopped, as
    /// [`write`](ChildStdin::write) does. It converts to `io::Error`.
    ///
    /// # Cancellation
    ///
    /// The error says how many bytes were written. A timeout round the call returns its own error
    /// instead, without that number. To know it there, call [`write`](ChildStdin::write) and count.
    #[track_caller]
    pub fn write_all<'a>(
        &'a self,
        buf: &'a [u8],
    ) -> impl Future<Output = Result<(), WriteAllError>> + 'a {
        self.write_all_at(Location::caller(), buf)
    }

    pub(super) fn write_all_at<'a>(
        &'a self,
        site: &'static Location<'static>,
        buf: &'a [u8],
    ) -> impl Future<Output = Result<(), WriteAllError>> + 'a {
        leaves::write_all(&self.0, site, buf, |mut pipe, buf| pipe.write(buf))
    }

    /// Closes the pipe: the child reads the end of its input. A task that is parked in a write gets
    /// an error.
    pub fn close(&self) {
        self.0.close();
    }

    pub(super) fn into_fd(self) -> io::Result<OwnedFd> {
        let Some(pipe) = self.0.into_source() else { return Err(closed()) };
        pipe.set_nonblocking(false)?;
        Ok(pipe.into())
    }
}

impl fmt::Debug for ChildStdin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildStdin").finish_non_exhaustive()
    }
}

macro_rules! outputs {
    ($($name:ident of $from:ty, $text:literal;)*) => {$(
        #[doc = $text]
        ///
        /// Every method takes `&self`. It is a stream as well: [`ReadExt`](::io::ReadExt) adds the
        /// calls of all streams, and a [`BufReader`](::io::BufReader) around it those for lines.
        /// When this is dropped or [closed](Self::close), the child gets an error when it writes,
        /// or the signal `SIGPIPE`.
        pub struct $name(pub(super) ReadPipe);

        impl $name {
            pub(super) fn new(pipe: $from) -> io::Result<$name> {
                Ok($name(ReadPipe::new(Receiver::from(pipe))?))
            }

            /// Reads what has come, at least one byte. Waits if there is nothing. 0 is the end: the
            /// child, and each process that has the pipe from it, has closed it or has ended.
            ///
            /// An empty `buf` gives 0 at once, which is not the end.
            ///
            /// # Errors
            ///
            /// An error of the system, a cancellation, `ResourceBusy` if another task is reading,
            /// or `NotConnected` once it is closed.
            ///
            /// # Cancellation
            ///
            /// Nothing is consumed.
            #[track_caller]
            pub fn read<'a>(
                &'a self,
                buf: &'a mut [u8],
            ) -> impl Future<Output = io::Result<usize>> + 'a {
                self.0.read(Location::caller(), buf)
            }

            /// Closes the pipe. A task that is parked in a read gets an error.
            pub fn close(&self) {
                self.0.0.close();
            }

            pub(super) fn into_fd(self) -> io::Result<OwnedFd> {
                self.0.into_fd()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )*};
}

outputs! {
    ChildStdout of std::process::ChildStdout,
        "What a child writes to its standard output: the end of the pipe that is read.";
    ChildStderr of std::process::ChildStderr,
        "What a child writes to its standard error: the end of the pipe that is read.";
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "this pipe was closed")
}
