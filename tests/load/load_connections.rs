//! Ten thousand connections open at once, with the clients in a second process: what they cost, and
//! that all of them get a goodbye and are gone when the server is cancelled. The test measures the
//! memory and counts the descriptors of its own process.

#![cfg(target_os = "linux")]

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::process::{Output, Stdio};
use std::rc::Rc;
use std::time::Duration;

use kernel::{Kernel, Leftovers, TaskGroup, cancelled, run_in_thread, spawn, timeout_after};
use net::{TcpListener, TcpStream};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sync::{Event, Semaphore};

use crate::support::children;
use crate::support::process::{memory, open_descriptors};

const CONNECTIONS: usize = 10_000;

/// Each listener has its own 28,000 client ports.
const LISTENERS: usize = 4;

/// Clients that connect at once: fewer than a listener's backlog, so that no client has to connect
/// twice.
const CONNECTING: usize = 200;

const ROUNDS: usize = 5;
const LINE: usize = 32;

/// What a connection may cost the server, in bytes of resident memory. Measured in a test build: a
/// thousand, of which some 400 are the future of the handler. The rest is its task, its slots in
/// the group and in the reactor, and the spare capacity of the tables. Three times as much is
/// allowed.
const BYTES_A_CONNECTION: usize = 3000;

/// A deadline, so that a hang is a failure. The clients time out first.
const LIMIT: Duration = Duration::from_secs(50);

/// How many connections the limit of descriptors allows, raised as far as possible.
fn affordable() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let wanted = CONNECTIONS as u64 + 200;
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
        let raised = Rlimit { current: Some(raised), maximum: limit.maximum };
        setrlimit(Resource::Nofile, raised).unwrap();
    }
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(wanted).min(wanted);
    let connections = (allowed as usize).saturating_sub(200);
    if connections < CONNECTIONS {
        println!("descriptors for {connections} connections only");
    }
    connections
}

/// The connections, as the server sees them.
struct Connections {
    wanted: usize,
    taken: Cell<usize>,
    /// Those that have got their first line back.
    greeted: Cell<usize>,
    /// Those that were open when the second round began.
    at_once: Cell<usize>,
    full: Event,
    /// Those that have sent all their lines.
    through: Cell<usize>,
    /// Set when all have sent them, or all are gone.
    over: Event,
    /// Memory when all were open.
    memory: Cell<usize>,
}

/// A connection that is counted.
struct Connection(Rc<Connections>);

impl Connection {
    fn take(connections: &Rc<Connections>) -> Self {
        connections.taken.set(connections.taken.get() + 1);
        Connection(connections.clone())
    }

    /// It got its first line. The last connection that gets here starts the second round.
    fn greeted(&self) {
        let connections = &self.0;
        connections.greeted.set(connections.greeted.get() + 1);
        if connections.greeted.get() == connections.wanted {
            connections.at_once.set(connections.taken.get());
            connections.memory.set(memory("VmRSS:"));
            connections.full.set();
        }
    }

    /// It got its last line.
    fn through(&self) {
        let connections = &self.0;
        connections.through.set(connections.through.get() + 1);
        if connections.through.get() == connections.wanted {
            connections.over.set();
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.taken.set(self.0.taken.get() - 1);
        if self.0.taken.get() == 0 {
            self.0.over.set();
        }
    }
}

/// Serves until it is cancelled.
async fn host(stream: TcpStream, connections: Rc<Connections>) -> io::Result<()> {
    let connection = Connection::take(&connections);
    let ended = rounds(&stream, &connection).await;
    if ended.as_ref().is_err_and(|error| cancelled(error).is_some()) {
        stream.write_all(b"goodbye").await?;
    }
    ended
}

/// Returns a first line, a mark when all connections are open, and the other lines.
async fn rounds(stream: &TcpStream, connection: &Connection) -> io::Result<()> {
    let mut buf = [0; LINE];
    for n in 1..=ROUNDS {
        stream.read_exact(&mut buf).await?;
        stream.write_all(&buf).await?;
        if n == 1 {
            connection.greeted();
            connection.0.full.wait().await?;
            stream.write_all(b"!").await?;
        }
    }
    connection.through();
    stream.read(&mut buf).await.map(drop)
}

/// The second process. Its role says what to connect to: how many connections, and the ports.
fn call(to_call: &str) -> io::Result<()> {
    let mut numbers = to_call.split(' ').map(|number| number.parse::<usize>().unwrap());
    let connections = numbers.next().unwrap();
    let ports: Vec<u16> = numbers.map(|port| port as u16).collect();
    kernel::run(async || {
        let turns = Rc::new(Semaphore::new(CONNECTING));
        let clients = TaskGroup::scope(async |g| {
            for id in 0..connections {
                g.spawn(guest(id, ports[id % ports.len()], turns.clone()));
            }
            Ok(())
        });
        timeout_after(LIMIT * 9 / 10, clients).await?
    })
}

async fn guest(id: usize, port: u16, turns: Rc<Semaphore>) -> io::Result<()> {
    let turn = turns.acquire().await?;
    let stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).await?;
    round(&stream, id, 1).await?;
    drop(turn);
    let mut nod = [0];
    stream.read_exact(&mut nod).await?;
    for n in 2..=ROUNDS {
        round(&stream, id, n).await?;
    }
    let mut goodbye = [0; 7];
    stream.read_exact(&mut goodbye).await?;
    assert_eq!((&goodbye, stream.read(&mut nod).await?), (b"goodbye", 0));
    Ok(())
}

async fn round(stream: &TcpStream, id: usize, n: usize) -> io::Result<()> {
    let said = format!("{:<LINE$}", format!("{id} in round {n}"));
    stream.write_all(said.as_bytes()).await?;
    let mut heard = [0; LINE];
    stream.read_exact(&mut heard).await?;
    assert_eq!(String::from_utf8_lossy(&heard), said);
    Ok(())
}

/// Runs this test once more, as the clients.
fn second_process(to_call: &str) -> io::Result<Output> {
    let name = children::path_of(ten_thousand_connections_are_open_at_once);
    children::command(name, to_call).stdin(Stdio::null()).output()
}

async fn serve(connections: Rc<Connections>) -> io::Result<()> {
    let (mut servers, mut to_call) = (Vec::new(), connections.wanted.to_string());
    for _ in 0..LISTENERS {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        to_call += &format!(" {}", listener.local_addr()?.port());
        let connections = connections.clone();
        let handler = async move |stream, _| host(stream, connections.clone()).await;
        servers.push(spawn(listener.serve(handler)));
    }
    let clients = spawn(run_in_thread(move || second_process(&to_call)));
    timeout_after(LIMIT, connections.over.wait()).await??;
    for server in servers {
        server.cancel().await?;
    }
    assert_eq!(connections.taken.get(), 0, "C5: it returned before its handlers ended");
    let output: Output = timeout_after(LIMIT, clients.join()).await??.unwrap()?;
    let texts = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into());
    let [stdout, stderr]: [String; 2] = texts;
    assert!(output.status.success(), "the clients failed:\n{stdout}\n{stderr}");
    assert_eq!(kernel::tasks().len(), 1, "{:?}", kernel::tasks());
    Ok(())
}

/// G1, G8, C5, K5: ten thousand connections are open at once, each sends several lines, and the
/// memory for them is bounded. Then the servers are cancelled: every client gets a goodbye, and no
/// descriptor, task or registration is left.
#[test]
fn ten_thousand_connections_are_open_at_once() {
    if let Some(to_call) = children::role().filter(|role| role != children::ALONE) {
        call(&to_call).unwrap();
        return;
    }
    if children::ran_alone(children::this_test!()) {
        return;
    }
    let wanted = affordable();
    let connections = Rc::new(Connections {
        wanted,
        taken: Cell::new(0),
        greeted: Cell::new(0),
        at_once: Cell::new(0),
        full: Event::new(),
        through: Cell::new(0),
        over: Event::new(),
        memory: Cell::new(0),
    });
    let descriptors = open_descriptors();
    let kernel = Kernel::new().unwrap();
    let before = memory("VmRSS:");
    kernel.run(async || serve(connections.clone()).await).unwrap();
    let (peak, after) = (memory("VmHWM:"), memory("VmRSS:"));
    assert_eq!((connections.at_once.get(), connections.through.get()), (wanted, wanted));
    assert_eq!(kernel.leftovers(), Leftovers::default());
    kernel.shutdown();
    assert_eq!(open_descriptors(), descriptors);

    let each = |memory: usize| memory.saturating_sub(before) / wanted;
    println!(
        "resident: {before} bytes before, {} with {wanted} connections",
        connections.memory.get()
    );
    println!("peak {peak}, after {after}: {} bytes a connection at most", each(peak));
    assert!(each(peak) <= BYTES_A_CONNECTION, "{} bytes a connection", each(peak));
}
