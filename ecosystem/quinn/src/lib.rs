//! quinn on Curium: endpoints of QUIC whose tasks belong to a group.
//!
//! [`server`] and [`client`] make an endpoint of quinn, which is used as anywhere else: its methods
//! are quinn's. Each wait of quinn is one of another crate: put
//! [`cancellable`](curium::cancellable) around it. What a cancel in the middle does is quinn's
//! doing: a wait for a stream, a datagram or a connection loses none of them; a stream that is
//! dropped while it is read or written is stopped, or finished where it is, so
//! [`reset`](quinn::SendStream::reset) what the peer must not take for the whole.
//!
//! quinn drives an endpoint and each connection by a task. These are daemons of the group and end
//! with it (rule E1 of `docs/semantics.md`), which says nothing to the peers: they wait out their
//! idle limit. So [close](quinn::Endpoint::close) the endpoint, and await
//! [`wait_idle`](quinn::Endpoint::wait_idle), before its group ends.
//!
//! ```
//! use std::sync::Arc;
//! use curium::{cancellable, prelude::*};
//! use quinn::rustls::{RootCertStore, pki_types::PrivatePkcs8KeyDer};
//! use quinn::{ClientConfig, ServerConfig};
//!
//! # type Anything = Box<dyn std::error::Error + Send + Sync>;
//! curium::run(async || {
//!     let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
//!     let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
//!     let certificate = made.cert.der().clone();
//!     let config = ServerConfig::with_single_cert(vec![certificate.clone()], key.into())?;
//!     let mut trusted = RootCertStore::empty();
//!     trusted.add(certificate)?;
//!
//!     TaskGroup::scope(async |group| {
//!         let server = curium_quinn::server(group, config, "127.0.0.1:0".parse()?)?;
//!         let address = server.local_addr()?;
//!         group.spawn(async move {
//!             let incoming = cancellable(server.accept()).await?.expect("it is open");
//!             let connection = cancellable(incoming).await??;
//!             let mut stream = cancellable(connection.open_uni()).await??;
//!             cancellable(stream.write_all(b"hello")).await??;
//!             stream.finish()?;
//!             cancellable(connection.closed()).await?;
//!             Ok::<_, Anything>(())
//!         });
//!
//!         let mut client = curium_quinn::client(group, "127.0.0.1:0".parse()?)?;
//!         let trusting = ClientConfig::with_root_certificates(Arc::new(trusted))?;
//!         client.set_default_client_config(trusting);
//!         let connection = cancellable(client.connect(address, "localhost")?).await??;
//!         let mut stream = cancellable(connection.accept_uni()).await??;
//!         assert_eq!(cancellable(stream.read_to_end(100)).await??, b"hello");
//!         connection.close(0_u32.into(), b"done");
//!         cancellable(client.wait_idle()).await?;
//!         Ok::<_, Anything>(())
//!     })
//!     .await
//! })
//! # .unwrap();
//! ```

mod room;
mod runtime;
mod socket;

pub use crate::runtime::{GroupRuntime, client, server};
