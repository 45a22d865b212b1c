//! Faults of a simulated network.

use std::collections::{BTreeMap, BTreeSet};

use super::world::{Event, HostId, Kind, SocketId, World};

impl World {
    /// Cuts the two hosts off from each other.
    pub(super) fn partition(&mut self, one: HostId, other: HostId) {
        self.cut.insert((one.min(other), one.max(other)));
    }

    /// Resets every connection between the two hosts, at both ends.
    pub(super) fn reset(&mut self, one: HostId, other: HostId) {
        let both = BTreeSet::from([one, other]);
        let between = |world: &World, id: &SocketId| {
            let state = &world.sockets[id];
            let peer = match &state.kind {
                Kind::Connection(connection) => connection.peer_host(),
                _ => return false,
            };
            BTreeSet::from([state.host, peer]) == both
        };
        let found = self.sockets.keys().copied().filter(|id| between(self, id));
        for id in found.collect::<Vec<_>>() {
            self.reset_here(id);
        }
    }

    /// Ends all sockets of the host. Their peers do not learn of it.
    pub(super) fn crash(&mut self, host: HostId) {
        let of_host = self.sockets.iter_mut().filter(|(_, socket)| socket.host == host);
        let mut ended = Vec::new();
        let mut unaccepted = Vec::new();
        for (id, socket) in of_host {
            if let Kind::Listener(listener) = &mut socket.kind {
                unaccepted.extend(listener.take_queue());
            }
            ended.push(*id);
        }
        for id in &ended {
            self.answered(*id);
            if let Some(socket) = self.sockets.get_mut(id) {
                socket.kind = Kind::Crashed;
            }
            self.wake(*id);
        }
        for id in unaccepted {
            self.sockets.remove(&id);
        }
        self.held.retain(|held| held.from.host != host);
    }

    /// Ends partitions, shortages, losses and doublings. What was held back is sent again,
    /// which takes each packet a time of its own.
    pub(super) fn heal(&mut self) {
        self.cut.clear();
        self.settings.loss = 0.0;
        self.settings.duplication = 0.0;
        self.hosts.iter_mut().for_each(|host| host.short = false);
        let mut held = std::mem::take(&mut self.held);
        let senders: BTreeSet<_> = held.iter().filter_map(|held| held.from.socket).collect();
        // What a sender sent after them must not overtake them.
        held.extend(self.take_sent_by(&senders));
        let mut last_of = BTreeMap::new();
        for packet in held {
            let mut at = self.now + self.latency(packet.from.host, packet.to.host);
            if let Some(sender) = packet.from.socket {
                let last = last_of.entry(sender).or_insert(at);
                at = at.max(*last);
                *last = at;
                self.sent_again(sender, at);
            }
            self.schedule(at, Event::Arrival(packet));
        }
    }
}
