//! A client over TLS that closes its writing direction, with the alert, and still reads.

use std::error::Error;
use std::io::ErrorKind;
use std::rc::Rc;

use curium::io::{ReadExt, WriteExt};
use curium::kernel::{now, sleep, spawn};
use curium::net::rustls::pki_types::PrivatePkcs8KeyDer;
use curium::net::rustls::{ClientConfig, RootCertStore, ServerConfig};
use curium::net::{TcpStream, TlsAcceptor, TlsConnector};
use curium_hyper::serve_connection;
use hyper::service::service_fn;

use crate::kit::{Counts, bound, head, quiet, secs};

type Anything = Box<dyn Error + Send + Sync>;
type Ended = Result<(), ErrorKind>;

fn configurations() -> Result<(ServerConfig, ClientConfig), Anything> {
    let made = rcgen::generate_simple_self_signed(["here".to_owned()])?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let certificate = made.cert.der().clone();
    let mut trusted = RootCertStore::empty();
    trusted.add(certificate.clone())?;
    let server = ServerConfig::builder().with_no_client_auth();
    let client = ClientConfig::builder().with_root_certificates(trusted).with_no_client_auth();
    Ok((server.with_single_cert(vec![certificate], key.into())?, client))
}

/// What the client reads after it has closed its writing direction in the middle of a request that
/// takes three seconds, how its reading ends, and the seconds until then.
fn half_closed(half_close: bool, counts: &Rc<Counts>) -> Result<(String, Ended, u64), Anything> {
    quiet(async || {
        let (of_server, of_client) = configurations()?;
        let (listener, address) = bound().await?;
        let acceptor = TlsAcceptor::new(of_server);
        let theirs = counts.clone();
        let server = spawn(listener.serve(async move |stream, _| {
            let counts = theirs.clone();
            let stream = acceptor.accept(stream).await?;
            let service = service_fn(move |request| counts.clone().handle(request));
            let set = |builder: &mut curium_hyper::Builder| {
                builder.http1().half_close(half_close);
            };
            serve_connection(stream, service, set).await
        }));
        let stream = TcpStream::connect(address).await?;
        let mut stream = TlsConnector::new(of_client).connect("here", stream).await?;
        let begun = now();
        stream.write_all(head("/3").as_bytes()).await?;
        sleep(secs(1)).await?;
        stream.close().await?;
        let mut answer = Vec::new();
        // Without the alert of the server the end is an error.
        let ended = stream.read_to_end(&mut answer).await;
        let seconds = (now() - begun).as_secs();
        sleep(secs(5)).await?;
        server.cancel().await?;
        Ok((String::from_utf8(answer)?, ended.map(drop).map_err(|error| error.kind()), seconds))
    })
}

/// N13: a server with `half_close` answers a client that has sent `close_notify`, and the answer
/// ends with the alert of the server.
#[test]
fn a_client_that_has_closed_its_half_of_tls_reads_its_answer() {
    let counts = Rc::new(Counts::default());
    let (answer, ended, seconds) = half_closed(true, &counts).unwrap();
    assert!(answer.ends_with("worked 3 s"), "{answer}");
    assert_eq!((ended, seconds), (Ok(()), 3));
    assert_eq!((counts.answered.get(), counts.alive.get()), (1, 0));
}

/// N13, E2: without that setting it is a client that has left, as without TLS: the handler is
/// dropped at once. The client reads an end without the alert, which it cannot take for an answer.
#[test]
fn a_client_that_has_closed_its_half_of_tls_has_left() {
    let counts = Rc::new(Counts::default());
    let (answer, ended, seconds) = half_closed(false, &counts).unwrap();
    assert_eq!((answer.as_str(), ended, seconds), ("", Err(ErrorKind::UnexpectedEof), 1));
    assert_eq!((counts.started.get(), counts.answered.get(), counts.alive.get()), (1, 0, 0));
}
