//! Fetches pages over TLS, by HTTP/2 or HTTP/1 as their servers choose:
//! `https_client AUTHORITY URL...`. It trusts the certificates that the authority (a file, PEM) has
//! signed, and no others. A page that was cut is an error.

use std::env;
use std::error::Error;

use curium::kernel::{GroupRef, cancellable};
use curium::net::rustls::pki_types::{CertificateDer, pem::PemObject};
use curium::net::rustls::{ClientConfig, RootCertStore};
use curium::net::{TcpStream, TlsConnector, TlsStream};
use curium::prelude::*;
use curium_hyper::GroupExecutor;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::header::HOST;
use hyper::{Request, Response, Uri};

type Anything = Box<dyn Error + Send + Sync>;

fn connector(authority: &str) -> Result<TlsConnector, Anything> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority)?)?;
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsConnector::new(config))
}

/// Asks over a connection of its own, which is a daemon of the group.
async fn ask(
    group: GroupRef<Anything>,
    stream: TlsStream<TcpStream>,
    uri: &Uri,
) -> Result<Response<Incoming>, Anything> {
    // The error of a connection is that of its request as well.
    if stream.session().alpn_protocol() == Some(b"h2") {
        let request = Request::get(uri).body(Empty::<Bytes>::new())?;
        let handshake = http2::handshake(GroupExecutor::new(group), stream);
        let (mut sender, connection) = cancellable(handshake).await??;
        group.spawn_daemon(async { Ok(cancellable(connection).await.map(drop)?) });
        Ok(cancellable(sender.send_request(request)).await??)
    } else {
        let host = uri.authority().ok_or("no host")?.as_str();
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let request = Request::get(path).header(HOST, host).body(Empty::<Bytes>::new())?;
        let (mut sender, connection) = cancellable(http1::handshake(stream)).await??;
        group.spawn_daemon(async { Ok(cancellable(connection).await.map(drop)?) });
        Ok(cancellable(sender.send_request(request)).await??)
    }
}

async fn fetch(
    group: GroupRef<Anything>,
    connector: &TlsConnector,
    uri: Uri,
) -> Result<String, Anything> {
    let host = uri.host().ok_or("no host")?;
    let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(443))).await?;
    let stream = connector.connect(host, stream).await?;
    let answer = ask(group, stream, &uri).await?;
    let (version, status) = (answer.version(), answer.status());
    let body = cancellable(answer.into_body().collect()).await??.to_bytes();
    Ok(format!("{version:?} {status}, {} bytes", body.len()))
}

fn main() -> Result<(), Anything> {
    let mut arguments = env::args().skip(1);
    let connector = connector(&arguments.next().ok_or("no AUTHORITY")?)?;
    let uris: Vec<Uri> = arguments.map(|uri| uri.parse()).collect::<Result<_, _>>()?;
    run(async || {
        TaskGroup::scope(async |group| {
            for uri in uris {
                let page = fetch(group, &connector, uri);
                println!("{}", timeout_after(Duration::from_secs(10), page).await??);
            }
            Ok(())
        })
        .await // the connections end here
    })
}
