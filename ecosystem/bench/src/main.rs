//! The server of `hello`: hyper over HTTP/1 and HTTP/2 on Curium, or on tokio's current-thread
//! runtime, with the same timers and the same handler. The script `hello` beside it measures them.

use std::convert::Infallible;
use std::env;
use std::io;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;

async fn hello(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(b"Hello, world!\n"))))
}

fn on_curium() -> io::Result<()> {
    curium::run(async || {
        let listener = curium::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("listening on {}", listener.local_addr()?);
        curium_hyper::serve(listener, service_fn(hello)).await
    })
}

fn on_tokio() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tasks = tokio::task::LocalSet::new();
    tasks.block_on(&runtime, async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("listening on {}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::task::spawn_local(async {
                let mut builder = auto::Builder::new(TokioExecutor::new());
                builder.http1().timer(TokioTimer::new());
                builder.http2().timer(TokioTimer::new());
                let serve =
                    builder.serve_connection_with_upgrades(TokioIo::new(stream), service_fn(hello));
                // A client that hangs up is no error.
                let _ = serve.await;
            });
        }
    })
}

fn main() -> io::Result<()> {
    match env::args().nth(1).as_deref() {
        Some("curium") => on_curium(),
        Some("tokio") => on_tokio(),
        _ => Err(io::Error::other("usage: curium-ecosystem-bench curium|tokio")),
    }
}
