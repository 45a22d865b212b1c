//! The provider: what hickory asks a runtime for.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::time::Duration;

use curium::kernel::{self, GroupRef, TaskCancelled, cancellable_inside, timeout_after};
use curium::net::{TcpOptions, UdpSocket};
use futures::channel::oneshot;
use hickory_resolver::net::runtime::{RuntimeProvider, Spawn};

use crate::sockets::{DnsSocket, DnsStream};
use crate::time::KernelTime;

/// The time in which a name server must have taken a connection, unless hickory names one.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Gives hickory sockets and timers of Curium, and spawns what it spawns as daemons of a group,
/// which does not wait for them, and with which they end.
///
/// Once the group has ended, and outside its kernel, what is to be spawned is dropped, and a
/// look-up that needs it gets an error.
pub struct GroupProvider<E>(GroupRef<E>);

impl<E> GroupProvider<E> {
    /// A provider that spawns in `group`.
    pub fn new(group: GroupRef<E>) -> Self {
        GroupProvider(group)
    }
}

impl<E> Spawn for GroupProvider<E>
where
    E: From<TaskCancelled> + fmt::Debug + 'static,
{
    #[track_caller]
    fn spawn_bg(&mut self, future: impl Future<Output = ()> + Send + 'static) {
        self.spawn(future);
    }
}

impl<E> GroupProvider<E>
where
    E: From<TaskCancelled> + fmt::Debug + 'static,
{
    #[track_caller]
    fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        if kernel::is_running() {
            let task = async { cancellable_inside(future).await.map_err(E::from) };
            // That the group has ended is no error here: what it would have served has ended too.
            let _ = self.0.try_spawn_daemon(task);
        }
    }
}

type Started<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

impl<E> RuntimeProvider for GroupProvider<E>
where
    E: From<TaskCancelled> + fmt::Debug + 'static,
{
    type Handle = Self;
    type Timer = KernelTime;
    type Udp = DnsSocket;
    type Tcp = DnsStream;

    fn create_handle(&self) -> Self {
        self.clone()
    }

    /// A daemon connects, because hickory demands a future that is `Send`.
    fn connect_tcp(
        &self,
        server: SocketAddr,
        local: Option<SocketAddr>,
        limit: Option<Duration>,
    ) -> Started<DnsStream> {
        let (sender, receiver) = oneshot::channel();
        self.spawn(async move {
            let options = TcpOptions::new().nodelay(true);
            let options = local.into_iter().fold(options, TcpOptions::local_addr);
            let connected = timeout_after(limit.unwrap_or(CONNECT_LIMIT), options.connect(server));
            let connected = connected.await.unwrap_or_else(|late| Err(io::Error::from(late)));
            // The one that has asked may be gone.
            let _ = sender.send(connected.map(DnsStream::new));
        });
        Box::pin(async { receiver.await.map_err(|_| io::Error::other("the group has ended"))? })
    }

    fn bind_udp(&self, local: SocketAddr, _: SocketAddr) -> Started<DnsSocket> {
        // It does not wait, as there is no name to look up; and so it is not kept, which would not
        // be `Send`.
        Box::pin(poll_fn(move |cx| pin!(UdpSocket::bind(local)).poll(cx).map_ok(DnsSocket::new)))
    }
}

impl<E> Clone for GroupProvider<E> {
    fn clone(&self) -> Self {
        GroupProvider(self.0)
    }
}

impl<E> fmt::Debug for GroupProvider<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupProvider").finish_non_exhaustive()
    }
}
