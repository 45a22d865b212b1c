//! Signals: as a stream, as a request to end, and as the cause of a death that a shell can see.
//!
//! So that it prints the same each time, it sends every signal to itself. The two programs that end
//! by one are this one again, as children.

use std::io;
use std::process::Command;

use curium::prelude::*;
use curium::signal::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, signals, until_signal};

/// A daemon that reads its configuration again at `SIGHUP`.
async fn daemon() -> io::Result<()> {
    let mut requests = signals([SIGHUP, SIGUSR1])?;
    for signal in [SIGHUP, SIGUSR1, SIGHUP] {
        signal.raise()?;
    }
    // Both SIGHUP arrived before one was taken, so they are one request.
    for _ in 0..2 {
        match requests.recv().await? {
            SIGHUP => println!("SIGHUP: reading the configuration again"),
            other => println!("{other}: writing statistics"),
        }
    }
    Ok(())
}

/// Works until it is cancelled, by whatever, and cleans up.
async fn work() -> Result<()> {
    finally(sleep(Duration::from_secs(1000)), async |how| {
        println!("cleaning up: {how:?}");
        sleep(Duration::from_millis(1)).await // the cleanup may await
    })
    .await
}

/// Cleans up at the first signal, and then dies by it. A second one would end it at once.
fn polite() -> io::Result<()> {
    let ended = run(async || {
        let working = until_signal([SIGINT, SIGTERM], work())?;
        SIGTERM.raise()?;
        io::Result::Ok(working.await)
    })?;
    match ended {
        Ok(ended) => Ok(ended?),
        Err(signalled) => {
            println!("{signalled}, all is saved");
            signalled.signal().die()
        }
    }
}

/// Computes for ever, so that its kernel never delivers a cancellation.
fn stuck() -> io::Result<()> {
    let computing = async {
        SIGINT.raise().expect("a signal to this process");
        println!("the first Ctrl-C changes nothing");
        loop {
            SIGINT.raise().expect("a signal to this process");
        }
    };
    run(async || Ok(until_signal::<_, (), TaskCancelled>([SIGINT], computing)?.await??))
}

fn main() -> io::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("work") => return polite(),
        Some("stuck") => return stuck(),
        _ => {}
    }
    run(daemon)?;
    for program in ["work", "stuck"] {
        let status = Command::new(std::env::current_exe()?).arg(program).status()?;
        println!("`{program}` has ended: {status}");
    }
    Ok(())
}
