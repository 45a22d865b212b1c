//! Addresses: given, or looked up by name.

use std::io;
use std::net::ToSocketAddrs as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// What `bind` and `connect` take: an address, or a host and a port to look up.
///
/// An address, or text that is one (`"127.0.0.1:80"`, `"[::1]:80"`), is used as it is. An IPv6
/// address may have a zone, the name or the number of a network interface: `"[fe80::1%eth0]:80"`,
/// `("fe80::1%eth0", 80)`. Anything else is looked up by the system on another thread, as the
/// system's look-up blocks.
///
/// A look-up that is cancelled or has timed out frees its caller at once. Its thread goes on until
/// the system gives up. The threads are those of [`kernel::on_thread`], which are limited in
/// number: while the look-ups of a silent name server have them all, further look-ups wait for one,
/// and can be cancelled meanwhile.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no address",
    note = "give a `SocketAddr`, `\"host:port\"`, `(\"host\", port)` or `(ip, port)`"
)]
pub trait ToSocketAddrs: sealed::Sealed {
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
    /// An address in a zone that is to be found.
    Zoned(Ipv6Addr, String, u16),
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! known {
    ($($from:ty),* $(,)?) => {$(
        impl sealed::Sealed for $from {}
        impl ToSocketAddrs for $from {
            fn target(self) -> Target {
                Target::Known(self.into())
            }
        }
    )*};
}

known!(SocketAddr, SocketAddrV4, SocketAddrV6, (IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16),);

impl sealed::Sealed for &str {}
impl ToSocketAddrs for &str {
    fn target(self) -> Target {
        match self.parse() {
            Ok(address) => Target::Known(address),
            Err(_) => bracketed(self).unwrap_or_else(|| Target::Name(self.to_owned())),
        }
    }
}

impl sealed::Sealed for String {}
impl ToSocketAddrs for String {
    fn target(self) -> Target {
        self.as_str().target()
    }
}

impl sealed::Sealed for &String {}
impl ToSocketAddrs for &String {
    fn target(self) -> Target {
        self.as_str().target()
    }
}

impl sealed::Sealed for (&str, u16) {}
impl ToSocketAddrs for (&str, u16) {
    fn target(self) -> Target {
        let (host, port) = self;
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Target::Known((ip, port).into());
        }
        // As a URL has it.
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if let Ok(ip) = bare.parse::<Ipv6Addr>() {
            return Target::Known((ip, port).into());
        }
        zoned(bare, port).unwrap_or_else(|| Target::Host(host.to_owned(), port))
    }
}

/// Text such as `[fe80::1%eth0]:80`.
fn bracketed(text: &str) -> Option<Target> {
    let (host, port) = text.strip_prefix('[')?.rsplit_once("]:")?;
    zoned(host, port.parse().ok()?)
}

/// A host such as `fe80::1%eth0`.
fn zoned(host: &str, port: u16) -> Option<Target> {
    let (ip, zone) = host.split_once('%')?;
    Some(Target::Zoned(ip.parse().ok()?, zone.to_owned(), port))
}

/// The number of a zone, which is that of a network interface.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn scope_of(zone: &str) -> io::Result<u32> {
    use rustix::io::Errno;
    use socket2::{Domain, Socket, Type};
    if let Ok(number) = zone.parse() {
        return Ok(number);
    }
    // Any socket will do to ask by.
    let socket = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
    rustix::net::netdevice::name_to_index(&socket, zone).map_err(|errno| match errno {
        Errno::NODEV => {
            let text = format!("there is no network interface {zone:?}");
            io::Error::new(io::ErrorKind::NotFound, text)
        }
        other => other.into(),
    })
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn in_zone(ip: Ipv6Addr, zone: &str, port: u16) -> io::Result<Option<SocketAddr>> {
    Ok(Some(SocketAddrV6::new(ip, port, 0, scope_of(zone)?).into()))
}

/// Elsewhere the look-up knows the zones.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn in_zone(_ip: Ipv6Addr, _zone: &str, _port: u16) -> io::Result<Option<SocketAddr>> {
    Ok(None)
}

/// All addresses of a target, at least one.
pub(crate) async fn resolve(target: Target) -> io::Result<Vec<SocketAddr>> {
    let (named, question) = match target {
        Target::Known(address) => return Ok(vec![address]),
        Target::Name(name) => (name.clone(), Question::Name(name)),
        Target::Host(host, port) => (format!("{host}:{port}"), Question::Host(host, port)),
        Target::Zoned(ip, zone, port) => {
            let named = format!("[{ip}%{zone}]:{port}");
            match in_zone(ip, &zone, port).map_err(|error| cannot_look_up(&named, &error))? {
                Some(address) => return Ok(vec![address]),
                None => (named, Question::Host(format!("{ip}%{zone}"), port)),
            }
        }
    };
    let looked_up = kernel::on_thread(move || match question {
        Question::Name(name) => name.to_socket_addrs().map(Iterator::collect::<Vec<_>>),
        Question::Host(host, port) => {
            (host.as_str(), port).to_socket_addrs().map(Iterator::collect)
        }
    });
    let found = looked_up.await?.and_then(|found| found);
    let addresses = found.map_err(|error| cannot_look_up(&named, &error))?;
    if addresses.is_empty() {
        let error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        return Err(cannot_look_up(&named, &error));
    }
    Ok(addresses)
}

#[cold]
fn cannot_look_up(named: &str, error: &io::Error) -> io::Error {
    io::Error::new(kind_of(error), format!("cannot look up {named:?}: {error}"))
}

/// The kind of an error that ends a call. The system has errors that say "later" or "once more"
/// (`EAGAIN` of `connect` and of a look-up); a caller that took one for "not yet" would wait for an
/// event that never comes.
fn kind_of(error: &io::Error) -> io::ErrorKind {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => io::ErrorKind::Other,
        kind => kind,
    }
}

/// The addresses that were tried in vain, each with its error.
pub(crate) struct Failures {
    text: String,
    kind: io::ErrorKind,
}

impl Failures {
    /// None yet; `what` was tried, as in "cannot connect to".
    pub(crate) fn new(what: &str) -> Self {
        Failures { text: format!("cannot {what} "), kind: io::ErrorKind::Other }
    }

    pub(crate) fn add(&mut self, address: SocketAddr, error: &io::Error) {
        let first = self.text.ends_with(' ');
        let separator = if first { "" } else { "; " };
        self.text.push_str(&format!("{separator}{address}: {error}"));
        self.kind = kind_of(error);
    }

    /// One error for all, of the kind of the last.
    pub(crate) fn into_error(self) -> io::Error {
        io::Error::new(self.kind, self.text)
    }
}

enum Question {
    Name(String),
    Host(String, u16),
}
