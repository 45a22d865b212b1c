//! Fetches pages over a pool of connections, all at once: `http_client URL...`. What is not there
//! within ten seconds is given up.

use std::env;
use std::error::Error;

use curium::kernel::{TaskGroup, cancellable, gather_all};
use curium::prelude::*;
use curium_hyper::{Connector, client};
use http_body_util::{BodyExt, Empty};
use hyper::Uri;
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;

type Anything = Box<dyn Error + Send + Sync>;
type Pool = Client<Connector<Anything>, Empty<Bytes>>;

/// One page: its status and its length.
async fn fetch(pool: &Pool, uri: Uri) -> Result<String, Anything> {
    let answer = cancellable(pool.get(uri.clone())).await??;
    let status = answer.status();
    let body = cancellable(answer.into_body().collect()).await??.to_bytes();
    Ok(format!("{uri}: {status}, {} bytes", body.len()))
}

fn main() -> Result<(), Anything> {
    let uris: Vec<Uri> = env::args().skip(1).map(|uri| uri.parse()).collect::<Result<_, _>>()?;
    run(async || {
        TaskGroup::scope(async |group| {
            let pool = client(group);
            let pages = gather_all(uris.into_iter().map(|uri| fetch(&pool, uri)));
            for page in timeout_after(Duration::from_secs(10), pages).await?? {
                println!("{page}");
            }
            Ok(())
        })
        .await // idle connections end here
    })
}
