//! hickory-resolver on Curium: a resolver of DNS without a runtime of tokio.
//!
//! [`GroupProvider`] gives hickory its sockets, timers and tasks. Everything else is hickory's: its
//! configuration, its cache, and its records. To connect to a host by name none of this is needed:
//! `TcpStream::connect(("example.org", 80))` asks the system, in a thread.
//!
//! A look-up is a wait of another crate: put [`cancellable`](curium::cancellable) around it. When
//! it is dropped, its question is given up, and the resolver goes on.
//!
//! ```
//! use curium::{cancellable, kernel::GroupRef, prelude::*};
//! use curium_hickory::GroupProvider;
//! use hickory_resolver::{Resolver, config::{NameServerConfig, ResolverConfig}};
//!
//! type Anything = Box<dyn std::error::Error + Send + Sync>;
//!
//! /// Asks one name server for the addresses of a host.
//! async fn addresses(server: std::net::IpAddr, host: &str) -> Result<(), Anything> {
//!     TaskGroup::scope(async |group| {
//!         let servers = vec![NameServerConfig::udp_and_tcp(server)];
//!         let config = ResolverConfig::from_name_servers(servers);
//!         let provider = GroupProvider::new(group);
//!         let resolver = Resolver::builder_with_config(config, provider).build()?;
//!         for address in cancellable(resolver.lookup_ip(host)).await??.iter() {
//!             println!("{address}");
//!         }
//!         Ok(())
//!     })
//!     .await // connections to the name server end here
//! }
//! ```

mod provider;
mod sockets;
mod time;

pub use crate::provider::GroupProvider;
pub use crate::sockets::{DnsSocket, DnsStream};
pub use crate::time::KernelTime;
