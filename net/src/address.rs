//! Addresses, given directly or looked up by name.

use std::io;
use std::net::ToSocketAddrs as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::error::{advice, failed};

/// What `bind` and `connect` take: an address, or a host and a port to look up.
///
/// An address, or text that is one (`"127.0.0.1:80"`, `"[::1]:80"`), is used as it is. An IPv6
/// address may have a zone, the name or the number of a network interface: `"[fe80::1%eth0]:80"`,
/// `("fe80::1%eth0", 80)`. Several addresses may be given as a slice or a `Vec`. Anything
/// else is looked up by the system on another thread, as the
/// system's look-up blocks.
///
/// A look-up that is cancelled or times out returns to its caller at once. Its thread stays busy
/// until the system gives up. Look-ups have 64 threads of their own in a process, so other jobs do
/// not delay them. While look-ups at a silent name server occupy all of them, further look-ups wait
/// for one and can be cancelled.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an address",
    note = "pass a `SocketAddr`, `\"host:port\"`, `(\"host\", port)` or `(ip, port)`"
)]
pub trait ToSocketAddrs: sealed::Sealed {
    #[doc(hidden)]
    fn target(self) -> Target;
}

/// An address, or a name to look up.
#[derive(Debug)]
pub enum Target {
    /// An address.
    Known(SocketAddr),
    /// A name to look up, as `host:port`.
    Name(String),
    /// A host to look up, and a port.
    Host(String, u16),
    /// Addresses that were looked up before.
    Addresses(Vec<SocketAddr>),
    /// An address in a zone whose number must be found.
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

impl sealed::Sealed for &[SocketAddr] {}
impl ToSocketAddrs for &[SocketAddr] {
    fn target(self) -> Target {
        Target::Addresses(self.to_vec())
    }
}

impl sealed::Sealed for Vec<SocketAddr> {}
impl ToSocketAddrs for Vec<SocketAddr> {
    fn target(self) -> Target {
        Target::Addresses(self)
    }
}

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
        // A URL writes an IPv6 address in brackets.
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if let Ok(ip) = bare.parse::<Ipv6Addr>() {
            return Target::Known((ip, port).into());
        }
        zoned(bare, port).unwrap_or_else(|| Target::Host(host.to_owned(), port))
    }
}

/// Parses text such as `[fe80::1%eth0]:80`.
fn bracketed(text: &str) -> Option<Target> {
    let (host, port) = text.strip_prefix('[')?.rsplit_once("]:")?;
    zoned(host, port.parse().ok()?)
}

/// Parses a host such as `fe80::1%eth0`.
fn zoned(host: &str, port: u16) -> Option<Target> {
    let (ip, zone) = host.split_once('%')?;
    Some(Target::Zoned(ip.parse().ok()?, zone.to_owned(), port))
}

/// The number of a zone, which is the index of a network interface.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn scope_of(zone: &str) -> io::Result<u32> {
    if let Ok(number) = zone.parse() {
        return Ok(number);
    }
    // The look-up of the standard library knows the names of interfaces. It asks no name server for
    // a numeric address, and it refuses an unknown interface.
    let found = (format!("fe80::%{zone}").as_str(), 0).to_socket_addrs();
    let scope = found.ok().and_then(|mut found| match found.next() {
        Some(SocketAddr::V6(address)) => Some(address.scope_id()).filter(|scope| *scope != 0),
        _ => None,
    });
    scope.ok_or_else(|| {
        let text = format!("there is no network interface {zone:?}");
        io::Error::new(io::ErrorKind::NotFound, text)
    })
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn in_zone(ip: Ipv6Addr, zone: &str, port: u16) -> io::Result<Option<SocketAddr>> {
    Ok(Some(SocketAddrV6::new(ip, port, 0, scope_of(zone)?).into()))
}

/// On other systems the look-up resolves zones.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn in_zone(_ip: Ipv6Addr, _zone: &str, _port: u16) -> io::Result<Option<SocketAddr>> {
    Ok(None)
}

/// The threads that look names up. They are not those of other jobs, so that neither wait for the
/// other when all of them hang.
static LOOK_UPS: kernel::ThreadPool = kernel::ThreadPool::new("curium-look-up", 64);

/// The addresses of a name, in the order in which the system would have them tried; at least one.
/// What is an address already is returned as it is.
///
/// [`TcpStream::connect`](crate::TcpStream::connect) does this by itself. It is for a program that
/// chooses among the addresses, keeps them, or shows them. How names are looked up, see
/// [`ToSocketAddrs`].
///
/// ```
/// use curium::kernel;
/// use curium::net::resolve;
///
/// kernel::run(async || {
///     let addresses = resolve("localhost:80").await?;
///     assert!(addresses.iter().all(|address| address.ip().is_loopback()));
///     std::io::Result::Ok(())
/// })?;
/// # std::io::Result::Ok(())
/// ```
///
/// # Errors
///
/// The system's, and it names the name; `NotFound` if the name has no address; a cancellation.
///
/// # Cancellation
///
/// It returns at once. A look-up that has begun goes on, and its result is dropped.
pub fn resolve(name: impl ToSocketAddrs) -> impl Future<Output = io::Result<Vec<SocketAddr>>> {
    addresses_of(name.target())
}

/// All addresses of a target, at least one.
pub(crate) async fn addresses_of(target: Target) -> io::Result<Vec<SocketAddr>> {
    let (named, query) = match target {
        Target::Known(address) => return Ok(vec![address]),
        Target::Addresses(addresses) if addresses.is_empty() => {
            let error = "no address was given";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, error));
        }
        Target::Addresses(addresses) => return Ok(addresses),
        Target::Name(name) => (name.clone(), Query::Name(name)),
        Target::Host(host, port) => (format!("{host}:{port}"), Query::Host(host, port)),
        Target::Zoned(ip, zone, port) => {
            let named = format!("[{ip}%{zone}]:{port}");
            match in_zone(ip, &zone, port).map_err(|error| cannot_look_up(&named, error))? {
                Some(address) => return Ok(vec![address]),
                None => (named, Query::Host(format!("{ip}%{zone}"), port)),
            }
        }
    };
    #[cfg(all(unix, feature = "simulated-net"))]
    if let Some(net) = crate::simulated::current() {
        return net.look_up(&named).await.map_err(|error| cannot_look_up(&named, error));
    }
    let looked_up = LOOK_UPS.run_in_thread(move || match query {
        Query::Name(name) => name.to_socket_addrs().map(Iterator::collect::<Vec<_>>),
        Query::Host(host, port) => (host.as_str(), port).to_socket_addrs().map(Iterator::collect),
    });
    let addresses = looked_up.await?.map_err(|error| cannot_look_up(&named, error))?;
    if addresses.is_empty() {
        let error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        return Err(cannot_look_up(&named, error));
    }
    Ok(addresses)
}

#[cold]
fn cannot_look_up(named: &str, error: io::Error) -> io::Error {
    let advice = match named.contains(':') {
        true => "",
        false => "; give a port as well, as in \"host:port\"",
    };
    failed(format!("cannot look up {named:?}: {error}{advice}"), error)
}

/// The result of `take` for the first address of which it has one. `what` is the operation, such as
/// "bind".
pub(crate) fn first_of<T>(
    what: &str,
    addresses: &[SocketAddr],
    mut take: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut failures = Failures::new(what);
    for address in addresses {
        match take(*address) {
            Ok(taken) => return Ok(taken),
            Err(error) => failures.add(*address, error),
        }
    }
    Err(failures.into_error())
}

/// The addresses that failed, each with its error.
pub(crate) struct Failures {
    text: String,
    last: Option<io::Error>,
}

impl Failures {
    /// An empty list. `what` is the operation, such as "connect to".
    pub(crate) fn new(what: &str) -> Self {
        Failures { text: format!("cannot {what} "), last: None }
    }

    pub(crate) fn add(&mut self, address: SocketAddr, error: io::Error) {
        let separator = if self.last.is_none() { "" } else { "; " };
        self.text.push_str(&format!("{separator}{address}: {error}"));
        self.last = Some(error);
    }

    /// One error that lists all failures. Its kind, its source and its advice are those of the last
    /// one.
    pub(crate) fn into_error(self) -> io::Error {
        let last = self.last.unwrap_or_else(|| io::Error::other("no address was given"));
        failed(self.text + &advice(&last), last)
    }
}

/// What is looked up on another thread.
enum Query {
    Name(String),
    Host(String, u16),
}
