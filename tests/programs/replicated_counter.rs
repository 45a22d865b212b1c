//! A replicated counter over a simulated network: it counts each increment once, whatever fails.
//!
//! A primary keeps a log of increments in memory. It answers a client when one of two backups has
//! the increment too. The backups keep their logs through a crash. A primary that has crashed takes
//! the longer log of both backups before it serves again.

use std::cell::{Cell, RefCell};
use std::io;
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::time::Duration;

use curium::Error;
use curium::kernel::{Kernel, testing};
use curium::net::simulated::{Host, SimulatedNet};
use curium::prelude::*;

const MS: Duration = Duration::from_millis(1);
const CLIENTS: u8 = 3;
const INCREMENTS: u8 = 6;
const PORT: u16 = 80;

/// What is wrong with the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    None,
    /// The primary counts an increment again when a client asks again.
    CountsAgain,
    /// The primary answers when an increment is sent, and not when a backup has it.
    AnswersEarly,
    /// A backup takes what an old connection brings late.
    TakesLate,
    /// A backup takes what one read returns for a whole entry.
    ReadsShort,
}

/// An increment: its place in the log, the client, and the client's number of it.
type Entry = [u8; 3];

type Log = Rc<RefCell<Vec<Entry>>>;

/// One run of the program.
#[derive(Clone)]
struct Cluster {
    bug: Bug,
    hosts: [Host; 4],
    backups: [Log; 2],
    /// What the primary has counted when it began to serve, or later.
    primary: Log,
}

/// Numbers of the test, apart from those of the network.
struct Numbers(Cell<u64>);

impl Numbers {
    fn among(&self, range: RangeInclusive<u64>) -> u64 {
        let mut next = self.0.get();
        next ^= next << 13;
        next ^= next >> 7;
        next ^= next << 17;
        self.0.set(next);
        range.start() + next % (range.end() - range.start() + 1)
    }
}

impl Cluster {
    /// Runs a backup until it is cancelled, and again after a crash.
    async fn back_up(&self, number: usize) -> Result<(), Error> {
        loop {
            let this = self.clone();
            let served = tcp_server(("0.0.0.0", PORT), async move |stream, _| {
                this.take_entries(number, &stream).await
            });
            unless_cancelled(served.await)?.ok();
            sleep(MS).await?;
        }
    }

    /// Tells the primary how long the log is, takes entries until it has sent all, and confirms.
    async fn take_entries(&self, number: usize, stream: &TcpStream) -> io::Result<()> {
        let log = &self.backups[number];
        let len = || log.borrow().len() as u8;
        stream.write_all(&[len()]).await?;
        loop {
            let mut entry = Entry::default();
            let first = stream.read(&mut entry).await?;
            if first == 0 {
                break;
            }
            if self.bug != Bug::ReadsShort {
                stream.read_exact(&mut entry[first..]).await?;
            }
            if entry[0] == len() || self.bug == Bug::TakesLate {
                log.borrow_mut().push(entry);
            }
        }
        Ok(stream.write_all(&[len()]).await?)
    }

    /// Sends a backup what it lacks. True: it has the whole log.
    async fn replicate(&self, backup: usize) -> Result<bool, Error> {
        let stream = TcpStream::connect((self.hosts[1 + backup].ip(), PORT)).await?;
        let mut len = [0];
        stream.read_exact(&mut len).await?;
        let missing = self.primary.borrow()[usize::from(len[0])..].to_vec();
        for entry in missing {
            stream.write_all(&entry).await?;
        }
        stream.shutdown(std::net::Shutdown::Write)?;
        if self.bug == Bug::AnswersEarly {
            return Ok(true);
        }
        stream.read_exact(&mut len).await?;
        Ok(usize::from(len[0]) == self.primary.borrow().len())
    }

    /// The log of a backup.
    async fn recover(&self, backup: usize) -> Result<Vec<Entry>, Error> {
        let stream = TcpStream::connect((self.hosts[1 + backup].ip(), PORT)).await?;
        stream.read_exact(&mut [0]).await?;
        // The log itself is on a disk that both can read.
        Ok(self.backups[backup].borrow().clone())
    }

    /// Runs the primary until it is cancelled, and again after a crash.
    async fn serve(&self) -> Result<(), Error> {
        loop {
            // The memory of the primary is gone.
            let mut this = self.clone();
            this.primary = Log::default();
            for backup in 0..2 {
                let log = loop {
                    match attempt(this.recover(backup)).await? {
                        Some(log) => break log,
                        None => sleep(5 * MS).await?,
                    }
                };
                if log.len() > this.primary.borrow().len() {
                    this.primary.replace(log);
                }
            }
            let turn = Rc::new(Semaphore::new(1));
            let served = tcp_server(("0.0.0.0", PORT), async move |stream, _| {
                let mut request = [0; 2];
                stream.read_exact(&mut request).await?;
                let held = turn.acquire().await?;
                this.count(request).await?;
                drop(held);
                stream.write_all(&[1]).await?;
                Ok::<_, Error>(())
            });
            unless_cancelled(served.await)?.ok();
            sleep(MS).await?;
        }
    }

    /// Counts an increment, unless it is counted, and waits until a backup has it.
    async fn count(&self, [client, number]: [u8; 2]) -> Result<(), Error> {
        let known = self.primary.borrow().iter().any(|entry| entry[1..] == [client, number]);
        if !known || self.bug == Bug::CountsAgain {
            let index = self.primary.borrow().len() as u8;
            self.primary.borrow_mut().push([index, client, number]);
        }
        loop {
            for backup in 0..2 {
                if attempt(self.replicate(backup)).await? == Some(true) {
                    return Ok(());
                }
            }
            sleep(5 * MS).await?;
        }
    }

    /// Runs the program until all clients have ended.
    async fn run(&self, net: SimulatedNet, seed: u64) -> Result<(), Error> {
        TaskGroup::<Error>::scope(async |group| {
            for number in 0..2 {
                let (this, host) = (self.clone(), self.hosts[1 + number].clone());
                group.spawn_daemon(
                    async move { host.run(async || this.back_up(number).await).await },
                );
            }
            let this = self.clone();
            let host = self.hosts[0].clone();
            group.spawn_daemon(async move { host.run(async || this.serve().await).await });
            group.spawn(disturb(net, self.hosts.clone(), seed));
            let clients = async || {
                (0..CLIENTS).for_each(|client| {
                    drop(group.spawn(count_up(client, self.hosts[0].clone())));
                });
            };
            self.hosts[3].run(clients).await;
            Ok(())
        })
        .await
    }
}

/// A value, or `None` after an error or a third of a second.
async fn attempt<T>(
    call: impl Future<Output = Result<T, Error>>,
) -> Result<Option<T>, TaskCancelled> {
    match timeout_after(300 * MS, call).await {
        Ok(result) => Ok(unless_cancelled(result)?.ok()),
        Err(_) => Ok(None),
    }
}

/// Counts up, each time until the primary has confirmed it.
async fn count_up(client: u8, primary: Host) -> Result<(), Error> {
    for number in 0..INCREMENTS {
        let ask = async || {
            let stream = TcpStream::connect((primary.ip(), PORT)).await?;
            stream.write_all(&[client, number]).await?;
            stream.read_exact(&mut [0]).await?;
            Ok::<_, Error>(())
        };
        while attempt(ask()).await?.is_none() {
            sleep(10 * MS).await?;
        }
    }
    Ok(())
}

/// Injects faults, and then heals the network.
async fn disturb(net: SimulatedNet, hosts: [Host; 4], seed: u64) -> Result<(), Error> {
    let numbers = Numbers(Cell::new(seed * 2 + 1));
    let any = || &hosts[numbers.among(0..=hosts.len() as u64 - 1) as usize];
    for _ in 0..numbers.among(5..=20) {
        sleep(numbers.among(1..=150) as u32 * MS).await?;
        match numbers.among(0..=5) {
            0..=2 => net.partition(&hosts[0], any()),
            3 => net.reset(&hosts[0], any()),
            4 => net.crash(any()),
            _ => net.heal(),
        }
    }
    net.heal();
    Ok(())
}

/// One run. All clients must end after the network is healed, and each increment is counted once.
/// The error says what is wrong.
fn run_once(seed: u64, bug: Bug) -> Result<(), String> {
    let builder = Kernel::builder().seed(seed).simulated_net().on_report(|_| {});
    let log = testing::run_with(builder, async || {
        let net = SimulatedNet::current();
        net.latency(MS..=20 * MS);
        net.chunks(1..=8);
        let hosts = ["primary", "left", "right", "clients"].map(|name| net.host(name));
        let (backups, primary) = Default::default();
        let cluster = Cluster { bug, hosts, backups, primary };
        match timeout_after(Duration::from_secs(3600), cluster.run(net, seed)).await {
            Ok(result) => result.map_err(|error| error.to_string())?,
            Err(_) => return Err("it does not end".to_owned()),
        }
        let logs = cluster.backups.map(|log| log.borrow().clone());
        Ok(logs.into_iter().max_by_key(Vec::len).expect("there are two"))
    })?;
    let mut counted: Vec<_> = log.iter().map(|entry| (entry[1], entry[2])).collect();
    counted.sort_unstable();
    let numbers = |client| (0..INCREMENTS).map(move |number| (client, number));
    let expected: Vec<_> = (0..CLIENTS).flat_map(numbers).collect();
    if counted == expected { Ok(()) } else { Err(format!("counted {counted:?}")) }
}

/// V3: the program is right, whatever the network does.
#[test]
fn a_replicated_counter_counts_each_increment_once() {
    for seed in 0..100 {
        if let Err(wrong) = run_once(seed, Bug::None) {
            panic!("seed {seed}: {wrong}");
        }
    }
}

/// V3: each of four bugs is found within 1,000 seeds.
#[test]
fn planted_bugs_of_a_replicated_counter_are_found() {
    for bug in [Bug::CountsAgain, Bug::AnswersEarly, Bug::TakesLate, Bug::ReadsShort] {
        let found = (0..1000).find_map(|seed| Some((seed, run_once(seed, bug).err()?)));
        let (seed, wrong) = found.unwrap_or_else(|| panic!("{bug:?} is not found"));
        println!("{bug:?}: seed {seed}: {wrong}");
    }
}
