//! The state of a simulated network: its hosts and sockets, and the packets on their way.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use kernel::io::Readiness;
use mio::{Interest, Token};
use rustix::io::Errno;

use super::random::Random;
use super::tcp::{Connection, Listener};
use super::trace::{Fate, Line, Trace, What};
use super::udp::Datagrams;

pub(super) type HostId = usize;
pub(super) type SocketId = u64;

/// The host of a task that runs on no other.
pub(super) const MAIN: HostId = 0;

/// The ports that the system of a host chooses from begin here.
const FIRST_PORT: u16 = 49_152;

#[derive(Debug)]
pub(super) struct Settings {
    pub(super) latency: (Duration, Duration),
    pub(super) chunks: Option<(usize, usize)>,
    pub(super) capacity: usize,
    /// The probabilities that a datagram is lost and that it is doubled.
    pub(super) loss: f64,
    pub(super) duplication: f64,
}

impl Default for Settings {
    fn default() -> Self {
        let latency = (Duration::from_micros(100), Duration::from_millis(1));
        Settings { latency, chunks: None, capacity: 64 * 1024, loss: 0.0, duplication: 0.0 }
    }
}

#[derive(Debug)]
pub(super) struct HostState {
    pub(super) name: String,
    pub(super) ips: [IpAddr; 2],
    next_port: u16,
    /// It has no descriptor for a further socket.
    pub(super) short: bool,
}

#[derive(Debug)]
pub(super) struct Socket {
    pub(super) host: HostId,
    pub(super) local: SocketAddr,
    pub(super) registered: Option<(Token, Interest)>,
    /// It is in `World::woken`.
    woken: bool,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Listener(Listener),
    Connection(Connection),
    Datagrams(Datagrams),
    /// The host of the socket has crashed.
    Crashed,
}

/// One end of a packet's way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) host: HostId,
    pub(super) address: SocketAddr,
    /// None: the socket is not known yet, and found by the address.
    pub(super) socket: Option<SocketId>,
}

#[derive(Debug)]
pub(super) struct Packet {
    pub(super) from: Place,
    pub(super) to: Place,
    pub(super) body: Body,
}

#[derive(Debug)]
pub(super) enum Body {
    Syn,
    SynAck,
    Data(Vec<u8>),
    Fin,
    Reset,
    /// The reader has taken so many bytes.
    Taken(usize),
    Datagram(Vec<u8>),
    /// No socket has the address to which a datagram was sent.
    Unreachable,
}

impl Body {
    /// What the trace shows of it.
    fn what(&self) -> Option<What> {
        Some(match self {
            Body::Syn => What::Syn,
            Body::SynAck => What::SynAck,
            Body::Data(bytes) => What::Data(bytes.len()),
            Body::Fin => What::Fin,
            Body::Reset => What::Reset,
            Body::Datagram(bytes) => What::Datagram(bytes.len()),
            Body::Unreachable => What::Unreachable,
            Body::Taken(_) => return None,
        })
    }
}

#[derive(Debug)]
pub(super) enum Event {
    Arrival(Packet),
    /// The time is over in which a connection must be answered.
    GiveUp(SocketId),
}

/// The key of an event: its time, and its number among those of the same time.
pub(super) type EventKey = (Duration, u64);

#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) settings: Settings,
    pub(super) random: Random,
    origin: Option<Instant>,
    pub(super) now: Duration,
    pub(super) hosts: Vec<HostState>,
    /// Names beside those of the hosts.
    pub(super) names: BTreeMap<String, Vec<IpAddr>>,
    pub(super) sockets: BTreeMap<SocketId, Socket>,
    last_socket: SocketId,
    events: BTreeMap<EventKey, Event>,
    last_event: u64,
    /// Packets that a partition holds back, in the order of their arrival.
    pub(super) held: Vec<Packet>,
    /// Pairs of hosts that do not reach each other, the smaller one first.
    pub(super) cut: BTreeSet<(HostId, HostId)>,
    /// Sockets whose readiness has changed.
    woken: Vec<SocketId>,
    pub(super) trace: Trace,
}

impl World {
    pub(super) fn begin(&mut self, seed: u64, origin: Instant) {
        self.random = Random::new(seed);
        self.origin = Some(origin);
        self.host("main");
    }

    pub(super) fn set_now(&mut self, now: Instant) {
        if let Some(origin) = self.origin {
            self.now = self.now.max(now.saturating_duration_since(origin));
        }
    }

    /// The host of that name, made if it does not exist.
    pub(super) fn host(&mut self, name: &str) -> HostId {
        if let Some(host) = self.hosts.iter().position(|host| host.name == name) {
            return host;
        }
        let number = u16::try_from(self.hosts.len() + 1).expect("fewer than 65,536 hosts");
        let [high, low] = number.to_be_bytes();
        let ips = [
            Ipv4Addr::new(10, 0, high, low).into(),
            Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, number).into(),
        ];
        let name = name.to_owned();
        self.hosts.push(HostState { name, ips, next_port: FIRST_PORT, short: false });
        self.hosts.len() - 1
    }

    /// The host that packets from `host` to that address reach.
    pub(super) fn route(&self, host: HostId, ip: IpAddr) -> Option<HostId> {
        if ip.is_loopback() || ip.is_unspecified() {
            return Some(host);
        }
        self.hosts.iter().position(|host| host.ips.contains(&ip))
    }

    /// The address from which `host` sends to `ip`.
    pub(super) fn source_of(&self, host: HostId, ip: IpAddr) -> IpAddr {
        match ip {
            ip if ip.is_loopback() => ip,
            IpAddr::V4(_) => self.hosts[host].ips[0],
            IpAddr::V6(_) => self.hosts[host].ips[1],
        }
    }

    /// The address to which a socket is bound that asks for `address`. `of_kind`: whether a socket
    /// that has the port takes it from the new one.
    pub(super) fn bound(
        &mut self,
        host: HostId,
        address: SocketAddr,
        of_kind: fn(&Kind) -> bool,
    ) -> io::Result<SocketAddr> {
        if self.hosts[host].short {
            return Err(Errno::MFILE.into());
        }
        let ip = address.ip();
        let is_here = ip.is_unspecified() || self.route(host, ip) == Some(host);
        if !is_here {
            return Err(Errno::ADDRNOTAVAIL.into());
        }
        if address.port() == 0 {
            return Ok((ip, self.free_port(host)?).into());
        }
        let taken = self.sockets.values().any(|other| {
            let theirs = other.local.ip();
            let overlaps = theirs == ip || theirs.is_unspecified() || ip.is_unspecified();
            let same = other.host == host && other.local.port() == address.port();
            same && overlaps && theirs.is_ipv4() == ip.is_ipv4() && of_kind(&other.kind)
        });
        if taken { Err(Errno::ADDRINUSE.into()) } else { Ok(address) }
    }

    /// A port that no socket of the host has.
    pub(super) fn free_port(&mut self, host: HostId) -> io::Result<u16> {
        for _ in FIRST_PORT..=u16::MAX {
            let state = &mut self.hosts[host];
            let port = state.next_port;
            state.next_port = port.checked_add(1).unwrap_or(FIRST_PORT);
            let taken = |other: &Socket| other.host == host && other.local.port() == port;
            if !self.sockets.values().any(taken) {
                return Ok(port);
            }
        }
        Err(Errno::ADDRNOTAVAIL.into())
    }

    pub(super) fn add(&mut self, host: HostId, local: SocketAddr, kind: Kind) -> SocketId {
        self.last_socket += 1;
        let socket = Socket { host, local, registered: None, woken: false, kind };
        self.sockets.insert(self.last_socket, socket);
        self.last_socket
    }

    pub(super) fn place(&self, socket: SocketId) -> Option<Place> {
        let state = self.sockets.get(&socket)?;
        Some(Place { host: state.host, address: state.local, socket: Some(socket) })
    }

    /// The readiness of the socket has changed: it is reported at the next look.
    pub(super) fn wake(&mut self, socket: SocketId) {
        if let Some(state) = self.sockets.get_mut(&socket) {
            if !std::mem::replace(&mut state.woken, true) {
                self.woken.push(socket);
            }
        }
    }

    pub(super) fn schedule(&mut self, at: Duration, event: Event) -> EventKey {
        self.last_event += 1;
        self.events.insert((at, self.last_event), event);
        (at, self.last_event)
    }

    pub(super) fn unschedule(&mut self, event: Option<EventKey>) {
        event.map(|event| self.events.remove(&event));
    }

    /// Takes the packets back that these sockets have sent and that have not arrived.
    pub(super) fn take_sent_by(&mut self, senders: &BTreeSet<SocketId>) -> Vec<Packet> {
        let is_theirs = |event: &Event| match event {
            Event::Arrival(packet) => packet.from.socket.is_some_and(|it| senders.contains(&it)),
            Event::GiveUp(_) => false,
        };
        let found = self.events.iter().filter(|(_, event)| is_theirs(event)).map(|(key, _)| *key);
        let found: Vec<_> = found.collect();
        let taken = found.iter().filter_map(|key| match self.events.remove(key) {
            Some(Event::Arrival(packet)) => Some(packet),
            _ => None,
        });
        taken.collect()
    }

    /// How long the next packet takes from one host to another.
    pub(super) fn latency(&mut self, from: HostId, to: HostId) -> Duration {
        let (least, most) = self.settings.latency;
        if from == to { Duration::ZERO } else { self.random.duration(least, most) }
    }

    pub(super) fn note(&mut self, packet: &Packet, fate: Fate) {
        if let Some(what) = packet.body.what() {
            let (from, to) = (packet.from.address, packet.to.address);
            self.trace.add(Line { at: self.now, from, to, what, fate });
        }
    }

    pub(super) fn is_cut(&self, one: HostId, other: HostId) -> bool {
        self.cut.contains(&(one.min(other), one.max(other)))
    }

    pub(super) fn next_event(&self) -> Option<Instant> {
        let at = match self.events.first_key_value() {
            _ if !self.woken.is_empty() => self.now,
            Some(((at, _), _)) => *at,
            None => return None,
        };
        self.origin?.checked_add(at)
    }

    /// Lets everything happen that is due. Returns what is to be reported.
    pub(super) fn advance(&mut self) -> Vec<(Token, Readiness)> {
        while let Some(entry) = self.events.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            match entry.remove() {
                Event::Arrival(packet) if self.is_cut(packet.from.host, packet.to.host) => {
                    self.hold(packet);
                }
                Event::Arrival(packet) => {
                    self.note(&packet, Fate::Arrived);
                    self.arrive(packet);
                }
                Event::GiveUp(socket) => self.give_up(socket),
            }
        }
        let woken = std::mem::take(&mut self.woken);
        woken.into_iter().filter_map(|socket| self.report(socket)).collect()
    }

    /// What an edge-triggered poll reports of the socket.
    fn report(&mut self, socket: SocketId) -> Option<(Token, Readiness)> {
        let state = self.sockets.get_mut(&socket)?;
        state.woken = false;
        let (token, interests) = state.registered?;
        let all = match &state.kind {
            Kind::Listener(listener) => listener.readiness(),
            Kind::Connection(connection) => connection.readiness(self.settings.capacity),
            Kind::Datagrams(datagrams) => datagrams.readiness(),
            Kind::Crashed => {
                Readiness { readable: true, writable: true, read_ended: true, write_ended: true }
            }
        };
        let writable = all.writable && interests.is_writable();
        Some((token, Readiness { writable, ..all }))
    }
}
