//! The same services on Curium and on tokio's current-thread runtime, with the same timers and the
//! same handlers; the script `run` in this package measures them.
//!
//! `curium-cores` and `tokio-workers` are their forms for two cores, which have `hello` alone.
//! `RUNTIME hello` and `RUNTIME axum` are servers of HTTP/1 and HTTP/2. `RUNTIME postgres ADDRESS
//! QUERIES` and `RUNTIME redis ADDRESS QUERIES` are clients: 16 tasks share a connection.

mod http;
mod postgres;
mod redis;

use std::env;
use std::error::Error;

/// The error of everything here.
type Anything = Box<dyn Error + Send + Sync>;

/// The tasks that share the connection of a client.
const TASKS: usize = 16;

/// Runs a program on tokio as `curium::run` does on Curium: its tasks need not be `Send`.
fn on_tokio(program: impl Future<Output = Result<(), Anything>>) -> Result<(), Anything> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, program)
}

fn main() -> Result<(), Anything> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["curium", "hello"] => http::hello_on_curium(),
        ["curium-cores", "hello"] => http::hello_on_cores(),
        ["tokio-workers", "hello"] => http::hello_on_workers(),
        ["tokio", "hello"] => on_tokio(http::hello_on_tokio()),
        ["curium", "axum"] => http::axum_on_curium(),
        ["tokio", "axum"] => on_tokio(http::axum_on_tokio()),
        ["curium", "postgres", address, n] => postgres::on_curium(address, n.parse()?),
        ["tokio", "postgres", address, n] => on_tokio(postgres::on_tokio(address, n.parse()?)),
        ["curium", "redis", address, n] => redis::on_curium(address, n.parse()?),
        ["tokio", "redis", address, n] => on_tokio(redis::on_tokio(address, n.parse()?)),
        _ => Err("usage: curium|tokio|curium-cores|tokio-workers hello, curium|tokio axum, \
                  or curium|tokio postgres|redis ADDRESS N"
            .into()),
    }
}
