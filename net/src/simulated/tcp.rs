//! TCP in memory: the states of a connection, and what a packet changes in them.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};
use std::time::Duration;

use kernel::io::Readiness;
use rustix::io::Errno;

use super::trace::Fate;
use super::world::{Body, Event, EventKey, HostId, Kind, Packet, Place, Socket, SocketId, World};

/// How long a connect waits for an answer. Linux gives up after six repetitions.
const CONNECT_LIMIT: Duration = Duration::from_secs(127);

/// The time between two chunks.
const MIN_GAP: Duration = Duration::from_nanos(1);
const MAX_GAP: Duration = Duration::from_micros(50);

#[derive(Debug)]
pub(super) struct Listener {
    /// Connections that are not accepted yet.
    pub(super) queue: VecDeque<SocketId>,
    pub(super) backlog: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Connecting,
    Open,
    /// It was refused, reset or given up.
    Gone,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stage: Stage,
    pub(super) peer: Place,
    /// It was begun here, and not accepted.
    began: bool,
    pub(super) received: VecDeque<u8>,
    /// The peer's last byte has arrived.
    pub(super) ended: bool,
    error: Option<Errno>,
    read_shut: bool,
    write_shut: bool,
    /// The close resets the connection.
    abortive: bool,
    /// Bytes that were sent and that the peer has not read.
    pub(super) unread: usize,
    /// When the last packet arrives there. Packets of a connection do not overtake each other.
    last_arrival: Duration,
    pub(super) give_up: Option<EventKey>,
}

impl Listener {
    pub(super) fn readiness(&self) -> Readiness {
        Readiness { readable: !self.queue.is_empty(), ..Readiness::default() }
    }

    pub(super) fn take_queue(&mut self) -> VecDeque<SocketId> {
        std::mem::take(&mut self.queue)
    }
}

impl Connection {
    pub(super) fn new(stage: Stage, peer: Place) -> Self {
        Connection {
            stage,
            peer,
            began: stage == Stage::Connecting,
            received: VecDeque::new(),
            ended: false,
            error: None,
            read_shut: false,
            write_shut: false,
            abortive: false,
            unread: 0,
            last_arrival: Duration::ZERO,
            give_up: None,
        }
    }

    pub(super) fn readiness(&self, capacity: usize) -> Readiness {
        let gone = self.stage == Stage::Gone;
        let read_ended = self.ended || self.read_shut || gone;
        let room = self.stage == Stage::Open && self.unread < capacity;
        Readiness {
            readable: read_ended || !self.received.is_empty(),
            writable: gone || self.write_shut || room,
            read_ended,
            write_ended: gone,
        }
    }

    pub(super) fn peer_host(&self) -> HostId {
        self.peer.host
    }

    /// Ends it at once, with an error that the next operation gets.
    pub(super) fn fail(&mut self, error: Errno) {
        self.stage = Stage::Gone;
        self.error = Some(error);
    }
}

/// A socket whose port no listener may have.
fn holds_port(kind: &Kind) -> bool {
    match kind {
        Kind::Listener(_) => true,
        Kind::Connection(connection) => connection.began,
        Kind::Datagrams(_) | Kind::Crashed => false,
    }
}

/// The error of an operation on a socket whose host has crashed. It has no number of the system, so
/// that `accept` does not try again.
pub(super) fn crashed() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the host of this socket has crashed")
}

impl Socket {
    fn connection(&mut self) -> io::Result<&mut Connection> {
        match &mut self.kind {
            Kind::Connection(connection) => Ok(connection),
            Kind::Crashed => Err(crashed()),
            _ => Err(Errno::INVAL.into()),
        }
    }
}

/// What the ends of connections do.
impl World {
    pub(super) fn listen(
        &mut self,
        host: HostId,
        address: SocketAddr,
        backlog: usize,
    ) -> io::Result<SocketId> {
        let local = self.bound(host, address, holds_port)?;
        let listener = Listener { queue: VecDeque::new(), backlog };
        Ok(self.add(host, local, Kind::Listener(listener)))
    }

    pub(super) fn accept(&mut self, listener: SocketId) -> io::Result<(SocketId, SocketAddr)> {
        let socket = self.sockets.get_mut(&listener).ok_or(Errno::BADF)?;
        let queue = match &mut socket.kind {
            Kind::Listener(listener) => &mut listener.queue,
            Kind::Crashed => return Err(crashed()),
            _ => return Err(Errno::INVAL.into()),
        };
        if self.hosts[socket.host].short {
            return Err(Errno::MFILE.into());
        }
        let accepted = queue.pop_front().ok_or(Errno::AGAIN)?;
        let peer = self.connection(accepted)?.peer.address;
        Ok((accepted, peer))
    }

    pub(super) fn connect(&mut self, host: HostId, to: SocketAddr) -> io::Result<SocketId> {
        if self.hosts[host].short {
            return Err(Errno::MFILE.into());
        }
        let mut to = to;
        if to.ip().is_unspecified() {
            let v4 = to.is_ipv4();
            to.set_ip(if v4 { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
        }
        let local = (self.source_of(host, to.ip()), self.free_port(host)?).into();
        let there = self.route(host, to.ip());
        let peer = Place { host: there.unwrap_or(host), address: to, socket: None };
        let connection = Connection::new(Stage::Connecting, peer);
        let socket = self.add(host, local, Kind::Connection(connection));
        let limit = self.schedule(self.now + CONNECT_LIMIT, Event::GiveUp(socket));
        self.connection(socket)?.give_up = Some(limit);
        match there {
            Some(_) => self.send(socket, Body::Syn),
            // No host has this address.
            None => {
                let from = self.place(socket).ok_or(Errno::BADF)?;
                self.note(&Packet { from, to: peer, body: Body::Syn }, Fate::Lost);
            }
        }
        Ok(socket)
    }

    pub(super) fn connection(&mut self, socket: SocketId) -> io::Result<&mut Connection> {
        self.sockets.get_mut(&socket).ok_or(Errno::BADF)?.connection()
    }

    /// Sends a packet to the peer.
    pub(super) fn send(&mut self, socket: SocketId, body: Body) {
        let Some(from) = self.place(socket) else { return };
        let Ok(connection) = self.connection(socket) else { return };
        let to = connection.peer;
        let at = self.now + self.latency(from.host, to.host);
        let apart = matches!(body, Body::Data(_)) && self.settings.chunks.is_some();
        let gap = if apart { self.random.duration(MIN_GAP, MAX_GAP) } else { Duration::ZERO };
        let Ok(connection) = self.connection(socket) else { return };
        let at = at.max(connection.last_arrival) + gap;
        connection.last_arrival = at;
        self.launch(at, Packet { from, to, body });
    }

    pub(super) fn read(
        &mut self,
        socket: SocketId,
        bufs: &mut [IoSliceMut<'_>],
        consume: bool,
    ) -> io::Result<usize> {
        let connection = self.connection(socket)?;
        let mut taken = 0;
        let (front, back) = connection.received.as_slices();
        let mut left = front.iter().chain(back);
        for buf in bufs {
            for (place, byte) in buf.iter_mut().zip(&mut left) {
                *place = *byte;
                taken += 1;
            }
        }
        if taken > 0 {
            if consume {
                connection.received.drain(..taken);
                self.send(socket, Body::Taken(taken));
            }
            return Ok(taken);
        }
        if let Some(error) = connection.error.take() {
            return Err(error.into());
        }
        let over = connection.ended || connection.read_shut || connection.stage == Stage::Gone;
        if over { Ok(0) } else { Err(Errno::AGAIN.into()) }
    }

    pub(super) fn write(&mut self, socket: SocketId, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let capacity = self.settings.capacity;
        let connection = self.connection(socket)?;
        if let Some(error) = connection.error.take() {
            return Err(error.into());
        }
        if connection.stage == Stage::Gone || connection.write_shut {
            return Err(Errno::PIPE.into());
        }
        if connection.stage == Stage::Connecting {
            return Err(Errno::AGAIN.into());
        }
        let mut room = capacity.saturating_sub(connection.unread);
        if room == 0 {
            return Err(Errno::AGAIN.into());
        }
        if let Some((least, most)) = self.settings.chunks {
            room = room.min(self.random.among(least as u64, most as u64) as usize);
        }
        let bytes: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter()).take(room).copied().collect();
        let len = bytes.len();
        self.connection(socket)?.unread += len;
        self.send(socket, Body::Data(bytes));
        Ok(len)
    }

    pub(super) fn hung_up(&mut self, socket: SocketId) -> io::Result<()> {
        let capacity = self.settings.capacity;
        let over = self.connection(socket)?.readiness(capacity).read_ended;
        if over { Ok(()) } else { Err(Errno::AGAIN.into()) }
    }

    pub(super) fn shutdown(&mut self, socket: SocketId, how: Shutdown) -> io::Result<()> {
        let connection = self.connection(socket)?;
        if connection.stage != Stage::Open {
            return Err(Errno::NOTCONN.into());
        }
        connection.read_shut |= how != Shutdown::Write;
        let first = how != Shutdown::Read && !connection.write_shut;
        connection.write_shut |= first;
        if first {
            self.send(socket, Body::Fin);
        }
        self.wake(socket);
        Ok(())
    }

    pub(super) fn take_error(&mut self, socket: SocketId) -> io::Result<Option<io::Error>> {
        Ok(self.connection(socket)?.error.take().map(io::Error::from))
    }

    pub(super) fn peer_addr(&mut self, socket: SocketId) -> io::Result<SocketAddr> {
        match &self.sockets.get(&socket).ok_or(Errno::BADF)?.kind {
            Kind::Datagrams(_) => self.peer_of(socket),
            Kind::Connection(Connection { stage: Stage::Open, peer, .. }) => Ok(peer.address),
            Kind::Crashed => Err(crashed()),
            _ => Err(Errno::NOTCONN.into()),
        }
    }

    pub(super) fn close_abortively(&mut self, socket: SocketId) -> io::Result<()> {
        self.connection(socket)?.abortive = true;
        Ok(())
    }

    /// The program has dropped the socket.
    pub(super) fn close(&mut self, socket: SocketId) {
        let Some(state) = self.sockets.get_mut(&socket) else { return };
        match &mut state.kind {
            Kind::Listener(listener) => {
                for queued in listener.take_queue() {
                    self.send(queued, Body::Reset);
                    self.sockets.remove(&queued);
                }
            }
            Kind::Connection(connection) => {
                let unread = !connection.received.is_empty() || connection.abortive;
                match connection.stage {
                    Stage::Open if unread => self.send(socket, Body::Reset),
                    Stage::Open if !connection.write_shut => self.send(socket, Body::Fin),
                    Stage::Connecting => self.held.retain(|held| held.from.socket != Some(socket)),
                    _ => {}
                }
                self.answered(socket);
            }
            Kind::Datagrams(_) | Kind::Crashed => {}
        }
        self.sockets.remove(&socket);
    }

    /// It need not be given up any more.
    pub(super) fn answered(&mut self, socket: SocketId) {
        let limit = self.connection(socket).ok().and_then(|connection| connection.give_up.take());
        self.unschedule(limit);
    }
}

/// What faults do to connections.
impl World {
    /// A packet that was held back arrives at that time. An established connection is not given up
    /// any more.
    pub(super) fn sent_again(&mut self, sender: SocketId, at: Duration) {
        let Ok(connection) = self.connection(sender) else { return };
        connection.last_arrival = connection.last_arrival.max(at);
        if connection.stage == Stage::Open {
            self.answered(sender);
        }
    }

    /// Resets the connection at this end.
    pub(super) fn reset_here(&mut self, socket: SocketId) {
        self.arrive_at(socket, Body::Reset, None);
    }
}
