//! A server and its clients, for the tests.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use curium::kernel::testing;
use curium::kernel::{GroupRef, Kernel, TaskCancelled, sleep};
use curium::net::{SimulatedNetExt, TcpListener, TcpStream};
use curium_hyper::GroupExecutor;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::{Request, Response};

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Runs `main` on a simulated network, checks that nothing is left, and gives the reports.
#[track_caller]
pub(crate) fn run<T>(main: impl AsyncFnOnce() -> T) -> (T, Vec<String>) {
    let reports = Rc::new(RefCell::new(Vec::new()));
    let sink = reports.clone();
    let builder = Kernel::builder().simulated_net();
    let builder = builder.on_report(move |report| sink.borrow_mut().push(report.to_string()));
    let value = testing::run_with(builder, main);
    (value, reports.take())
}

/// [`run`], without a report.
#[track_caller]
pub(crate) fn quiet<T>(main: impl AsyncFnOnce() -> T) -> T {
    let (value, reports) = run(main);
    assert_eq!(reports, Vec::<String>::new());
    value
}

/// What the handlers have done.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) started: Cell<usize>,
    /// Those that have answered.
    pub(crate) answered: Cell<usize>,
    /// Those that were cancelled and have finished their cleanup.
    pub(crate) cleaned: Cell<usize>,
    pub(crate) alive: Cell<usize>,
}

pub(crate) fn add_one(count: &Cell<usize>) {
    count.set(count.get() + 1);
}

/// Counts a handler as long as it lives.
struct Alive(Rc<Counts>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.alive.set(self.0.alive.get() - 1);
    }
}

impl Counts {
    /// Works for as many seconds as the path says, and cleans up for one if it is cancelled.
    pub(crate) async fn work(self: Rc<Self>, path: String) -> Result<String, TaskCancelled> {
        add_one(&self.started);
        add_one(&self.alive);
        let _alive = Alive(self.clone());
        let seconds = path.trim_start_matches('/').parse().unwrap_or(0);
        let worked = sleep(secs(seconds)).await;
        if worked.is_err() {
            sleep(secs(1)).await?;
            add_one(&self.cleaned);
        } else {
            add_one(&self.answered);
        }
        worked.map(|()| format!("worked {seconds} s"))
    }

    pub(crate) async fn handle(
        self: Rc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, TaskCancelled> {
        let path = request.uri().path().to_owned();
        self.work(path).await.map(|text| Response::new(Full::new(text.into())))
    }
}

pub(crate) async fn bound() -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind("127.0.0.1:80").await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// What comes until the end of the stream, or a reset.
pub(crate) async fn rest(stream: &TcpStream) -> Result<String, TaskCancelled> {
    let mut text = String::new();
    let mut buf = [0; 1024];
    loop {
        match stream.read(&mut buf).await {
            Ok(n) if n > 0 => text.push_str(&String::from_utf8_lossy(&buf[..n])),
            Err(error) if curium::cancelled(&error).is_some() => {
                return Err(curium::cancelled(&error).expect("it is one").clone());
            }
            _ => return Ok(text),
        }
    }
}

/// Sends bytes over a new connection, which it returns.
pub(crate) async fn sent(address: SocketAddr, bytes: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.write_all(bytes.as_bytes()).await?;
    Ok(stream)
}

/// The head of a request over HTTP/1.1 for a connection that is kept.
pub(crate) fn head(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: here\r\n\r\n")
}

/// A connection of HTTP/2, driven by a daemon of `group`.
pub(crate) async fn http2_client(
    group: GroupRef<io::Error>,
    address: SocketAddr,
) -> io::Result<SendRequest<Empty<Bytes>>> {
    let stream = TcpStream::connect(address).await?;
    let handshake = http2::handshake(GroupExecutor::new(group), stream);
    let (client, connection) = handshake.await.map_err(io::Error::other)?;
    group.spawn_daemon(async {
        // It ends with the connection, whose error the request gets as well.
        let _ = curium::cancellable_inside(connection).await?;
        Ok(())
    });
    Ok(client)
}

/// The body of the answer.
pub(crate) async fn http2_get(
    client: &mut SendRequest<Empty<Bytes>>,
    path: &str,
) -> io::Result<String> {
    let request = Request::get(format!("http://here{path}")).body(Empty::new()).expect("a request");
    let answer = curium::cancellable(client.send_request(request)).await?;
    let body = answer.map_err(io::Error::other)?.into_body();
    let body = curium::cancellable(body.collect()).await?.map_err(io::Error::other)?;
    Ok(String::from_utf8_lossy(&body.to_bytes()).into_owned())
}
