//! What a client and a server agree on, and why they do not.

use std::io::{self, ErrorKind};
use std::time::Duration;

use curium::io::{ReadExt, WriteExt, duplex};
use curium::kernel::{cancelled, sleep, spawn, tasks, testing, timeout_after};
use curium::net::rustls::{AlertDescription, CertificateError, Connection, Error, ProtocolVersion};
use curium::net::{TcpListener, TcpStream, TlsAcceptor, TlsConnector};

use crate::certificates::{client, connected, connected_over, known_client, server, strict_server};

/// The error of the protocol in an error of a stream.
fn of_tls(error: &io::Error) -> &Error {
    assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
    let error = error.get_ref().and_then(|error| error.downcast_ref());
    error.expect("an error of rustls")
}

/// N13: the name of the server (SNI) and a protocol (ALPN) are agreed on, over TCP.
#[test]
fn the_name_and_the_protocol_are_agreed_on() {
    curium::run(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let ours = TcpStream::connect(address).await?;
        let (theirs, _) = listener.accept().await?;
        let (client, server) = (client(&["one", "two"]), server(&["three", "two"]));
        let (client, server) = connected_over(client, server, ours, theirs).await?;
        for stream in [&client, &server] {
            assert_eq!(stream.session().alpn_protocol(), Some(&b"two"[..]));
            assert_eq!(stream.session().protocol_version(), Some(ProtocolVersion::TLSv1_3));
        }
        let Connection::Server(session) = server.session() else { panic!("it is the server") };
        assert_eq!(session.server_name(), Some("localhost"));
        assert_eq!(server.get_ref().peer_addr()?, client.get_ref().local_addr()?);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N13: a client without a certificate is refused where one is asked for. It learns that from its
/// first read. A client with a certificate is known to the server.
#[test]
fn a_server_may_ask_for_the_certificate_of_its_client() {
    testing::run(async || {
        let (client_end, server) =
            connected(known_client(), strict_server(), 64 * 1024).await.unwrap();
        let shown = server.session().peer_certificates().expect("the client has one");
        assert_eq!(shown.len(), 1);
        drop((client_end, server));

        let (ours, theirs) = duplex(64 * 1024);
        let refused = spawn(TlsAcceptor::new(strict_server()).accept(theirs));
        let mut stranger = TlsConnector::new(client(&[])).connect("localhost", ours).await?;
        let error = refused.await.expect_err("it has shown no certificate");
        assert_eq!(*of_tls(&error), Error::NoCertificatesPresented);
        for _ in 0..2 {
            let error = stranger.read(&mut [0; 8]).await.expect_err("it was refused");
            let alert = AlertDescription::CertificateRequired;
            assert_eq!(*of_tls(&error), Error::AlertReceived(alert));
        }
        let error = stranger.write(b"hello").await.expect_err("it was refused");
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N13: a client refuses a server of another name, and both a peer without a common protocol. The
/// other side is told why.
#[test]
fn those_who_do_not_agree_say_why() {
    testing::run(async || {
        let (ours, theirs) = duplex(64 * 1024);
        let server_end = spawn(TlsAcceptor::new(server(&[])).accept(theirs));
        let error = TlsConnector::new(client(&[])).connect("example.org", ours).await.unwrap_err();
        let Error::InvalidCertificate(why) = of_tls(&error) else { panic!("{error}") };
        assert!(matches!(why, CertificateError::NotValidForNameContext { .. }), "{why:?}");
        let error = server_end.await.unwrap_err();
        assert!(matches!(of_tls(&error), Error::AlertReceived(_)), "{error}");

        let (ours, theirs) = duplex(64 * 1024);
        let server_end = spawn(TlsAcceptor::new(server(&["two"])).accept(theirs));
        let error =
            TlsConnector::new(client(&["one"])).connect("localhost", ours).await.unwrap_err();
        let alert = AlertDescription::NoApplicationProtocol;
        assert_eq!(*of_tls(&error), Error::AlertReceived(alert));
        assert_eq!(*of_tls(&server_end.await.unwrap_err()), Error::NoApplicationProtocol);

        let (ours, _theirs) = duplex(64);
        let error = TlsConnector::new(client(&[])).connect("no name", ours).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().starts_with("\"no name\" is neither"), "{error}");
    });
}

/// N13: a peer that speaks no TLS, or leaves during the handshake, is an error.
#[test]
fn a_peer_that_speaks_no_tls_is_an_error() {
    testing::run(async || {
        let (ours, mut theirs) = duplex(64 * 1024);
        theirs.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
        let error = TlsAcceptor::new(server(&[])).accept(ours).await.unwrap_err();
        assert!(matches!(of_tls(&error), Error::InvalidMessage(_)), "{error}");
        let mut alert = Vec::new();
        theirs.read_to_end(&mut alert).await?;
        assert_eq!(alert.first(), Some(&21), "the peer is sent an alert");

        for is_client in [true, false] {
            let (ours, mut theirs) = duplex(64 * 1024);
            theirs.close().await?;
            let left = match is_client {
                true => TlsConnector::new(client(&[])).connect("localhost", ours).await,
                false => TlsAcceptor::new(server(&[])).accept(ours).await,
            };
            assert_eq!(left.unwrap_err().kind(), ErrorKind::UnexpectedEof);
        }
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N13, T1: a handshake with a silent peer is a leaf, which a timeout ends. It closes the stream.
#[test]
fn a_handshake_can_be_cancelled() {
    testing::run(async || {
        let (ours, mut theirs) = duplex(64 * 1024);
        let watcher = spawn(async {
            sleep(Duration::from_millis(1)).await?;
            let mut parked = tasks().into_iter().flat_map(|task| task.parked);
            let shown = parked.find(|leaf| leaf.kind == "TLS_HANDSHAKE");
            assert_eq!(shown.expect("it is parked").site.file(), file!());
            Ok::<(), curium::TaskCancelled>(())
        });
        let connect = TlsConnector::new(client(&[])).connect("localhost", ours);
        timeout_after(Duration::from_secs(1), connect).await.expect_err("it is silent");
        watcher.await?;
        let mut hello = Vec::new();
        theirs.read_to_end(&mut hello).await?;
        assert_eq!(hello.first(), Some(&22), "a handshake was begun");

        let (ours, _theirs) = duplex(64 * 1024);
        let accept = spawn(TlsAcceptor::new(server(&[])).accept(ours));
        sleep(Duration::from_millis(1)).await?;
        accept.request_cancel();
        assert!(cancelled(&accept.await.unwrap_err()).is_some());
        Ok::<(), io::Error>(())
    })
    .unwrap();
}
