//! UDP in memory: datagrams that are lost, doubled and overtaken.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

use kernel::io::Readiness;
use rustix::io::Errno;

use super::tcp::crashed;
use super::trace::Fate;
use super::world::{Body, HostId, Kind, Packet, Place, SocketId, World};

/// A datagram of IPv4 is not larger.
const LARGEST: usize = 65_507;

/// What a receiver's buffer holds, with what the system counts for each datagram beside its bytes.
const BUFFER: usize = 208 * 1024;
const OVERHEAD: usize = 512;

#[derive(Debug, Default)]
pub(super) struct Datagrams {
    peer: Option<SocketAddr>,
    queue: VecDeque<(SocketAddr, Vec<u8>)>,
    /// What `queue` takes of the buffer.
    used: usize,
    error: Option<Errno>,
}

impl Datagrams {
    pub(super) fn readiness(&self) -> Readiness {
        let readable = !self.queue.is_empty() || self.error.is_some();
        Readiness { readable, writable: true, ..Readiness::default() }
    }
}

impl World {
    pub(super) fn bind_datagrams(
        &mut self,
        host: HostId,
        address: SocketAddr,
    ) -> io::Result<SocketId> {
        let local = self.bound(host, address, |kind| matches!(kind, Kind::Datagrams(_)))?;
        Ok(self.add(host, local, Kind::Datagrams(Datagrams::default())))
    }

    fn datagrams(&mut self, socket: SocketId) -> io::Result<&mut Datagrams> {
        match &mut self.sockets.get_mut(&socket).ok_or(Errno::BADF)?.kind {
            Kind::Datagrams(datagrams) => Ok(datagrams),
            Kind::Crashed => Err(crashed()),
            _ => Err(Errno::INVAL.into()),
        }
    }

    pub(super) fn set_peer(&mut self, socket: SocketId, peer: SocketAddr) -> io::Result<()> {
        self.datagrams(socket)?.peer = Some(peer);
        let Some(place) = self.place(socket) else { return Ok(()) };
        if place.address.ip().is_unspecified() {
            let ip = self.source_of(place.host, peer.ip());
            self.sockets.get_mut(&socket).ok_or(Errno::BADF)?.local.set_ip(ip);
        }
        Ok(())
    }

    pub(super) fn peer_of(&mut self, socket: SocketId) -> io::Result<SocketAddr> {
        self.datagrams(socket)?.peer.ok_or_else(|| Errno::NOTCONN.into())
    }

    /// Sends to `to`, or to the peer.
    pub(super) fn send_datagram(
        &mut self,
        socket: SocketId,
        bytes: &[u8],
        to: Option<SocketAddr>,
    ) -> io::Result<usize> {
        let datagrams = self.datagrams(socket)?;
        if let Some(error) = datagrams.error.take() {
            return Err(error.into());
        }
        let to = to.or(datagrams.peer).ok_or(Errno::DESTADDRREQ)?;
        if bytes.len() > LARGEST {
            return Err(Errno::MSGSIZE.into());
        }
        let mut from = self.place(socket).ok_or(Errno::BADF)?;
        if from.address.is_ipv4() != to.is_ipv4() {
            return Err(Errno::AFNOSUPPORT.into());
        }
        if from.address.ip().is_unspecified() {
            from.address.set_ip(self.source_of(from.host, to.ip()));
        }
        let Some(host) = self.route(from.host, to.ip()) else {
            let to = Place { host: from.host, address: to, socket: None };
            self.note(&Packet { from, to, body: Body::Datagram(bytes.to_vec()) }, Fate::Lost);
            return Ok(bytes.len());
        };
        let to = Place { host, address: to, socket: None };
        let copies = if self.random.happens(self.settings.duplication) { 2 } else { 1 };
        for copy in 0..copies {
            let packet = Packet { from, to, body: Body::Datagram(bytes.to_vec()) };
            if copy == 1 {
                self.note(&packet, Fate::Doubled);
            }
            if self.random.happens(self.settings.loss) {
                self.note(&packet, Fate::Lost);
                continue;
            }
            let at = self.now + self.latency(from.host, host);
            self.launch(at, packet);
        }
        Ok(bytes.len())
    }

    pub(super) fn receive_datagram(
        &mut self,
        socket: SocketId,
        buf: &mut [u8],
        consume: bool,
    ) -> io::Result<(usize, SocketAddr)> {
        let datagrams = self.datagrams(socket)?;
        if let Some(error) = datagrams.error.take() {
            return Err(error.into());
        }
        let (from, bytes) = datagrams.queue.front().ok_or(Errno::AGAIN)?;
        let (from, len) = (*from, bytes.len().min(buf.len()));
        buf[..len].copy_from_slice(&bytes[..len]);
        if consume {
            datagrams.used -= bytes.len() + OVERHEAD;
            datagrams.queue.pop_front();
        }
        Ok((len, from))
    }

    /// A datagram has arrived: it goes to the socket that is bound to its address.
    pub(super) fn arrive_datagram(&mut self, from: Place, to: Place, bytes: Vec<u8>) {
        let mut refused = true;
        let mut found = None;
        for (id, socket) in &mut self.sockets {
            let (local, ip) = (socket.local, to.address.ip());
            let fits = local.ip() == ip || local.ip().is_unspecified();
            let same = socket.host == to.host && local.port() == to.address.port();
            let Kind::Datagrams(datagrams) = &mut socket.kind else { continue };
            if !(same && fits && local.is_ipv4() == ip.is_ipv4()) {
                continue;
            }
            refused = false;
            if datagrams.peer.is_some_and(|peer| peer != from.address) {
                continue;
            }
            if datagrams.used + bytes.len() + OVERHEAD <= BUFFER {
                datagrams.used += bytes.len() + OVERHEAD;
                datagrams.queue.push_back((from.address, bytes));
                found = Some(*id);
            }
            break;
        }
        if let Some(found) = found {
            self.wake(found);
        } else if refused {
            let at = self.now + self.latency(to.host, from.host);
            self.launch(at, Packet { from: to, to: from, body: Body::Unreachable });
        }
    }

    /// The port of the peer is closed: that is an error of the socket that has it as its peer.
    pub(super) fn arrive_unreachable(&mut self, from: Place, to: Place) {
        let Some(socket) = to.socket else { return };
        if let Ok(datagrams) = self.datagrams(socket) {
            if datagrams.peer == Some(from.address) {
                datagrams.error = Some(Errno::CONNREFUSED);
                self.wake(socket);
            }
        }
    }
}
