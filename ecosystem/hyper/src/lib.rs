//! hyper 1 on Curium, and what is built on hyper: axum, tower, a client with a pool.
//!
//! A [`TcpStream`] has hyper's stream traits by itself (feature `hyper` of `curium`). This crate
//! adds what else hyper asks a runtime for: an [executor](GroupExecutor), whose tasks belong to a
//! group and end with it, and a [timer](KernelTimer). [`serve`] is a server of HTTP/1 and HTTP/2
//! that stops gracefully; [`serve_router`] is the same for axum. [`local`] runs code that is not
//! `Send`, as Curium's is, where `Send` is demanded.
//!
//! ```
//! use std::convert::Infallible;
//! use curium::net::{TcpListener, TcpStream};
//! use curium::prelude::*;
//! use hyper::service::service_fn;
//! use hyper::{Request, Response, body::Incoming};
//!
//! /// The handler is code of Curium: it may wait, and is cancelled when its client is gone.
//! async fn hello(request: Request<Incoming>) -> Result<Response<String>> {
//!     sleep(Duration::from_millis(1)).await?;
//!     Ok(Response::new(format!("hello {}\n", request.uri().path())))
//! }
//!
//! curium::run(async || {
//!     let listener = TcpListener::bind("127.0.0.1:0").await?;
//!     let address = listener.local_addr()?;
//!     let server = curium_hyper::serve(listener, service_fn(hello));
//!     let server = spawn(server.drain(Duration::from_secs(10)));
//!
//!     let client = TcpStream::connect(address).await?;
//!     client.write_all(b"GET /you HTTP/1.0\r\n\r\n").await?;
//!     let mut answer = String::new();
//!     let mut buf = [0; 1024];
//!     loop {
//!         match client.read(&mut buf).await? {
//!             0 => break,
//!             n => answer.push_str(std::str::from_utf8(&buf[..n]).unwrap()),
//!         }
//!     }
//!     assert!(answer.starts_with("HTTP/1.0 200 OK"));
//!     assert!(answer.ends_with("hello /you\n"));
//!     server.cancel().await?; // requests that are in flight are answered first
//!     Ok::<_, std::io::Error>(())
//! })?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! [`TcpStream`]: curium::net::TcpStream

#[cfg(feature = "axum")]
mod axum;
#[cfg(feature = "client")]
mod client;
mod connection;
#[cfg(all(unix, feature = "cores"))]
mod cores;
mod executor;
mod first_bytes;
mod local;
mod quiet;
mod timer;
mod upgrade;

#[cfg(feature = "axum")]
pub use crate::axum::serve_router;
#[cfg(feature = "client")]
pub use crate::client::{ClientStream, Connecting, Connector, client};
pub use crate::connection::{Builder, serve, serve_connection, serve_with};
#[cfg(all(unix, feature = "cores"))]
pub use crate::cores::serve_on_cores;
pub use crate::executor::GroupExecutor;
pub use crate::local::{Local, LocalEnded, local};
pub use crate::timer::KernelTimer;
pub use crate::upgrade::upgraded;
