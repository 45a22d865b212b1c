//! `net::tcp_server` and `TcpListener::serve`: handlers that fail, panic, are cancelled and
//! awaited.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;

use kernel::{Kernel, Report, Task, TaskError, cancelled, sleep, spawn, testing};
use kernel::{timeout_after, yield_now};
use net::{TcpListener, TcpStream, tcp_server};

use crate::support::both;
use crate::support::time::SECOND;

type Server = Task<(), io::Error>;

/// Starts a server with this handler, for clients that connect to the address.
async fn serve<H, E>(handler: H) -> io::Result<(Server, SocketAddr)>
where
    H: AsyncFn(TcpStream, SocketAddr) -> Result<(), E> + 'static,
    E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    Ok((spawn(listener.serve(handler)), address))
}

/// Echoes. It fails on `!` and panics on `?`.
async fn moody(stream: TcpStream, _peer: SocketAddr) -> io::Result<()> {
    let mut buf = [0; 64];
    loop {
        let n = stream.read(&mut buf).await?;
        match buf[0] {
            _ if n == 0 => return Ok(()),
            b'!' => return Err(io::Error::other("a bad mood")),
            b'?' => panic!("a very bad mood"),
            _ => stream.write_all(&buf[..n]).await?,
        }
    }
}

async fn asks(stream: &TcpStream, what: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(what).await?;
    let mut buf = [0; 64];
    let n = stream.read(&mut buf).await?;
    Ok(buf[..n].to_vec())
}

/// N3: a server says where it listens, before it accepts.
#[test]
fn a_server_says_where_it_listens() {
    both::run(async || {
        let said = Rc::new(Cell::new(None));
        let theirs = said.clone();
        let server = tcp_server("127.0.0.1:0", moody);
        let server = spawn(server.on_listening(move |address| theirs.set(Some(address))));
        let address = loop {
            match said.get() {
                Some(address) => break address,
                None => yield_now().await?,
            }
        };
        assert_eq!(asks(&TcpStream::connect(address).await?, b"hello").await?, b"hello");
        server.cancel().await?;
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N3, G1: each connection has its own task, and many are served at once.
#[test]
fn connections_are_served_at_once() {
    both::run(async || {
        let (server, address) = serve(moody).await?;
        let mut clients = Vec::new();
        for _ in 0..20 {
            clients.push(TcpStream::connect(address).await?);
        }
        for (n, client) in (b'a'..).zip(clients.iter().rev()) {
            assert_eq!(asks(client, &[n; 9]).await?, [n; 9]);
        }
        server.cancel().await?;
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// G2, K3, K6: a handler's error or panic is reported, with the name of the handler, and ends only
/// its own connection. Others continue, and new ones are accepted.
#[test]
fn a_failing_handler_ends_its_own_connection_only() {
    let reports = Rc::new(RefCell::new(Vec::new()));
    let sink = {
        let reports = reports.clone();
        move |report: &Report<'_>| reports.borrow_mut().push(report.to_string())
    };
    testing::run_with(Kernel::builder().on_report(sink), async || {
        let (server, address) = serve(moody).await?;
        let steady = TcpStream::connect(address).await?;
        assert_eq!(asks(&steady, b"before").await?, b"before");
        for (bad, why) in [(b"!", "a bad mood"), (b"?", "a very bad mood")] {
            let client = TcpStream::connect(address).await?;
            assert_eq!(asks(&client, bad).await?, b"", "the connection was closed");
            testing::settle().await?;
            let texts = std::mem::take(&mut *reports.borrow_mut());
            assert_eq!(texts.len(), 1, "{texts:?}");
            assert!(texts[0].contains(why), "{texts:?}");
            assert!(texts[0].contains(" net::net_server::moody "), "{texts:?}");
            assert_eq!(asks(&steady, b"after").await?, b"after");
        }
        let next = TcpStream::connect(address).await?;
        assert_eq!(asks(&next, b"hello").await?, b"hello");
        assert!(!server.is_done());
        server.cancel().await?;
        Ok::<(), io::Error>(())
    })
    .unwrap();
    assert!(reports.borrow().is_empty(), "{reports:?}");
}

/// G1, C5: a cancel of the server cancels the handlers and awaits their cleanup. The listener is
/// closed before that.
#[test]
fn a_cancelled_server_awaits_the_cleanup_of_its_handlers() {
    both::run(async || {
        let cleaned = Rc::new(Cell::new(0));
        let counter = cleaned.clone();
        let (server, address) = serve(async move |stream: TcpStream, _| {
            let ended = stream.read(&mut [0; 9]).await;
            if ended.is_err() {
                sleep(SECOND).await?;
                stream.write_all(b"goodbye").await?;
                counter.set(counter.get() + 1);
            }
            ended.map(drop)
        })
        .await?;
        let mut clients = Vec::new();
        for _ in 0..3 {
            clients.push(TcpStream::connect(address).await?);
        }
        testing::settle().await?;
        server.request_cancel();
        testing::settle().await?;
        assert!(!server.is_done());
        let refused = TcpStream::connect(address).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        server.cancel().await?;
        assert_eq!(cleaned.get(), 3);
        let Err(TaskError::Cancelled(error)) = server.join().await? else { panic!("cancelled") };
        assert!(cancelled(&error).is_some());
        for client in clients {
            let mut buf = [0; 7];
            client.read_exact(&mut buf).await?;
            assert_eq!(&buf, b"goodbye");
            assert_eq!(client.read(&mut buf).await?, 0);
        }
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// T1, G1: a timeout round a server ends the server and its handlers.
#[test]
fn a_server_that_runs_out_of_time_ends_its_connections() {
    both::run(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let client = spawn(async move {
            let stream = TcpStream::connect(address).await?;
            let echoed = asks(&stream, b"hello").await?;
            Ok::<_, io::Error>((echoed, stream.read(&mut [0; 9]).await?))
        });
        assert!(timeout_after(SECOND, listener.serve(moody)).await.is_err());
        assert_eq!(client.join().await?.unwrap(), (b"hello".to_vec(), 0));
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N5, G1: a server ends with `Ok` when another task closes its listener. Its handlers are
/// cancelled and clean up.
#[test]
fn a_server_whose_listener_is_closed_ends_well() {
    both::run(async || {
        let listener = Rc::new(TcpListener::bind("127.0.0.1:0").await?);
        let address = listener.local_addr()?;
        let cleaned = Rc::new(Cell::new(false));
        let server = spawn(listener.clone().serve_shared({
            let cleaned = cleaned.clone();
            async move |stream: TcpStream, _| {
                let ended = stream.read(&mut [0; 8]).await.map(drop);
                sleep(SECOND).await?;
                cleaned.set(true);
                ended
            }
        }));
        let client = TcpStream::connect(address).await?;
        testing::settle().await?;
        listener.close();
        server.await?;
        assert!(cleaned.get(), "the handler was not awaited");
        assert_eq!(client.read(&mut [0; 8]).await?, 0);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// G4: a server that is dropped closes its listener and its connections.
#[test]
fn a_dropped_server_leaves_no_connection_open() {
    both::run(async || {
        let (server, address) = serve(moody).await?;
        let client = TcpStream::connect(address).await?;
        assert_eq!(asks(&client, b"hello").await?, b"hello");
        server.abort();
        assert_eq!(client.read(&mut [0; 9]).await?, 0);
        let refused = TcpStream::connect(address).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        assert!(matches!(server.join().await?, Err(TaskError::Aborted)));
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// A handler may be any async closure whose error converts into a boxed one. `tcp_server` names the
/// address that it could not bind.
#[test]
fn tcp_server_names_the_address_that_it_could_not_bind() {
    both::run(async || {
        let taken = TcpListener::bind("127.0.0.1:0").await?;
        let address = taken.local_addr()?;
        let handler = async |_stream, _peer| Err::<(), _>("not an error type of its own");
        let error = tcp_server(address, handler).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&address.to_string()), "{error}");
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// C2, G1: `tcp_server` runs until it is cancelled.
#[test]
fn tcp_server_runs_until_it_is_cancelled() {
    both::run(async || {
        let server = spawn(tcp_server("127.0.0.1:0", moody));
        testing::advance(SECOND).await?;
        assert_eq!(server.state().to_string(), "ACCEPT");
        server.cancel().await?;
        assert!(matches!(server.join().await?, Err(TaskError::Cancelled(_))));
        Ok::<(), io::Error>(())
    })
    .unwrap();
}
