//! The load generator: the same for all servers, and without their code.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::serve::LAST;

/// Longer than any step takes: a server that stops answering is an error, not a hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// Connects, from an address and a port that no other connection had. If the system chose them, it
/// would search longer and longer for a free port among thousands, and connections that come in
/// bursts to one server would come one by one to the next.
fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    // Another run of this program may have used it a moment ago.
    socket.set_reuse_address(true)?;
    loop {
        match socket.bind(&source().into()) {
            Ok(()) => break,
            // Another socket listens there, on all addresses.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error),
        }
    }
    socket.connect(&server.into())?;
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// The next of the machine's addresses, with a port.
fn source() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    const PORTS: u32 = 8_000;
    let place = NEXT.fetch_add(1, Ordering::Relaxed);
    let address = Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + 1 + place / PORTS);
    let port = u16::try_from(10_000 + place % PORTS).expect("less than 18,000");
    (address, port).into()
}

/// One connection, `len` bytes there and back, `trips` times: how long each took, in nanoseconds.
pub(crate) fn latencies(server: SocketAddr, len: usize, trips: usize) -> io::Result<Vec<u64>> {
    let mut stream = connect(server)?;
    let mut message = vec![b'x'; len];
    let mut latencies = Vec::with_capacity(trips);
    for _ in 0..trips {
        let begun = Instant::now();
        stream.write_all(&message)?;
        stream.read_exact(&mut message)?;
        latencies.push(u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
    Ok(latencies)
}

/// The same messages in step: after `before`, all connections send, and after `after`, all receive.
/// The cost of a request depends on whether the next message is there before the server looks, and
/// on how many are. For counting, all are sent when the server sleeps.
pub(crate) fn in_step(
    server: SocketAddr,
    connections: usize,
    len: usize,
    requests: usize,
    before: impl Fn() -> io::Result<()>,
    after: impl Fn() -> io::Result<()>,
) -> io::Result<()> {
    let mut message = vec![b'x'; len];
    let mut streams = Vec::with_capacity(connections);
    for _ in 0..connections {
        streams.push(connect(server)?);
    }
    for _ in 0..requests / connections {
        before()?;
        for stream in &mut streams {
            stream.write_all(&message)?;
        }
        after()?;
        for stream in &mut streams {
            stream.read_exact(&mut message)?;
        }
    }
    Ok(())
}

/// Waits for the next events.
fn next(poll: &mut Poll, events: &mut Events) -> io::Result<()> {
    loop {
        match poll.poll(events, Some(PATIENCE)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
            Ok(()) if events.is_empty() => return Err(io::ErrorKind::TimedOut.into()),
            Ok(()) => return Ok(()),
        }
    }
}

/// Runs so many of a load beside each other, each on a thread of its own.
pub(crate) fn together(count: usize, load: impl Fn() -> io::Result<()> + Sync) -> io::Result<()> {
    thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(&load)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("a load does not panic"))
    })
}

/// `connections`, each with one message of `len` bytes in transit, until `requests` were answered.
pub(crate) fn echoes(
    server: SocketAddr,
    connections: usize,
    len: usize,
    requests: usize,
) -> io::Result<()> {
    let message = vec![b'x'; len];
    let mut buffer = vec![0; 2 * len];
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(connections);
    let mut streams = Vec::with_capacity(connections);
    for place in 0..connections {
        let stream = connect(server)?;
        stream.set_nonblocking(true)?;
        let mut stream = mio::net::TcpStream::from_std(stream);
        poll.registry().register(&mut stream, Token(place), Interest::READABLE)?;
        streams.push((stream, 0));
    }
    // The first message fits into the socket, even if the server has not accepted yet.
    for (stream, _) in streams.iter_mut().take(requests) {
        stream.write_all(&message)?;
    }
    let mut to_send = requests.saturating_sub(connections);
    let mut to_come = requests;
    while to_come > 0 {
        next(&mut poll, &mut events)?;
        for event in &events {
            let (stream, got) = &mut streams[event.token().0];
            match stream.read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => *got += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            }
            if *got == len {
                *got = 0;
                to_come -= 1;
                if to_send > 0 {
                    to_send -= 1;
                    stream.write_all(&message)?;
                }
            }
        }
    }
    Ok(())
}

/// `sockets`, each with one datagram of `len` bytes in transit, until `requests` were answered.
/// None is lost on the loopback interface: the socket of the server has room for all of them.
pub(crate) fn datagrams(
    server: SocketAddr,
    sockets: usize,
    len: usize,
    requests: usize,
) -> io::Result<()> {
    let message = vec![b'x'; len];
    let mut buffer = vec![0; 2 * len];
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(sockets);
    let mut clients = Vec::with_capacity(sockets);
    for place in 0..sockets {
        let mut socket = mio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0).into())?;
        socket.connect(server)?;
        poll.registry().register(&mut socket, Token(place), Interest::READABLE)?;
        socket.send(&message)?;
        clients.push(socket);
    }
    let mut to_send = requests.saturating_sub(sockets);
    let mut to_come = requests;
    while to_come > 0 {
        next(&mut poll, &mut events)?;
        for event in &events {
            let socket = &clients[event.token().0];
            loop {
                match socket.recv(&mut buffer) {
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
                to_come -= 1;
                if to_send > 0 {
                    to_send -= 1;
                    socket.send(&message)?;
                }
            }
        }
    }
    Ok(())
}

/// Sends so many lines of 64 bytes without a pause, and a last one, and waits for its answer.
pub(crate) fn lines(server: SocketAddr, count: usize) -> io::Result<()> {
    const LINE: usize = 64;
    let mut some = [b'x'; LINE];
    some[LINE - 1] = b'\n';
    let some = some.repeat(1024);
    send(server, &some, count * LINE, &[LAST, b'\n'])
}

/// Sends so many MiB without a pause, and waits for the answer to the last byte.
pub(crate) fn bytes(server: SocketAddr, mib: usize) -> io::Result<()> {
    send(server, &[b'x'; 256 * 1024], mib << 20, &[LAST])
}

/// Sends `some` again and again, `len` bytes in all, and then `last`. Waits for a byte.
fn send(server: SocketAddr, some: &[u8], len: usize, last: &[u8]) -> io::Result<()> {
    let mut stream = connect(server)?;
    let mut left = len;
    while left > 0 {
        let piece = &some[..some.len().min(left)];
        stream.write_all(piece)?;
        left -= piece.len();
    }
    stream.write_all(last)?;
    stream.read_exact(&mut [0])
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The server reads the end of the stream.
    Close,
    /// The server's read fails.
    Reset,
}

/// `total` connections, `at_once` of them open: connect, a byte there and back, the ending.
pub(crate) fn connections(
    server: SocketAddr,
    at_once: usize,
    total: usize,
    ending: Ending,
) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(at_once);
    let mut streams: Vec<Option<mio::net::TcpStream>> = Vec::new();
    streams.resize_with(at_once, || None);
    let open = |poll: &Poll, place: usize| {
        let mut stream = connect(server)?;
        stream.write_all(b"x")?;
        stream.set_nonblocking(true)?;
        let mut stream = mio::net::TcpStream::from_std(stream);
        poll.registry().register(&mut stream, Token(place), Interest::READABLE)?;
        Ok::<_, io::Error>(stream)
    };
    for (place, slot) in streams.iter_mut().enumerate().take(total) {
        *slot = Some(open(&poll, place)?);
    }
    let mut to_open = total.saturating_sub(at_once);
    let mut to_come = total;
    while to_come > 0 {
        next(&mut poll, &mut events)?;
        for event in &events {
            let place = event.token().0;
            let Some(stream) = &mut streams[place] else {
                continue;
            };
            match stream.read(&mut [0]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            }
            if ending == Ending::Reset {
                SockRef::from(&*stream).set_linger(Some(Duration::ZERO))?;
            }
            streams[place] = None;
            to_come -= 1;
            if to_open > 0 {
                to_open -= 1;
                streams[place] = Some(open(&poll, place)?);
            }
        }
    }
    Ok(())
}

/// Opens `count` connections that the server has answered on, and which are then silent.
pub(crate) fn idle(server: SocketAddr, count: usize) -> io::Result<Vec<TcpStream>> {
    let answered = |_| {
        let mut stream = connect(server)?;
        stream.write_all(b"x")?;
        stream.read_exact(&mut [0])?;
        Ok(stream)
    };
    (0..count).map(answered).collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_port_that_somebody_else_listens_on_is_passed_over() {
        let taken = source().port() + 1;
        let _service = TcpListener::bind((Ipv4Addr::UNSPECIFIED, taken)).unwrap();
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let stream = connect(server.local_addr().unwrap()).unwrap();
        assert_eq!(stream.local_addr().unwrap().port(), taken + 1);
    }
}
