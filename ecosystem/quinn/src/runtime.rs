//! The runtime: what quinn spawns belongs to a group, and its timers are the kernel's.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use curium::kernel::{self, GroupRef, TaskCancelled, Timer};
use quinn::{AsyncTimer, AsyncUdpSocket, Endpoint, EndpointConfig, Runtime, ServerConfig};

use crate::socket::Socket;

/// A server, which is bound to `address` and accepts connections with `config`. It may connect to
/// others as well, once it has a
/// [configuration](Endpoint::set_default_client_config) for that.
///
/// # Errors
///
/// Those of the system: the address is in use, for example.
pub fn server<E>(
    group: GroupRef<E>,
    config: ServerConfig,
    address: SocketAddr,
) -> io::Result<Endpoint>
where
    E: From<TaskCancelled> + fmt::Debug + 'static,
{
    endpoint(group, Some(config), address)
}

/// An endpoint that only connects to others. `address` is its own, usually `0.0.0.0:0` or
/// `[::]:0`. Each connect needs a configuration, or all of them
/// [one](Endpoint::set_default_client_config).
///
/// # Errors
///
/// Those of the system.
pub fn client<E>(group: GroupRef<E>, address: SocketAddr) -> io::Result<Endpoint>
where
    E: From<TaskCancelled> + fmt::Debug + 'static,
{
    endpoint(group, None, address)
}

fn endpoint<E>(
    group: GroupRef<E>,
    config: Option<ServerConfig>,
    address: SocketAddr,
) -> io::Result<Endpoint>
where
    E: From<TaskCancelled> + fmt::Debug + 'static,
{
    let socket = std::net::UdpSocket::bind(address)?;
    let runtime = Arc::new(GroupRuntime::new(group));
    Endpoint::new(EndpointConfig::default(), config, socket, runtime)
}

/// Spawns what quinn spawns as daemons of a group. The group does not wait for them, and when it
/// ends, they are dropped. Timers count by the clock of the kernel.
///
/// [`server`] and [`client`] use it. It is for endpoints with settings of their own:
///
/// ```
/// use std::sync::Arc;
/// use curium::kernel::GroupRef;
/// use curium_quinn::GroupRuntime;
/// use quinn::{Endpoint, EndpointConfig};
///
/// fn endpoint(group: GroupRef<std::io::Error>) -> std::io::Result<Endpoint> {
///     let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
///     let mut config = EndpointConfig::default();
///     config.max_udp_payload_size(1500).expect("it is in range");
///     Endpoint::new(config, None, socket, Arc::new(GroupRuntime::new(group)))
/// }
/// # curium::run(async || {
/// #     curium::TaskGroup::scope(async |group| endpoint(group).map(drop)).await
/// # }).unwrap();
/// ```
///
/// Once the group has ended, and outside its kernel, what is to be spawned is dropped.
pub struct GroupRuntime<E>(GroupRef<E>);

impl<E> GroupRuntime<E> {
    /// A runtime that spawns in `group`.
    pub fn new(group: GroupRef<E>) -> Self {
        GroupRuntime(group)
    }
}

impl<E> Runtime for GroupRuntime<E>
where
    E: From<TaskCancelled> + fmt::Debug + 'static,
{
    #[track_caller]
    fn new_timer(&self, deadline: Instant) -> Pin<Box<dyn AsyncTimer>> {
        Box::pin(KernelTimer(Timer::at(deadline)))
    }

    #[track_caller]
    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        if !kernel::is_running() {
            return;
        }
        // No code of Curium runs in what quinn spawns, so it is dropped at once.
        let task = async { kernel::cancellable(future).await.map_err(E::from) };
        // That the group has ended is no error here: the endpoint has lost its driver as well.
        let _ = self.0.try_spawn_daemon(task);
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Ok(Arc::new(Socket::new(socket)?))
    }

    fn now(&self) -> Instant {
        if kernel::is_running() { kernel::now() } else { Instant::now() }
    }
}

impl<E> fmt::Debug for GroupRuntime<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupRuntime").finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct KernelTimer(Timer);

impl AsyncTimer for KernelTimer {
    fn reset(mut self: Pin<&mut Self>, deadline: Instant) {
        self.0.reset(deadline);
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx)
    }
}
