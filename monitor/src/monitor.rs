//! The settings of a monitor.

use std::env;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use kernel::bounds::Main;
#[cfg(feature = "cores")]
use kernel::bounds::{CoreMain, CoreOutput, HoldsCancellation};
use kernel::{Builder, Kernel};
#[cfg(feature = "cores")]
use kernel::{CoreErrors, Cores};

use crate::attached::{Attached, Hub, warn};
use crate::listen::Place;
use crate::world::Rights;

/// The port of curio's monitor.
const PORT: u16 = 48802;

/// The variable that starts a monitor.
const VARIABLE: &str = "CURIUM_MONITOR";

/// Settings of a monitor, for [`MonitorExt::monitor`].
///
/// By default it listens on port 48802 of 127.0.0.1, as curio's does, and only looks.
#[must_use = "a monitor is given to the builder of a kernel"]
pub struct Monitor {
    pub(crate) place: Place,
    pub(crate) rights: Rights,
    pub(crate) announce: Option<Announce>,
}

pub(crate) type Announce = Box<dyn Fn(&Listening) + Send>;

/// Where a monitor listens.
#[derive(Clone)]
pub struct Listening {
    pub(crate) at: String,
    pub(crate) token: String,
}

impl Listening {
    /// The address and port, or the path of the socket.
    pub fn at(&self) -> &str {
        &self.at
    }

    /// What a page must send with a request that changes something.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The address of the live page, with the token. None: it listens at a socket that no browser
    /// connects to.
    pub fn page(&self) -> Option<String> {
        let address: SocketAddr = self.at.parse().ok()?;
        Some(format!("http://{address}/?token={}", self.token))
    }
}

/// The address.
impl fmt::Display for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.at)
    }
}

/// The address. The token is a secret.
impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listening").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Default for Monitor {
    fn default() -> Self {
        Monitor::new()
    }
}

impl Monitor {
    /// A monitor with the default settings.
    pub fn new() -> Self {
        let place = Place::Port(([127, 0, 0, 1], PORT).into());
        Monitor { place, rights: Rights::default(), announce: None }
    }

    /// The monitor that the variable `CURIUM_MONITOR` asks for, if it is set.
    ///
    /// | value | the monitor listens |
    /// |---|---|
    /// | empty, `0` | there is none |
    /// | `1` | at the default port |
    /// | `unix` | as [`unix`](Self::unix) says |
    /// | a path with a `/` | at that path |
    /// | an address and port, or a port | there; the address must be of this machine alone |
    ///
    /// Another value is a warning, and there is no monitor.
    pub fn from_env() -> Option<Self> {
        let value = env::var(VARIABLE).ok()?;
        let place = match &*value {
            "" | "0" => return None,
            "1" => return Some(Monitor::new()),
            "unix" => Place::OwnPath,
            path if path.contains('/') => Place::Path(path.into()),
            address => match address.parse().map(|port: u16| ([127, 0, 0, 1], port).into()) {
                Ok(address) => Place::Port(address),
                Err(_) => match address.parse() {
                    Ok(address) => Place::Port(address),
                    Err(_) => {
                        warn(&format!(
                            "{VARIABLE}={value:?} is no address and no path, so there is no \
                             monitor; write 1, unix, a port, an address with its port, or a path \
                             with a `/`"
                        ));
                        return None;
                    }
                },
            },
        };
        Some(Monitor { place, ..Monitor::new() })
    }

    /// Listens at another port. With port 0 the system chooses one ([`announce`](Self::announce)).
    ///
    /// Only an address of this machine alone is taken, because every user that can connect sees
    /// what the program does. With another one there is a warning and no monitor.
    pub fn address(mut self, address: impl Into<SocketAddr>) -> Self {
        self.place = Place::Port(address.into());
        self
    }

    /// Listens at a socket that only the user of this process can connect to:
    /// `$XDG_RUNTIME_DIR/curium/PID.sock`, of mode 0600. It is removed when the kernel ends.
    pub fn unix(mut self) -> Self {
        self.place = Place::OwnPath;
        self
    }

    /// The same at a path of one's own. A socket there that nothing listens at is replaced.
    pub fn unix_at(mut self, path: impl Into<PathBuf>) -> Self {
        self.place = Place::Path(path.into());
        self
    }

    /// Lets clients cancel tasks.
    pub fn allow_cancel(mut self) -> Self {
        self.rights.cancel = true;
        self
    }

    /// Lets clients send signals to this process.
    pub fn allow_signals(mut self) -> Self {
        self.rights.signal = true;
        self
    }

    /// Sets a function that is called when the monitor listens, instead of a line on standard
    /// error. It runs on the thread that makes the kernel, the first one of several.
    pub fn announce(mut self, announce: impl Fn(&Listening) + Send + 'static) -> Self {
        self.announce = Some(Box::new(announce));
        self
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Monitor { place, rights, .. } = self;
        f.debug_struct("Monitor").field("place", place).field("rights", rights).finish()
    }
}

/// Adds [`monitor`](Self::monitor) to the builder of a kernel, and to the settings of several.
///
/// For `Cores` it is there with the feature `cores`.
pub trait MonitorExt {
    /// Gives the kernel a monitor: a thread that answers other programs. It starts when the kernel
    /// is made, and has ended when the kernel is dropped. If it cannot listen there, as when the
    /// port is taken, that is a warning, and the program runs without it.
    ///
    /// Of several cores, one monitor shows all: it starts when the first kernel is made, and ends
    /// with the last one. A task is named with its core in front, as in `1:42`. A core that blocks
    /// its thread is named, and the others are shown. It takes the place of a watcher that the
    /// builder of a core has.
    ///
    /// That a monitor exists is no reason for a kernel to wait: a deadlock is still found, and a
    /// hang still reported.
    ///
    /// [`Monitor::from_env`] may be given as it is: `None` changes nothing.
    ///
    /// ```
    /// use curium::prelude::*;
    /// use curium::{Kernel, monitor::Monitor};
    ///
    /// let monitor = Monitor::new().address(([127, 0, 0, 1], 0)).allow_cancel();
    /// Kernel::builder().monitor(monitor).run(async || sleep(Duration::from_millis(1)).await)?;
    /// # Ok::<(), TaskCancelled>(())
    /// ```
    #[must_use]
    fn monitor(self, monitor: impl Into<Option<Monitor>>) -> Self;
}

impl MonitorExt for Builder {
    fn monitor(self, monitor: impl Into<Option<Monitor>>) -> Self {
        match monitor.into() {
            Some(monitor) => self.watcher(Attached::to(&Hub::new(monitor))),
            None => self,
        }
    }
}

#[cfg(feature = "cores")]
impl MonitorExt for Cores {
    fn monitor(self, monitor: impl Into<Option<Monitor>>) -> Self {
        let Some(monitor) = monitor.into() else { return self };
        let hub = Hub::new(monitor);
        self.watcher(move || Attached::to(&hub))
    }
}

/// [`kernel::run`] with a monitor: the one that `CURIUM_MONITOR` asks for
/// ([`Monitor::from_env`]), or else one with the default settings.
///
/// # Panics
///
/// As [`kernel::run`].
#[track_caller]
pub fn run_with_monitor<T>(main: impl Main<T>) -> T {
    let monitor = Monitor::from_env().unwrap_or_default();
    Kernel::builder().monitor(monitor).run(main)
}

/// [`kernel::run`], with a monitor if the variable `CURIUM_MONITOR` asks for one
/// ([`Monitor::from_env`]). `curium::run` is this function if the feature `monitor` is on.
///
/// # Panics
///
/// As [`kernel::run`].
#[doc(alias = "block_on")]
#[track_caller]
pub fn run<T>(main: impl Main<T>) -> T {
    match Monitor::from_env() {
        Some(monitor) => Kernel::builder().monitor(monitor).run(main),
        None => kernel::run(main),
    }
}

/// [`kernel::kernels`], with one monitor for all cores if the variable `CURIUM_MONITOR` asks for one
/// ([`Monitor::from_env`]), and `cores` has none. That one takes the place of a watcher, also of
/// another monitor, that the builder of a core has. `curium::kernels` is this function if the
/// features `monitor` and `cores` are on.
///
/// # Errors
///
/// As [`kernel::kernels`].
///
/// # Panics
///
/// As [`kernel::kernels`].
#[cfg(feature = "cores")]
#[track_caller]
pub fn kernels<M, R>(
    cores: impl Into<Cores>,
    main: M,
) -> Result<Vec<R::Value>, CoreErrors<R::Error>>
where
    M: CoreMain<R>,
    // The compiler shows the next lines when it refuses what a core would share or send.
    M: Sync, // all cores share it: capture atomics, a `Mutex` or a channel, or make it inside
    R: CoreOutput,
    R::Value: Send, // it is sent back to the thread that called `kernels`
    R::Error: HoldsCancellation + Send,
{
    let cores = cores.into();
    let wanted = if cores.is_watched() { None } else { Monitor::from_env() };
    kernel::kernels(cores.monitor(wanted), main)
}
