//! A server of HTTP/1 and HTTP/2 without a framework, on one core or on several:
//! `http_hello [ADDRESS [--cores N]]`.
//!
//! `/` greets, `/slow` greets after a second. At SIGTERM it answers what it has begun, for at most
//! ten seconds.

use std::env;
use std::error::Error;
use std::io;

use curium::kernel::{Cores, kernels};
use curium::net::{Balance, TcpListener, TcpStream};
use curium::prelude::*;
use curium::signal::{SIGINT, SIGTERM, first_signal, until_signal};
use curium_hyper::serve_connection;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};

async fn hello(request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
    if request.uri().path() == "/slow" {
        sleep(Duration::from_secs(1)).await?;
    }
    Ok(Response::new(Full::new(Bytes::from_static(b"Hello, world!\n"))))
}

fn serve(stream: TcpStream) -> impl Future<Output = Result<(), Box<dyn Error + Send + Sync>>> {
    let _ = stream.set_nodelay(true);
    serve_connection(stream, service_fn(hello), |builder| {
        builder.http1().header_read_timeout(Duration::from_secs(5));
    })
}

fn on_one_core(address: &str) -> io::Result<()> {
    run(async || {
        let listener = TcpListener::bind(address).await?;
        println!("listening on {}", listener.local_addr()?);
        let server = listener.serve(async |stream, _| serve(stream).await);
        let server = server.limit(10_000).drain(Duration::from_secs(10));
        match until_signal([SIGINT, SIGTERM], server)?.await {
            Ok(ended) => ended,
            Err(signalled) => {
                println!("{signalled}, every request is answered");
                Ok(())
            }
        }
    })
}

fn on_cores(count: usize, address: &str) -> Result<(), Box<dyn Error>> {
    let signal = first_signal([SIGINT, SIGTERM])?;
    let signal = async || {
        if let Ok(signal) = signal.await {
            println!("the signal {signal} arrived");
        }
    };
    let cores = Cores::count(count).drain(Duration::from_secs(10)).stop_when(signal);
    kernels(cores, async |core| {
        let server = core.serve(address, Balance::Fewest, async |stream, _| serve(stream).await);
        server.limit(10_000).on_listening(|address| println!("listening on {address}")).await
    })?;
    println!("every request is answered");
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => on_one_core("127.0.0.1:8080")?,
        [address] => on_one_core(address)?,
        [address, "--cores", count] => on_cores(count.parse()?, address)?,
        _ => return Err("usage: http_hello [ADDRESS [--cores N]]".into()),
    }
    Ok(())
}
