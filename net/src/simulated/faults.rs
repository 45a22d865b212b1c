//! Faults of a simulated network.

use std::collections::BTreeSet;

use super::world::{HostId, Kind, SocketId, World};

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

    /// Ends partitions, shortages, losses and doublings. What was held back goes on its way.
    pub(super) fn heal(&mut self) {
        self.cut.clear();
        self.settings.loss = 0.0;
        self.settings.duplication = 0.0;
        self.hosts.iter_mut().for_each(|host| host.short = false);
        for packet in std::mem::take(&mut self.held) {
            if let Some(sender) = packet.from.socket {
                self.answered_if_open(sender);
            }
            self.schedule_first(packet);
        }
    }
}
