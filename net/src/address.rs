//! Addresses: given, or looked up by name.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, ToSocketAddrs};

/// What `bind` and `connect` take: an address, or a host and a port to look up.
///
/// An address, or text that is one (`"127.0.0.1:80"`), is used as it is. Anything else is looked up
/// by the system on a thread of its own, as the system's look-up blocks; a cancelled look-up frees
/// its caller at once, while the thread ends by itself.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no address",
    note = "give a `SocketAddr`, `\"host:port\"`, `(\"host\", port)` or `(ip, port)`"
)]
pub trait ToAddresses: sealed::Sealed {
    #[doc(hidden)]
    fn target(self) -> Target;
}

/// An address, or a question.
#[derive(Debug)]
pub enum Target {
    /// Known.
    Known(SocketAddr),
    /// To be looked up, as `host:port`.
    Name(String),
    /// To be looked up.
    Host(String, u16),
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! known {
    ($($from:ty),* $(,)?) => {$(
        impl sealed::Sealed for $from {}
        impl ToAddresses for $from {
            fn target(self) -> Target {
                Target::Known(self.into())
            }
        }
    )*};
}

known!(SocketAddr, SocketAddrV4, SocketAddrV6, (IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16),);

impl sealed::Sealed for &str {}
impl ToAddresses for &str {
    fn target(self) -> Target {
        match self.parse() {
            Ok(address) => Target::Known(address),
            Err(_) => Target::Name(self.to_owned()),
        }
    }
}

impl sealed::Sealed for String {}
impl ToAddresses for String {
    fn target(self) -> Target {
        self.as_str().target()
    }
}

impl sealed::Sealed for &String {}
impl ToAddresses for &String {
    fn target(self) -> Target {
        self.as_str().target()
    }
}

impl sealed::Sealed for (&str, u16) {}
impl ToAddresses for (&str, u16) {
    fn target(self) -> Target {
        match self.0.parse::<IpAddr>() {
            Ok(ip) => Target::Known((ip, self.1).into()),
            Err(_) => Target::Host(self.0.to_owned(), self.1),
        }
    }
}

/// All addresses of a target, at least one.
pub(crate) async fn resolve(target: Target) -> io::Result<Vec<SocketAddr>> {
    let (named, question) = match target {
        Target::Known(address) => return Ok(vec![address]),
        Target::Name(name) => (name.clone(), Question::Name(name)),
        Target::Host(host, port) => (format!("{host}:{port}"), Question::Host(host, port)),
    };
    let looked_up = kernel::on_thread(move || match question {
        Question::Name(name) => name.to_socket_addrs().map(Iterator::collect::<Vec<_>>),
        Question::Host(host, port) => {
            (host.as_str(), port).to_socket_addrs().map(Iterator::collect)
        }
    });
    let context = |error: io::Error| {
        io::Error::new(error.kind(), format!("cannot look up {named:?}: {error}"))
    };
    let addresses = looked_up.await?.and_then(|found| found).map_err(context)?;
    if addresses.is_empty() {
        let error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        return Err(context(error));
    }
    Ok(addresses)
}

enum Question {
    Name(String),
    Host(String, u16),
}
