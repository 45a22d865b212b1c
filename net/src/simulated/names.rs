//! Look-ups by name.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::Network;
use super::world::World;

impl World {
    /// The addresses of a name, in the order of its host, IPv6 first.
    fn addresses(&self, name: &str) -> Option<Vec<IpAddr>> {
        if let Some(addresses) = self.names.get(name) {
            return Some(addresses.clone());
        }
        if name == "localhost" {
            return Some(vec![Ipv4Addr::LOCALHOST.into()]);
        }
        let host = self.hosts.iter().find(|host| host.name == name)?;
        Some(host.ips.into_iter().rev().collect())
    }
}

impl Network {
    /// Looks up a host with a port, such as `server:80`. The answer takes as long as a packet there
    /// and one back.
    pub(crate) async fn look_up(&self, named: &str) -> io::Result<Vec<SocketAddr>> {
        let time = {
            let mut world = self.world();
            let (least, most) = world.settings.latency;
            world.random.duration(2 * least, 2 * most)
        };
        kernel::sleep(time).await?;
        let (name, port) = named.rsplit_once(':').unwrap_or((named, ""));
        let port = port.parse().map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidInput, "there is no number of a port")
        })?;
        let found = self.world().addresses(name).ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, "the simulated network has no such name")
        })?;
        Ok(found.into_iter().map(|ip| (ip, port).into()).collect())
    }
}
