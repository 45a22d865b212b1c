//! A connection that outlives its users: a reader and a writer that are cancelled, timed out or
//! aborted, and restarted where the last one stopped, hundreds of times.

use std::cell::Cell;
use std::io;
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use kernel::{Kernel, Task, TaskError, cancelled, spawn, timeout_after, yield_now};
use net::TcpStream;

use crate::support::proxy::{Numbers, Plan, Proxy};

/// A deadline, so that a fault is a failure and not a hang.
const LONG: Duration = Duration::from_secs(100);

/// What is sent at each position of the stream.
const PERIOD: usize = 251;

/// The state of a connection, kept across its users.
struct Line {
    stream: TcpStream,
    /// Some periods of the pattern that is sent.
    block: Vec<u8>,
    written: Cell<usize>,
    got: Cell<usize>,
}

impl Line {
    fn new(stream: TcpStream) -> Line {
        let period: Vec<u8> = (0..PERIOD).map(|at| at as u8).collect();
        let block = period.repeat(16_000);
        Line { stream, block, written: Cell::new(0), got: Cell::new(0) }
    }

    /// Reads on, until `total` bytes have been read since the beginning.
    async fn read_on(&self, room: usize, total: usize) -> io::Result<()> {
        let mut buf = vec![0; room];
        while self.got.get() < total {
            let n = self.stream.read(&mut buf).await?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let at = self.got.get();
            let right = self.block[at % PERIOD..].starts_with(&buf[..n]);
            assert!(right, "another stream came back, after {at} bytes");
            self.got.set(at + n);
        }
        Ok(())
    }

    /// Writes on for ever, from where the last writer stopped: in pieces that are counted, or much
    /// at once, with the count in the error.
    async fn write_on(&self, piece: Option<usize>) -> io::Result<()> {
        loop {
            let at = self.written.get();
            let next = &self.block[at % PERIOD..];
            match piece {
                Some(piece) => self.written.set(at + self.stream.write(&next[..piece]).await?),
                None => match self.stream.write_all(next).await {
                    Ok(()) => self.written.set(at + next.len()),
                    Err(error) => {
                        self.written.set(at + error.written);
                        return Err(error.into());
                    }
                },
            }
        }
    }
}

/// How a user of the connection is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Cancel,
    Request,
    Timeout,
    Abort,
}

/// Starts one, and returns its end.
fn start(
    how: How,
    limit: Duration,
    body: impl Future<Output = io::Result<()>> + 'static,
) -> Task<(), io::Error> {
    match how {
        How::Timeout => spawn(async move { timeout_after(limit, body).await? }),
        _ => spawn(body),
    }
}

async fn end(how: How, task: &Task<(), io::Error>) -> io::Result<()> {
    match how {
        How::Cancel => task.cancel().await?,
        How::Request => task.request_cancel(),
        How::Abort => task.abort(),
        How::Timeout => {}
    }
    match task.join().await? {
        Ok(()) | Err(TaskError::Aborted) => Ok(()),
        Err(TaskError::Cancelled(error)) if cancelled(&error).is_some() => Ok(()),
        Err(TaskError::Failed(error)) if error.kind() == io::ErrorKind::TimedOut => Ok(()),
        Err(other) => panic!("{how:?}: {other:?}"),
    }
}

/// Uses the connection, with a new reader and a new writer each time. Then reads the rest.
async fn keep_restarting(line: &Rc<Line>, numbers: &mut Numbers, times: usize) -> io::Result<()> {
    for _ in 0..times {
        let hows = [How::Cancel, How::Request, How::Timeout, How::Abort];
        let (read, write) = (hows[numbers.below(4)], hows[numbers.below(4)]);
        // A dropped `write_all` does not report how many bytes it has written.
        let counted = write == How::Abort || numbers.below(2) == 0;
        let piece = counted.then(|| 1 + numbers.below(20_000));
        let room = 1 + numbers.below(20_000);
        let limit = Duration::from_micros(numbers.below(1000) as u64);
        let reading = line.clone();
        let reader = start(read, limit, async move { reading.read_on(room, usize::MAX).await });
        let writing = line.clone();
        let writer = start(write, limit, async move { writing.write_on(piece).await });
        for _ in 0..numbers.below(100) {
            yield_now().await?;
        }
        end(read, &reader).await?;
        end(write, &writer).await?;
    }
    line.read_on(1 << 16, line.written.get()).await
}

/// Sends back what comes, on a thread.
fn echo(listener: std::net::TcpListener) -> std::thread::JoinHandle<io::Result<u64>> {
    std::thread::spawn(move || {
        let mut stream = listener.accept()?.0;
        let mut out = stream.try_clone()?;
        let echoed = io::copy(&mut stream, &mut out)?;
        out.shutdown(Shutdown::Write)?;
        Ok(echoed)
    })
}

fn talk(seed: u64, times: usize, through: Option<Plan>) -> io::Result<()> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let mut address = listener.local_addr()?;
    let echo = echo(listener);
    let proxy = through.map(|plan| Proxy::before(address, plan)).transpose()?;
    if let Some(proxy) = &proxy {
        address = proxy.address;
    }
    let mut numbers = Numbers::new(seed);
    let written = Kernel::builder().seed(seed).run(async || {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let line = Rc::new(Line::new(stream));
        let talk = keep_restarting(&line, &mut numbers, times);
        timeout_after(LONG, talk).await.expect("it hangs")?;
        line.stream.shutdown(Shutdown::Write)?;
        assert_eq!(line.stream.read(&mut [0]).await?, 0, "seed {seed}: more came back");
        assert_eq!(line.got, line.written);
        Ok::<_, io::Error>(line.written.get())
    })?;
    assert!(written > 0);
    assert_eq!(echo.join().unwrap()?, written as u64, "seed {seed}");
    if let Some(proxy) = proxy {
        assert_eq!(proxy.passed()?, [written; 2], "seed {seed}");
    }
    Ok(())
}

/// N3, N4, C1, C4, T1: however often the reader and the writer of a connection are ended and
/// restarted, each where the last one stopped, the streams stay complete in both directions.
#[test]
fn a_connection_outlives_its_readers_and_writers() {
    for seed in 0..8 {
        talk(seed, 150, None).unwrap();
    }
}

/// N3, N4, C1, T1: the same through a proxy that splits and delays.
#[test]
fn a_connection_through_a_proxy_outlives_its_readers_and_writers() {
    for seed in 0..4 {
        talk(seed, 150, Some(Plan::whole(seed))).unwrap();
    }
}
