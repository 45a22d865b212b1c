//! The servers: the same echo on each runtime, one task a connection.
//!
//! They have in common the listening socket and its backlog, `TCP_NODELAY`, a buffer of [`BUFFER`]
//! bytes on the heap for each connection, and one thread. Each is written as the runtime's own
//! pages advise.

mod by_hand;
mod on_curium;
mod on_monoio;
mod on_smol;
mod on_tokio;

use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::str::FromStr;
use std::time::Duration;

use kernel::Kernel;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};
use socket2::{Domain, Protocol, Socket, Type};

/// The buffer of a connection. A message of any workload is a short read.
pub(crate) const BUFFER: usize = 2048;

const BACKLOG: i32 = 4096;

/// A little more than the time between two requests of one connection.
const SPIN: Duration = Duration::from_micros(50);

/// The implementation of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runtime {
    /// The floor: an edge-triggered loop and a slab of connections.
    ByHand,
    Curium,
    /// Curium with `spin_before_sleep`, for [`SPIN`].
    CuriumSpinning,
    /// Curium as a monitor watches it. It is no peer, so it is not in [`Runtime::ALL`].
    CuriumWatched,
    /// Curium with a kernel on each of two cores.
    CuriumCores,
    /// `current_thread`.
    Tokio,
    /// `multi_thread`, with two workers.
    TokioWorkers,
    /// `LocalExecutor`.
    Smol,
    /// The driver that uses epoll.
    Monoio,
}

impl Runtime {
    pub(crate) const ALL: [Runtime; 8] = [
        Runtime::Curium,
        Runtime::CuriumSpinning,
        Runtime::CuriumCores,
        Runtime::ByHand,
        Runtime::Tokio,
        Runtime::TokioWorkers,
        Runtime::Smol,
        Runtime::Monoio,
    ];

    /// Those that use two cores.
    pub(crate) fn uses_cores(self) -> bool {
        matches!(self, Runtime::CuriumCores | Runtime::TokioWorkers)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Runtime::ByHand => "mio",
            Runtime::Curium => "curium",
            Runtime::CuriumSpinning => "curium-spin",
            Runtime::CuriumWatched => "curium-watched",
            Runtime::CuriumCores => "curium-cores",
            Runtime::Tokio => "tokio",
            Runtime::TokioWorkers => "tokio-workers",
            Runtime::Smol => "smol",
            Runtime::Monoio => "monoio",
        }
    }
}

/// What a server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Echoes.
    Plain,
    /// Echoes, with every read and write under a timeout of [`LIMIT`].
    Timeouts,
    /// It echoes datagrams, one after the other.
    Datagrams,
    /// Reads lines, and answers one that is [`LAST`].
    Lines,
    /// Reads pieces of [`PIECE`] bytes, and answers one that ends with [`LAST`].
    Pieces,
}

impl Form {
    pub(crate) const ALL: [Form; 5] =
        [Form::Plain, Form::Timeouts, Form::Datagrams, Form::Lines, Form::Pieces];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Form::Plain => "plain",
            Form::Timeouts => "timeouts",
            Form::Datagrams => "datagrams",
            Form::Lines => "lines",
            Form::Pieces => "pieces",
        }
    }
}

impl FromStr for Form {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let named = Form::ALL.into_iter().find(|form| form.name() == name);
        named.ok_or_else(|| format!("no form {name:?}"))
    }
}

/// What ends the lines and the pieces that the load sends.
pub(crate) const LAST: u8 = b'.';

pub(crate) const PIECE: usize = 64 * 1024;

/// Longer than any run.
const LIMIT: Duration = Duration::from_secs(3600);

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Runtime {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let mut all = Runtime::ALL.into_iter().chain([Runtime::CuriumWatched]);
        let named = all.find(|runtime| runtime.name() == name);
        named.ok_or_else(|| {
            format!("no runtime {name:?}; there are {}", Runtime::ALL.map(Runtime::name).join(", "))
        })
    }
}

/// Serves until it is killed. Prints on standard output its address and its process id.
pub(crate) fn run(runtime: Runtime, form: Form, core: Option<usize>) -> Result<(), Box<dyn Error>> {
    // If the load generator was killed, nothing stops this process.
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
    if let Some(core) = core {
        pin(core)?;
    }
    raise_descriptor_limit()?;
    if form == Form::Datagrams {
        return echo_datagrams(runtime);
    }
    if runtime == Runtime::CuriumCores {
        return on_curium::serve_on_cores();
    }
    let listener = listen()?;
    println!("{} {}", listener.local_addr()?.port(), std::process::id());
    io::stdout().flush()?;
    match runtime {
        Runtime::ByHand => by_hand::serve(listener)?,
        Runtime::Curium => on_curium::serve(listener, form, Kernel::builder())?,
        Runtime::CuriumSpinning => on_curium::serve(listener, form, spinning())?,
        Runtime::CuriumWatched => on_curium::serve(listener, form, on_curium::watched())?,
        Runtime::CuriumCores => unreachable!("it listens itself"),
        Runtime::Tokio => on_tokio::serve(listener, form)?,
        Runtime::TokioWorkers => on_tokio::serve_on_workers(listener)?,
        Runtime::Smol => on_smol::serve(listener, form)?,
        Runtime::Monoio if form == Form::Plain => on_monoio::serve(listener)?,
        Runtime::Monoio => on_monoio::serve_in_time(listener)?,
    }
    Ok(())
}

fn spinning() -> kernel::Builder {
    Kernel::builder().spin_before_sleep(SPIN)
}

/// The same over UDP: one socket, and one task that echoes what comes.
fn echo_datagrams(runtime: Runtime) -> Result<(), Box<dyn Error>> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_nonblocking(true)?;
    println!("{} {}", socket.local_addr()?.port(), std::process::id());
    io::stdout().flush()?;
    match runtime {
        Runtime::ByHand => by_hand::echo_datagrams(socket)?,
        Runtime::Curium => on_curium::echo_datagrams(socket, Kernel::builder())?,
        Runtime::CuriumSpinning => on_curium::echo_datagrams(socket, spinning())?,
        Runtime::CuriumWatched => on_curium::echo_datagrams(socket, on_curium::watched())?,
        Runtime::Tokio => on_tokio::echo_datagrams(socket)?,
        Runtime::Smol => on_smol::echo_datagrams(socket)?,
        Runtime::Monoio | Runtime::CuriumCores | Runtime::TokioWorkers => {
            return Err(format!("there is no server over UDP on {runtime}").into());
        }
    }
    Ok(())
}

fn listen() -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Pins this process, and the threads that it makes, to one core.
pub(crate) fn pin(core: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    Ok(sched_setaffinity(None, &set)?)
}

/// Raises the limit of descriptors as far as the system allows.
pub(crate) fn raise_descriptor_limit() -> io::Result<()> {
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most })?;
    Ok(())
}
