//! One server over four cores, with each of the three balances, and a thousand clients of which two
//! thirds leave soon.
//!
//! The picture of the clients that stay goes to standard error, because it differs each time. On
//! Linux the ports of clients are even as long as there are enough of them, so by the port of the
//! peer only every other core has any.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use curium::kernel::{Core, CoreErrors, Cores, kernels};
use curium::net::{Balance, CoreExt, stopping};
use curium::prelude::*;
use curium::select;
use curium::sync::UniversalQueue;

const CORES: usize = 4;
const CLIENTS: usize = 1000;

/// Says on which core the client is, and keeps the connection until the client leaves.
async fn say_core(stream: TcpStream) -> io::Result<()> {
    let core = Core::current().expect("it runs on a core");
    stream.write_all(&[core.index() as u8]).await?;
    let mut nothing = [0];
    select! {
        left = stream.read(&mut nothing) => left.map(drop),
        stop = stopping() => Ok(stop?),
    }
}

/// Connects one client after the other, and counts those that stay, for each core.
async fn clients(address: SocketAddr) -> io::Result<[usize; CORES]> {
    let (mut staying, mut counts) = (Vec::new(), [0; CORES]);
    for nth in 0..CLIENTS {
        let client = TcpStream::connect(address).await?;
        let mut core = [0];
        client.read_exact(&mut core).await?;
        if nth % 3 == 0 {
            counts[usize::from(core[0])] += 1;
            staying.push(client);
        }
    }
    Ok(counts)
}

fn show(balance: Balance, counts: [usize; CORES]) {
    println!("{balance:?}: {CLIENTS} clients were served");
    for (core, count) in counts.iter().enumerate() {
        eprintln!("{balance:10?} core {core} {count:4} {}", "#".repeat(count / 4));
    }
}

fn main() -> Result<(), CoreErrors<io::Error>> {
    for balance in [Balance::Fewest, Balance::ReusePort, Balance::PeerPort] {
        // The last core has the clients, and waits until the others listen.
        let listening = Arc::new(UniversalQueue::unbounded());
        let cores = Cores::count(CORES + 1).drain(Duration::from_secs(10));
        let counts = kernels(cores, async |core| {
            if core.index() < CORES {
                let handler = async |stream, _| say_core(stream).await;
                let server = core.serve((Ipv4Addr::LOCALHOST, 0), balance, handler);
                let say = listening.clone();
                server.on_listening(move |at| say.try_put(at).expect("it has no bound")).await?;
                return Ok(None);
            }
            let counts = clients(listening.get().await?).await?;
            core.stop();
            Ok(Some(counts))
        })?;
        counts.into_iter().flatten().for_each(|counts| show(balance, counts));
    }
    Ok(())
}
