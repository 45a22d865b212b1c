//! A server and its clients, for the tests.

use std::cell::RefCell;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use curium::kernel::testing;
use curium::kernel::{GroupRef, Kernel, cancellable};
use quinn::rustls::RootCertStore;
use quinn::rustls::pki_types::PrivatePkcs8KeyDer;
use quinn::{ClientConfig, Connection, Endpoint, ServerConfig, TransportConfig};

pub(crate) type Anything = Box<dyn Error + Send + Sync>;

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Any port of the loopback.
pub(crate) const HERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Runs `main`, checks that nothing is left, and that nothing is reported.
#[track_caller]
pub(crate) fn quiet<T>(main: impl AsyncFnOnce() -> T) -> T {
    let reports = Rc::new(RefCell::new(Vec::new()));
    let sink = reports.clone();
    let builder = Kernel::builder();
    let builder = builder.on_report(move |report| sink.borrow_mut().push(report.to_string()));
    let value = testing::run_with(builder, main);
    assert_eq!(reports.take(), Vec::<String>::new());
    value
}

/// The configurations of a server and of a client that trusts it. A connection has room for 1000
/// bytes that are not read, and for one stream of each kind.
fn configurations() -> Result<(ServerConfig, ClientConfig), Anything> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let certificate = made.cert.der().clone();
    let mut trusted = RootCertStore::empty();
    trusted.add(certificate.clone())?;
    let mut transport = TransportConfig::default();
    transport.max_concurrent_bidi_streams(1_u32.into()).max_concurrent_uni_streams(1_u32.into());
    transport.stream_receive_window(1000_u32.into());
    let transport = Arc::new(transport);
    let mut server = ServerConfig::with_single_cert(vec![certificate], key.into())?;
    server.transport_config(transport.clone());
    let mut client = ClientConfig::with_root_certificates(Arc::new(trusted))?;
    client.transport_config(transport);
    Ok((server, client))
}

/// A server in `servers` and a client in `clients`.
pub(crate) fn endpoints(
    servers: GroupRef<Anything>,
    clients: GroupRef<Anything>,
) -> Result<(Endpoint, Endpoint), Anything> {
    let (of_server, of_client) = configurations()?;
    let server = curium_quinn::server(servers, of_server, HERE)?;
    let mut client = curium_quinn::client(clients, HERE)?;
    client.set_default_client_config(of_client);
    Ok((server, client))
}

/// A connection: its end at the server, and that at the client.
pub(crate) async fn connected(
    server: &Endpoint,
    client: &Endpoint,
) -> Result<(Connection, Connection), Anything> {
    let connecting = client.connect(server.local_addr()?, "localhost")?;
    let incoming = cancellable(server.accept()).await?.ok_or("it is closed")?;
    let (theirs, ours) = curium::gather((cancellable(incoming), cancellable(connecting))).await?;
    Ok((theirs?, ours?))
}

/// Sends a byte over a stream of its own.
pub(crate) async fn ping(from: &Connection, to: &Connection) -> Result<(), Anything> {
    let mut sender = cancellable(from.open_uni()).await??;
    cancellable(sender.write_all(b"!")).await??;
    sender.finish()?;
    let mut receiver = cancellable(to.accept_uni()).await??;
    assert_eq!(cancellable(receiver.read_to_end(10)).await??, b"!");
    Ok(())
}
