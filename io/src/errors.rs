//! The errors of calls that read or write several times: they say how far the call has come.

use std::io;

use kernel::TaskCancelled;

/// The error of a write that gave 0 for bytes that are left.
pub(crate) fn takes_no_more() -> io::Error {
    io::Error::new(io::ErrorKind::WriteZero, "the stream takes no more")
}

/// `write_all` did not write everything.
#[derive(Debug, thiserror::Error)]
#[error("{written} of {len} bytes were written: {source}")]
#[non_exhaustive]
pub struct WriteAllError {
    /// How many bytes were written. The peer gets them unless the connection breaks.
    pub written: usize,
    /// How many bytes there were to write.
    pub len: usize,
    /// The error that ended the call. `kernel::cancelled` finds a cancellation in it.
    pub source: io::Error,
}

impl WriteAllError {
    /// The error of a call that has written so many bytes.
    pub fn new(written: usize, len: usize, source: io::Error) -> Self {
        WriteAllError { written, len, source }
    }

    /// The kind of the error that ended the call.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }
}

impl From<WriteAllError> for io::Error {
    fn from(error: WriteAllError) -> io::Error {
        io::Error::new(error.source.kind(), error)
    }
}

/// A cancellation before anything was written.
impl From<TaskCancelled> for WriteAllError {
    fn from(cancelled: TaskCancelled) -> Self {
        WriteAllError::new(0, 0, cancelled.into())
    }
}

/// `read_exact` did not fill the buffer.
#[derive(Debug, thiserror::Error)]
#[error("{read} of {len} bytes were read: {source}")]
#[non_exhaustive]
pub struct ReadExactError {
    /// How many bytes were read. They are at the front of the buffer.
    pub read: usize,
    /// How many bytes the buffer has room for.
    pub len: usize,
    /// The error that ended the call. `kernel::cancelled` finds a cancellation in it. Its kind is
    /// `UnexpectedEof` if the stream has ended.
    pub source: io::Error,
}

impl ReadExactError {
    /// The error of a call that has read so many bytes.
    pub fn new(read: usize, len: usize, source: io::Error) -> Self {
        ReadExactError { read, len, source }
    }

    /// The kind of the error that ended the call.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }

    /// The error of a call that has read so many bytes when the stream ended.
    pub fn ended(read: usize, len: usize) -> Self {
        let ended = io::Error::new(io::ErrorKind::UnexpectedEof, "the stream has ended");
        ReadExactError::new(read, len, ended)
    }
}

impl From<ReadExactError> for io::Error {
    fn from(error: ReadExactError) -> io::Error {
        io::Error::new(error.source.kind(), error)
    }
}

/// A cancellation before anything was read.
impl From<TaskCancelled> for ReadExactError {
    fn from(cancelled: TaskCancelled) -> Self {
        ReadExactError::new(0, 0, cancelled.into())
    }
}
