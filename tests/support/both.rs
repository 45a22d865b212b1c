//! Tests that run on the system's network and on a simulated one.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};

use futures::FutureExt;
use kernel::{Builder, Kernel, testing};
use net::simulated::{SimulatedNet, SimulatedNetExt};
use net::{TcpListener, TcpStream};

/// Whether the running kernel has a simulated network.
fn is_simulated() -> bool {
    SimulatedNet::try_current().is_some()
}

/// Says on which network a test has failed.
struct OnSimulated;

impl Drop for OnSimulated {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("this was on the simulated network");
        }
    }
}

/// Runs `main` on both networks, with a virtual clock, and checks that nothing is left behind.
#[track_caller]
pub(crate) fn run<E>(main: impl AsyncFn() -> Result<(), E>) -> Result<(), E> {
    run_with(Kernel::builder, main)
}

/// [`run`] with settings of the kernel.
#[track_caller]
pub(crate) fn run_with<E>(
    builder: impl Fn() -> Builder,
    main: impl AsyncFn() -> Result<(), E>,
) -> Result<(), E> {
    testing::run_with(builder(), async || main().await)?;
    let _named = OnSimulated;
    testing::run_with(builder().simulated_net(), async || main().await)
}

/// A peer that is no task: a blocking socket of the standard library, or on a simulated network a
/// stream whose calls must not wait.
#[derive(Debug)]
pub(crate) enum Peer {
    System(std::net::TcpStream),
    Simulated(TcpStream),
}

fn at_once<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("a peer on a simulated network does not wait")
}

impl Peer {
    /// Connects to a listener of Curium.
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Peer> {
        match is_simulated() {
            false => std::net::TcpStream::connect(address).map(Peer::System),
            true => at_once(TcpStream::connect(address)).map(Peer::Simulated),
        }
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Peer::System(stream) => stream.local_addr(),
            Peer::Simulated(stream) => stream.local_addr(),
        }
    }

    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self {
            Peer::System(stream) => stream.shutdown(how),
            Peer::Simulated(stream) => stream.shutdown(how),
        }
    }
}

impl Read for Peer {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Peer::System(stream) => stream.read(buf),
            // As much as there is, because after a shorter read the stream waits for an event.
            Peer::Simulated(stream) => {
                let len = at_once(stream.peek(buf))?;
                at_once(stream.read(&mut buf[..len]))
            }
        }
    }
}

impl Write for Peer {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Peer::System(stream) => stream.write(buf),
            Peer::Simulated(stream) => at_once(stream.write(buf)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A stream that connected, and its peer.
pub(crate) async fn to_peer() -> io::Result<(TcpStream, Peer)> {
    if !is_simulated() {
        let (stream, peer) = super::connections::to_std().await?;
        return Ok((stream, Peer::System(peer)));
    }
    let (stream, peer) = super::connections::ours().await?;
    Ok((stream, Peer::Simulated(peer)))
}

/// A stream that was accepted, and its peer.
pub(crate) async fn from_peer() -> io::Result<(TcpStream, Peer)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let peer = Peer::connect(listener.local_addr()?)?;
    Ok((listener.accept().await?.0, peer))
}

/// A port without a listener.
pub(crate) async fn deaf() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0").await?.local_addr()
}
