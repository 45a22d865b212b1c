//! A socket that moves back and forth between kernels during a conversation, and what prevents the
//! move.

use std::cell::RefCell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use kernel::{Handle, Kernel, TaskError, spawn, timeout_after, yield_now};
use net::{TcpListener, TcpStream};
use sync::Event;

use crate::support::proxy::{Numbers, Plan, Proxy};
use crate::support::time::SECOND;

/// A deadline, so that a fault is a failure and not a hang.
const LONG: Duration = Duration::from_secs(100);

/// A kernel on its own thread, which runs what its handle spawns.
struct Elsewhere {
    handle: Option<Handle>,
    thread: thread::JoinHandle<()>,
}

thread_local! {
    /// Ends the kernel of this thread.
    static END: RefCell<Option<Rc<Event>>> = const { RefCell::new(None) };
}

impl Elsewhere {
    fn start(seed: u64) -> Elsewhere {
        let (sender, receiver) = mpsc::channel();
        let thread = thread::spawn(move || {
            Kernel::builder().seed(seed).run(async || {
                let end = Rc::new(Event::new());
                END.set(Some(end.clone()));
                sender.send(kernel::handle()).unwrap();
                drop(sender);
                end.wait().await.unwrap();
            });
            END.set(None);
        });
        Elsewhere { handle: Some(receiver.recv().unwrap()), thread }
    }

    fn handle(&self) -> Handle {
        self.handle.clone().expect("it runs")
    }

    fn end(mut self) {
        let end = || async {
            END.with_borrow(|end| end.as_ref().expect("it runs").set());
            Ok::<(), io::Error>(())
        };
        self.handle.take().expect("it runs").spawn(end).unwrap();
        self.thread.join().unwrap();
    }
}

/// What moves: the socket, the bytes that it still has to receive, and those that it has received.
struct Traveller {
    stream: TcpStream,
    numbers: Numbers,
    heard: Vec<u8>,
    total: usize,
    hops: usize,
    done: mpsc::Sender<(Vec<u8>, usize)>,
}

/// One stay in a kernel: reads some bytes, answers them, and moves to the other kernel.
async fn stay(mut traveller: Traveller, here: Handle, there: Handle) -> io::Result<()> {
    for _ in 0..traveller.numbers.below(4) {
        let room = 1 + traveller.numbers.below(600);
        let mut buf = vec![0; room.min(traveller.total - traveller.heard.len())];
        let n = match traveller.numbers.below(3) {
            0 => traveller.stream.read_exact(&mut buf).await.map(|()| buf.len())?,
            // One that times out leaves the socket registered here.
            1 => {
                let limit = Duration::from_micros(traveller.numbers.below(300) as u64);
                match timeout_after(limit, traveller.stream.read(&mut buf)).await {
                    Ok(n) => n?,
                    Err(_) => 0,
                }
            }
            _ => traveller.stream.read(&mut buf).await?,
        };
        traveller.stream.write_all(&buf[..n]).await?;
        traveller.heard.extend_from_slice(&buf[..n]);
        if traveller.heard.len() == traveller.total {
            traveller.stream.shutdown(Shutdown::Write)?;
            let Traveller { heard, hops, done, .. } = traveller;
            done.send((heard, hops)).expect("the test waits for it");
            return Ok(());
        }
    }
    traveller.hops += 1;
    let onwards = there.clone();
    let next = move || stay(traveller, there, here);
    onwards.spawn(next).expect("the other kernel runs");
    Ok(())
}

/// N2, N1: a socket that moves back and forth between two kernels, with bytes in transit, after
/// reads that parked, that did not, and that timed out, receives every byte and answers it, in
/// order.
#[test]
fn a_conversation_goes_on_while_its_socket_moves_back_and_forth() {
    for seed in 0..12 {
        let mut numbers = Numbers::new(seed);
        let sent: Vec<u8> = (0..30_000).map(|_| numbers.below(256) as u8).collect();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Proxy::before(listener.local_addr().unwrap(), Plan::whole(seed)).unwrap();
        let mut peer = std::net::TcpStream::connect(proxy.address).unwrap();
        let stream = TcpStream::from_std(listener.accept().unwrap().0).unwrap();
        stream.set_nodelay(true).unwrap();
        let kernels = [Elsewhere::start(seed), Elsewhere::start(seed + 1)];
        let [here, there] = [kernels[0].handle(), kernels[1].handle()];
        let (done, ended) = mpsc::channel();
        let (heard, total) = (Vec::new(), sent.len());
        let traveller = Traveller { stream, numbers, heard, total, hops: 0, done };
        let first = here.clone();
        first.spawn(move || stay(traveller, here, there)).unwrap();
        drop(first);
        peer.set_read_timeout(Some(LONG)).unwrap();
        let mut speaker = peer.try_clone().unwrap();
        let out = sent.clone();
        let speaking = thread::spawn(move || speaker.write_all(&out));
        let mut echo = Vec::new();
        peer.read_to_end(&mut echo).unwrap();
        speaking.join().unwrap().unwrap();
        let (heard, hops) = ended.recv_timeout(LONG).expect("it got lost");
        assert!(heard == sent, "seed {seed}: it heard other bytes");
        assert!(echo == sent, "seed {seed}: other bytes came back");
        assert!(hops > 10, "seed {seed}: it moved {hops} times");
        kernels.into_iter().for_each(Elsewhere::end);
        drop(peer);
        proxy.passed().unwrap();
    }
}

/// N2, N3: while a task of one kernel is parked on the socket, another kernel of the same thread is
/// refused, for either direction, and the first is not affected. When no task is parked any more,
/// the socket moves, there and back.
#[test]
fn a_socket_moves_only_when_nobody_is_parked_on_it_any_more() {
    let (one, two) = (Kernel::new().unwrap(), Kernel::new().unwrap());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let theirs = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let stream = Rc::new(TcpStream::from_std(theirs).unwrap());
    let mut peer = listener.accept().unwrap().0;
    let read = |stream: &Rc<TcpStream>| {
        let stream = stream.clone();
        spawn(async move {
            let mut buf = [0; 64];
            let n = stream.read(&mut buf).await?;
            Ok::<_, io::Error>(buf[..n].to_vec())
        })
    };
    for round in 0..3 {
        let (home, abroad) = if round == 1 { (&two, &one) } else { (&one, &two) };
        let reader = home.run(async || {
            let reader = read(&stream);
            while reader.state().to_string() != "READ" {
                yield_now().await.unwrap();
            }
            reader
        });
        abroad.run(async || {
            for _ in 0..2 {
                let read = stream.read(&mut [0]).await.unwrap_err();
                let written = stream.write(b"x").await.unwrap_err();
                for error in [read, written] {
                    assert_eq!(error.kind(), ErrorKind::Other, "{error}");
                    assert!(error.to_string().contains("another kernel"), "{error}");
                }
            }
        });
        peer.write_all(b"for the one at home").unwrap();
        home.run(async || {
            let got = timeout_after(LONG, reader.join()).await.expect("it hangs").unwrap();
            assert_eq!(got.unwrap(), b"for the one at home");
        });
        abroad.run(async || {
            let reader = read(&stream);
            while reader.state().to_string() != "READ" {
                yield_now().await.unwrap();
            }
            peer.write_all(b"for the one abroad").unwrap();
            let got = timeout_after(LONG, reader.join()).await.expect("it hangs").unwrap();
            assert_eq!(got.unwrap(), b"for the one abroad");
        });
    }
}

/// N2: a read that began in one kernel and is polled in another counts as parked in the first. It
/// is refused like any other, and then no longer blocks. A read that was not begun moves with the
/// socket.
#[test]
fn a_read_begun_in_one_kernel_is_refused_in_another() {
    let (one, two) = (Kernel::new().unwrap(), Kernel::new().unwrap());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let stream = TcpStream::from_std(listener.accept().unwrap().0).unwrap();
    let (mut buf, mut other) = ([0; 8], [0; 8]);
    let mut read = Box::pin(stream.read(&mut buf));
    let unbegun = stream.peek(&mut other);
    one.run(async || assert!(futures::poll!(read.as_mut()).is_pending()));
    two.run(async || {
        let error = timeout_after(LONG, read.as_mut()).await.expect("it hangs").unwrap_err();
        assert!(error.to_string().contains("another kernel"), "{error}");
        peer.write_all(b"hello").unwrap();
        assert_eq!(timeout_after(LONG, unbegun).await.expect("it hangs").unwrap(), 5);
    });
    drop(read);
    one.run(async || {
        let read = timeout_after(LONG, stream.read(&mut buf)).await.expect("it hangs");
        assert_eq!((read.unwrap(), &buf[..5]), (5, &b"hello"[..]));
    });
}

/// N2, C5: a reader that is cancelled, or whose kernel is dropped with it parked, releases the
/// socket. No byte is lost.
#[test]
fn a_socket_moves_after_its_reader_was_cancelled_or_its_kernel_dropped() {
    for cancelled in [true, false] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let theirs = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let stream = Rc::new(TcpStream::from_std(theirs).unwrap());
        let mut peer = listener.accept().unwrap().0;
        let kernel = Kernel::new().unwrap();
        let reader = kernel.run(async || {
            let stream = stream.clone();
            let reader = spawn(async move { stream.read(&mut [0; 64]).await });
            while reader.state().to_string() != "READ" {
                yield_now().await.unwrap();
            }
            reader
        });
        if cancelled {
            kernel.run(async || {
                reader.cancel().await.unwrap();
                assert!(matches!(reader.join().await.unwrap(), Err(TaskError::Cancelled(_))));
            });
        }
        peer.write_all(b"for the next task").unwrap();
        // Its task is dropped with it.
        drop(reader);
        drop(kernel);
        let stream = Rc::into_inner(stream).expect("the reader is gone");
        let got = thread::spawn(move || {
            kernel::run(async || {
                let mut buf = [0; 17];
                timeout_after(LONG, stream.read_exact(&mut buf)).await??;
                Ok::<_, io::Error>(buf)
            })
        });
        assert_eq!(&got.join().unwrap().unwrap(), b"for the next task");
    }
}

/// N2, N4, N5: a listener moves through three kernels while clients connect: each connection is
/// accepted once, in order, and works in the kernel that accepted it.
#[test]
fn a_listener_goes_round_and_accepts_each_connection_once() {
    let kernels = [(); 3].map(|()| Kernel::new().unwrap());
    let listener = kernels[0].run(async || TcpListener::bind("127.0.0.1:0").await.unwrap());
    let address = listener.local_addr().unwrap();
    let mut expected = Vec::new();
    let mut accepted = Vec::new();
    let mut numbers = Numbers::new(7);
    for round in 0..30 {
        let mut clients: Vec<std::net::TcpStream> = Vec::new();
        for _ in 0..numbers.below(3) {
            clients.push(std::net::TcpStream::connect(address).unwrap());
        }
        kernels[round % 3].run(async || {
            for client in &mut clients {
                expected.push(client.local_addr().unwrap());
                let (stream, peer) = timeout_after(LONG, listener.accept()).await.unwrap().unwrap();
                accepted.push(peer);
                stream.write_all(b"welcome").await.unwrap();
                client.read_exact(&mut [0; 7]).unwrap();
            }
            let more = timeout_after(SECOND / 1000, listener.accept()).await;
            assert!(more.is_err(), "a connection that was never opened");
        });
    }
    assert_eq!(accepted, expected);
}

/// N5, N8: a handle that is closed from another kernel of the thread, or from none, wakes the tasks
/// that are parked on it in their own kernel. A socket that is made afterwards in the same slot is
/// not affected.
#[test]
fn a_close_from_elsewhere_wakes_who_is_parked_at_home() {
    for from_none in [true, false] {
        let (home, abroad) = (Kernel::new().unwrap(), Kernel::new().unwrap());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connect = || {
            let theirs = std::net::TcpStream::connect(address).unwrap();
            (Rc::new(TcpStream::from_std(theirs).unwrap()), listener.accept().unwrap().0)
        };
        let park = |stream: &Rc<TcpStream>| {
            let stream = stream.clone();
            home.run(async || {
                let reader = spawn(async move { stream.read(&mut [0; 64]).await });
                while reader.state().to_string() != "READ" {
                    yield_now().await.unwrap();
                }
                reader
            })
        };
        let (old, _peer) = connect();
        let reader = park(&old);
        match from_none {
            true => old.close(),
            false => abroad.run(async || old.close()),
        }
        let (new, mut peer) = connect();
        home.run(async || {
            let ended = timeout_after(LONG, reader.join()).await.expect("it hangs").unwrap();
            let Err(TaskError::Failed(error)) = ended else { panic!("it was closed") };
            assert_eq!(error.kind(), ErrorKind::NotConnected);
        });
        let reader = park(&new);
        peer.write_all(b"new").unwrap();
        home.run(async || {
            let ended = timeout_after(LONG, reader.join()).await.expect("it hangs").unwrap();
            assert_eq!(ended.unwrap(), 3);
        });
    }
}
