//! Datagrams over loopback, cancelled at every suspension (V4).

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use curium::kernel::testing;
use curium::kernel::{TaskCancelled, spawn, yield_now};
use curium::net::{Received, UdpSocket};

use crate::swept_net::{soon, until};

/// A socket for datagrams.
pub(crate) trait DatagramSocket: Sized + 'static {
    /// Two sockets, each the peer of the other.
    async fn pair() -> (Self, Self);
    async fn send(&self, datagram: &[u8]) -> io::Result<()>;
    /// Receives a datagram by a call that depends on the number.
    async fn receive(&self, number: usize, buf: &mut [u8]) -> io::Result<Received>;
}

impl DatagramSocket for UdpSocket {
    async fn pair() -> (Self, Self) {
        let [one, other] = [UdpSocket::bind("127.0.0.1:0"), UdpSocket::bind("127.0.0.1:0")];
        let (one, other) = (one.await.unwrap(), other.await.unwrap());
        one.connect(other.local_addr().unwrap()).await.unwrap();
        other.connect(one.local_addr().unwrap()).await.unwrap();
        (one, other)
    }

    async fn send(&self, datagram: &[u8]) -> io::Result<()> {
        UdpSocket::send(self, datagram).await
    }

    async fn receive(&self, number: usize, buf: &mut [u8]) -> io::Result<Received> {
        match number {
            0 => _ = self.peek(buf).await?,
            1 => _ = self.peek_from(buf).await?,
            2 => return self.recv(buf).await,
            _ => {}
        }
        // What was peeked at is received without a wait.
        self.recv_from(buf).await.map(|(got, _)| got)
    }
}

const DATAGRAMS: u8 = 4;

struct Receives<S> {
    receiver: S,
    sender: S,
    sent: Cell<u8>,
    received: RefCell<Vec<u8>>,
}

impl<S: DatagramSocket> Receives<S> {
    /// A pair, and a task that sends a number when the one before was received.
    async fn new() -> Rc<Self> {
        let (sender, receiver) = S::pair().await;
        let (sent, received) = (Cell::new(0), RefCell::default());
        let state = Rc::new(Receives { receiver, sender, sent, received });
        let sends = state.clone();
        spawn(async move {
            for number in 0..DATAGRAMS {
                until(|| sends.received.borrow().len() == usize::from(number)).await?;
                sends.sender.send(&[number]).await.unwrap();
                sends.sent.set(number + 1);
            }
            Ok::<_, TaskCancelled>(())
        });
        state
    }

    async fn receive(&self) -> io::Result<()> {
        let mut buf = [0; 2];
        let number = self.received.borrow().len();
        let got = self.receiver.receive(number, &mut buf).await?;
        self.received.borrow_mut().extend(&buf[..got.len]);
        Ok(())
    }
}

/// A receive that is cancelled leaves its datagram to the next.
#[track_caller]
pub(crate) fn sweep_receives<S: DatagramSocket>() {
    let swept = testing::sweep().run(
        Receives::<S>::new,
        |state: Rc<Rc<Receives<S>>>| async move {
            for _ in 0..DATAGRAMS {
                soon(state.receive()).await?;
            }
            Ok::<_, io::Error>(())
        },
        async |state, _| {
            while state.received.borrow().len() < usize::from(state.sent.get()) {
                soon(state.receive()).await.unwrap();
            }
            let expected: Vec<u8> = (0..state.sent.get()).collect();
            assert_eq!(*state.received.borrow(), expected);
        },
    );
    assert_eq!(swept.suspensions, usize::from(DATAGRAMS));
}

/// V4, N9, N4: a receive that is cancelled leaves its datagram to the next.
#[test]
fn a_cancelled_receive_loses_no_datagram() {
    sweep_receives::<UdpSocket>();
}

/// V4, N9: a call that is cancelled has sent nothing, and one that returns has sent its datagram.
#[test]
fn a_cancelled_send_sends_nothing() {
    let swept = testing::sweep().run(
        async || (UdpSocket::pair().await, Cell::new(0)),
        |state: Rc<((UdpSocket, UdpSocket), Cell<u8>)>| async move {
            let ((one, other), sent) = &*state;
            for number in 0..3 {
                yield_now().await?;
                one.send_to(&[number], other.local_addr()?).await?;
                sent.set(number + 1);
            }
            Ok::<_, io::Error>(())
        },
        async |((one, other), sent), _| {
            one.send(b"e").await.unwrap();
            let mut buf = [0; 2];
            for number in (0..sent.get()).chain([b'e']) {
                assert_eq!(soon(other.recv(&mut buf)).await.unwrap().len, 1);
                assert_eq!(buf[0], number);
            }
        },
    );
    // The loopback always has room, so only the turns of the task are tried.
    assert!(swept.never_suspended().all(|site| site.kind == "SEND_TO"), "{swept:?}");
}
