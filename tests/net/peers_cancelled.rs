//! Reads and accepts that are interrupted at every point, in every way, over many seeds: no byte
//! and no connection is lost, and none comes twice. `peers_cancelled_writes.rs` does the same for
//! writes.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Write};
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use kernel::{Task, TaskError, cancelled, spawn, testing, timeout_after, yield_now};
use net::{TcpListener, TcpStream};

use crate::support::proxy::Numbers;
use crate::support::time::SECOND;

const SEEDS: std::ops::Range<u64> = 0..24;

/// When the operation is interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Point {
    Unpolled,
    Parked,
    /// The event that it waits for has been delivered, and it has not been polled since.
    Woken,
    /// As `Parked`, and the event comes between the interruption and the next poll.
    Crossed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum How {
    Cancel,
    Timeout,
    Abort,
    /// Only the future is dropped, and the task continues, as in a `select!`.
    Drop,
}

const POINTS: [Point; 4] = [Point::Unpolled, Point::Parked, Point::Woken, Point::Crossed];
const HOWS: [How; 4] = [How::Cancel, How::Timeout, How::Abort, How::Drop];

/// Interrupts operations, and counts which points were really reached.
#[derive(Default)]
struct Driver {
    met: RefCell<BTreeSet<(Point, How)>>,
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) -> io::Result<()> {
    for _ in 0..3_000_000 {
        if is_so() {
            return Ok(());
        }
        yield_now().await?;
    }
    panic!("never {what}");
}

fn is_ready<T: 'static>(task: &Task<T, io::Error>) -> bool {
    task.state().to_string() == "READY"
}

/// How often it was polled, while it is alive.
fn cycles<T: 'static>(task: &Task<T, io::Error>) -> Option<u64> {
    let tasks = kernel::tasks();
    tasks.iter().find(|info| info.id == task.id()).map(|info| info.cycles)
}

impl Driver {
    /// Runs `body` and interrupts it. Returns its value if it completed nevertheless. `event`
    /// causes the event that it waits for.
    async fn interrupt<T: 'static>(
        &self,
        (point, how): (Point, How),
        body: impl Future<Output = io::Result<T>> + 'static,
        event: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<Option<T>> {
        let mut event = Some(event);
        let mut happen = move || event.take().map_or(Ok(()), |event| event());
        if how == How::Drop {
            return self.drop_at(point, body, happen).await;
        }
        let task = match (how, point) {
            (How::Timeout, Point::Unpolled) => spawn(limited(Duration::ZERO, body)),
            (How::Timeout, _) => spawn(limited(SECOND, body)),
            _ => spawn(body),
        };
        if point != Point::Unpolled {
            until("parked", || !is_ready(&task)).await?;
        }
        if point == Point::Woken {
            let before = cycles(&task);
            happen()?;
            // In some orders this is too late, because the body has already continued.
            let woken = || is_ready(&task) || task.is_done() || cycles(&task) != before;
            until("woken", woken).await?;
        }
        let wanted = matches!(point, Point::Unpolled | Point::Woken);
        let met = is_ready(&task) == wanted && !task.is_done();
        match how {
            How::Cancel => task.request_cancel(),
            How::Abort => task.abort(),
            _ if point == Point::Unpolled || task.is_done() => {}
            _ => testing::advance(SECOND).await?,
        }
        if point == Point::Crossed {
            happen()?;
        }
        let ended = match task.join().await? {
            Ok(value) => Some(value),
            Err(TaskError::Aborted) => None,
            Err(TaskError::Cancelled(error)) if cancelled(&error).is_some() => None,
            Err(TaskError::Failed(error)) if error.kind() == ErrorKind::TimedOut => None,
            Err(other) => panic!("{point:?} {how:?}: {other:?}"),
        };
        if met {
            self.met.borrow_mut().insert((point, how));
        }
        Ok(ended)
    }

    async fn drop_at<T>(
        &self,
        point: Point,
        body: impl Future<Output = io::Result<T>>,
        mut happen: impl FnMut() -> io::Result<()>,
    ) -> io::Result<Option<T>> {
        let mut future = tokio_test::task::spawn(body);
        if point != Point::Unpolled {
            if let std::task::Poll::Ready(done) = future.poll() {
                return done.map(Some);
            }
        }
        if point == Point::Woken {
            happen()?;
            until("woken", || future.is_woken()).await?;
        }
        drop(future);
        self.met.borrow_mut().insert((point, How::Drop));
        if point == Point::Crossed {
            happen()?;
        }
        Ok(None)
    }

    fn assert_all_met(&self) {
        let met = self.met.borrow();
        for point in POINTS {
            for how in HOWS {
                assert!(met.contains(&(point, how)), "{point:?} {how:?} never came about");
            }
        }
    }
}

async fn limited<T>(limit: Duration, body: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout_after(limit, body).await?
}

/// What the peer sends at each position of the stream, never [`FREE`].
fn byte(at: usize) -> u8 {
    (at % 251) as u8
}

/// What a buffer holds where nothing was read.
const FREE: u8 = 255;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Read,
    ReadExact,
    Peek,
}

/// One operation. What it consumed is appended to `got`, also if it was interrupted.
async fn consume(
    stream: Rc<TcpStream>,
    op: Op,
    room: usize,
    got: Rc<RefCell<Vec<u8>>>,
) -> io::Result<()> {
    let mut buf = vec![FREE; room];
    let done = match op {
        Op::Read => stream.read(&mut buf).await,
        Op::ReadExact => stream.read_exact(&mut buf).await.map(|()| room).map_err(io::Error::from),
        Op::Peek => stream.peek(&mut buf).await,
    };
    let n = buf.iter().position(|byte| *byte == FREE).unwrap_or(room);
    match &done {
        Ok(count) => assert_eq!(*count, n, "{op:?}: another count than there are bytes"),
        Err(_) => assert!(n == 0 || op == Op::ReadExact, "{op:?} failed and left {n} bytes"),
    }
    let mut got = got.borrow_mut();
    let at = got.len();
    assert!((0..n).all(|i| buf[i] == byte(at + i)), "{op:?}: other bytes at {at}");
    if op != Op::Peek {
        got.extend_from_slice(&buf[..n]);
    }
    done.map(drop)
}

/// One connection whose reader is interrupted again and again.
async fn interrupted_reads(driver: &Driver, seed: u64) -> io::Result<()> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let stream = Rc::new(TcpStream::connect(listener.local_addr()?).await?);
    let mut peer = listener.accept()?.0;
    let mut numbers = Numbers::new(seed);
    let got = Rc::new(RefCell::new(Vec::new()));
    let mut sent = 0;
    for _ in 0..30 {
        let op = [Op::Read, Op::ReadExact, Op::Peek][numbers.below(3)];
        let point = POINTS[numbers.below(4)];
        // A dropped `read_exact` does not report how many bytes it has read.
        let how = HOWS[numbers.below(if op == Op::ReadExact { 2 } else { 4 })];
        let room = 1 + numbers.below(100);
        let unread = sent - got.borrow().len();
        if numbers.below(4) > 0 && unread > 0 {
            consume(stream.clone(), Op::ReadExact, unread, got.clone()).await?;
        }
        let more: Vec<u8> = (sent..sent + 1 + numbers.below(100)).map(byte).collect();
        let read = consume(stream.clone(), op, room, got.clone());
        let mut happened = false;
        let event = || {
            happened = true;
            peer.write_all(&more)
        };
        let done = driver.interrupt((point, how), read, event).await?;
        if happened {
            sent += more.len();
            let must = point == Point::Woken && matches!(how, How::Cancel | How::Timeout);
            let missed = must && op != Op::ReadExact && done.is_none();
            assert!(!missed, "{op:?} {how:?}: the bytes were there, and it did not take them");
        }
    }
    peer.shutdown(Shutdown::Write)?;
    let unread = sent - got.borrow().len();
    consume(stream.clone(), Op::ReadExact, unread, got.clone()).await?;
    assert_eq!(stream.read(&mut [0]).await?, 0, "more bytes than were sent");
    Ok(())
}

/// N4, C1, C2, C3, T1: whatever interrupts a `read`, a `read_exact` or a `peek`, and whenever: the
/// bytes that were read and those that can still be read are what the peer sent. An operation that
/// found its bytes returns them.
#[test]
fn an_interrupted_read_loses_no_byte_at_any_point() {
    let driver = Driver::default();
    testing::run_seeds(SEEDS, async |seed| interrupted_reads(&driver, seed).await.unwrap());
    testing::run(async || interrupted_reads(&driver, 1000).await.unwrap());
    driver.assert_all_met();
}

/// N4: the bytes that a dropped `read_exact` had read are at the front of its buffer, and the rest
/// can still be read.
#[test]
fn a_dropped_read_exact_leaves_what_it_read_in_the_buffer() {
    for woken in [false, true] {
        testing::run(async || {
            let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
            let stream = TcpStream::connect(listener.local_addr()?).await?;
            let mut peer = listener.accept()?.0;
            peer.write_all(b"abc")?;
            assert_eq!(stream.peek(&mut [0; 8]).await?, 3);
            let mut buf = [FREE; 8];
            let mut read = tokio_test::task::spawn(stream.read_exact(&mut buf));
            assert!(read.poll().is_pending());
            assert!(!read.is_woken());
            peer.write_all(b"def")?;
            if woken {
                until("woken", || read.is_woken()).await?;
            }
            drop(read);
            assert_eq!(&buf, b"abc\xff\xff\xff\xff\xff");
            drop(peer);
            let mut rest = [0; 8];
            assert_eq!(stream.read(&mut rest).await?, 3);
            assert_eq!(&rest[..3], b"def");
            Ok::<(), io::Error>(())
        })
        .unwrap();
    }
}

/// A listener whose accepter is interrupted again and again.
async fn interrupted_accepts(driver: &Driver, seed: u64) -> io::Result<()> {
    let listener = Rc::new(TcpListener::bind("127.0.0.1:0").await?);
    let address = listener.local_addr()?;
    let mut numbers = Numbers::new(seed);
    let clients = RefCell::new(Vec::new());
    let mut accepted = Vec::new();
    for _ in 0..30 {
        let (point, how) = (POINTS[numbers.below(4)], HOWS[numbers.below(4)]);
        if numbers.below(3) > 0 {
            while accepted.len() < clients.borrow().len() {
                accepted.push(listener.accept().await?.1);
            }
        }
        let before = clients.borrow().len();
        let event = || {
            clients.borrow_mut().push(std::net::TcpStream::connect(address)?);
            Ok(())
        };
        let accepting = listener.clone();
        let accept = async move { Ok(accepting.accept().await?.1) };
        let peer = driver.interrupt((point, how), accept, event).await?;
        let happened = clients.borrow().len() > before;
        let must = point == Point::Woken && matches!(how, How::Cancel | How::Timeout);
        assert!(peer.is_some() || !(happened && must), "{how:?}: it was there");
        accepted.extend(peer);
    }
    while accepted.len() < clients.borrow().len() {
        accepted.push(listener.accept().await?.1);
    }
    assert!(timeout_after(SECOND, listener.accept()).await.is_err(), "one too many");
    let opened: io::Result<Vec<_>> = clients.borrow().iter().map(|c| c.local_addr()).collect();
    assert_eq!(accepted, opened?, "not each connection once, in order");
    Ok(())
}

/// N4, C1, C2, C3: whatever interrupts an `accept`, and whenever: the connections that were opened
/// are those that were accepted and those that are still queued, each once and in order.
#[test]
fn an_interrupted_accept_loses_no_connection_at_any_point() {
    let driver = Driver::default();
    testing::run_seeds(SEEDS, async |seed| interrupted_accepts(&driver, seed).await.unwrap());
    testing::run(async || interrupted_accepts(&driver, 1000).await.unwrap());
    driver.assert_all_met();
}
