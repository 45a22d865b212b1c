//! The leaves over streams, and buffers, cancelled at every suspension (V4).

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use curium::io::{
    AsyncFd, BufReadExt, BufReader, BufWriter, Direction, DuplexStream, Lines, ReadExt, WriteExt,
    copy, duplex,
};
use curium::kernel::testing::{self, Run};
use curium::kernel::{ignore_after, yield_now};

use crate::checks::{Among, MS, aborts, assert_tried, shuts_down, undisturbed};
use crate::swept_net::{suspended, until};

/// What the other end of a connection sends, or what the subject sends to it.
const TEXT: &str = "grün\nist alle Theorie\n\nund\n";

/// A stream that the subject reads, the other end, and what the subject has got.
struct Reads<S> {
    stream: RefCell<S>,
    got: RefCell<Vec<u8>>,
}

/// The stream and a task that sends the text in pieces of three bytes. It ends when the other end
/// is dropped.
fn reads<S: 'static>(make: impl FnOnce(DuplexStream) -> S) -> Among<Reads<S>> {
    let (ours, mut theirs) = duplex(8);
    let stream = RefCell::new(make(ours));
    Among::new(Reads { stream, got: RefCell::default() }).and(async move |_| {
        for piece in TEXT.as_bytes().chunks(3) {
            yield_now().await?;
            theirs.write_all(piece).await.map_err(cancellation)?;
        }
        Ok(())
    })
}

pub(crate) fn cancellation(error: impl Into<io::Error>) -> curium::TaskCancelled {
    let error = error.into();
    curium::cancelled(&error).unwrap_or_else(|| panic!("{error}")).clone()
}

/// Reads what the subject has left, and compares all with what was sent. What the other end could
/// not send, because it was cancelled at a shutdown, is missing.
#[expect(clippy::await_holding_refcell_ref, reason = "only the subject and then the check borrow")]
async fn assert_kept<S: 'static>(
    state: &Among<Reads<S>>,
    run: &Run,
    rest: impl AsyncFnOnce(&mut S) -> Vec<u8>,
) {
    undisturbed(run);
    let rest = rest(&mut state.stream.borrow_mut()).await;
    let mut all = [state.got.take(), rest].concat();
    if shuts_down(run) && all.last() == Some(&b'\n') {
        all.pop(); // the end of a line that is no line of the text, because it was not sent whole
    }
    assert!(TEXT.as_bytes().starts_with(&all), "other bytes than were sent");
    if !shuts_down(run) {
        assert_eq!(all.len(), TEXT.len(), "bytes are lost");
    }
    state.others_end(run).await;
}

/// V4, I2: a read_line that is cancelled, dropped or timed out loses nothing.
#[test]
#[expect(clippy::await_holding_refcell_ref, reason = "only the subject and then the check borrow")]
fn cancelled_lines_lose_nothing() {
    let swept = testing::sweep().run(
        async || reads(|stream| BufReader::with_capacity(4, stream)),
        |state: Rc<Among<Reads<BufReader<DuplexStream>>>>| async move {
            let mut stream = state.stream.borrow_mut();
            loop {
                let mut line = String::new();
                if stream.read_line(&mut line).await? == 0 {
                    return Ok::<_, io::Error>(());
                }
                state.got.borrow_mut().extend(line.as_bytes());
            }
        },
        async |state, run| {
            assert_kept(state, run, async |stream| {
                let mut rest = Vec::new();
                stream.read_to_end(&mut rest).await.unwrap();
                rest
            })
            .await;
        },
    );
    assert_tried(&swept, &["READ"], 5, 60);
}

/// V4, I2: what read_more has read stays in the buffer, and is read from there.
#[test]
#[expect(clippy::await_holding_refcell_ref, reason = "only the subject and then the check borrow")]
fn bytes_that_are_read_more_stay_in_the_buffer() {
    let swept = testing::sweep().run(
        async || reads(|stream| BufReader::with_capacity(4, stream)),
        |state: Rc<Among<Reads<BufReader<DuplexStream>>>>| async move {
            let mut stream = state.stream.borrow_mut();
            while stream.read_more().await? > 0 {
                if stream.buffer().len() > 8 {
                    state.got.borrow_mut().extend(&stream.buffer()[..2]);
                    stream.consume(2);
                }
            }
            Ok::<_, io::Error>(())
        },
        async |state, run| {
            assert_kept(state, run, async |stream| {
                let mut rest = Vec::new();
                stream.read_to_end(&mut rest).await.unwrap();
                rest
            })
            .await;
        },
    );
    assert_tried(&swept, &["READ"], 5, 60);
}

/// V4, I2: the same for the lines of any stream.
#[test]
#[expect(clippy::await_holding_refcell_ref, reason = "only the subject and then the check borrow")]
fn cancelled_lines_of_any_stream_lose_nothing() {
    let swept = testing::sweep().run(
        async || reads(|stream| BufReader::with_capacity(4, stream).lines()),
        |state: Rc<Among<Reads<Lines<BufReader<DuplexStream>>>>>| async move {
            let mut lines = state.stream.borrow_mut();
            while let Some(line) = lines.next().await? {
                state.got.borrow_mut().extend([line.as_bytes(), b"\n"].concat());
            }
            Ok::<_, io::Error>(())
        },
        async |state, run| {
            assert_kept(state, run, async |lines| {
                let mut rest = Vec::new();
                while let Some(line) = lines.next().await.unwrap() {
                    rest.extend([line.as_bytes(), b"\n"].concat());
                }
                rest
            })
            .await;
        },
    );
    assert_tried(&swept, &["READ"], 5, 60);
}

/// V4, I2: reads, pieces and the whole rest, where the error or the buffer says what was read.
#[test]
#[expect(clippy::await_holding_refcell_ref, reason = "only the subject and then the check borrow")]
fn cancelled_reads_say_what_they_read() {
    let swept = testing::sweep().run(
        async || reads(|stream| stream),
        |state: Rc<Among<Reads<DuplexStream>>>| async move {
            let mut stream = state.stream.borrow_mut();
            let mut buf = [0; 4];
            let read = stream.read(&mut buf).await?;
            state.got.borrow_mut().extend(&buf[..read]);
            let mut buf = [0; 7];
            let exact = stream.read_exact(&mut buf).await;
            let read = exact.as_ref().map_or_else(|error| error.read, |()| buf.len());
            state.got.borrow_mut().extend(&buf[..read]);
            exact?;
            stream.read_to_end(&mut state.got.borrow_mut()).await?;
            Ok::<_, io::Error>(())
        },
        async |state, run| {
            if aborts(run) {
                // A read_exact that is dropped takes what it has read with it.
                let mut rest = Vec::new();
                state.stream.borrow_mut().read_to_end(&mut rest).await.unwrap();
                let (got, all) = (state.got.take(), TEXT.as_bytes());
                assert!(all.starts_with(&got) && all.ends_with(&rest));
                assert!(got.len() + rest.len() + 6 >= all.len(), "bytes are lost");
                state.others_end(run).await;
                return;
            }
            assert_kept(state, run, async |stream| {
                let mut rest = Vec::new();
                stream.read_to_end(&mut rest).await.unwrap();
                rest
            })
            .await;
        },
    );
    assert_tried(&swept, &["READ"], 5, 60);
}

/// V4, I2: a buffer for writing loses nothing that a write has taken, and sends nothing twice.
#[test]
#[expect(clippy::await_holding_refcell_ref, reason = "only the subject and then the check borrow")]
fn cancelled_writes_and_flushes_lose_nothing() {
    type Writes = (RefCell<BufWriter<DuplexStream>>, RefCell<Vec<u8>>, RefCell<DuplexStream>);
    let swept = testing::sweep().run(
        async || {
            let (ours, theirs) = duplex(4);
            let stream = RefCell::new(BufWriter::with_capacity(6, ours));
            let shared: Writes = (stream, RefCell::default(), RefCell::new(theirs));
            Among::new((shared, RefCell::new(Vec::new()))).and(async move |shared| {
                let mut theirs = shared.0.2.borrow_mut();
                loop {
                    yield_now().await?;
                    let mut buf = [0; 3];
                    match theirs.read(&mut buf).await.map_err(cancellation)? {
                        0 => return Ok(()),
                        read => shared.1.borrow_mut().extend(&buf[..read]),
                    }
                }
            })
        },
        |state: Rc<Among<(Writes, RefCell<Vec<u8>>)>>| async move {
            let (stream, taken, _) = &state.0;
            let mut stream = stream.borrow_mut();
            for piece in TEXT.as_bytes().chunks(5) {
                let written = stream.write_all(piece).await;
                let count = written.as_ref().map_or_else(|error| error.written, |()| piece.len());
                taken.borrow_mut().extend(&piece[..count]);
                written?;
                if piece[0] == b'g' {
                    stream.flush().await?;
                }
            }
            stream.close().await
        },
        async |state, run| {
            undisturbed(run);
            let (stream, taken, theirs) = &state.0;
            let closes = async { stream.borrow_mut().close().await.unwrap() };
            if shuts_down(run) {
                let mut theirs = theirs.borrow_mut();
                let mut rest = Vec::new();
                let reads = theirs.read_to_end(&mut rest);
                futures::join!(closes, async { reads.await.unwrap() });
                state.1.borrow_mut().extend(rest);
            } else {
                closes.await;
            }
            state.others_end(run).await;
            assert_eq!(
                String::from_utf8_lossy(&state.1.borrow()),
                String::from_utf8_lossy(&taken.borrow())
            );
        },
    );
    assert_tried(&swept, &["WRITE", "FLUSH"], 5, 60);
}

/// V4, I4: a wait for a descriptor that is cancelled or dropped takes nothing.
#[test]
fn cancelled_waits_for_a_descriptor_take_nothing() {
    type Shared = (AsyncFd<UnixStream>, UnixStream, RefCell<Vec<u8>>);
    let swept = testing::sweep().run(
        async || {
            let (ours, theirs) = UnixStream::pair().unwrap();
            ours.set_nonblocking(true).unwrap();
            let shared: Shared = (AsyncFd::new(ours), theirs, RefCell::default());
            Among::new(shared).and(async |shared: Rc<Shared>| {
                for byte in 0..4 {
                    until(|| shared.2.borrow().len() == byte).await?;
                    (&shared.1).write_all(&[byte as u8]).unwrap();
                }
                Ok(())
            })
        },
        |state: Rc<Among<Shared>>| async move {
            let (fd, _, got) = &*state.shared;
            while got.borrow().len() < 4 {
                let mut byte = [0];
                if got.borrow().len() % 2 == 0 {
                    fd.readable().await?;
                }
                fd.io(Direction::Read, |mut fd| fd.read(&mut byte)).await?;
                got.borrow_mut().push(byte[0]);
            }
            Ok::<_, io::Error>(())
        },
        async |state, run| {
            undisturbed(run);
            let (fd, _, got) = &*state.shared;
            let rest = async {
                while got.borrow().len() < 4 {
                    let mut byte = [0];
                    fd.io(Direction::Read, |mut fd| fd.read(&mut byte)).await?;
                    got.borrow_mut().push(byte[0]);
                }
                Ok::<_, io::Error>(())
            };
            let ended = ignore_after(MS, rest).await.unwrap();
            assert!(ended.is_some() || shuts_down(run), "a byte is lost");
            assert!(got.borrow().iter().copied().eq(0..got.borrow().len() as u8));
            state.others_end(run).await;
        },
    );
    assert_tried(&swept, &["READ"], 4, 50);
}

/// V4, I3: what a cancelled copy has read is written, or in its error.
#[test]
#[expect(clippy::await_holding_refcell_ref, reason = "only the subject and then the check borrow")]
fn a_cancelled_copy_loses_nothing() {
    type Shared = Among<Reads<(DuplexStream, DuplexStream)>>;
    let swept = testing::sweep().run(
        async || {
            let (to, mut sink) = duplex(4);
            reads(|from| (from, to)).and(async move |state| {
                loop {
                    yield_now().await?;
                    let mut buf = [0; 3];
                    match sink.read(&mut buf).await.map_err(cancellation)? {
                        0 => return Ok(()),
                        read => state.got.borrow_mut().extend(&buf[..read]),
                    }
                }
            })
        },
        |state: Rc<Shared>| async move {
            let (from, to) = &mut *state.stream.borrow_mut();
            if let Err(error) = copy(from, to).await {
                to.write_all(&error.unwritten).await?;
                return Err(error.into());
            }
            to.close().await
        },
        async |state, run| {
            undisturbed(run);
            let (from, to) = &mut *state.stream.borrow_mut();
            if !aborts(run) && !shuts_down(run) {
                copy(from, to).await.unwrap();
                to.close().await.unwrap();
                state.others_end(run).await;
                assert_eq!(String::from_utf8_lossy(&state.got.borrow()), TEXT);
            }
        },
    );
    assert!(suspended(&swept, "COPY") > 0, "{:?}", swept.sites);
}
