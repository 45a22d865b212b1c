//! A client that asks again, tested on a simulated network: a partition, a crash, and no waiting.
//!
//! The network is part of the kernel. Half a minute of its time takes a few milliseconds, and the
//! same seed shows the same run, packet by packet.

use std::io;

use curium::kernel::{Kernel, now, testing};
use curium::net::simulated::SimulatedNet;
use curium::prelude::*;

/// Doubles the numbers that come, one byte each.
async fn serve() -> io::Result<()> {
    tcp_server("0.0.0.0:80", async |stream, _| {
        let mut number = [0];
        while stream.read(&mut number).await? > 0 {
            stream.write_all(&[number[0] * 2]).await?;
        }
        Ok::<_, io::Error>(())
    })
    .await
}

async fn ask(number: u8) -> io::Result<u8> {
    let stream = TcpStream::connect("server:80").await?;
    stream.write_all(&[number]).await?;
    let mut doubled = [0];
    stream.read_exact(&mut doubled).await?;
    Ok(doubled[0])
}

/// Asks until there is an answer. Returns it, and how often it has asked.
async fn insist(number: u8) -> Result<(u8, usize)> {
    for asked in 1.. {
        if let Ok(answer) = timeout_after(Duration::from_secs(5), ask(number)).await {
            if let Ok(doubled) = unless_cancelled(answer)? {
                return Ok((doubled, asked));
            }
        }
        sleep(Duration::from_secs(1)).await?;
    }
    unreachable!("it asks until there is an answer")
}

async fn story() -> Result<(), io::Error> {
    let net = SimulatedNet::current();
    net.latency(Duration::from_millis(1)..=Duration::from_millis(20));
    let (server, client) = (net.host("server"), net.host("client"));
    let begun = now();

    let first = server.run(async || spawn(serve())).await;
    println!("asked: {:?}", client.run(async || insist(21).await).await?);

    net.partition(&server, &client);
    let healer = spawn({
        let net = net.clone();
        async move {
            sleep(Duration::from_secs(20)).await?;
            net.heal();
            Ok::<_, TaskCancelled>(())
        }
    });
    println!("asked in a partition: {:?}", client.run(async || insist(22).await).await?);
    healer.await?;

    net.crash(&server);
    println!("the server: {}", first.await.unwrap_err());
    let second = server.run(async || spawn(serve())).await;
    println!("asked after a crash: {:?}", client.run(async || insist(23).await).await?);
    second.cancel().await?;

    println!("{} seconds of the network", (now() - begun).as_secs());
    println!("{}", net.trace().lines().take(3).collect::<Vec<_>>().join("\n"));
    Ok(())
}

fn main() -> io::Result<()> {
    testing::run_with(Kernel::builder().seed(7).simulated_net(), story)
}
