//! Where a socket comes from: the system, or a simulated network.

use std::io;

use kernel::io::Registration;
use mio::event::Source;
use mio::{Interest, Registry, Token};

#[cfg(all(unix, feature = "simulated-net"))]
use crate::simulated::End;

/// A socket of the system, `S`, or one of a simulated network.
#[derive(Debug)]
pub(crate) enum Origin<S> {
    System(S),
    #[cfg(all(unix, feature = "simulated-net"))]
    Simulated(End),
}

/// The same expression for a socket of either origin.
macro_rules! either {
    ($origin:expr, $socket:ident => $do:expr) => {
        match $origin {
            $crate::origin::Origin::System($socket) => $do,
            #[cfg(all(unix, feature = "simulated-net"))]
            $crate::origin::Origin::Simulated($socket) => $do,
        }
    };
}
pub(crate) use either;

impl<S> Origin<S> {
    /// The socket of the system, for what a simulated one does not have.
    ///
    /// # Errors
    ///
    /// `Unsupported` for a simulated one.
    pub(crate) fn of_system(&self) -> io::Result<&S> {
        match self {
            Origin::System(socket) => Ok(socket),
            #[cfg(all(unix, feature = "simulated-net"))]
            Origin::Simulated(_) => Err(crate::simulated::unsupported()),
        }
    }

    /// Whether the poll of the system knows nothing of it.
    pub(crate) fn is_in_memory(&self) -> bool {
        !matches!(self, Origin::System(_))
    }
}

impl<S: Source> Source for Origin<S> {
    fn register(&mut self, to: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        either!(self, socket => socket.register(to, token, interests))
    }

    fn reregister(&mut self, to: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        either!(self, socket => socket.reregister(to, token, interests))
    }

    fn deregister(&mut self, from: &Registry) -> io::Result<()> {
        either!(self, socket => socket.deregister(from))
    }
}

/// A registration of a socket, which is in memory or has events in the poll.
pub(crate) fn registration<S: Source>(socket: S, in_memory: bool) -> Registration<S> {
    if in_memory { Registration::in_memory(socket) } else { Registration::new(socket) }
}
