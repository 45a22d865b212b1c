//! A program that hangs, and the dialogue with its monitor that ends the hang: the parent waits for
//! a kid that plays for ever.
//!
//! With `--open` the monitor listens at port 48802, and the dialogue is yours: `nc 127.0.0.1 48802`
//! and the return key in another terminal. Without it, the program types for you.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::channel;
use std::{env, mem};

use curium::monitor::Monitor;
use curium::prelude::*;
use curium::{Kernel, run_in_thread, spawn_named};

async fn kid() -> Result<()> {
    println!("Building the Millenium Falcon in Minecraft");
    if let Err(cancelled) = sleep(Duration::from_secs(1000)).await {
        println!("Fine. Saving my work.");
        // Cleanup may await, because the cancellation is delivered only once.
        sleep(Duration::from_millis(1)).await?;
        println!("Saved.");
        return Err(cancelled);
    }
    Ok(())
}

async fn parent() -> Result<()> {
    let kid = spawn_named("kid", kid());
    println!("We're leaving!");
    if let Err(ended) = kid.join().await? {
        println!("Leaving! (of the kid: {ended})");
    }
    Ok(())
}

/// The other end of the dialogue, with all that was written on the screen.
struct Terminal {
    stream: TcpStream,
    screen: String,
}

impl Terminal {
    /// Adds to the screen what the monitor says up to its next prompt.
    fn read(&mut self) -> io::Result<()> {
        let mut piece = [0; 4096];
        loop {
            let read = self.stream.read(&mut piece)?;
            self.screen.push_str(&String::from_utf8_lossy(&piece[..read]));
            if read == 0 || self.screen.ends_with("curium > ") {
                return Ok(());
            }
        }
    }

    fn type_in(&mut self, line: &str) -> io::Result<()> {
        self.stream.write_all(format!("{line}\n").as_bytes())?;
        self.screen.push_str(&format!("{line}\n"));
        self.read()
    }
}

/// Finds out where the program hangs, and cancels what it waits for.
fn dialogue(address: &str) -> io::Result<String> {
    let mut terminal = Terminal { stream: TcpStream::connect(address)?, screen: String::new() };
    // The monitor greets when it has got a line.
    for line in ["", "ps", "w 1", "w 2", "cancel 2", "quit"] {
        terminal.type_in(line)?;
    }
    Ok(mem::take(&mut terminal.screen))
}

/// The text without the times, which differ from run to run.
fn without_times(screen: &str) -> String {
    let shown = |line: &str| {
        let line = line.split(", for ").next().unwrap_or_default();
        let time = line.split(' ').find(|word| word.len() == 7 && word.parse::<f64>().is_ok());
        time.map_or_else(|| line.to_owned(), |time| line.replace(time, "<1000  "))
    };
    screen.lines().map(|line| shown(line) + "\n").collect()
}

fn main() -> io::Result<()> {
    if env::args().any(|argument| argument == "--open") {
        let monitor = Monitor::new().allow_cancel();
        return Ok(Kernel::builder().monitor(monitor).run(parent)?);
    }
    let (sender, receiver) = channel();
    let monitor = Monitor::new().address(([127, 0, 0, 1], 0)).allow_cancel();
    let monitor = monitor.announce(move |listening| {
        let _ = sender.send(listening.at().to_owned());
    });
    let screen = Kernel::builder().monitor(monitor).run(async || {
        let parent = spawn_named("parent", parent());
        // Until the parent waits, and until the kid plays.
        for _ in 0..2 {
            yield_now().await?;
        }
        let address = receiver.recv().map_err(io::Error::other)?;
        let screen = run_in_thread(move || dialogue(&address)).await?;
        parent.await?;
        screen
    })?;
    print!("\nIn the other terminal:\n{}", without_times(&screen));
    Ok(())
}
