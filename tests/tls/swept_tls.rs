//! A connection, cancelled at every suspension (V4).

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use curium::io::{DuplexStream, ReadExt, WriteExt, duplex};
use curium::kernel::testing::{self, Injection};
use curium::kernel::{TaskCancelled, yield_now};
use curium::net::{TlsAcceptor, TlsConnector, TlsReadHalf, TlsStream};

use crate::certificates::{client, plainly_connected, server};
use crate::checks::{Among, assert_tried, shuts_down, undisturbed};

const TEXT: &[u8] = b"grau, teurer Freund, ist alle Theorie";

fn cancellation(error: impl Into<io::Error>) -> TaskCancelled {
    let error = error.into();
    curium::cancelled(&error).unwrap_or_else(|| panic!("{error}")).clone()
}

/// V4, N13: a cancelled handshake, of a client or of a server, closes the stream, so that the peer
/// ends too.
#[test]
fn a_cancelled_handshake_closes_the_stream() {
    for is_client in [true, false] {
        let swept = testing::sweep().run(
            async move || {
                let (ours, theirs) = duplex(100);
                let peer = move |_| async move {
                    let ended = match is_client {
                        true => TlsAcceptor::new(server(&[])).accept(theirs).await,
                        false => TlsConnector::new(client(&[])).connect("localhost", theirs).await,
                    };
                    match ended {
                        Err(error) if curium::cancelled(&error).is_some() => {
                            Err(cancellation(error))
                        }
                        _ => Ok(()),
                    }
                };
                Among::new(RefCell::new(Some(ours))).and(peer)
            },
            move |state: Rc<Among<RefCell<Option<DuplexStream>>>>| async move {
                let ours = state.take().expect("the subject runs once");
                match is_client {
                    true => TlsConnector::new(client(&[])).connect("localhost", ours).await,
                    false => TlsAcceptor::new(server(&[])).accept(ours).await,
                }
                .map(drop)
            },
            async |state, run| {
                undisturbed(run);
                state.take(); // if the subject has not begun
                state.others_end(run).await;
            },
        );
        assert_tried(&swept, &["TLS_HANDSHAKE"], 3, 20);
    }
}

/// One end of a connection, which the subject uses, what was read from it or by the peer, and how
/// much was written.
struct End {
    stream: RefCell<TlsStream<DuplexStream>>,
    moved: RefCell<Vec<u8>>,
    accepted: Cell<usize>,
}

type State = Rc<Among<End>>;

/// What the peer does with its end.
async fn set_up<F>(
    capacity: usize,
    peer: impl FnOnce(TlsStream<DuplexStream>, Rc<End>) -> F,
) -> Among<End>
where
    F: Future<Output = Result<(), TaskCancelled>> + 'static,
{
    let (ours, theirs) = plainly_connected(capacity).await.expect("it is not cancelled here");
    let end = End { stream: RefCell::new(ours), moved: RefCell::default(), accepted: Cell::new(0) };
    Among::new(end).and(|end| peer(theirs, end))
}

/// V4, N13, I2: cancelled reads lose nothing.
#[test]
#[expect(clippy::await_holding_refcell_ref, reason = "only the subject and then the check borrow")]
fn cancelled_reads_of_plain_text_lose_nothing() {
    let swept = testing::sweep().run(
        async || {
            set_up(40, async |mut peer, _| {
                for piece in TEXT.chunks(10) {
                    yield_now().await?;
                    peer.write_all(piece).await.map_err(cancellation)?;
                    peer.flush().await.map_err(cancellation)?;
                }
                peer.close().await.map_err(cancellation)
            })
            .await
        },
        |state: State| async move {
            let mut stream = state.stream.borrow_mut();
            let mut buf = [0; 7];
            loop {
                match stream.read(&mut buf).await? {
                    0 => return Ok::<_, io::Error>(()),
                    read => state.moved.borrow_mut().extend(&buf[..read]),
                }
            }
        },
        async |state, run| {
            undisturbed(run);
            let mut all = state.moved.take();
            let ended = state.stream.borrow_mut().read_to_end(&mut all).await;
            assert!(TEXT.starts_with(&all), "other bytes than were sent");
            if !shuts_down(run) {
                ended.expect("the peer has closed");
                assert_eq!(all.len(), TEXT.len(), "bytes are lost");
            }
            state.others_end(run).await;
        },
    );
    assert_tried(&swept, &["READ"], 5, 60);
}

/// More than the buffers hold. So much of it is flushed, and the rest is closed.
const FLUSHED: usize = 60_000;

fn long_text() -> Vec<u8> {
    (0..140_000).map(|n| (n % 251) as u8).collect()
}

/// V4, N13, I2: cancelled writes, flushes and closes send what was accepted, once.
#[test]
#[expect(clippy::await_holding_refcell_ref, reason = "only the subject and then the check borrow")]
fn cancelled_writes_send_what_was_accepted() {
    let swept = testing::sweep().run(
        async || {
            set_up(16 * 1024, async |mut peer: TlsStream<DuplexStream>, end: Rc<End>| {
                let mut buf = [0; 4096];
                loop {
                    match peer.read(&mut buf).await.map_err(cancellation)? {
                        0 => return Ok(()),
                        read => end.moved.borrow_mut().extend(&buf[..read]),
                    }
                }
            })
            .await
        },
        |state: State| async move {
            let mut stream = state.stream.borrow_mut();
            let text = long_text();
            for end in [FLUSHED, text.len()] {
                while state.accepted.get() < end {
                    let begin = state.accepted.get();
                    let more = stream.write(&text[begin..end.min(begin + 40_000)]).await?;
                    state.accepted.set(begin + more);
                }
                if end == FLUSHED {
                    stream.flush().await?;
                }
            }
            stream.close().await
        },
        async |state, run| {
            undisturbed(run);
            if !shuts_down(run) {
                state.stream.borrow_mut().close().await.expect("the peer reads");
            }
            state.others_end(run).await;
            let got = state.moved.borrow();
            assert!(long_text().starts_with(&got), "other bytes than were written");
            if !shuts_down(run) {
                assert_eq!(got.len(), state.accepted.get(), "bytes are lost");
            }
        },
    );
    assert_tried(&swept, &["WRITE", "FLUSH", "CLOSE"], 5, 50);
}

/// The reading half of a connection, and what was read from it.
struct Reads {
    half: RefCell<TlsReadHalf<DuplexStream>>,
    read: RefCell<Vec<u8>>,
}

/// V4, N13: cancelled reads of one half lose nothing, and leave the writes of the other half alone,
/// although a read sends what a write has left.
#[test]
#[expect(clippy::await_holding_refcell_ref, reason = "only the subject and then the check borrow")]
fn cancelled_reads_of_a_half_leave_the_other_half_alone() {
    // Not with a shutdown, which cancels the peer before the writer.
    let injections = Injection::ALL.into_iter().filter(|it| *it != Injection::ShutDown);
    let swept = testing::sweep().inject(&injections.collect::<Vec<_>>()).run(
        async || {
            let pair = plainly_connected(16 * 1024).await.expect("it is not cancelled here");
            let ((half, mut write), mut peer) = (pair.0.into_split(), pair.1);
            let state = Reads { half: RefCell::new(half), read: RefCell::default() };
            let writes = async move {
                write.write_all(&long_text()).await.map_err(cancellation)?;
                write.close().await.map_err(cancellation)
            };
            let answers = async move {
                let mut got = vec![0; long_text().len()];
                for (piece, part) in TEXT.chunks(10).zip(got.chunks_mut(30_000)) {
                    peer.read_exact(part).await.map_err(cancellation)?;
                    peer.write_all(piece).await.map_err(cancellation)?;
                    peer.flush().await.map_err(cancellation)?;
                }
                let at = TEXT.len().div_ceil(10) * 30_000;
                peer.read_exact(&mut got[at..]).await.map_err(cancellation)?;
                assert!(got == long_text(), "other bytes than were written");
                assert_eq!(peer.read(&mut [0]).await.map_err(cancellation)?, 0);
                peer.close().await.map_err(cancellation)
            };
            Among::new(state).and(|_| writes).and(|_| answers)
        },
        |state: Rc<Among<Reads>>| async move {
            let (mut half, mut buf) = (state.half.borrow_mut(), [0; 7]);
            loop {
                match half.read(&mut buf).await? {
                    0 => return Ok::<_, io::Error>(()),
                    read => state.read.borrow_mut().extend(&buf[..read]),
                }
            }
        },
        async |state, run| {
            undisturbed(run);
            let mut all = state.read.take();
            let ended = state.half.borrow_mut().read_to_end(&mut all).await;
            ended.expect("the peer has closed");
            assert_eq!(all, TEXT);
            state.others_end(run).await;
        },
    );
    assert_tried(&swept, &["READ"], 4, 30);
}
