//! A graceful shutdown: a server is stopped under load, and each connection finishes its current
//! line and says goodbye. One `cancel().await` does it: the listener is closed at once, the
//! handlers learn it by `stopping()` and have five seconds to end by themselves, and the call
//! returns when the last of them has ended. Those that are left after that are cancelled.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use curium::kernel::{self, Kernel, select, sleep, spawn};
use curium::net::{TcpListener, TcpStream, stopping};

const CLIENTS: usize = 100;

/// Here each question is short and arrives in one piece. Longer ones would need a buffer.
async fn handler(stream: TcpStream, _peer: SocketAddr) -> io::Result<()> {
    let mut question = [0; 64];
    loop {
        let n = select! {
            read = stream.read(&mut question) => read?,
            stop = stopping() => {
                stop?;
                return say_goodbye(&stream).await;
            }
        };
        if n == 0 {
            return Ok(()); // the client has left
        }
        answer(&stream).await?;
    }
}

async fn answer(stream: &TcpStream) -> io::Result<()> {
    stream.write_all(b"let me think... ").await?;
    sleep(Duration::from_millis(10)).await?;
    Ok(stream.write_all(b"yes\n").await?)
}

async fn say_goodbye(stream: &TcpStream) -> io::Result<()> {
    stream.write_all(b"goodbye\n").await?;
    stream.shutdown(Shutdown::Write)?;
    // A close with an unread question would reset the connection, and the goodbye could be lost.
    while stream.read(&mut [0; 64]).await? > 0 {}
    Ok(())
}

/// Sends a new question after every answer. Returns everything that it received.
async fn client(address: SocketAddr) -> io::Result<String> {
    let stream = TcpStream::connect(address).await?;
    let (mut heard, mut buf) = (String::new(), [0; 64]);
    loop {
        if heard.is_empty() || heard.ends_with("yes\n") {
            stream.write_all(b"may I?\n").await?;
        }
        match stream.read(&mut buf).await? {
            0 => return Ok(heard),
            n => heard += &String::from_utf8_lossy(&buf[..n]),
        }
    }
}

fn main() -> io::Result<()> {
    Kernel::builder().virtual_clock().run(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let server = listener
            .serve(handler)
            .limit(CLIENTS + 1)
            .drain(Duration::from_secs(5))
            .grace(Duration::from_secs(1));
        let server = spawn(server);
        let clients: Vec<_> = (0..CLIENTS).map(|_| spawn(client(address))).collect();
        let silent = TcpStream::connect(address).await?; // it never leaves
        sleep(Duration::from_millis(25)).await?; // in the middle of the third answer
        println!("{} tasks are at work", kernel::tasks().len());
        let began = kernel::now();
        server.cancel().await?;
        println!("the server is shut down after {} seconds", (kernel::now() - began).as_secs());
        println!("tasks left besides main: {}", kernel::tasks().len() - 1);
        drop(silent);
        for client in clients {
            let heard = client.await?;
            let answers = heard.strip_suffix("goodbye\n").expect("goodbye comes last");
            assert_eq!(answers.replace("let me think... yes\n", ""), "", "half an answer");
        }
        println!("{CLIENTS} clients had every answer whole, and heard goodbye");
        Ok(())
    })
}
