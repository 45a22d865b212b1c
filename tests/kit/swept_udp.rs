//! UDP over loopback, cancelled at every suspension (V4).

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use curium::kernel::testing;
use curium::kernel::{TaskCancelled, spawn};
use curium::net::UdpSocket;

use crate::swept_net::{soon, until};

struct Receives {
    socket: UdpSocket,
    sent: Cell<u8>,
    received: RefCell<Vec<u8>>,
}

impl Receives {
    /// A socket, and a task that sends it a number when it has received the one before.
    async fn new() -> Rc<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (sent, received) = (Cell::new(0), RefCell::default());
        let state = Rc::new(Receives { socket, sent, received });
        let sends = state.clone();
        spawn(async move {
            let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            for number in 0..3 {
                until(|| sends.received.borrow().len() == usize::from(number)).await?;
                sender.send_to(&[number], sends.socket.local_addr().unwrap()).unwrap();
                sends.sent.set(number + 1);
            }
            Ok::<_, TaskCancelled>(())
        });
        state
    }

    async fn receive(&self) -> io::Result<()> {
        let mut buf = [0; 2];
        let (got, _) = self.socket.recv_from(&mut buf).await?;
        self.received.borrow_mut().extend(&buf[..got.len]);
        Ok(())
    }
}

/// V4, N9, N4: a receive that is cancelled leaves its datagram to the next.
#[test]
fn a_cancelled_receive_loses_no_datagram() {
    let swept = testing::sweep().run(
        Receives::new,
        |state: Rc<Rc<Receives>>| async move {
            for _ in 0..3 {
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
    assert_eq!(swept.suspensions, 3);
}
