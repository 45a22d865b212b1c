//! Messages over a stream, and copies both ways, cancelled at every suspension (V4).

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use curium::io::{
    AsyncRead, AsyncWrite, DuplexStream, Framed, LengthDelimitedCodec, WriteExt,
    copy_bidirectional, duplex,
};
use curium::kernel::{cancellable, testing, yield_now};

use crate::checks::{Among, aborts, assert_tried, shuts_down, undisturbed};
use crate::swept_io::cancellation;
use crate::swept_net::suspended;

type Channel = Framed<DuplexStream, LengthDelimitedCodec>;

fn channel(capacity: usize) -> (Channel, Channel) {
    let (ours, theirs) = duplex(capacity);
    let framed = |stream| Framed::new(stream, LengthDelimitedCodec::new());
    (framed(ours), framed(theirs))
}

const MESSAGES: [&str; 4] = ["one", "", "the third", "4"];

struct Channels {
    stream: RefCell<Channel>,
    /// What the receiver has got.
    got: RefCell<Vec<Vec<u8>>>,
    /// How many messages were given to a send that was polled.
    taken: RefCell<usize>,
}

fn channels(stream: Channel) -> Among<Channels> {
    let (stream, (got, taken)) = (RefCell::new(stream), Default::default());
    Among::new(Channels { stream, got, taken })
}

/// V4, I3: a receive that is cancelled, dropped or timed out loses no message and no part of one.
#[test]
#[expect(clippy::await_holding_refcell_ref, reason = "only the subject and then the check borrow")]
fn a_cancelled_receive_loses_no_message() {
    let swept = testing::sweep().run(
        async || {
            let (ours, mut theirs) = channel(3);
            channels(ours).and(async move |_| {
                for message in MESSAGES {
                    yield_now().await?;
                    theirs.send(message).await.map_err(cancellation)?;
                }
                Ok(())
            })
        },
        |state: Rc<Among<Channels>>| async move {
            let mut stream = state.stream.borrow_mut();
            while let Some(message) = stream.recv().await? {
                state.got.borrow_mut().push(message);
            }
            Ok::<_, io::Error>(())
        },
        async |state, run| {
            undisturbed(run);
            let mut stream = state.stream.borrow_mut();
            let ended = loop {
                match stream.recv().await {
                    Ok(Some(message)) => state.got.borrow_mut().push(message),
                    ended => break ended,
                }
            };
            let got = state.got.take();
            assert!(got.iter().zip(MESSAGES).all(|(got, sent)| got == sent.as_bytes()));
            if shuts_down(run) {
                // The sender was cancelled in the middle of a message.
                assert!(ended.is_ok() || !stream.buffer().is_empty());
            } else {
                assert_eq!((got.len(), ended.unwrap()), (MESSAGES.len(), None));
            }
            state.others_end(run).await;
        },
    );
    assert_tried(&swept, &["RECV"], 5, 50);
}

/// V4, I3: a message whose send was cancelled, dropped or timed out comes whole, and once.
#[test]
#[expect(clippy::await_holding_refcell_ref, reason = "only the subject and then the check borrow")]
fn a_cancelled_send_leaves_no_half_message() {
    let swept = testing::sweep().run(
        async || {
            let (ours, mut theirs) = channel(3);
            channels(ours).and(async move |state| {
                loop {
                    yield_now().await?;
                    match theirs.recv().await.map_err(cancellation)? {
                        Some(message) => state.got.borrow_mut().push(message),
                        None => return Ok(()),
                    }
                }
            })
        },
        |state: Rc<Among<Channels>>| async move {
            let mut stream = state.stream.borrow_mut();
            for message in MESSAGES {
                *state.taken.borrow_mut() += 1;
                stream.send(message).await?;
            }
            stream.close().await
        },
        async |state, run| {
            undisturbed(run);
            if !shuts_down(run) {
                state.stream.borrow_mut().close().await.unwrap();
                state.others_end(run).await;
                let sent = &MESSAGES[..state.taken.take()];
                let got = state.got.take();
                assert_eq!(got, sent.iter().map(|text| text.as_bytes()).collect::<Vec<_>>());
            }
        },
    );
    assert!(suspended(&swept, "SEND") > 0, "{:?}", swept.sites);
}

/// V4, I3: what a cancelled copy both ways has read is written, or in its error.
#[test]
#[expect(clippy::await_holding_refcell_ref, reason = "only the subject and then the check borrow")]
fn a_cancelled_copy_both_ways_loses_nothing() {
    type Got = RefCell<[Vec<u8>; 2]>;
    type Shared = (RefCell<(DuplexStream, DuplexStream)>, Got);
    const TEXTS: [&str; 2] = ["from the client", "the answer of the server"];
    let swept = testing::sweep().run(
        async || {
            let ((client, front), (back, server)) = (duplex(4), duplex(3));
            let shared: Shared = (RefCell::new((front, back)), RefCell::default());
            let mut all = Among::new(shared);
            for (at, end) in [client, server].into_iter().enumerate() {
                let end = Rc::new(RefCell::new(end));
                let reads = end.clone();
                all = all.and(async move |_| {
                    for piece in TEXTS[at].as_bytes().chunks(2) {
                        yield_now().await?;
                        write(&end, piece).await?;
                    }
                    end.borrow_mut().close().await.map_err(cancellation)
                });
                all = all.and(async move |shared: Rc<Shared>| {
                    loop {
                        yield_now().await?;
                        let mut buf = [0; 3];
                        match read(&reads, &mut buf).await? {
                            0 => return Ok(()),
                            n => shared.1.borrow_mut()[at].extend(&buf[..n]),
                        }
                    }
                });
            }
            all
        },
        |state: Rc<Among<Shared>>| async move {
            let (front, back) = &mut *state.0.borrow_mut();
            if let Err(error) = copy_bidirectional(front, back).await {
                back.write_all(&error.unwritten.0).await?;
                front.write_all(&error.unwritten.1).await?;
                return Err(error.into());
            }
            Ok::<_, io::Error>(())
        },
        async |state, run| {
            undisturbed(run);
            if !aborts(run) && !shuts_down(run) {
                let (front, back) = &mut *state.0.borrow_mut();
                copy_bidirectional(front, back).await.unwrap();
                state.others_end(run).await;
                let got = state.1.take().map(|bytes| String::from_utf8(bytes).unwrap());
                assert_eq!(got, [TEXTS[1], TEXTS[0]]);
            }
        },
    );
    assert!(suspended(&swept, "COPY") > 0, "{:?}", swept.sites);
}

/// Two tasks share an end, so neither holds it while it waits.
async fn write(end: &RefCell<DuplexStream>, mut piece: &[u8]) -> curium::Result<()> {
    while !piece.is_empty() {
        let written = poll_shared(end, |end, cx| end.poll_write(cx, piece)).await?;
        piece = &piece[written..];
    }
    Ok(())
}

async fn read(end: &RefCell<DuplexStream>, buf: &mut [u8]) -> curium::Result<usize> {
    poll_shared(end, |end, cx| end.poll_read(cx, buf)).await
}

async fn poll_shared(
    end: &RefCell<DuplexStream>,
    mut poll: impl FnMut(Pin<&mut DuplexStream>, &mut Context<'_>) -> Poll<io::Result<usize>>,
) -> curium::Result<usize> {
    let polls = poll_fn(|cx| poll(Pin::new(&mut *end.borrow_mut()), cx));
    cancellable(polls).await?.map_err(cancellation)
}
