//! A small service: jobs are submitted over HTTP, kept in a table of PostgreSQL and done by
//! workers; Redis remembers the results. `curium-jobs curium|tokio LISTEN POSTGRES REDIS`, or for
//! several kernels `curium-jobs curium LISTEN POSTGRES REDIS --cores N`.
//!
//! The same service runs on Curium and on tokio: `routes`, `store` and `cache` are shared,
//! `on_curium` and `on_tokio` are what each runtime adds. `judge.py` does to both what happens to a
//! service in use, and then reads the database.

mod cache;
mod on_curium;
mod on_tokio;
mod routes;
mod store;

use std::env;
use std::io;
use std::num::NonZeroUsize;
use std::time::Duration;

/// The longest time of a query, of an answer of Redis, and of a wait for a connection.
const LIMIT: Duration = Duration::from_secs(2);
/// The longest time of a report.
const REPORT_LIMIT: Duration = Duration::from_secs(30);
/// The time that requests have to end when the service stops.
const DRAIN: Duration = Duration::from_secs(1);
/// The time that handlers and workers have after that to clean up.
const GRACE: Duration = Duration::from_secs(3);
/// The pause of a worker that finds no job, or no database.
const PAUSE: Duration = Duration::from_millis(50);
/// The pause until Redis is connected to again.
const CACHE_PAUSE: Duration = Duration::from_millis(200);
/// The period of the scheduler.
const PERIOD: Duration = Duration::from_millis(500);
const WORKERS: usize = 8;
const CONNECTIONS: usize = 16;
/// The name under which the server knows the connections.
const NAME: &str = "curium-jobs";

/// Where the service listens, and what it connects to.
struct Addresses {
    listen: String,
    postgres: String,
    redis: String,
}

fn postgres_config() -> tokio_postgres::Config {
    let mut config = tokio_postgres::Config::new();
    config.user("curium").dbname("postgres").application_name(NAME);
    config
}

fn usage() -> io::Error {
    io::Error::other(
        "usage: curium-jobs curium|tokio LISTEN POSTGRES REDIS, or curium .. --cores N",
    )
}

fn main() -> io::Result<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let [runtime, listen, postgres, redis, cores @ ..] = &words[..] else { return Err(usage()) };
    let [listen, postgres, redis] = [listen, postgres, redis].map(ToString::to_string);
    let addresses = Addresses { listen, postgres, redis };
    match (*runtime, cores) {
        ("curium", []) => on_curium::run(addresses),
        ("curium", ["--cores", count]) => {
            let count: NonZeroUsize = count.parse().map_err(|_| usage())?;
            on_curium::run_on_cores(count.get(), &addresses)
        }
        ("tokio", []) => on_tokio::run(addresses),
        _ => Err(usage()),
    }
}
