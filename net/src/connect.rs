//! Connecting to several addresses, with a short time between the attempts, until one accepts (RFC
//! 8305, "happy eyeballs").

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use kernel::TaskCancelled;
use kernel::io::ToWrite;

use crate::address::Failures;
use crate::options::TcpOptions;
#[cfg(all(unix, feature = "simulated-net"))]
use crate::origin::Origin;
use crate::socket::{Socket, is_itself};
use crate::stream::TcpStream;

/// How many attempts an address gets while they end in connections to themselves. Each attempt has
/// a new local port, so even two in a row are rare.
const TRIES: usize = 4;

/// No socket listens on the port, and each attempt got that port as its local port.
#[derive(Debug, thiserror::Error)]
#[error("no socket listens there: in all {TRIES} attempts the socket connected to itself")]
struct ToItself;

/// How long an attempt is alone before the next one begins beside it. RFC 8305 recommends this
/// time.
const NEXT_AFTER: Duration = Duration::from_millis(250);

/// Connects to the first of the addresses that answers.
pub(crate) async fn connect_any(
    addresses: Vec<SocketAddr>,
    options: Option<&TcpOptions>,
    site: &'static Location<'static>,
) -> io::Result<TcpStream> {
    let connect = |address| connect_one(address, options, site);
    if let [address] = addresses[..] {
        return connect(address).await.map_err(|error| failed(vec![(address, error)]));
    }
    // In a box, so that a connect to one address is no larger for it.
    Box::pin(first_to_connect(interleaved(addresses), connect)).await
}

/// Attempts in this order. The next one begins when an attempt has failed, or when it has lasted
/// for a while. The first to connect wins, and the others are dropped, which closes their sockets.
async fn first_to_connect<T, F>(
    addresses: Vec<SocketAddr>,
    connect: impl Fn(SocketAddr) -> F,
) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let mut running = Vec::new();
    let mut failures = Vec::new();
    let mut waiting = addresses.iter().enumerate();
    let mut pause = None;
    loop {
        if let Some((order, address)) = waiting.next() {
            running.push((order, Box::pin(connect(*address))));
            pause = (waiting.len() > 0).then(|| Box::pin(kernel::sleep(NEXT_AFTER)));
        } else if running.is_empty() {
            failures.sort_by_key(|(order, _)| *order);
            let failures = failures.into_iter();
            return Err(failed(failures.map(|(order, error)| (addresses[order], error)).collect()));
        }
        let ended = poll_fn(|cx| match (poll_attempts(&mut running, cx), &mut pause) {
            (Poll::Ready(ended), _) => Poll::Ready(ended.map(Some)),
            (Poll::Pending, Some(pause)) => pause.as_mut().poll(cx).map_ok(|()| None),
            (Poll::Pending, None) => Poll::Pending,
        });
        match ended.await? {
            None => {} // time for the next one
            Some((_, Ok(connected))) => return Ok(connected),
            Some((at, Err(error))) => {
                let (order, _) = running.remove(at);
                failures.push((order, error));
            }
        }
    }
}

/// Ready when an attempt has ended: its place and its result. One that connects comes before a
/// cancellation, which then stays pending (C1).
fn poll_attempts<T, F>(
    running: &mut [(usize, Pin<Box<F>>)],
    cx: &mut Context<'_>,
) -> Poll<Result<(usize, io::Result<T>), TaskCancelled>>
where
    F: Future<Output = io::Result<T>>,
{
    let mut cancelled: Option<TaskCancelled> = None;
    for (at, (_, attempt)) in running.iter_mut().enumerate() {
        match attempt.as_mut().poll(cx) {
            Poll::Ready(Ok(connected)) => {
                cancelled.into_iter().for_each(|cancelled| cancelled.put_back());
                return Poll::Ready(Ok((at, Ok(connected))));
            }
            Poll::Ready(Err(error)) => match kernel::cancelled(&error) {
                Some(due) => cancelled = Some(due.clone()),
                None if cancelled.is_none() => return Poll::Ready(Ok((at, Err(error)))),
                None => {}
            },
            Poll::Pending => {}
        }
    }
    cancelled.map_or(Poll::Pending, |cancelled| Poll::Ready(Err(cancelled)))
}

/// The addresses in the order of attempts: the families alternate, beginning with that of the first
/// address, so that a family that does not work costs one attempt and not many.
fn interleaved(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (ours, others): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first);
    let (mut ours, mut others) = (ours.into_iter(), others.into_iter());
    let mut order = Vec::new();
    while ours.len() + others.len() > 0 {
        order.extend(ours.next());
        order.extend(others.next());
    }
    order
}

/// One error for all addresses, or the cancellation.
fn failed(failures: Vec<(SocketAddr, io::Error)>) -> io::Error {
    let mut all = Failures::new("connect to");
    for (address, error) in failures {
        if kernel::cancelled(&error).is_some() {
            return error;
        }
        all.add(address, error);
    }
    all.into_error()
}

async fn connect_one(
    address: SocketAddr,
    options: Option<&TcpOptions>,
    site: &'static Location<'static>,
) -> io::Result<TcpStream> {
    for _ in 0..TRIES {
        let stream = begin(address, options)?;
        let to_itself = stream.registration.io_at(ToWrite, "CONNECT", site, connected).await?;
        if !to_itself {
            return Ok(stream);
        }
        // After a plain close, no server could bind the port for a minute. If this fails, the close
        // is a plain one.
        let _ = stream.registration.with(Socket::close_abortively);
    }
    Err(io::Error::new(io::ErrorKind::ConnectionRefused, ToItself))
}

fn begin(address: SocketAddr, options: Option<&TcpOptions>) -> io::Result<TcpStream> {
    #[cfg(all(unix, feature = "simulated-net"))]
    if let Some(net) = crate::simulated::current() {
        return Ok(TcpStream::from_socket(Socket::of(Origin::Simulated(net.connect(address)?))));
    }
    loop {
        let begun = match options {
            Some(options) => options.begin(address),
            None => mio::net::TcpStream::connect(address),
        };
        match begun {
            // The interrupted socket is closed already, so try again with a new one.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            begun => return Ok(TcpStream::from_socket(Socket::own(begun?))),
        }
    }
}

/// Whether an established connection is one to itself; `WouldBlock` if none is established.
///
/// When two sockets connect to each other at the same time, TCP makes one connection of them. The
/// same happens when both are one socket. A connect to a port without a listener therefore succeeds
/// if the system chooses that port as the local port.
fn connected(socket: &Socket) -> io::Result<bool> {
    if let Some(error) = socket.take_error()? {
        return Err(error);
    }
    match socket.peer_addr() {
        Ok(peer) => Ok(is_itself(socket.local_addr()?, peer)),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => {
            Err(io::ErrorKind::WouldBlock.into())
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::rc::Rc;

    use kernel::{now, sleep, testing, timeout_after};
    use socket2::{Domain, Protocol, Type};

    use super::*;

    /// A bound socket that does not listen, and its address. Connecting to it fails.
    fn dead() -> io::Result<(socket2::Socket, SocketAddr)> {
        let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        let address = socket.local_addr()?.as_socket().expect("an IPv4 address");
        Ok((socket, address))
    }

    /// N4: an error of a connect names every address that was tried, each with its own error.
    #[test]
    fn the_error_of_a_connect_names_every_address() {
        testing::run(async || {
            let ((_first, one), (_second, other)) = (dead()?, dead()?);
            let error = connect_any(vec![one, other], None, Location::caller()).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
            let refused =
                io::Error::from_raw_os_error(rustix::io::Errno::CONNREFUSED.raw_os_error());
            let text = format!("cannot connect to {one}: {refused}; {other}: {refused}");
            assert_eq!(error.to_string(), text);
            Ok::<(), io::Error>(())
        })
        .unwrap();
    }

    /// N4: what a connection to itself looks like.
    #[test]
    fn a_socket_that_is_connected_to_itself_is_known() {
        let (socket, address) = dead().unwrap();
        socket.connect(&address.into()).unwrap();
        let stream = mio::net::TcpStream::from_std(socket.into());
        assert!(connected(&Socket::own(stream)).unwrap());
        let other = SocketAddr::from((Ipv4Addr::LOCALHOST, address.port() ^ 1));
        assert!(!is_itself(address, other));
    }

    fn v4(port: u16) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, port).into()
    }

    fn v6(port: u16) -> SocketAddr {
        (Ipv6Addr::LOCALHOST, port).into()
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Attempts that end as `what` says: after so many milliseconds, well or not. Returns the
    /// result with its time, the times of the beginnings, and how many attempts were still there.
    fn attempts(
        what: &'static [(u64, bool)],
        limit: Duration,
    ) -> (Result<Result<u16, String>, ()>, u128, Vec<u128>) {
        testing::run(async || {
            let began = now();
            let times = RefCell::new(Vec::new());
            let alive = Rc::new(Cell::new(0));
            let connect = |address: SocketAddr| {
                times.borrow_mut().push((now() - began).as_millis());
                let alive = alive.clone();
                alive.set(alive.get() + 1);
                async move {
                    let _alive = Dropped(alive);
                    let (time, works) = what[usize::from(address.port())];
                    sleep(ms(time)).await?;
                    match works {
                        true => Ok(address.port()),
                        false => Err(io::Error::other("no")),
                    }
                }
            };
            let addresses = (0..what.len()).map(|n| v4(n as u16)).collect();
            let ended = timeout_after(limit, first_to_connect(addresses, connect)).await;
            assert_eq!(alive.get(), 0, "an attempt is left");
            let ended = ended.map(|ended| ended.map_err(|error| error.to_string()));
            (ended.map_err(drop), (now() - began).as_millis(), times.take())
        })
    }

    struct Dropped(Rc<Cell<usize>>);

    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.set(self.0.get() - 1);
        }
    }

    /// N10: attempts begin 250 ms after one another, and the first to connect wins, whichever began
    /// first.
    #[test]
    fn attempts_begin_one_after_the_other_and_the_first_to_connect_wins() {
        let slow = &[(1000, true), (1000, true), (1000, true)];
        assert_eq!(attempts(slow, Duration::MAX), (Ok(Ok(0)), 1000, vec![0, 250, 500]));
        let second = &[(1000, true), (300, true), (1000, true), (1000, true)];
        assert_eq!(attempts(second, Duration::MAX), (Ok(Ok(1)), 550, vec![0, 250, 500]));
        let at_once = &[(0, true), (0, true)];
        assert_eq!(attempts(at_once, Duration::MAX), (Ok(Ok(0)), 0, vec![0]));
    }

    /// N10: when an attempt fails, the next one begins at once, and its 250 ms count from then.
    #[test]
    fn a_failure_begins_the_next_attempt() {
        let fails = &[(100, false), (1000, true), (1000, true)];
        assert_eq!(attempts(fails, Duration::MAX), (Ok(Ok(1)), 1100, vec![0, 100, 350]));
        let late = &[(300, false), (900, true), (10, true)];
        assert_eq!(attempts(late, Duration::MAX), (Ok(Ok(2)), 310, vec![0, 250, 300]));
    }

    /// N10: the error names every address in the order of the attempts, in whatever order they have
    /// failed.
    #[test]
    fn the_error_is_in_the_order_of_the_attempts() {
        let none = &[(600, false), (10, false), (10, false)];
        let text = "cannot connect to 127.0.0.1:0: no; 127.0.0.1:1: no; 127.0.0.1:2: no";
        let (ended, took, began) = attempts(none, Duration::MAX);
        assert_eq!((ended, took, began), (Ok(Err(text.into())), 600, vec![0, 250, 260]));
    }

    /// N10, C1: a timeout ends all attempts, unless one connects at that moment.
    #[test]
    fn a_timeout_ends_every_attempt() {
        let silent = &[(9000, true), (9000, true)];
        assert_eq!(attempts(silent, ms(300)), (Err(()), 300, vec![0, 250]));
        let just = &[(9000, true), (50, true)];
        assert_eq!(attempts(just, ms(300)).0, Ok(Ok(1)));
    }

    /// N10: the families alternate, beginning with that of the first address.
    #[test]
    fn the_families_alternate() {
        let given = vec![v6(1), v6(2), v6(3), v4(4), v4(5)];
        assert_eq!(interleaved(given), [v6(1), v4(4), v6(2), v4(5), v6(3)]);
        let given = vec![v4(1), v6(2), v4(3), v4(4)];
        assert_eq!(interleaved(given), [v4(1), v6(2), v4(3), v4(4)]);
    }
}
