//! Writes that are interrupted at every point, in every way, over many seeds: the peer gets exactly
//! what the calls reported as written.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, Read};
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use kernel::{Task, TaskError, cancelled, sleep, spawn, testing, timeout_after, yield_now};
use net::TcpStream;

use crate::support::proxy::Numbers;
use crate::support::time::SECOND;

const SEEDS: std::ops::Range<u64> = 0..10;

/// More than the system buffers for a peer that does not read.
const MUCH: usize = 16_000_000;

/// After how many bytes the pattern of the stream repeats.
const PERIOD: usize = 251;

/// The part of the stream that begins at `from`: each byte is its position in the period. Copied in
/// pieces, because there are many bytes and the test build is not optimized.
fn stretch(from: usize, len: usize) -> Vec<u8> {
    let mut period: Vec<u8> = (0..PERIOD).map(|at| at as u8).collect();
    period.rotate_left(from % PERIOD);
    let mut stretch = period.repeat(len.div_ceil(PERIOD));
    stretch.truncate(len);
    stretch
}

/// The other end, which reads only on request, and knows what it should get.
struct Peer {
    stream: std::net::TcpStream,
    got: usize,
    buf: Vec<u8>,
}

impl Peer {
    /// Reads what has arrived. True if that was the end of the stream.
    fn drain(&mut self) -> io::Result<bool> {
        loop {
            match self.stream.read(&mut self.buf) {
                Ok(0) => return Ok(true),
                Ok(n) => {
                    let right = self.buf[..n] == stretch(self.got, n);
                    assert!(right, "other bytes than were written, after {}", self.got);
                    self.got += n;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }

    fn drain_to_the_end(&mut self) -> io::Result<usize> {
        self.stream.set_nonblocking(false)?;
        assert!(self.drain()?);
        Ok(self.got)
    }
}

async fn pair() -> io::Result<(Rc<TcpStream>, Peer)> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let stream = TcpStream::connect(listener.local_addr()?).await?;
    let peer = listener.accept()?.0;
    peer.set_nonblocking(true)?;
    Ok((Rc::new(stream), Peer { stream: peer, got: 0, buf: vec![0; 1 << 18] }))
}

/// Continues until the peer has read enough for `is_so`.
async fn drain_until(
    what: &str,
    peer: &mut Peer,
    mut is_so: impl FnMut() -> bool,
) -> io::Result<()> {
    for _ in 0..3_000_000 {
        if is_so() {
            return Ok(());
        }
        peer.drain()?;
        yield_now().await?;
    }
    panic!("never {what}");
}

/// Writes until the system takes no more.
async fn fill(stream: &TcpStream, written: &Cell<usize>) -> io::Result<()> {
    loop {
        let bytes = stretch(written.get(), 1 << 20);
        match timeout_after(Duration::ZERO, stream.write(&bytes)).await {
            Ok(n) => written.set(written.get() + n?),
            Err(_) => return Ok(()),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Write,
    WriteAll,
}

/// One operation. The bytes that it reports as written are counted, also if it was interrupted.
async fn produce(
    stream: Rc<TcpStream>,
    op: Op,
    len: usize,
    written: Rc<Cell<usize>>,
) -> io::Result<()> {
    let bytes = stretch(written.get(), len);
    let (n, done) = match op {
        Op::Write => match stream.write(&bytes).await {
            Ok(n) => (n, Ok(())),
            Err(error) => (0, Err(error)),
        },
        Op::WriteAll => match stream.write_all(&bytes).await {
            Ok(()) => (len, Ok(())),
            Err(error) => {
                assert!(error.len == len && error.written < len, "{error}");
                (error.written, Err(error.into()))
            }
        },
    };
    written.set(written.get() + n);
    done
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Point {
    Unpolled,
    Parked,
    /// There is room again, the operation was notified, and it has not been polled since.
    Woken,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Cancel,
    Timeout,
    Abort,
    Drop,
}

fn is_ready(task: &Task<(), io::Error>) -> bool {
    task.state().to_string() == "READY"
}

/// Spawns the write and interrupts it at `point`. Returns whether it had to complete, and whether
/// it did.
async fn interrupt(
    (point, how): (Point, How),
    body: impl Future<Output = io::Result<()>> + 'static,
    peer: &mut Peer,
) -> io::Result<(bool, bool)> {
    if how == How::Drop {
        let mut future = tokio_test::task::spawn(body);
        if point != Point::Unpolled && future.poll().is_ready() {
            return Ok((false, true));
        }
        if point == Point::Woken {
            drain_until("woken", peer, || future.is_woken()).await?;
        }
        return Ok((false, false));
    }
    let task = match (how, point) {
        (How::Timeout, Point::Unpolled) => spawn(limited(Duration::ZERO, body)),
        (How::Timeout, _) => spawn(limited(SECOND, body)),
        _ => spawn(body),
    };
    if point != Point::Unpolled {
        while is_ready(&task) {
            yield_now().await?;
        }
    }
    if point == Point::Woken {
        drain_until("woken", peer, || is_ready(&task) || task.is_done()).await?;
    }
    let must = point == Point::Woken && is_ready(&task) && how != How::Abort;
    match how {
        How::Cancel => task.request_cancel(),
        How::Abort => task.abort(),
        _ if point == Point::Unpolled || task.is_done() => {}
        _ => testing::advance(SECOND).await?,
    }
    match task.join().await? {
        Ok(()) => Ok((must, true)),
        Err(TaskError::Aborted) => Ok((must, false)),
        Err(TaskError::Cancelled(error)) if cancelled(&error).is_some() => Ok((must, false)),
        Err(TaskError::Failed(error)) if error.kind() == ErrorKind::TimedOut => Ok((must, false)),
        Err(other) => panic!("{point:?} {how:?}: {other:?}"),
    }
}

async fn limited(limit: Duration, body: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    timeout_after(limit, body).await?
}

/// How many writes were woken before they were interrupted, and how many did not complete.
async fn interrupted_writes(seed: u64) -> io::Result<[usize; 2]> {
    let (stream, mut peer) = pair().await?;
    let mut numbers = Numbers::new(seed);
    let written = Rc::new(Cell::new(0));
    let mut counts = [0, 0];
    for _ in 0..12 {
        let op = [Op::Write, Op::WriteAll][numbers.below(2)];
        let point = [Point::Unpolled, Point::Parked, Point::Woken][numbers.below(3)];
        // A dropped `write_all` does not report how many bytes it has written.
        let hows = [How::Cancel, How::Timeout, How::Abort, How::Drop];
        let how = hows[numbers.below(if op == Op::WriteAll { 2 } else { 4 })];
        match numbers.below(4) {
            0 => assert!(!peer.drain()?),
            _ => fill(&stream, &written).await?,
        }
        let len = 1 + numbers.below(if op == Op::WriteAll { MUCH } else { 100_000 });
        let write = produce(stream.clone(), op, len, written.clone());
        let (must, done) = interrupt((point, how), write, &mut peer).await?;
        let missed = must && op == Op::Write && !done;
        assert!(!missed, "{how:?}: there was room, and it did not write");
        counts[0] += usize::from(must);
        counts[1] += usize::from(!done);
    }
    stream.shutdown(Shutdown::Write)?;
    assert_eq!(peer.drain_to_the_end()?, written.get());
    Ok(counts)
}

/// N4, C1, C3, T1: whatever interrupts a `write` or a `write_all`, and whenever: the peer gets
/// exactly what the calls reported as written. A write that found room completes.
#[test]
fn an_interrupted_write_says_what_the_peer_gets_at_any_point() {
    let mut counts =
        testing::run_seeds(SEEDS, async |seed| interrupted_writes(seed).await.unwrap());
    counts.push(testing::run(async || interrupted_writes(1000).await.unwrap()));
    for which in 0..2 {
        let total: usize = counts.iter().map(|counts| counts[which]).sum();
        assert!(total > 10, "it hardly ever came about: {counts:?}");
    }
}

/// N4: a `write_all` that is dropped or aborted does not report how many bytes it has written. The
/// peer gets a prefix of the data, and then the end.
#[test]
fn a_dropped_write_all_leaves_the_stream_in_order() {
    for how in [How::Abort, How::Drop] {
        for point in [Point::Parked, Point::Woken] {
            testing::run(async || {
                let (stream, mut peer) = pair().await?;
                let written = Rc::new(Cell::new(0));
                let write = produce(stream.clone(), Op::WriteAll, MUCH, written);
                assert!(!interrupt((point, how), write, &mut peer).await?.1, "it went through");
                stream.shutdown(Shutdown::Write)?;
                let got = peer.drain_to_the_end()?;
                assert!(got > 0 && got < MUCH, "{point:?} {how:?}: {got} bytes");
                Ok::<(), io::Error>(())
            })
            .unwrap();
        }
    }
}

/// C1, C4: a shutdown is no await point: a task with a pending cancel does it, and so does one that
/// cleans up. The peer reads all that was written, and then the end.
#[test]
fn a_cancelled_task_still_shuts_its_stream_down() {
    for asked_before in [true, false] {
        testing::run(async || {
            let (stream, mut peer) = pair().await?;
            let log = Rc::new(RefCell::new(Vec::new()));
            let theirs = log.clone();
            let task = spawn(async move {
                stream.write_all(&stretch(0, 1000)).await?;
                let slept = sleep(Duration::MAX).await;
                theirs.borrow_mut().push(slept.is_err());
                stream.write_all(&stretch(1000, 1000)).await?;
                stream.shutdown(Shutdown::Write)?;
                let refused = stream.write(b"more").await.is_err();
                theirs.borrow_mut().push(refused);
                Ok::<(), io::Error>(slept?)
            });
            if !asked_before {
                testing::settle().await?;
            }
            task.cancel().await?;
            assert!(matches!(task.join().await?, Err(TaskError::Cancelled(_))));
            assert_eq!(*log.borrow(), [true, true]);
            assert_eq!(peer.drain_to_the_end()?, 2000);
            Ok::<(), io::Error>(())
        })
        .unwrap();
    }
}
