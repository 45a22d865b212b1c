//! A proxy: what arrives at one address goes on to another one, and back. When one side has said
//! all that it has to say, the other side learns it, and may still answer.
//!
//! `proxy ADDRESS TARGET` serves until Ctrl-C, and then gives the open connections time to end.
//! Without arguments it serves 1,000 clients of its own, 200 at a time, and ends.

use std::cell::Cell;
use std::error::Error;
use std::io;
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Instant;

use curium::io::{ReadExt, copy_bidirectional};
use curium::prelude::*;
use curium::signal::ctrl_c;

/// How many bytes went to the target, and back.
type Carried = Rc<Cell<(u64, u64)>>;

async fn forward(mut client: TcpStream, target: &str, carried: &Carried) -> io::Result<()> {
    let mut server = TcpStream::connect(target).await?;
    let (there, back) = copy_bidirectional(&mut client, &mut server).await?;
    let before = carried.get();
    carried.set((before.0 + there, before.1 + back));
    Ok(())
}

async fn serve(listener: TcpListener, target: String, carried: Carried) -> io::Result<()> {
    let handler = async move |client, _| forward(client, &target, &carried).await;
    // When it is cancelled, the connections that are open have so much time to end.
    listener.serve(handler).drain(Duration::from_secs(10)).await
}

/// The target: answers when the question has ended, with every byte of it twice.
async fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut question = Vec::new();
    stream.read_to_end(&mut question).await?;
    let answer: Vec<u8> = question.iter().flat_map(|byte| [*byte; 2]).collect();
    Ok(stream.write_all(&answer).await?)
}

async fn client(address: &str, number: usize) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let question = vec![number as u8; number * 10];
    stream.write_all(&question).await?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    assert!(answer == question.repeat(2), "client {number} got a wrong answer");
    Ok(())
}

async fn demo() -> io::Result<()> {
    let (target, proxy) =
        (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
    let (to_target, address) = (target.local_addr()?.to_string(), proxy.local_addr()?.to_string());
    let (carried, started) = (Carried::default(), Instant::now());
    TaskGroup::scope(async |g| {
        g.spawn_daemon(target.serve(async |stream, _| answer(stream).await));
        let proxy = g.spawn(serve(proxy, to_target, carried.clone()));
        TaskGroup::scope(async |clients| {
            clients.limit(200);
            for number in 0..1000 {
                let address = address.clone();
                clients.spawn_when_free(async move { client(&address, number).await }).await?;
            }
            Ok(())
        })
        .await?;
        proxy.cancel().await?;
        Ok::<_, io::Error>(())
    })
    .await?;
    let (there, back) = carried.get();
    println!("1000 clients: {there} bytes there, {back} bytes back, every answer is right");
    eprintln!("took {:?}", started.elapsed());
    Ok(())
}

async fn serve_at(address: &str, target: &str) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    let server = spawn(serve(listener, target.to_owned(), Carried::default()));
    ctrl_c().await?;
    Ok(server.cancel().await?)
}

fn main() -> Result<(), Box<dyn Error>> {
    match &std::env::args().skip(1).collect::<Vec<_>>()[..] {
        [] => run(demo)?,
        [address, target] => run(async || serve_at(address, target).await)?,
        _ => return Err("usage: proxy [ADDRESS TARGET]".into()),
    }
    Ok(())
}
