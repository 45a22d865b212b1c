//! Unix sockets: connections and datagrams between processes of one machine.

mod address;
mod datagram;
mod listener;
mod pauses;
mod stream;

pub use self::address::ToUnixAddr;
pub use self::datagram::UnixDatagram;
pub use self::listener::{UnixListener, unix_server};
#[cfg(any(target_os = "linux", target_os = "android"))]
pub use self::stream::PeerCred;
pub use self::stream::UnixStream;
