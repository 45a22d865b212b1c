//! Addresses of Unix sockets: paths, and on Linux also abstract names.

use std::fmt;
use std::io;
use std::os::unix::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::error::{self, advice};

/// What `bind` and `connect` of Unix sockets take: a path, or an address.
///
/// An abstract name, which Linux keeps apart from the file system, is an address of the standard
/// library:
///
/// ```
/// # #[cfg(target_os = "linux")] {
/// use std::io;
/// use std::os::linux::net::SocketAddrExt;
/// use std::os::unix::net::SocketAddr;
/// use curium::kernel;
/// use curium::net::{UnixListener, UnixStream};
///
/// kernel::run(async || -> io::Result<()> {
///     let name = format!("an example of {}", std::process::id());
///     let address = SocketAddr::from_abstract_name(name)?;
///     let listener = UnixListener::bind(&address)?;
///     let client = UnixStream::connect(&address).await?;
///     let (server, _) = listener.accept().await?;
///     client.write_all(b"hello").await?;
///     server.read_exact(&mut [0; 5]).await?;
///     Ok(())
/// })?;
/// # }
/// # Ok::<(), std::io::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the address of a Unix socket",
    note = "pass a path (`&Path`, `&str`) or a `std::os::unix::net::SocketAddr`"
)]
pub trait ToUnixAddr: sealed::Sealed {
    #[doc(hidden)]
    fn unix_addr(self) -> io::Result<SocketAddr>;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! paths {
    ($($from:ty),* $(,)?) => {$(
        impl sealed::Sealed for $from {}
        impl ToUnixAddr for $from {
            fn unix_addr(self) -> io::Result<SocketAddr> {
                of_path(self.as_ref())
            }
        }
    )*};
}

paths!(&Path, PathBuf, &PathBuf, &str, String, &String);

impl sealed::Sealed for SocketAddr {}
impl ToUnixAddr for SocketAddr {
    fn unix_addr(self) -> io::Result<SocketAddr> {
        Ok(self)
    }
}

impl sealed::Sealed for &SocketAddr {}
impl ToUnixAddr for &SocketAddr {
    fn unix_addr(self) -> io::Result<SocketAddr> {
        Ok(self.clone())
    }
}

fn of_path(path: &Path) -> io::Result<SocketAddr> {
    if path.as_os_str().is_empty() {
        // The system would take it for the wish for any abstract name.
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path of a socket is empty"));
    }
    SocketAddr::from_pathname(path).map_err(|error| {
        error::failed(format!("{path:?} is no address of a socket: {error}"), error)
    })
}

/// The error of an operation, such as "bind", that names the address.
#[cold]
pub(super) fn failed(what: &str, address: &SocketAddr, source: io::Error) -> io::Error {
    let (shown, advice) = (Shown(address), advice(&source));
    error::failed(format!("cannot {what} {shown}: {source}{advice}"), source)
}

/// The address without a name.
pub(super) fn unnamed() -> SocketAddr {
    SocketAddr::from_pathname("").expect("an empty path is short enough")
}

struct Shown<'a>(&'a SocketAddr);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some(name) = abstract_name(self.0) {
            return write!(f, "the abstract name \"{}\"", name.escape_ascii());
        }
        match self.0.as_pathname() {
            Some(path) => write!(f, "{path:?}"),
            None => f.write_str("an address without a name"),
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn abstract_name(address: &SocketAddr) -> Option<&[u8]> {
    #[cfg(target_os = "android")]
    use std::os::android::net::SocketAddrExt;
    #[cfg(target_os = "linux")]
    use std::os::linux::net::SocketAddrExt;
    address.as_abstract_name()
}

/// An address as the system has it. One that `std` cannot express has no name.
pub(super) fn from_system(address: &rustix::net::SocketAddrUnix) -> SocketAddr {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(name) = address.abstract_name() {
        #[cfg(target_os = "android")]
        use std::os::android::net::SocketAddrExt;
        #[cfg(target_os = "linux")]
        use std::os::linux::net::SocketAddrExt;
        return SocketAddr::from_abstract_name(name).unwrap_or_else(|_| unnamed());
    }
    let path = address.path_bytes().unwrap_or_default();
    SocketAddr::from_pathname(OsStr::from_bytes(path)).unwrap_or_else(|_| unnamed())
}
