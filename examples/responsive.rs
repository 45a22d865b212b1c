//! A server that answers while one of its handlers computes in a thread, and one that does not,
//! because its handler computes on the thread of the kernel. The kernel reports the task that
//! blocks it.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use curium::kernel::{self, Kernel, Report, run_in_thread};
use curium::net::{TcpListener, TcpStream};

static COMPUTING: AtomicBool = AtomicBool::new(false);

/// A computation of 300 ms.
fn compute() -> u64 {
    COMPUTING.store(true, SeqCst);
    let begun = Instant::now();
    let mut sum = 0_u64;
    while begun.elapsed() < Duration::from_millis(300) {
        sum = (0..10_000).fold(sum, |sum, number| sum.rotate_left(5) ^ number);
    }
    COMPUTING.store(false, SeqCst);
    sum
}

/// Answers `ping` at once, and `work` after a computation.
async fn answer(stream: TcpStream, in_thread: bool) -> io::Result<()> {
    let mut request = [0; 4];
    loop {
        match stream.read_exact(&mut request).await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            read => read?,
        }
        if &request == b"work" {
            let sum = if in_thread { run_in_thread(compute).await? } else { compute() };
            std::hint::black_box(sum);
        }
        stream.write_all(b"done").await?;
    }
}

/// Asks for work and sends pings meanwhile. Returns how many of them were answered before the work
/// was done, and the longest time of one.
fn clients(server: SocketAddr) -> io::Result<(u32, Duration)> {
    let connect = || std::net::TcpStream::connect(server);
    let (mut worker, mut pinger, mut done) = (connect()?, connect()?, [0; 4]);
    worker.write_all(b"work")?;
    while !COMPUTING.load(SeqCst) {
        std::thread::yield_now();
    }
    let (mut answered, mut longest) = (0, Duration::ZERO);
    while COMPUTING.load(SeqCst) {
        let begun = Instant::now();
        pinger.write_all(b"ping")?;
        pinger.read_exact(&mut done)?;
        answered += u32::from(COMPUTING.load(SeqCst));
        longest = longest.max(begun.elapsed());
    }
    worker.read_exact(&mut done)?;
    Ok((answered, longest))
}

/// Runs a server with both clients. Returns how many pings were answered meanwhile, and whether the
/// kernel has reported a handler that blocks it.
fn run(in_thread: bool) -> io::Result<(u32, bool)> {
    let blocked = Rc::new(Cell::new(false));
    let reported = blocked.clone();
    let builder = Kernel::builder().report_long_polls(Duration::from_millis(200));
    let builder = builder.on_report(move |report| {
        eprintln!("{report}");
        let long = matches!(report, Report::LongPoll { .. });
        reported.set(reported.get() || long);
    });
    let (answered, longest) = builder.run(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let handler = async move |stream, _| answer(stream, in_thread).await;
        let server = kernel::spawn(listener.serve(handler));
        let pings = run_in_thread(move || clients(address)).await??;
        server.cancel().await?;
        Ok::<_, io::Error>(pings)
    })?;
    eprintln!("{answered} pings meanwhile, the slowest took {longest:?}");
    Ok((answered, blocked.get()))
}

fn main() -> io::Result<()> {
    let (answered, _) = run(true)?;
    println!("in a thread: pings are answered meanwhile: {}", answered > 0);
    let (answered, reported) = run(false)?;
    println!("on the kernel: pings are answered meanwhile: {}", answered > 0);
    println!("on the kernel: a report names the task that blocks it: {reported}");
    Ok(())
}
