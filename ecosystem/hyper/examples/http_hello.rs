//! A server of HTTP/1 and HTTP/2 without a framework: `http_hello [ADDRESS]`.
//!
//! `/` greets, `/slow` greets after a second. At SIGTERM it answers what it has begun, for at most
//! ten seconds.

use std::env;
use std::io;

use curium::net::TcpListener;
use curium::prelude::*;
use curium::signal::{SIGINT, SIGTERM, until_signal};
use curium_hyper::serve_with;
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

fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    run(async || {
        let listener = TcpListener::bind(address).await?;
        println!("listening on {}", listener.local_addr()?);
        let server = serve_with(listener, service_fn(hello), |builder| {
            builder.http1().header_read_timeout(Duration::from_secs(5));
        });
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
