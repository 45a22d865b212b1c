//! Where a program listens, and connections to it.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use crate::Failure;
use crate::text::clean_line;

/// The port of a monitor by default.
pub(crate) const PORT: u16 = 48802;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// A name or number of a machine, and a port.
    Port(String),
    Path(PathBuf),
}

#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// As it is given on the command line.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Port(address) => f.write_str(&clean_line(address)),
            Address::Path(path) => f.write_str(&clean_line(&path.to_string_lossy())),
        }
    }
}

impl Address {
    /// Connects; each read may then take as long as `patience`.
    pub(crate) fn connect(&self, patience: Duration) -> Result<Stream, Failure> {
        let stream = self.open().map_err(|error| Failure::Program(self.refused(&error)))?;
        let set = match &stream {
            Stream::Tcp(it) => it.set_read_timeout(Some(patience)),
            Stream::Unix(it) => it.set_read_timeout(Some(patience)),
        };
        set.map_err(|error| Failure::Program(format!("{self}: {error}")))?;
        Ok(stream)
    }

    pub(crate) fn open(&self) -> io::Result<Stream> {
        match self {
            Address::Path(path) => Ok(Stream::Unix(UnixStream::connect(path)?)),
            Address::Port(address) => {
                let mut last = io::Error::other("the name has no address");
                for address in address.to_socket_addrs()? {
                    match TcpStream::connect_timeout(&address, CONNECT) {
                        Ok(stream) => return Ok(Stream::Tcp(stream)),
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
        }
    }

    /// What an error of a connection means, and what to do.
    fn refused(&self, error: &io::Error) -> String {
        match (self, error.kind()) {
            (Address::Path(_), ErrorKind::ConnectionRefused) => format!(
                "{self}: the program that listened there was killed; remove the file, or run \
                 `curium` to see what runs"
            ),
            (Address::Path(_), ErrorKind::NotFound) => {
                format!("{self}: there is no such socket; `curium` lists those of running programs")
            }
            (Address::Path(_), ErrorKind::PermissionDenied) => {
                format!("{self}: the socket is for its own user only")
            }
            (Address::Port(_), ErrorKind::ConnectionRefused) => format!(
                "{self}: nothing listens there; start the program with CURIUM_MONITOR=1, or run \
                 `curium` to see what runs"
            ),
            _ => format!("{self}: {}", clean_line(&error.to_string())),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buffer),
            Stream::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write(bytes),
            Stream::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
