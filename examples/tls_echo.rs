//! A server that returns every line in capitals, over TLS, and a client that trusts it.
//!
//! `tls_echo ADDRESS CERTIFICATE KEY` serves with a certificate and a key from files (PEM) until
//! Ctrl-C. `openssl s_client` is a client for it. Without arguments it has `openssl` make a
//! certificate, serves one client of its own, and ends.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use curium::io::{BufReader, WriteExt};
use curium::net::rustls::pki_types::pem::PemObject;
use curium::net::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use curium::net::rustls::{ClientConfig, RootCertStore, ServerConfig};
use curium::net::{TlsAcceptor, TlsConnector};
use curium::prelude::*;
use curium::process::Command;
use curium::signal::ctrl_c;

fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, Box<dyn Error>> {
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
    Ok(TlsAcceptor::new(config))
}

async fn echo(acceptor: &TlsAcceptor, stream: TcpStream) -> io::Result<()> {
    // A client that does not finish the handshake must not stay for ever.
    let stream = timeout_after(Duration::from_secs(10), acceptor.accept(stream)).await??;
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        stream.write_all(line.to_uppercase().as_bytes()).await?;
        // A write may keep what the socket has no room for. The flush sends all of it.
        stream.flush().await?;
        line.clear();
    }
    // The end of the stream with its alert: without it the client could not know that nothing is
    // missing.
    stream.close().await
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor) -> io::Result<()> {
    listener.serve(async move |stream, _peer| echo(&acceptor, stream).await).await
}

async fn client(address: &str, authority: &Path) -> Result<(), Box<dyn Error>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority)?)?;
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(address).await?;
    let stream = TlsConnector::new(config).connect("localhost", stream).await?;
    println!("connected by {:?}", stream.session().protocol_version().expect("it is agreed"));
    let mut stream = BufReader::new(stream);
    for text in ["hello\n", "is anybody there?\n"] {
        stream.write_all(text.as_bytes()).await?;
        stream.flush().await?;
        let mut answer = String::new();
        stream.read_line(&mut answer).await?;
        print!("{answer}");
    }
    stream.close().await?;
    assert_eq!(stream.read_line(&mut String::new()).await?, 0); // the server has closed, too
    Ok(())
}

/// A directory that is removed at the end, with a certificate that its own key has signed.
struct Certificate(PathBuf);

impl Certificate {
    async fn make() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("tls_echo-{}", std::process::id()));
        std::fs::create_dir(&path)?;
        let made = Certificate(path);
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=localhost"]);
        openssl.args(["-addext", "subjectAltName=DNS:localhost", "-days", "1"]);
        openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        openssl.args(["-keyout", "key.pem", "-out", "cert.pem"]).current_dir(&made.0);
        openssl.output().await?.check()?;
        Ok(made)
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn demo() -> Result<(), Box<dyn Error>> {
    let made = Certificate::make().await?;
    let (certificate, key) = (made.0.join("cert.pem"), made.0.join("key.pem"));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let server = spawn(serve(listener, acceptor(&certificate, &key)?));
    client(&address, &certificate).await?;
    Ok(server.cancel().await?)
}

fn main() -> Result<(), Box<dyn Error>> {
    match &std::env::args().skip(1).collect::<Vec<_>>()[..] {
        [] => run(demo),
        [address, certificate, key] => {
            let acceptor = acceptor(certificate.as_ref(), key.as_ref())?;
            run(async || {
                let listener = TcpListener::bind(address.as_str()).await?;
                let server = spawn(serve(listener, acceptor));
                ctrl_c().await?;
                Ok(server.cancel().await?)
            })
        }
        _ => Err("usage: tls_echo [ADDRESS CERTIFICATE KEY]".into()),
    }
}
