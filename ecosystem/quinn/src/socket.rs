//! The socket of an endpoint.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use curium::io::{AsyncFd, Direction};
use quinn::udp::{RecvMeta, Transmit, UdpSocketState};
use quinn::{AsyncUdpSocket, UdpPoller};

use crate::room::WaitForRoom;

/// A socket of the system, with what quinn-udp knows of it: batches of datagrams and ECN.
#[derive(Debug)]
pub(crate) struct Socket {
    /// quinn demands `Sync`. The lock is never contended in one kernel.
    fd: Mutex<AsyncFd<UdpSocket>>,
    state: UdpSocketState,
    room: Arc<WaitForRoom>,
    /// `room` as a waker.
    waker: Waker,
}

impl Socket {
    /// Makes the socket non-blocking.
    pub(crate) fn new(socket: UdpSocket) -> io::Result<Self> {
        let state = UdpSocketState::new((&socket).into())?;
        let room = Arc::new(WaitForRoom::default());
        let waker = room.clone().into();
        Ok(Socket { fd: Mutex::new(AsyncFd::new(socket)), state, room, waker })
    }

    fn fd(&self) -> MutexGuard<'_, AsyncFd<UdpSocket>> {
        self.fd.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Poller(self))
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.fd().try_io(Direction::Write, |socket| self.state.send(socket.into(), transmit))
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.fd().poll_io(Direction::Read, cx, |socket| self.state.recv(socket.into(), bufs, meta))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.fd().with(UdpSocket::local_addr)
    }

    fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }

    fn max_transmit_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.state.gro_segments()
    }
}

/// The wait of one connection until the socket has room.
#[derive(Debug)]
struct Poller(Arc<Socket>);

impl UdpPoller for Poller {
    fn poll_writable(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let socket = &self.0;
        // Before the poll, which may wake at once: then its budget is spent.
        socket.room.add(cx.waker());
        let cx_of_all = &mut Context::from_waker(&socket.waker);
        let polled = socket.fd().poll_io(Direction::Write, cx_of_all, |_| Ok(()));
        if polled.is_ready() {
            socket.room.remove(cx.waker());
        }
        polled
    }
}
