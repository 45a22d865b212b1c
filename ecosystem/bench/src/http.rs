//! `hello` without a framework and on axum.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use curium::kernel::{Cores, Kernel, kernels};
use curium::net::{Balance, CoreExt};
use http_body_util::Full;
use hyper::body::{Body, Bytes, Incoming};
use hyper::service::{Service, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};

use crate::Anything;

async fn hello(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(b"Hello, world!\n"))))
}

fn router() -> Router {
    Router::new().route("/", get(|| async { "Hello, world!\n" }))
}

async fn bound_on_curium() -> Result<curium::net::TcpListener, Anything> {
    let listener = curium::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);
    Ok(listener)
}

pub(crate) fn hello_on_curium() -> Result<(), Anything> {
    curium::run(
        async || Ok(curium_hyper::serve(bound_on_curium().await?, service_fn(hello)).await?),
    )
}

/// On a kernel on each of two cores.
pub(crate) fn hello_on_cores() -> Result<(), Anything> {
    // The load is on the same cores. A kernel that has nothing to do lets it run first, and sleeps
    // only if no request has come by then.
    let settings = |_| Kernel::builder().spin_before_sleep(Duration::from_micros(1));
    kernels(Cores::count(2).builder(settings), async |core| {
        let server = core.serve("127.0.0.1:0", Balance::Fewest, async |stream, _| {
            stream.set_nodelay(true)?;
            // A client that hangs up is no error.
            let _ = curium_hyper::serve_connection(stream, service_fn(hello), |_| {}).await;
            Ok::<(), Anything>(())
        });
        server.on_listening(|address| println!("listening on {address}")).await
    })?;
    Ok(())
}

pub(crate) fn axum_on_curium() -> Result<(), Anything> {
    curium::run(async || Ok(curium_hyper::serve_router(bound_on_curium().await?, router()).await?))
}

pub(crate) async fn hello_on_tokio() -> Result<(), Anything> {
    serve_on_tokio(service_fn(hello)).await
}

pub(crate) async fn axum_on_tokio() -> Result<(), Anything> {
    serve_on_tokio(TowerToHyperService::new(router())).await
}

/// As the guide of hyper has it, with the timers that `curium_hyper::serve` sets.
async fn serve_on_tokio<S, B>(service: S) -> Result<(), Anything>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + 'static,
    S::Future: Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Anything>,
{
    let listener = bound_on_tokio().await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::task::spawn_local(answer(stream, service.clone()));
    }
}

/// The same without a framework on two workers.
pub(crate) fn hello_on_workers() -> Result<(), Anything> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build()?.block_on(async {
        // In a task, because `block_on` itself runs beside the workers.
        let accept = tokio::spawn(async {
            let listener = bound_on_tokio().await?;
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                tokio::spawn(answer(stream, service_fn(hello)));
            }
        });
        accept.await?
    })
}

async fn bound_on_tokio() -> Result<TcpListener, Anything> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);
    Ok(listener)
}

async fn answer<S, B>(stream: TcpStream, service: S)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + 'static,
    S::Future: Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Anything>,
{
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new());
    builder.http2().timer(TokioTimer::new());
    // A client that hangs up is no error.
    let _ = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
}
