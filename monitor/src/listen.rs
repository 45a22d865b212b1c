//! Where the monitor listens: a port of this machine, or a socket with a path.

use std::env;
use std::fmt;
use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use mio::event::Source;
use mio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use mio::{Interest, Registry, Token};

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Port(SocketAddr),
    /// A socket at that path.
    Path(PathBuf),
    /// A socket for this process in the directory of the user.
    OwnPath,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Port(address) => address.fmt(f),
            Place::Path(path) => path.display().fmt(f),
            Place::OwnPath => f.write_str("a socket of this process"),
        }
    }
}

pub(crate) enum Listener {
    Tcp(TcpListener),
    /// The path is removed when this is dropped.
    Unix(UnixListener, PathBuf),
}

pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Listener {
    pub(crate) fn bind(place: &Place) -> io::Result<Self> {
        match place {
            Place::Port(address) if !address.ip().is_loopback() => {
                Err(io::Error::other("it is no address of this machine alone"))
            }
            Place::Port(address) => Ok(Listener::Tcp(TcpListener::bind(*address)?)),
            Place::Path(path) => bind_path(path.clone()),
            Place::OwnPath => bind_path(own_path()?),
        }
    }

    /// The address, as other programs write it.
    pub(crate) fn shown(&self) -> String {
        match self {
            Listener::Tcp(listener) => match listener.local_addr() {
                Ok(address) => address.to_string(),
                Err(error) => error.to_string(),
            },
            Listener::Unix(_, path) => path.display().to_string(),
        }
    }

    pub(crate) fn accept(&self) -> io::Result<Stream> {
        match self {
            Listener::Tcp(listener) => listener.accept().map(|(stream, _)| Stream::Tcp(stream)),
            Listener::Unix(listener, _) => {
                listener.accept().map(|(stream, _)| Stream::Unix(stream))
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Listener::Unix(_, path) = self {
            let _ = fs::remove_file(path);
        }
    }
}

/// The socket of this process, in a directory that only its user may enter.
fn own_path() -> io::Result<PathBuf> {
    let runtime = env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty());
    let runtime = runtime.ok_or_else(|| io::Error::other("XDG_RUNTIME_DIR is not set"))?;
    let dir = Path::new(&runtime).join("curium");
    match DirBuilder::new().mode(0o700).create(&dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let found = fs::symlink_metadata(&dir)?;
    let is_own = found.is_dir() && found.uid() == rustix::process::geteuid().as_raw();
    if !is_own || found.mode() & 0o077 != 0 {
        let dir = dir.display();
        return Err(io::Error::other(format!("{dir} is open to others")));
    }
    Ok(dir.join(format!("{}.sock", std::process::id())))
}

/// Binds a socket that only its user may connect to.
fn bind_path(path: PathBuf) -> io::Result<Listener> {
    // The socket of a process that was killed stays behind.
    let is_left = fs::symlink_metadata(&path).is_ok_and(|found| is_socket(&found))
        && std::os::unix::net::UnixStream::connect(&path)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
    if is_left {
        fs::remove_file(&path)?;
    }
    // It is bound under another name, so that it never has another mode under this one.
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let hidden = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let _ = fs::remove_file(&hidden);
    let listener = UnixListener::bind(&hidden)?;
    let moved = fs::set_permissions(&hidden, Permissions::from_mode(0o600))
        .and_then(|()| fs::hard_link(&hidden, &path));
    let _ = fs::remove_file(&hidden);
    moved?;
    Ok(Listener::Unix(listener, path))
}

fn is_socket(found: &fs::Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt;
    found.file_type().is_socket()
}

macro_rules! each {
    ($name:ident, $value:expr, $it:ident => $call:expr) => {
        match $value {
            $name::Tcp($it) => $call,
            $name::Unix($it, ..) => $call,
        }
    };
}

impl Source for Listener {
    fn register(&mut self, to: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        each!(Listener, self, it => it.register(to, token, interest))
    }

    fn reregister(&mut self, to: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        each!(Listener, self, it => it.reregister(to, token, interest))
    }

    fn deregister(&mut self, from: &Registry) -> io::Result<()> {
        each!(Listener, self, it => it.deregister(from))
    }
}

impl Source for Stream {
    fn register(&mut self, to: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        each!(Stream, self, it => it.register(to, token, interest))
    }

    fn reregister(&mut self, to: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        each!(Stream, self, it => it.reregister(to, token, interest))
    }

    fn deregister(&mut self, from: &Registry) -> io::Result<()> {
        each!(Stream, self, it => it.deregister(from))
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        each!(Stream, self, it => it.read(buffer))
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        each!(Stream, self, it => it.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
