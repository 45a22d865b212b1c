//! What a look of the monitor takes from a kernel with many tasks: `monitor [TASKS]`.
//!
//! A third of the tasks sleeps, a third waits for a lock that one task holds, and a third for an
//! event. Beside them a task runs all the time and measures how long the kernel is busy with other
//! things until its next poll, in processor time, since other programs run on the machine. So is
//! what the other threads take, which is the monitor. The client asks over the port, as `nc` does,
//! three times; the figures are the least of the three.

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use kernel::{Kernel, TaskCancelled, sleep, spawn, spawn_named, yield_now};
use monitor::{Monitor, MonitorExt};
use rustix::time::ClockId;
use sync::{Event, Lock};

const HOUR: Duration = Duration::from_secs(3600);

/// Asks once. Returns the time until the end of the answer, and its length.
fn ask(address: &str, command: &str) -> std::io::Result<(Duration, usize)> {
    let started = Instant::now();
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "{command}\nquit\n")?;
    let mut answer = Vec::new();
    BufReader::new(stream).read_to_end(&mut answer)?;
    Ok((started.elapsed(), answer.len()))
}

fn clock(id: ClockId) -> Duration {
    let now = rustix::time::clock_gettime(id);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
}

/// The processor time of this thread.
fn busy() -> Duration {
    clock(ClockId::ThreadCPUTime)
}

/// The processor time of the other threads.
fn busy_others() -> Duration {
    clock(ClockId::ProcessCPUTime).saturating_sub(busy())
}

/// The longest processor time between two polls of this task while `during` goes on.
async fn longest_wait(mut during: impl FnMut() -> bool) -> Result<Duration, TaskCancelled> {
    let (mut last, mut longest) = (busy(), Duration::ZERO);
    while during() {
        yield_now().await?;
        let now = busy();
        longest = longest.max(now - last);
        last = now;
    }
    Ok(longest)
}

async fn many(tasks: usize) -> Result<(), TaskCancelled> {
    let (event, lock) = (Rc::new(Event::new()), Rc::new(Lock::new(())));
    let held = lock.clone();
    spawn_named("holder", async move {
        let _guard = held.acquire().await?;
        sleep(HOUR).await
    });
    for _ in 0..tasks / 3 {
        let (event, lock) = (event.clone(), lock.clone());
        spawn(sleep(HOUR));
        spawn(async move { event.wait().await });
        spawn(async move { lock.acquire().await.map(drop) });
    }
    yield_now().await
}

fn main() {
    let tasks = std::env::args().nth(1).map_or(100_000, |word| word.parse().expect("a number"));
    let (say, said) = mpsc::channel();
    let monitor = Monitor::new().address(([127, 0, 0, 1], 0));
    let monitor = monitor.announce(move |at| say.send(at.at().to_owned()).expect("main waits"));
    let measured = Kernel::builder().monitor(monitor).run(async || {
        let address = said.recv().expect("the monitor listens");
        many(tasks).await?;
        let until = Instant::now() + Duration::from_secs(1);
        let alone = longest_wait(|| Instant::now() < until).await?;
        println!("{tasks} tasks; without a client the longest wait for a poll is {alone:.2?}");
        for command in ["ps", "tree", "graph", "stats", "json"] {
            let (mut least, mut wait, mut bytes) = (Duration::MAX, Duration::MAX, 0);
            let mut monitor = Duration::MAX;
            for _ in 0..3 {
                let (address, before) = (address.clone(), busy_others());
                let client = thread::spawn(move || ask(&address, command));
                wait = wait.min(longest_wait(|| !client.is_finished()).await?);
                let (took, length) = client.join().expect("it does not panic").expect("an answer");
                (least, bytes) = (least.min(took), length);
                monitor = monitor.min(busy_others() - before);
            }
            println!(
                "{command}: {bytes} bytes after {least:.0?}, the monitor was busy for \
                 {monitor:.0?}, the longest wait {wait:.2?}"
            );
        }
        Ok::<_, TaskCancelled>(())
    });
    measured.expect("nothing cancels it");
}
