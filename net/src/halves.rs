//! The halves of a stream: one task reads, another one writes.

use std::io;
use std::net::Shutdown;
use std::panic::Location;

use ::io::{ReadExactError, WriteAllError};

use crate::stream::TcpStream;
use crate::wire::{self, Stream};

/// The reading half of a stream.
#[derive(Debug)]
pub struct ReadHalf<'a, S = TcpStream>(pub(crate) &'a S);

impl<S: Stream> ReadHalf<'_, S> {
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
        wire::read(self.0.registration(), Location::caller(), buf)
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
        wire::read_exact(self.0.registration(), Location::caller(), buf)
    }
}

/// The writing half of a stream.
#[derive(Debug)]
pub struct WriteHalf<'a, S = TcpStream>(pub(crate) &'a S);

impl<S: Stream> WriteHalf<'_, S> {
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
        wire::write(self.0.registration(), Location::caller(), buf)
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
        wire::write_all(self.0.registration(), Location::caller(), buf)
    }

    /// Shuts the writing direction down: the peer reads the end of the stream.
    ///
    /// # Errors
    ///
    /// As [`TcpStream::shutdown`].
    pub fn shutdown(&self) -> io::Result<()> {
        wire::shutdown(self.0.registration(), Shutdown::Write)
    }
}
