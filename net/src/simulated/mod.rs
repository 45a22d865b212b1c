//! A network in memory, for tests: the same sockets, with delays and faults that depend only on the
//! seed of the kernel.
//!
//! [`simulated_net`](SimulatedNetExt::simulated_net) gives a kernel such a network. From then on
//! the sockets for TCP and UDP that its tasks make, and their look-ups, are those of the network.
//! With a virtual clock a test with hours of delays takes milliseconds, and the same seed gives the
//! same [trace](SimulatedNet::trace).
//!
//! ```
//! use std::io;
//! use curium::kernel::{Kernel, testing};
//! use curium::net::simulated::SimulatedNet;
//! use curium::prelude::*;
//!
//! let builder = Kernel::builder().seed(7).simulated_net();
//! testing::run_with(builder, async || {
//!     let net = SimulatedNet::current();
//!     let (server, client) = (net.host("server"), net.host("client"));
//!     let listener = server.run(async || TcpListener::bind("0.0.0.0:80").await).await?;
//!     let sender = spawn(async move {
//!         let (stream, _) = listener.accept().await?;
//!         stream.write_all(b"hello").await?;
//!         Ok::<_, io::Error>(())
//!     });
//!     net.partition(&server, &client);
//!     let healer = spawn(async move {
//!         sleep(Duration::from_secs(10)).await?;
//!         net.heal();
//!         Ok::<_, TaskCancelled>(())
//!     });
//!     let mut buf = [0; 5];
//!     client
//!         .run(async || {
//!             let stream = TcpStream::connect("server:80").await?;
//!             stream.read_exact(&mut buf).await?;
//!             Ok::<_, io::Error>(())
//!         })
//!         .await?;
//!     assert_eq!(&buf, b"hello");
//!     healer.await?;
//!     sender.await
//! })?;
//! # Ok::<(), io::Error>(())
//! ```
//!
//! # Hosts
//!
//! A task runs on the host of the code that spawns it; without one, on the host `main`. Each host
//! has an address of IPv4 and one of IPv6, its own ports, and a loopback. Its name can be looked
//! up.
//!
//! # What is simulated
//!
//! The rules of sockets (N1 to N9 in `docs/semantics.md`) hold: half-close, resets, refusals, a
//! full queue of a listener, ports in use, shortages of descriptors, errors of closed ports. A
//! connection has a limited capacity, and its bytes arrive in order. Datagrams may be lost, doubled
//! and overtaken. A bind is exclusive, and there is no waiting time before a port is used again.
//!
//! What needs a descriptor does not exist: `as_fd`, and the options that the system alone has, are
//! an error of the kind `Unsupported`. A socket from `from_std` is one of the system as before, and
//! so are Unix sockets. There is no multicast and no broadcast.
//!
//! A simulated socket stays in its kernel. In another kernel its operations are an error of the
//! kind `Unsupported`, where a socket of the system moves (N2).
//!
//! Tasks that wait for simulated sockets alone are in a deadlock when no packet is on its way,
//! which is a panic with all tasks (K8).

mod end;
mod faults;
mod names;
mod packets;
mod random;
mod tcp;
mod trace;
mod udp;
mod world;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kernel::{Builder, Extension};

pub(crate) use self::end::End;
use self::world::{HostId, MAIN, World};

/// Gives a kernel a simulated network.
pub trait SimulatedNetExt {
    /// Replaces the network of the system by a simulated one, for this kernel. Use a virtual clock
    /// and a seed, so that runs can be repeated.
    #[must_use]
    fn simulated_net(self) -> Self;
}

impl SimulatedNetExt for Builder {
    fn simulated_net(self) -> Self {
        self.with(Attached(Network(Arc::default())))
    }
}

/// The simulated network of a kernel. See the [module](self).
///
/// The settings hold for packets that are sent from then on.
#[derive(Clone)]
pub struct SimulatedNet(Network);

/// A host of a simulated network.
#[derive(Clone)]
pub struct Host {
    net: Network,
    id: HostId,
}

impl SimulatedNet {
    /// The network of the kernel that runs on this thread.
    ///
    /// # Panics
    ///
    /// Outside a kernel, and in one that was made without
    /// [`simulated_net`](SimulatedNetExt::simulated_net).
    #[track_caller]
    pub fn current() -> SimulatedNet {
        match SimulatedNet::try_current() {
            Some(net) => net,
            None => panic!("no kernel with a simulated network runs on this thread"),
        }
    }

    /// The network of the kernel that runs on this thread, if it has a simulated one.
    pub fn try_current() -> Option<SimulatedNet> {
        current().map(SimulatedNet)
    }

    /// The host of that name, which is made at the first call.
    pub fn host(&self, name: &str) -> Host {
        let id = self.0.world().host(name);
        Host { net: self.0.clone(), id }
    }

    /// Gives a name addresses, in the order in which a look-up returns them. A host has its own
    /// name without this, with its address of IPv6 first. An address that no host has does not
    /// answer.
    pub fn name(&self, name: &str, addresses: impl IntoIterator<Item = IpAddr>) {
        let addresses = addresses.into_iter().collect();
        self.0.world().names.insert(name.to_owned(), addresses);
    }

    /// Sets how long a packet takes from one host to another: 0.1 to 1 ms by default. Within a host
    /// it takes no time.
    ///
    /// # Panics
    ///
    /// If the shortest is longer than the longest.
    #[track_caller]
    pub fn latency(&self, range: RangeInclusive<Duration>) {
        let (least, most) = range.into_inner();
        assert!(least <= most, "the range is not empty");
        self.0.world().settings.latency = (least, most);
    }

    /// Sets the sizes in which the bytes of a connection arrive, apart from each other. Without
    /// this, what one write sends arrives together.
    ///
    /// # Panics
    ///
    /// If the smallest is 0, or larger than the largest.
    #[track_caller]
    pub fn chunks(&self, sizes: RangeInclusive<usize>) {
        let (least, most) = sizes.into_inner();
        assert!(0 < least && least <= most, "a chunk has at least one byte");
        self.0.world().settings.chunks = Some((least, most));
    }

    /// Sets how many bytes a direction of a connection holds before a write waits: those on their
    /// way and those that the peer has not read. 64 KiB by default.
    ///
    /// # Panics
    ///
    /// If it is 0.
    #[track_caller]
    pub fn capacity(&self, bytes: usize) {
        assert!(bytes > 0, "a connection holds at least one byte");
        self.0.world().settings.capacity = bytes;
    }

    /// Cuts two hosts off from each other until [`heal`](SimulatedNet::heal). Packets of
    /// connections are held back; a connect gives up after 127 seconds, as on Linux, and an
    /// established connection that waits for an answer after 924. Datagrams are lost.
    pub fn partition(&self, one: &Host, other: &Host) {
        self.0.world().partition(one.id, other.id);
    }

    /// Resets all connections between two hosts.
    pub fn reset(&self, one: &Host, other: &Host) {
        self.0.world().reset(one.id, other.id);
    }

    /// Crashes a host, and starts it again at once. Operations on its sockets fail from now on,
    /// and a peer of one of its connections gets a reset when it sends. Tasks are left alone.
    pub fn crash(&self, host: &Host) {
        self.0.world().crash(host.id);
    }

    /// Takes all descriptors of a host that are free, until [`heal`](SimulatedNet::heal): no
    /// further socket can be made there.
    pub fn shortage(&self, host: &Host) {
        self.0.world().hosts[host.id].short = true;
    }

    /// Ends partitions, shortages, losses and doublings. A correct program then finishes.
    pub fn heal(&self) {
        self.0.world().heal();
    }

    /// Sets the probability that a datagram is lost.
    pub fn loss(&self, probability: f64) {
        self.0.world().settings.loss = probability;
    }

    /// Sets the probability that a datagram arrives twice.
    pub fn duplication(&self, probability: f64) {
        self.0.world().settings.duplication = probability;
    }

    /// What has happened to packets, one line an event, of the last 65,536 events. On a virtual
    /// clock it depends on the program and the seed alone.
    pub fn trace(&self) -> String {
        self.0.world().trace.text()
    }
}

impl Host {
    /// Its address of IPv4.
    pub fn ip(&self) -> IpAddr {
        self.net.world().hosts[self.id].ips[0]
    }

    /// Its address of IPv6.
    pub fn ip_v6(&self) -> IpAddr {
        self.net.world().hosts[self.id].ips[1]
    }

    /// Runs `body` on this host. Tasks that are spawned meanwhile run there, too (K10).
    ///
    /// # Cancellation
    ///
    /// That of `body`.
    pub async fn run<T>(&self, body: impl AsyncFnOnce() -> T) -> T {
        HERE.scope(self.id, body()).await
    }
}

impl fmt::Debug for SimulatedNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedNet").finish_non_exhaustive()
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Host").field(&self.net.world().hosts[self.id].name).finish()
    }
}

kernel::task_local! {
    /// The host on which a task runs.
    static HERE: HostId;
}

/// A network, shared by its sockets.
#[derive(Debug, Clone)]
pub(crate) struct Network(Arc<Mutex<World>>);

/// A network as the extension of its kernel.
struct Attached(Network);

/// The simulated network of the kernel that runs on this thread, if it has one.
pub(crate) fn current() -> Option<Network> {
    kernel::extension().map(|attached: Rc<Attached>| attached.0.clone())
}

#[cold]
pub(crate) fn unsupported() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "a simulated socket has no descriptor")
}

impl Network {
    fn is(&self, other: &Network) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    fn world(&self) -> MutexGuard<'_, World> {
        let mut world = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kernel::is_running() {
            world.set_now(kernel::now());
        }
        world
    }

    /// Begins a connection from the host of the current task.
    pub(crate) fn connect(&self, to: SocketAddr) -> io::Result<End> {
        let id = self.world().connect(here(), to)?;
        Ok(End::new(self.clone(), id))
    }

    /// Listens on the host of the current task.
    pub(crate) fn listen(&self, address: SocketAddr, backlog: i32) -> io::Result<End> {
        let backlog = usize::try_from(backlog).unwrap_or(0);
        let id = self.world().listen(here(), address, backlog)?;
        Ok(End::new(self.clone(), id))
    }

    /// Binds a socket for datagrams on the host of the current task.
    pub(crate) fn bind_datagrams(&self, address: SocketAddr) -> io::Result<End> {
        let id = self.world().bind_datagrams(here(), address)?;
        Ok(End::new(self.clone(), id))
    }
}

fn here() -> HostId {
    HERE.try_with(|host| *host).unwrap_or(MAIN)
}

impl Extension for Attached {
    fn begin(&self, seed: Option<u64>, now: Instant) {
        self.0.world().begin(seed.unwrap_or(0), now);
    }

    fn next_event(&self) -> Option<Instant> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).next_event()
    }

    fn handle_events(&self, now: Instant) {
        let mut world = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        world.set_now(now);
        let reports = world.advance();
        drop(world);
        for (token, readiness) in reports {
            kernel::io::report_readiness(token, readiness);
        }
    }
}
