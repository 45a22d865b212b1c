//! A server of HTTP/1 and HTTP/2 over TLS: `https_server ADDRESS CERTIFICATE KEY`, the latter two
//! files (PEM). The client chooses the protocol (ALPN).
//!
//! `/` greets, `/slow` greets after a second. At SIGTERM it answers what it has begun, for at most
//! ten seconds.

use std::env;
use std::error::Error;

use curium::kernel::unless_cancelled;
use curium::net::rustls::ServerConfig;
use curium::net::rustls::pki_types::pem::PemObject;
use curium::net::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use curium::net::{TcpListener, TcpStream, TlsAcceptor};
use curium::prelude::*;
use curium::signal::{SIGINT, SIGTERM, until_signal};
use curium_hyper::serve_connection;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};

type Anything = Box<dyn Error + Send + Sync>;

fn acceptor(certificate: &str, key: &str) -> Result<TlsAcceptor, Anything> {
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let mut config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::new(config))
}

async fn hello(request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
    if request.uri().path() == "/slow" {
        sleep(Duration::from_secs(1)).await?;
    }
    Ok(Response::new(Full::new(Bytes::from_static(b"Hello, world!\n"))))
}

async fn handle(acceptor: &TlsAcceptor, stream: TcpStream) -> Result<(), Anything> {
    stream.set_nodelay(true)?;
    let accepted = ignore_after(Duration::from_secs(10), acceptor.accept(stream)).await;
    // A client that is too slow, speaks no TLS or does not trust the certificate is no fault.
    let Ok(Some(stream)) = unless_cancelled(accepted)? else { return Ok(()) };
    serve_connection(stream, service_fn(hello), |_| ()).await
}

fn main() -> Result<(), Anything> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, certificate, key] = &arguments[..] else {
        return Err("usage: https_server ADDRESS CERTIFICATE KEY".into());
    };
    let acceptor = acceptor(certificate, key)?;
    run(async || {
        let listener = TcpListener::bind(address).await?;
        println!("listening on {}", listener.local_addr()?);
        let server = listener.serve(async move |stream, _peer| handle(&acceptor, stream).await);
        let server = server.limit(10_000).drain(Duration::from_secs(10));
        match until_signal([SIGINT, SIGTERM], server)?.await {
            Ok(ended) => Ok(ended?),
            Err(signalled) => {
                println!("{signalled}, every request is answered");
                Ok(())
            }
        }
    })
}
