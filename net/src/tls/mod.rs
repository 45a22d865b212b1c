//! TLS over any stream (N13).
//!
//! The protocol is that of rustls, which does no input and output: `stream.rs` moves its bytes.

mod halves;
mod handshake;
mod stream;

use std::fmt;
use std::io;
use std::panic::Location;
use std::sync::Arc;

use ::io::{AsyncRead, AsyncWrite};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};

pub use self::halves::{TlsReadHalf, TlsWriteHalf};
pub use self::stream::TlsStream;
use crate::tls::handshake::handshake;

/// Makes TLS connections as a client, over streams that are connected.
///
/// What it trusts, its own certificate and the protocols that it offers (ALPN) are in the
/// configuration, which is that of [`rustls`](crate::rustls). Clones share it.
///
/// ```no_run
/// use std::io;
/// use std::sync::Arc;
/// use curium::io::{ReadExt, WriteExt};
/// use curium::net::rustls::pki_types::{CertificateDer, pem::PemObject};
/// use curium::net::rustls::{ClientConfig, RootCertStore};
/// use curium::net::{TcpStream, TlsConnector};
///
/// async fn fetch(host: &str, authority: &str) -> io::Result<Vec<u8>> {
///     let authority = CertificateDer::from_pem_file(authority).map_err(io::Error::other)?;
///     let mut roots = RootCertStore::empty();
///     roots.add(authority).map_err(io::Error::other)?;
///     let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
///     let connector = TlsConnector::new(config);
///
///     let stream = TcpStream::connect((host, 443)).await?;
///     let mut stream = connector.connect(host, stream).await?;
///     stream.write_all(format!("GET / HTTP/1.0\r\nHost: {host}\r\n\r\n").as_bytes()).await?;
///     stream.flush().await?;
///     let mut page = Vec::new();
///     stream.read_to_end(&mut page).await?; // an error if the page was cut
///     Ok(page)
/// }
/// ```
#[derive(Clone)]
pub struct TlsConnector {
    config: Arc<ClientConfig>,
}

impl TlsConnector {
    /// A connector with this configuration, which may be shared with others.
    pub fn new(config: impl Into<Arc<ClientConfig>>) -> Self {
        TlsConnector { config: config.into() }
    }

    /// Connects as the client of the server `name`: the name of a host, which the server is sent
    /// (SNI), or an IP address. The certificate of the server must be valid for it.
    ///
    /// It waits as long as the peer takes. Put a limit round it with `timeout_after`.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if `name` is no name; `InvalidData` with a `rustls::Error` if the certificate
    /// is not valid, or the two have no protocol in common; `UnexpectedEof` if the peer ends the
    /// stream; an error of the stream; a cancellation. A server of TLS 1.3 that refuses the
    /// certificate of the client says so later, to the first read.
    ///
    /// # Cancellation
    ///
    /// The stream is dropped, which closes it: a handshake cannot be continued or begun again.
    #[track_caller]
    pub fn connect<S>(
        &self,
        name: &str,
        stream: S,
    ) -> impl Future<Output = io::Result<TlsStream<S>>> + use<S>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let named = ServerName::try_from(name.to_owned()).map_err(|error| {
            let text = format!("{name:?} is neither the name of a host nor an address: {error}");
            io::Error::new(io::ErrorKind::InvalidInput, text)
        });
        let (config, site) = (self.config.clone(), Location::caller());
        // In a box, because every async function that begins a connection has room for its future.
        Box::pin(async move {
            let name = named?;
            let session = ClientConnection::new(config, name).map_err(io::Error::other)?;
            handshake(TlsStream::new(stream, session.into()), site).await
        })
    }
}

/// Makes TLS connections as a server, over streams that were accepted.
///
/// The certificates, what it asks of its clients, and the protocols (ALPN) are in the
/// configuration, which is that of [`rustls`](crate::rustls). Clones share it.
///
/// ```no_run
/// use std::io;
/// use std::sync::Arc;
/// use curium::io::{ReadExt, WriteExt};
/// use curium::net::rustls::ServerConfig;
/// use curium::net::{TcpListener, TlsAcceptor};
///
/// async fn serve(listener: TcpListener, config: Arc<ServerConfig>) -> io::Result<()> {
///     let acceptor = TlsAcceptor::new(config);
///     let handler = async move |stream, _peer| {
///         let mut stream = acceptor.accept(stream).await?;
///         stream.write_all(b"hello\n").await?;
///         stream.close().await // flushes, and says that nothing is missing
///     };
///     listener.serve(handler).await
/// }
/// ```
#[derive(Clone)]
pub struct TlsAcceptor {
    config: Arc<ServerConfig>,
}

impl TlsAcceptor {
    /// An acceptor with this configuration, which may be shared with others.
    pub fn new(config: impl Into<Arc<ServerConfig>>) -> Self {
        TlsAcceptor { config: config.into() }
    }

    /// Accepts a client.
    ///
    /// It waits as long as the peer takes. Put a limit round it with `timeout_after`.
    ///
    /// # Errors
    ///
    /// `InvalidData` with a `rustls::Error` if the two have no protocol in common, or the client
    /// has no certificate that is valid; `UnexpectedEof` if the peer ends the stream; an error of
    /// the stream; a cancellation.
    ///
    /// # Cancellation
    ///
    /// The stream is dropped, which closes it: a handshake cannot be continued or begun again.
    #[track_caller]
    pub fn accept<S>(&self, stream: S) -> impl Future<Output = io::Result<TlsStream<S>>> + use<S>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (config, site) = (self.config.clone(), Location::caller());
        Box::pin(async move {
            let session = ServerConnection::new(config).map_err(io::Error::other)?;
            handshake(TlsStream::new(stream, session.into()), site).await
        })
    }
}

impl fmt::Debug for TlsConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConnector").finish_non_exhaustive()
    }
}

impl fmt::Debug for TlsAcceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsAcceptor").finish_non_exhaustive()
    }
}
