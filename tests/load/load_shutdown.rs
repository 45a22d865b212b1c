//! A server that is cancelled while it works, with a thousand clients: lines are answered
//! completely or not at all, and when the cancel returns no handler is left.

#![cfg(target_os = "linux")]

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use kernel::{TaskError, cancelled, shield, sleep, spawn, testing, timeout_after};
use net::{TcpListener, TcpStream};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sync::Event;

use crate::support::children;
use crate::support::process::open_descriptors;

const CLIENTS: usize = 1000;

/// Answers after which the server is cancelled, if every client has got one.
const LOAD: usize = 5000;

/// Makes sure that there are descriptors for both ends of every connection.
fn raise_the_limit() {
    let (limit, wanted) = (getrlimit(Resource::Nofile), 2 * CLIENTS as u64 + 100);
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
        setrlimit(Resource::Nofile, raised).unwrap();
    }
}

/// Counts one down when it is dropped.
struct Alive(Rc<Cell<usize>>);

impl Alive {
    fn new(count: &Rc<Cell<usize>>) -> Self {
        count.set(count.get() + 1);
        Alive(count.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// What the test counts of its server and its clients.
#[derive(Default)]
struct Work {
    handlers: Rc<Cell<usize>>,
    clients: Rc<Cell<usize>>,
    answered: Cell<usize>,
    /// Clients that have got an answer.
    greeted: Cell<usize>,
    under_load: Event,
}

impl Work {
    fn answered(&self, first: bool) {
        self.answered.set(self.answered.get() + 1);
        self.greeted.set(self.greeted.get() + usize::from(first));
        if self.answered.get() >= LOAD && self.greeted.get() == CLIENTS {
            self.under_load.set();
        }
    }
}

/// The next line, without its newline. `None` at the end of the stream.
async fn line(stream: &TcpStream, rest: &mut Vec<u8>) -> io::Result<Option<String>> {
    loop {
        if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            return Ok(Some(String::from_utf8_lossy(&line[..end]).into_owned()));
        }
        let mut buf = [0; 64];
        match stream.read(&mut buf).await? {
            0 => return Ok(None),
            n => rest.extend_from_slice(&buf[..n]),
        }
    }
}

fn answer(question: &str) -> String {
    format!("{question} is a good question\n")
}

/// Answers line by line, without any cleanup.
async fn curt(stream: TcpStream, work: Rc<Work>) -> io::Result<()> {
    let _alive = Alive::new(&work.handlers);
    let (mut rest, mut new) = (Vec::new(), true);
    while let Some(question) = line(&stream, &mut rest).await? {
        stream.write_all(answer(&question).as_bytes()).await?;
        work.answered(std::mem::take(&mut new));
    }
    Ok(())
}

/// Answers in two halves, and other tasks run in between. When it is cancelled, it says goodbye and
/// waits until the client has read it.
async fn polite(stream: TcpStream, work: Rc<Work>) -> io::Result<()> {
    let _alive = Alive::new(&work.handlers);
    let ended = converse(&stream, &work).await;
    if ended.as_ref().is_err_and(|error| cancelled(error).is_some()) {
        sleep(Duration::from_millis(100)).await?;
        stream.write_all(b"goodbye\n").await?;
        stream.shutdown(Shutdown::Write)?;
        while stream.read(&mut [0; 64]).await? > 0 {}
    }
    ended
}

async fn converse(stream: &TcpStream, work: &Work) -> io::Result<()> {
    let (mut rest, mut new) = (Vec::new(), true);
    while let Some(question) = line(stream, &mut rest).await? {
        let answer = answer(&question);
        let (first, second) = answer.as_bytes().split_at(answer.len() / 2);
        let whole = async {
            stream.write_all(first).await?;
            sleep(Duration::ZERO).await?;
            stream.write_all(second).await?;
            Ok::<(), io::Error>(())
        };
        shield(whole).await?;
        work.answered(std::mem::take(&mut new));
    }
    Ok(())
}

/// Asks again and again. Returns what it received at the end, and how many answers came before.
/// Half a line, or a wrong one, is a panic.
async fn asks(address: SocketAddr, id: usize, work: Rc<Work>) -> io::Result<(Heard, usize)> {
    let stream = TcpStream::connect(address).await?;
    let _alive = Alive::new(&work.clients);
    let mut rest = Vec::new();
    for n in 0.. {
        let question = format!("{n} of {id}");
        let heard = match stream.write_all(format!("{question}\n").as_bytes()).await {
            Ok(()) => line(&stream, &mut rest).await,
            Err(broken) => Err(broken.into()),
        };
        let heard = match heard {
            Ok(Some(heard)) if format!("{heard}\n") == answer(&question) => continue,
            Ok(Some(heard)) => {
                assert_eq!((heard.as_str(), line(&stream, &mut rest).await?), ("goodbye", None));
                Heard::Goodbye
            }
            Ok(None) => Heard::End,
            // The question was never read, so TCP reports a reset.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Heard::Reset,
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Heard::Reset,
            Err(error) => return Err(error),
        };
        assert_eq!(String::from_utf8_lossy(&rest), "", "half a line");
        return Ok((heard, n));
    }
    unreachable!("the loop has no end")
}

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Heard {
    Goodbye,
    End,
    Reset,
}

/// The number of descriptors once the kernel has its timer, which it makes for its first sleep with
/// a limit: on a virtual clock, beside a parked socket.
async fn descriptors_with_a_timer() -> io::Result<usize> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let parked = timeout_after(Duration::from_millis(1), listener.accept()).await;
    assert!(parked.is_err(), "no client connects");
    drop(listener);
    Ok(open_descriptors())
}

/// Runs a server under load, cancels it, and returns what each client received.
fn cancelled_under_load<H>(handler: H) -> Vec<Heard>
where
    H: AsyncFn(TcpStream, Rc<Work>) -> io::Result<()> + 'static,
{
    raise_the_limit();
    testing::run(async || {
        let descriptors = descriptors_with_a_timer().await?;
        let work = Rc::new(Work::default());
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let theirs = work.clone();
        let server = spawn(listener.serve(async move |s, _| handler(s, theirs.clone()).await));
        let clients: Vec<_> =
            (0..CLIENTS).map(|id| spawn(asks(address, id, work.clone()))).collect();
        work.under_load.wait().await?;
        assert_eq!((work.handlers.get(), work.clients.get()), (CLIENTS, CLIENTS));

        server.cancel().await?;
        assert!(server.is_done());
        assert_eq!(work.handlers.get(), 0, "C5: it returned before its handlers ended");
        assert_eq!(open_descriptors(), descriptors + work.clients.get());
        assert!(matches!(server.join().await?, Err(TaskError::Cancelled(_))));

        let mut heard = Vec::new();
        for client in clients {
            let (last, answers) = client.await?;
            assert!(answers > 0, "{last:?} and no answer before");
            heard.push(last);
        }
        assert_eq!(kernel::tasks().len(), 1, "{:?}", kernel::tasks());
        assert_eq!(open_descriptors(), descriptors);
        Ok::<_, io::Error>(heard)
    })
    .unwrap()
}

/// C5, C7, G1: a server with a thousand busy connections is cancelled. Each handler ends its
/// current line, in a shield, and says goodbye, which takes some time. When the cancel returns, no
/// handler is alive, and no descriptor of theirs is open.
#[test]
fn a_server_that_is_cancelled_under_load_says_goodbye_to_everybody() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    let heard = cancelled_under_load(polite);
    assert_eq!(heard, [Heard::Goodbye; CLIENTS]);
}

/// C1, C5, G1: with handlers without any cleanup, each client has got complete lines only, then the
/// end, or a reset if its question was never read.
#[test]
fn a_server_that_is_cancelled_under_load_leaves_no_half_line() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    let heard = cancelled_under_load(curt);
    assert!(heard.iter().all(|heard| matches!(heard, Heard::End | Heard::Reset)), "{heard:?}");
}

/// Connects, asks once, and closes, again and again, until the listener is closed.
async fn comes_and_goes(address: SocketAddr, id: usize, work: Rc<Work>) -> io::Result<usize> {
    for n in 0.. {
        match TcpStream::connect(address).await {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Ok(n),
            // It was queued when the listener was closed.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => return Err(error),
            Ok(stream) => {
                let _alive = Alive::new(&work.clients);
                let stream = stream; // closed before that counts
                let question = format!("{n} of {id}");
                let sent = stream.write_all(format!("{question}\n").as_bytes()).await;
                let mut rest = Vec::new();
                if let (Ok(()), Ok(Some(heard))) = (sent, line(&stream, &mut rest).await) {
                    assert_eq!(format!("{heard}\n"), answer(&question));
                }
                assert_eq!(String::from_utf8_lossy(&rest), "", "half a line");
            }
        }
    }
    unreachable!("the loop has no end")
}

/// C1, C5, G7: a server is cancelled while connections come and go. Those that were queued,
/// accepted, or handed to a handler that never ran are all closed, so no client waits for ever.
#[test]
fn a_server_that_is_cancelled_while_connections_come_loses_none_of_them() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    raise_the_limit();
    for after in [1, 100, 1001] {
        testing::run(async || {
            let descriptors = descriptors_with_a_timer().await?;
            let work = Rc::new(Work::default());
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?;
            let theirs = work.clone();
            let server = spawn(listener.serve(async move |s, _| curt(s, theirs.clone()).await));
            let clients: Vec<_> =
                (0..200).map(|id| spawn(comes_and_goes(address, id, work.clone()))).collect();
            while work.answered.get() < after {
                sleep(Duration::ZERO).await?;
            }
            server.cancel().await?;
            assert_eq!(work.handlers.get(), 0);
            for client in clients {
                client.await?;
            }
            assert_eq!((kernel::tasks().len(), open_descriptors()), (1, descriptors));
            Ok::<_, io::Error>(())
        })
        .unwrap();
    }
}

/// C1, C4, G1: if the cancel comes while a line is half written, to a client that does not read,
/// the cleanup writes the rest: the error says how much is missing.
#[test]
fn a_cleanup_writes_the_rest_of_a_half_written_line() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    const SLOW: usize = 8;
    const LEN: usize = 16 << 20;
    raise_the_limit();
    let pattern = |at: usize| (at % 251) as u8;
    testing::run(async || {
        let text: Rc<[u8]> = (0..LEN).map(pattern).collect();
        let half = Rc::new(Cell::new(0));
        let (theirs, halves) = (text.clone(), half.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let server = spawn(listener.serve(async move |stream: TcpStream, _| {
            let stopped = stream.write_all(&theirs).await.expect_err("the client does not read");
            halves.set(halves.get() + usize::from(stopped.written > 0 && stopped.written < LEN));
            stream.write_all(&theirs[stopped.written..]).await?;
            Err(io::Error::from(stopped))
        }));
        let mut clients = Vec::new();
        for _ in 0..SLOW {
            clients.push(TcpStream::connect(address).await?);
        }
        testing::settle().await?;
        server.request_cancel();
        testing::settle().await?;
        assert_eq!((half.get(), server.is_done()), (SLOW, false));
        let mut buf = vec![0; 1 << 16];
        for client in clients {
            let mut came = 0;
            loop {
                match client.read(&mut buf).await? {
                    0 => break,
                    n => {
                        assert!(buf[..n] == text[came..came + n], "wrong after {came} bytes");
                        came += n;
                    }
                }
            }
            assert_eq!(came, LEN);
        }
        server.wait().await?;
        Ok::<(), io::Error>(())
    })
    .unwrap();
}
