//! Keys and certificates, made by `openssl` for one run of the tests, and what they are used for.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use curium::io::{DuplexStream, duplex};
use curium::net::rustls::pki_types::pem::PemObject;
use curium::net::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use curium::net::rustls::server::WebPkiClientVerifier;
use curium::net::rustls::{ClientConfig, RootCertStore, ServerConfig};
use curium::net::{TlsAcceptor, TlsConnector, TlsStream};
use curium::{gather, io as streams};

/// An authority, and a server and a client whose certificates it has signed. Signatures and keys of
/// Ed25519 have one length, so that every handshake has the same.
const SCRIPT: &str = r#"
set -e
openssl req -x509 -newkey ed25519 -nodes -keyout ca.key -out ca.pem -subj /CN=authority -days 2
for name in server client; do
    openssl req -newkey ed25519 -nodes -keyout $name.key -out $name.csr -subj /CN=$name \
        -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1'
    openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
        -copy_extensions copyall -out $name.pem
done
"#;

fn directory() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        // Cargo's directory for the tests. What an earlier run has left is overwritten.
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("certificates");
        std::fs::create_dir_all(&path).unwrap();
        let made = Command::new("sh").args(["-c", SCRIPT]).current_dir(&path).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        path
    })
}

/// The file of this name: `ca.pem`, and the `.pem` and `.key` of `server` and `client`.
pub(crate) fn file(name: &str) -> PathBuf {
    directory().join(name)
}

fn certificates(name: &str) -> Vec<CertificateDer<'static>> {
    vec![CertificateDer::from_pem_file(file(&format!("{name}.pem"))).unwrap()]
}

fn key(name: &str) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_file(file(&format!("{name}.key"))).unwrap()
}

pub(crate) fn roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(certificates("ca").remove(0)).unwrap();
    roots
}

/// A client that shows no certificate, and offers these protocols.
pub(crate) fn client(protocols: &[&str]) -> ClientConfig {
    let builder = ClientConfig::builder().with_root_certificates(roots());
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

/// A client with a certificate.
pub(crate) fn known_client() -> ClientConfig {
    let builder = ClientConfig::builder().with_root_certificates(roots());
    builder.with_client_auth_cert(certificates("client"), key("client")).unwrap()
}

/// A server that serves every client, and knows these protocols.
pub(crate) fn server(protocols: &[&str]) -> ServerConfig {
    let builder = ServerConfig::builder().with_no_client_auth();
    let mut config = builder.with_single_cert(certificates("server"), key("server")).unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

/// A server that serves clients with a certificate of the authority.
pub(crate) fn strict_server() -> ServerConfig {
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots())).build().unwrap();
    let builder = ServerConfig::builder().with_client_cert_verifier(verifier);
    builder.with_single_cert(certificates("server"), key("server")).unwrap()
}

pub(crate) type Pair<S> = (TlsStream<S>, TlsStream<S>);

/// A client and a server of `localhost` that are connected in memory.
pub(crate) async fn connected(
    client: ClientConfig,
    server: ServerConfig,
    capacity: usize,
) -> io::Result<Pair<DuplexStream>> {
    let (ours, theirs) = duplex(capacity);
    connected_over(client, server, ours, theirs).await
}

/// A client and a server of `localhost` over two ends of a connection.
pub(crate) async fn connected_over<S>(
    client: ClientConfig,
    server: ServerConfig,
    ours: S,
    theirs: S,
) -> io::Result<Pair<S>>
where
    S: streams::AsyncRead + streams::AsyncWrite + Unpin,
{
    let (connector, acceptor) = (TlsConnector::new(client), TlsAcceptor::new(server));
    gather((connector.connect("localhost", ours), acceptor.accept(theirs))).await
}

/// The same with the configurations that most tests use.
pub(crate) async fn plainly_connected(capacity: usize) -> io::Result<Pair<DuplexStream>> {
    connected(client(&[]), server(&[]), capacity).await
}
