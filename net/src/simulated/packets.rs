//! What happens to packets on their way, and at its end.

use std::time::Duration;

use rustix::io::Errno;

use super::tcp::{Connection, Stage};
use super::trace::Fate;
use super::world::{Body, Event, Kind, Packet, Place, SocketId, World};

/// How long a connection waits until a partition is over. Linux gives up after 15 repetitions.
const ANSWER_LIMIT: Duration = Duration::from_secs(924);

/// After this time a connect tries again if the queue of the listener was full.
const RETRY: Duration = Duration::from_secs(1);

impl World {
    /// Lets a packet arrive then. Within a host it arrives at once, as on the loopback of a system.
    pub(super) fn launch(&mut self, at: Duration, packet: Packet) {
        if packet.from.host == packet.to.host && at <= self.now {
            self.note(&packet, Fate::Arrived);
            self.arrive(packet);
        } else {
            self.schedule(at, Event::Arrival(packet));
        }
    }

    pub(super) fn hold(&mut self, packet: Packet) {
        if matches!(packet.body, Body::Datagram(_) | Body::Unreachable) {
            return self.note(&packet, Fate::Lost);
        }
        self.note(&packet, Fate::Held);
        let sender = packet.from.socket;
        if let (Body::Data(_) | Body::Fin, Some(sender)) = (&packet.body, sender) {
            let without = self.connection(sender).is_ok_and(|sender| sender.give_up.is_none());
            if without {
                let limit = self.schedule(self.now + ANSWER_LIMIT, Event::GiveUp(sender));
                self.connection(sender).expect("it was just found").give_up = Some(limit);
            }
        }
        self.held.push(packet);
    }

    pub(super) fn give_up(&mut self, socket: SocketId) {
        self.held.retain(|held| held.from.socket != Some(socket));
        if let Ok(connection) = self.connection(socket) {
            connection.give_up = None;
            connection.fail(Errno::TIMEDOUT);
            self.wake(socket);
        }
    }

    pub(super) fn arrive(&mut self, packet: Packet) {
        let Packet { from, to, body } = packet;
        let body = match body {
            Body::Syn => return self.arrive_syn(from, to),
            Body::Datagram(bytes) => return self.arrive_datagram(from, to, bytes),
            Body::Unreachable => return self.arrive_unreachable(from, to),
            body => body,
        };
        let Some(socket) = to.socket else { return };
        if self.connection(socket).is_ok() {
            self.arrive_at(socket, body, from.socket);
        } else if matches!(body, Body::SynAck | Body::Data(_)) {
            self.refuse(to, from);
        }
    }

    /// A packet of `sender` has arrived at a connection.
    pub(super) fn arrive_at(&mut self, socket: SocketId, body: Body, sender: Option<SocketId>) {
        let Ok(connection) = self.connection(socket) else { return };
        match (body, connection.stage) {
            (Body::SynAck, Stage::Connecting) => {
                connection.stage = Stage::Open;
                connection.peer.socket = sender;
                self.answered(socket);
            }
            (Body::Data(bytes), Stage::Open) => connection.received.extend(bytes),
            (Body::Fin, Stage::Open) => connection.ended = true,
            (Body::Taken(count), Stage::Open) => connection.unread -= count,
            (Body::Reset, stage) => {
                let error = match stage {
                    Stage::Connecting => Errno::CONNREFUSED,
                    Stage::Open if connection.ended => Errno::PIPE,
                    Stage::Open => Errno::CONNRESET,
                    Stage::Gone => return,
                };
                connection.fail(error);
                self.answered(socket);
            }
            _ => return,
        }
        self.wake(socket);
    }

    fn arrive_syn(&mut self, from: Place, to: Place) {
        let listener = self.sockets.iter_mut().find_map(|(id, socket)| {
            let local = socket.local;
            let fits = local.ip() == to.address.ip() || local.ip().is_unspecified();
            let same = socket.host == to.host && local.port() == to.address.port();
            let same = same && fits && local.is_ipv4() == to.address.is_ipv4();
            match &mut socket.kind {
                Kind::Listener(listener) if same => Some((*id, listener)),
                _ => None,
            }
        });
        let Some((id, listener)) = listener else {
            return self.refuse(to, from);
        };
        if listener.queue.len() >= listener.backlog {
            return self.connect_again(from, to);
        }
        let connection = Connection::new(Stage::Open, from);
        let accepted = self.add(to.host, to.address, Kind::Connection(connection));
        if let Some(Kind::Listener(listener)) = self.sockets.get_mut(&id).map(|it| &mut it.kind) {
            listener.queue.push_back(accepted);
        }
        self.send(accepted, Body::SynAck);
        self.wake(id);
    }

    /// Repeats a connect after a pause, unless it is over.
    fn connect_again(&mut self, from: Place, to: Place) {
        let connects = from.socket.and_then(|socket| self.connection(socket).ok());
        if connects.is_some_and(|connection| connection.stage == Stage::Connecting) {
            let again = Packet { from, to, body: Body::Syn };
            self.schedule(self.now + RETRY, Event::Arrival(again));
        }
    }

    /// Answers a packet for which there is no socket.
    fn refuse(&mut self, from: Place, to: Place) {
        let at = self.now + self.latency(from.host, to.host);
        self.launch(at, Packet { from, to, body: Body::Reset });
    }
}
