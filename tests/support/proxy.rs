//! A proxy between a kernel under test and its peer, which splits, delays and loses data.
//!
//! It runs on plain threads and shares nothing with the kernel. It follows a plan, which is a pure
//! function of a seed: how many bytes at once, after what pause, and where a direction ends. Only
//! the scheduling of the threads is random.

#![allow(dead_code, reason = "each file of tests uses its own part")]

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Pseudo-random numbers from the seed (splitmix64).
#[derive(Debug, Clone)]
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Numbers(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// One of `0..end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

/// How a direction is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The receiver gets the end of the stream. What comes after is dropped.
    End,
    /// The whole connection is dropped, in both directions.
    Cut,
}

/// The next step for the bytes of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chop {
    /// At most so many bytes are passed on at once.
    pub(crate) len: usize,
    /// The pause before that.
    pub(crate) pause: Duration,
}

/// The plan for one direction.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    numbers: Numbers,
    /// The number of bytes after which it is lost, if ever.
    pub(crate) loss: Option<(usize, Loss)>,
}

/// The plan for a connection.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// From the client to the server.
    pub(crate) up: Way,
    /// From the server to the client.
    pub(crate) down: Way,
}

impl Plan {
    /// Splits and delays, and loses nothing.
    pub(crate) fn whole(seed: u64) -> Plan {
        let mut numbers = Numbers::new(seed);
        let mut way = || Way { numbers: Numbers::new(numbers.next()), loss: None };
        Plan { up: way(), down: way() }
    }

    /// Splits, delays, and loses one direction, or both, within the first `within` bytes.
    pub(crate) fn lossy(seed: u64, within: usize) -> Plan {
        let mut plan = Plan::whole(seed);
        let mut numbers = Numbers::new(!seed);
        let at = numbers.below(within);
        let loss = if numbers.below(2) == 0 { Loss::End } else { Loss::Cut };
        match numbers.below(2) {
            0 => plan.up.loss = Some((at, loss)),
            _ => plan.down.loss = Some((at, loss)),
        }
        plan
    }
}

impl Way {
    /// Mostly a few bytes, sometimes a larger piece, rarely a pause.
    pub(crate) fn chops(&self) -> impl Iterator<Item = Chop> + use<> {
        let mut numbers = self.numbers.clone();
        std::iter::from_fn(move || {
            let most = [1, 7, 64, 64, 512, 4096][numbers.below(6)];
            let len = 1 + numbers.below(most);
            let pause = match numbers.below(32) {
                0 => Duration::from_micros(1 + numbers.below(300) as u64),
                _ => Duration::ZERO,
            };
            Some(Chop { len, pause })
        })
    }
}

/// A proxy for one connection.
pub(crate) struct Proxy {
    /// The address that the client connects to.
    pub(crate) address: SocketAddr,
    thread: JoinHandle<io::Result<[usize; 2]>>,
}

impl Proxy {
    /// A proxy in front of `server`.
    pub(crate) fn before(server: SocketAddr, plan: Plan) -> io::Result<Proxy> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let thread = thread::spawn(move || {
            let client = listener.accept()?.0;
            drop(listener);
            let server = TcpStream::connect(server)?;
            let (client_too, server_too) = (client.try_clone()?, server.try_clone()?);
            let up = thread::spawn(move || pass(client_too, server_too, &plan.up));
            let down = pass(server, client, &plan.down)?;
            Ok([up.join().expect("the other direction panicked")?, down])
        });
        Ok(Proxy { address, thread })
    }

    /// Waits until both directions have ended. Returns how many bytes passed up, and down.
    pub(crate) fn passed(self) -> io::Result<[usize; 2]> {
        self.thread.join().expect("the proxy panicked")
    }
}

/// Forwards one direction until it ends or is lost. Returns how many bytes it forwarded.
fn pass(mut from: TcpStream, mut to: TcpStream, way: &Way) -> io::Result<usize> {
    to.set_nodelay(true)?;
    let mut buf = [0; 4096];
    let mut passed = 0;
    for chop in way.chops() {
        let mut room = chop.len.min(buf.len());
        if let Some((at, loss)) = way.loss {
            if passed == at {
                lose(&mut from, &to, loss);
                return Ok(passed);
            }
            room = room.min(at - passed);
        }
        if !chop.pause.is_zero() {
            thread::sleep(chop.pause);
        }
        // An error means that one side is gone. It ends both sides, like a router that fails.
        match from.read(&mut buf[..room]) {
            Ok(0) => break,
            Ok(n) if to.write_all(&buf[..n]).is_ok() => passed += n,
            _ => {
                lose(&mut from, &to, Loss::Cut);
                return Ok(passed);
            }
        }
    }
    // The side may be gone meanwhile, which needs no report.
    let _ = to.shutdown(Shutdown::Write);
    Ok(passed)
}

fn lose(from: &mut TcpStream, to: &TcpStream, loss: Loss) {
    match loss {
        Loss::End => {
            let _ = to.shutdown(Shutdown::Write);
            let _ = io::copy(from, &mut io::sink());
        }
        Loss::Cut => {
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
        }
    }
}
