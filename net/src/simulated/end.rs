//! A socket of a simulated network, as the rest of this crate sees it: a source without a
//! descriptor.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::MutexGuard;

use mio::event::Source;
use mio::{Interest, Registry, Token};
use rustix::io::Errno;

use super::world::{SocketId, World};
use super::{Network, current};

/// A socket of a simulated network.
#[derive(Debug)]
pub(crate) struct End {
    net: Network,
    id: SocketId,
}

/// The socket is used in another kernel.
const ELSEWHERE: &str =
    "a simulated socket belongs to the kernel of its network, and cannot be used in another";

impl End {
    pub(super) fn new(net: Network, id: SocketId) -> Self {
        End { net, id }
    }

    fn world(&self) -> io::Result<MutexGuard<'_, World>> {
        if kernel::is_running() && !current().is_some_and(|net| net.is(&self.net)) {
            return Err(io::Error::new(io::ErrorKind::Unsupported, ELSEWHERE));
        }
        Ok(self.net.world())
    }

    pub(crate) fn accept(&self) -> io::Result<(End, SocketAddr)> {
        let (id, peer) = self.world()?.accept(self.id)?;
        Ok((End::new(self.net.clone(), id), peer))
    }

    pub(crate) fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.world()?.read(self.id, &mut [IoSliceMut::new(buf)], false)
    }

    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.world()?.shutdown(self.id, how)
    }

    pub(crate) fn hung_up(&self) -> io::Result<()> {
        self.world()?.hung_up(self.id)
    }

    pub(crate) fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.world()?.take_error(self.id)
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.net.world().place(self.id).ok_or(Errno::BADF)?.address)
    }

    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.net.world().peer_addr(self.id)
    }

    pub(crate) fn connect(&self, to: SocketAddr) -> io::Result<()> {
        self.world()?.set_peer(self.id, to)
    }

    pub(crate) fn send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.world()?.send_datagram(self.id, bytes, Some(to))
    }

    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.world()?.send_datagram(self.id, bytes, None)
    }

    pub(crate) fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.world()?.receive_datagram(self.id, buf, true)
    }

    pub(crate) fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(self.recv_from(buf)?.0)
    }

    pub(crate) fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.world()?.receive_datagram(self.id, buf, false)
    }

    /// Every write of a simulated connection is sent at once.
    pub(crate) fn set_nodelay(&self, _on: bool) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn close_abortively(&self) -> io::Result<()> {
        self.net.world().close_abortively(self.id)
    }
}

impl Read for &End {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_vectored(&mut [IoSliceMut::new(buf)])
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.world()?.read(self.id, bufs, true)
    }
}

impl Write for &End {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(buf)])
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.world()?.write(self.id, bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Source for End {
    fn register(&mut self, _to: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        let mut world = self.world()?;
        world.sockets.get_mut(&self.id).ok_or(Errno::BADF)?.registered = Some((token, interests));
        world.wake(self.id);
        Ok(())
    }

    fn reregister(&mut self, to: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.register(to, token, interests)
    }

    fn deregister(&mut self, _from: &Registry) -> io::Result<()> {
        if let Some(socket) = self.net.world().sockets.get_mut(&self.id) {
            socket.registered = None;
        }
        Ok(())
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.net.world().close(self.id);
    }
}
