//! TCP servers as separate processes: Curium, its peers and mio by hand, under one load generator.
//!
//! ```text
//! curium-bench-tcp [--only WORKLOADS] [--runtimes NAMES] [--rounds N] [--quick] [--json]
//!                  [--svg FILE]             the picture of growth
//! curium-bench-tcp count [the same]        instructions and system calls a request
//! curium-bench-tcp serve RUNTIME [--timeouts | --datagrams]
//!                                          the server alone; the others start it like this
//! ```
//!
//! The README beside this package says what is measured and how to read it.

mod args;
mod count;
mod growth;
mod load;
mod report;
mod rounds;
mod serve;
mod server;

use std::error::Error;
use std::process::ExitCode;

use args::Command;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("curium-bench-tcp: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    match args::parse()? {
        Command::Serve { runtime, form, core } => serve::run(runtime, form, core),
        Command::Measure(options) => rounds::run(&options),
        Command::Count(options) => count::run(&options),
    }
}
