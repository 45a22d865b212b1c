//! What holds for sockets of every type: streams and datagrams, of Unix, and over UDP. For TCP it
//! is tested in `net_stream_sharing` and `peers_bad`.

use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use curium::kernel::{Task, cancelled, sleep, spawn, testing, timeout_after};
use curium::net::{TcpStream, UdpSocket, UnixDatagram, UnixStream};

use crate::support::connections;
use crate::support::tasks::cycles;
use crate::support::time::SECOND;

/// A socket of some type.
trait Socket: Sized + 'static {
    async fn pair() -> io::Result<(Self, Self)>;
    async fn receive(&self) -> io::Result<Vec<u8>>;
    async fn transmit(&self, bytes: &[u8]) -> io::Result<()>;
    fn end(&self);
    fn duplicate(&self) -> io::Result<OwnedFd>;
}

async fn udp_pair() -> io::Result<(UdpSocket, UdpSocket)> {
    let (one, other) =
        (UdpSocket::bind("127.0.0.1:0").await?, UdpSocket::bind("127.0.0.1:0").await?);
    one.connect(other.local_addr()?).await?;
    other.connect(one.local_addr()?).await?;
    Ok((one, other))
}

macro_rules! socket {
    ($type:ty, $pair:expr, $buf:ident: $receive:ident => $len:expr, $transmit:ident) => {
        impl Socket for $type {
            async fn pair() -> io::Result<(Self, Self)> {
                $pair
            }

            async fn receive(&self) -> io::Result<Vec<u8>> {
                let mut buf = [0; 64];
                let $buf = self.$receive(&mut buf).await?;
                Ok(buf[..$len].to_vec())
            }

            async fn transmit(&self, bytes: &[u8]) -> io::Result<()> {
                self.$transmit(bytes).await?;
                Ok(())
            }

            fn end(&self) {
                self.close();
            }

            fn duplicate(&self) -> io::Result<OwnedFd> {
                self.as_fd(|fd| fd.try_clone_to_owned())
            }
        }
    };
}

socket!(TcpStream, connections::ours().await, n: read => n, write_all);
socket!(UnixStream, UnixStream::pair(), n: read => n, write_all);
socket!(UnixDatagram, UnixDatagram::pair(), received: recv => received.len, send);
socket!(UdpSocket, udp_pair().await, received: recv => received.len, send);

/// Runs a test with sockets of each type.
macro_rules! for_every_socket {
    ($test:ident) => {
        testing::run(async || {
            $test::<TcpStream>().await?;
            $test::<UnixStream>().await?;
            $test::<UnixDatagram>().await?;
            $test::<UdpSocket>().await
        })
        .unwrap()
    };
}

fn receiver<S: Socket>(socket: &Rc<S>) -> Task<Vec<u8>, io::Error> {
    let socket = socket.clone();
    spawn(async move { socket.receive().await })
}

/// N8: a task that an earlier event of the same batch woke closes a socket. The socket that is made
/// in the same slot is not affected.
#[test]
fn a_socket_in_the_place_of_one_closed_in_the_same_batch_is_left_alone() {
    async fn test<S: Socket>() -> io::Result<()> {
        let (first, first_peer) = S::pair().await?;
        let (second, second_peer) = S::pair().await?;
        let second = Rc::new(second);
        let closer = spawn({
            let second = second.clone();
            async move {
                first.receive().await?;
                second.end();
                let (third, third_peer) = S::pair().await?;
                Ok::<_, io::Error>((receiver(&Rc::new(third)), third_peer))
            }
        });
        let closed = receiver(&second);
        testing::settle().await?;
        first_peer.transmit(b"both").await?;
        second_peer.transmit(b"at once").await?;
        let (third, third_peer) = closer.await?;
        assert_eq!(closed.await.unwrap_err().kind(), ErrorKind::NotConnected);
        testing::settle().await?;
        assert!(!third.is_done());
        let before = cycles(&third);
        testing::settle().await?;
        assert_eq!(cycles(&third), before);
        third_peer.transmit(b"mine").await?;
        assert_eq!(third.await?, b"mine");
        Ok(())
    }
    for_every_socket!(test);
}

/// N8: events for a socket that is closed, but which has a duplicate, wake no task, nor the next
/// socket in the same slot.
#[test]
fn events_of_the_duplicate_of_a_closed_socket_wake_no_task() {
    async fn test<S: Socket>() -> io::Result<()> {
        let (old, old_peer) = S::pair().await?;
        assert!(timeout_after(SECOND, old.receive()).await.is_err());
        let duplicate = old.duplicate()?;
        old.end();
        let (new, new_peer) = S::pair().await?;
        let reader = receiver(&Rc::new(new));
        testing::settle().await?;
        let before = cycles(&reader);
        for _ in 0..3 {
            old_peer.transmit(b"to the duplicate").await?;
            testing::settle().await?;
        }
        assert_eq!(cycles(&reader), before);
        drop(duplicate);
        new_peer.transmit(b"to the new one").await?;
        assert_eq!(reader.await?, b"to the new one");
        Ok(())
    }
    for_every_socket!(test);
}

/// N3, N4, C1: a second receiver is refused, and the first is unharmed. If it is cancelled in the
/// tick in which bytes come, it returns them or leaves them to the next.
#[test]
fn a_second_receiver_is_refused_and_a_cancelled_one_loses_nothing() {
    async fn test<S: Socket>() -> io::Result<()> {
        let (socket, peer) = S::pair().await?;
        let socket = Rc::new(socket);
        let first = receiver(&socket);
        testing::settle().await?;
        let second = receiver(&socket);
        let refused = second.await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ResourceBusy);
        // What a `main` that returns it prints.
        assert!(format!("{refused:?}").contains("another task already waits to read here"));
        peer.transmit(b"hello").await?;
        first.request_cancel();
        let got = match first.await {
            Err(error) if cancelled(&error).is_some() => socket.receive().await?,
            got => got?,
        };
        assert_eq!(got, b"hello");
        Ok(())
    }
    for_every_socket!(test);
}

/// More than the system buffers for a peer that does not read.
const MUCH: usize = 4_000_000;

/// N1, N7, T1: a peer over a Unix socket that never reads parks the writer without a loop. When it
/// is gone with bytes unread, the parked reader and the parked writer get an error.
#[test]
fn a_unix_peer_that_never_reads_and_goes_ends_both_directions() {
    testing::run(async || {
        let (stream, peer) = UnixStream::pair()?;
        let stream = Rc::new(stream);
        let reader = receiver(&stream);
        let writer = spawn({
            let stream = stream.clone();
            async move { Ok::<_, io::Error>(stream.write_all(&vec![7; MUCH]).await?) }
        });
        testing::advance(100 * SECOND).await?;
        assert_eq!(writer.state().to_string(), "WRITE");
        assert!(cycles(&writer) < 20, "it was polled {} times", cycles(&writer));
        peer.close();
        let gone = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
        assert!(gone.contains(&writer.await.unwrap_err().kind()));
        // The system reports a reset once, to the reader or to the writer.
        match reader.await {
            Ok(bytes) => assert_eq!(bytes, b""),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
        assert!(stream.write_all(b"x").await.is_err());
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N1, T7: a peer over a Unix socket that trickles wakes the reader once a byte. After it has
/// half-closed, the end of the stream stays the end, and it still reads.
#[test]
fn a_unix_peer_trickles_and_half_closes() {
    testing::run(async || {
        let (stream, peer) = UnixStream::pair()?;
        let stream = Rc::new(stream);
        let reader = spawn({
            let stream = stream.clone();
            async move {
                let mut buf = [0; 10];
                stream.read_exact(&mut buf).await?;
                sleep(100 * SECOND).await?;
                Ok::<_, io::Error>(buf)
            }
        });
        for byte in b"0123456789" {
            testing::advance(SECOND).await?;
            peer.write_all(&[*byte]).await?;
        }
        testing::settle().await?;
        assert!(cycles(&reader) <= 12, "it was polled {} times", cycles(&reader));
        assert_eq!(&reader.await?, b"0123456789");
        peer.shutdown(Shutdown::Write)?;
        for _ in 0..3 {
            assert_eq!(stream.read(&mut [0; 9]).await?, 0);
            let end = stream.read_exact(&mut [0; 9]).await.unwrap_err();
            assert_eq!((end.read, end.len), (0, 9));
        }
        stream.write_all(b"and this way").await?;
        peer.read_exact(&mut [0; 12]).await?;
        Ok::<(), io::Error>(())
    })
    .unwrap();
}
