//! Twenty thousand short connections, two hundred at a time and one after the other: descriptors
//! and memory stay constant. The test measures its own process.

#![cfg(target_os = "linux")]

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use kernel::{Kernel, Leftovers, Task, TaskGroup, spawn};
use net::{TcpListener, TcpStream};
use sync::Event;

use crate::support::children;
use crate::support::process::{memory, open_descriptors};

/// Connections before the first count. Four times as many come in each way.
const BATCH: usize = 5000;

/// The permitted growth of the process from the first count to the last, over 15,000 connections:
/// 50 bytes for each would show. Measured: nothing, or some pages.
const GROWTH: usize = 700_000;

/// How many were served, and how many are wanted.
#[derive(Default)]
struct Served {
    count: Cell<usize>,
    wanted: Cell<usize>,
    all: Event,
}

/// Counts when the handler and its stream are dropped.
struct Ended(Rc<Served>);

impl Drop for Ended {
    fn drop(&mut self) {
        let served = &self.0;
        served.count.set(served.count.get() + 1);
        if served.count.get() == served.wanted.get() {
            served.all.set();
        }
    }
}

/// One question and one answer. Then the server closes, so that the server's port is in
/// `TIME_WAIT`.
async fn handler(served: Rc<Served>, stream: TcpStream) -> io::Result<()> {
    let _ended = Ended(served);
    let stream = stream; // closed before that counts
    let mut buf = [0; 16];
    stream.read_exact(&mut buf).await?;
    stream.write_all(&buf).await?;
    Ok(())
}

async fn call(address: SocketAddr, n: usize) -> io::Result<()> {
    let said = format!("{n:016}");
    let stream = TcpStream::connect(address).await?;
    stream.write_all(said.as_bytes()).await?;
    let (mut heard, mut more) = ([0; 16], [0]);
    stream.read_exact(&mut heard).await?;
    assert_eq!(heard, said.as_bytes());
    assert_eq!(stream.read(&mut more).await?, 0);
    Ok(())
}

/// A batch of connections, so many at a time.
async fn batch(address: SocketAddr, at_a_time: usize) -> io::Result<()> {
    TaskGroup::scope(async |g| {
        for _ in 0..at_a_time {
            g.spawn(async move {
                for n in 0..BATCH / at_a_time {
                    call(address, n).await?;
                }
                Ok::<(), io::Error>(())
            });
        }
        Ok(())
    })
    .await
}

type Server = Task<(), io::Error>;

async fn server(served: Rc<Served>) -> io::Result<(Server, SocketAddr)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    Ok((spawn(listener.serve(async move |s, _| handler(served.clone(), s).await)), address))
}

/// Twenty thousand connections. Returns the resident memory after each quarter.
async fn churn(at_a_time: usize) -> io::Result<Vec<usize>> {
    let mut sizes = Vec::new();
    let mut descriptors = Vec::new();
    let served = Rc::new(Served::default());
    // The first count comes when the listener is registered.
    let (server, address) = server(served.clone()).await?;
    for _ in 0..4 {
        served.all.clear();
        served.wanted.set(served.count.get() + BATCH);
        batch(address, at_a_time).await?;
        served.all.wait().await?;
        sizes.push(memory("VmRSS:"));
        descriptors.push(open_descriptors());
        assert_eq!(kernel::tasks().len(), 2, "{:?}", kernel::tasks());
    }
    assert_eq!(descriptors, [descriptors[0]; 4]);
    server.cancel().await?;
    assert_eq!(open_descriptors(), descriptors[0] - 1);
    println!("{at_a_time} at a time: resident {sizes:?}");
    Ok(sizes)
}

/// K7, N8, G8: after twenty thousand connections there are as many descriptors and as much memory
/// as after five thousand, because slots in the tables are reused.
#[test]
fn twenty_thousand_short_connections_leave_nothing_behind() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    let descriptors = open_descriptors();
    let kernel = Kernel::new().unwrap();
    for at_a_time in [200, 1] {
        let sizes = kernel.run(async || churn(at_a_time).await).unwrap();
        let growth = sizes[3].saturating_sub(sizes[0]);
        assert!(growth <= GROWTH, "{growth} bytes more, {at_a_time} at a time: {sizes:?}");
        assert_eq!(kernel.leftovers(), Leftovers::default());
    }
    kernel.shutdown();
    assert_eq!(open_descriptors(), descriptors);
}
