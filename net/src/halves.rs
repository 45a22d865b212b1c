//! The halves of a stream: one task reads, another one writes.

use std::io;
use std::net::Shutdown;

use ::io::{ReadExactError, WriteAllError};

use crate::stream::TcpStream;

/// The reading half of a stream.
#[derive(Debug)]
pub struct ReadHalf<'a>(pub(crate) &'a TcpStream);

impl ReadHalf<'_> {
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
    pub fn read<'b>(&'b self, buf: &'b mut [u8]) -> impl Future<Output = io::Result<usize>> + 'b {
        self.0.read(buf)
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
    pub fn read_exact<'b>(
        &'b self,
        buf: &'b mut [u8],
    ) -> impl Future<Output = Result<(), ReadExactError>> + 'b {
        self.0.read_exact(buf)
    }
}

/// The writing half of a stream.
#[derive(Debug)]
pub struct WriteHalf<'a>(pub(crate) &'a TcpStream);

impl WriteHalf<'_> {
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
    pub fn write<'b>(&'b self, buf: &'b [u8]) -> impl Future<Output = io::Result<usize>> + 'b {
        self.0.write(buf)
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
    pub fn write_all<'b>(
        &'b self,
        buf: &'b [u8],
    ) -> impl Future<Output = Result<(), WriteAllError>> + 'b {
        self.0.write_all(buf)
    }

    /// Shuts the writing direction down: the peer reads the end of the stream.
    ///
    /// # Errors
    ///
    /// As [`TcpStream::shutdown`].
    pub fn shutdown(&self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write)
    }
}
