//! A program that hangs, and the dialogue with its monitor that ends the hang: the parent waits for
//! a kid that plays for ever. Then the same on two cores, with one monitor over both: there a task
//! is named with its core in front.
//!
//! With `--open` the monitor listens at port 48802, and the dialogue is yours: `nc 127.0.0.1 48802`
//! and the return key in another terminal. Without it, the program types for you.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::{env, mem};

use curium::kernel::{Cores, kernels};
use curium::monitor::Monitor;
use curium::prelude::*;
use curium::sync::UniversalEvent;
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
fn dialogue(address: &str, lines: &[&str]) -> io::Result<String> {
    let mut terminal = Terminal { stream: TcpStream::connect(address)?, screen: String::new() };
    // The monitor greets when it has got a line.
    for line in lines {
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
    on_one_core()?;
    on_two_cores()
}

/// A monitor at a port that the system chooses, and where its address comes.
fn somewhere() -> (Monitor, Receiver<String>) {
    let (sender, receiver) = channel();
    let monitor = Monitor::new().address(([127, 0, 0, 1], 0)).allow_cancel();
    let monitor = monitor.announce(move |listening| {
        let _ = sender.send(listening.at().to_owned());
    });
    (monitor, receiver)
}

fn on_one_core() -> io::Result<()> {
    let (monitor, receiver) = somewhere();
    let screen = Kernel::builder().monitor(monitor).run(async || {
        let parent = spawn_named("parent", parent());
        // Until the parent waits, and until the kid plays.
        for _ in 0..2 {
            yield_now().await?;
        }
        let address = receiver.recv().map_err(io::Error::other)?;
        let lines = &["", "ps", "w 1", "w 2", "cancel 2", "quit"];
        let screen = run_in_thread(move || dialogue(&address, lines)).await?;
        parent.await?;
        screen
    })?;
    print!("\nIn the other terminal:\n{}", without_times(&screen));
    Ok(())
}

/// The parent is on core 0, and its kid on core 1. Of both, one task has the same id.
fn on_two_cores() -> io::Result<()> {
    let (monitor, receiver) = somewhere();
    let (receiver, over) = (Mutex::new(receiver), UniversalEvent::new());
    let screens = kernels(Cores::count(2).monitor(monitor), async |core| {
        if core.index() == 1 {
            over.wait().await?; // the kid runs beside
            return Ok(String::new());
        }
        let other = core.clone();
        let parent = spawn_named("parent", async move {
            match other.call(1, kid).await? {
                Err(ended) => println!("Leaving! (of the kid on core 1: {ended})"),
                Ok(()) => println!("Leaving!"),
            }
            Ok::<(), TaskCancelled>(())
        });
        yield_now().await?;
        core.call(1, yield_now).await??; // the kid plays
        let address = receiver.lock().expect("nobody panics with it").recv();
        let address = address.map_err(io::Error::other)?;
        let lines = &["", "w 0:1", "w 1:1", "cancel 1:1", "quit"];
        let screen = run_in_thread(move || dialogue(&address, lines)).await??;
        parent.await?;
        over.set();
        Ok::<_, io::Error>(screen)
    });
    let screens = screens.map_err(io::Error::other)?;
    print!("\nIn the other terminal:\n{}", without_times(&screens[0]));
    Ok(())
}
