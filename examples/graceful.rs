//! A graceful shutdown: a server is cancelled under load, and each connection finishes its current
//! line and says goodbye. One `cancel().await` does it: the listener is closed at once, the
//! handlers are cancelled together, and the call returns when the last handler has cleaned up.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use curium::kernel::{self, BodyEnd, Kernel, finally, shield, sleep, spawn, timeout_after};
use curium::net::{TcpListener, TcpStream};

const CLIENTS: usize = 100;

async fn handler(stream: TcpStream, _peer: SocketAddr) -> io::Result<()> {
    finally(converse(&stream), async |how| match how {
        // The cleanup may await. The timeout bounds it, because a silent client could delay it for
        // ever.
        BodyEnd::Cancelled => timeout_after(Duration::from_secs(5), say_goodbye(&stream)).await?,
        _ => Ok(()), // the client has left, or the connection is broken
    })
    .await
}

/// Here each question is short and arrives in one piece. Longer ones would need a buffer.
async fn converse(stream: &TcpStream) -> io::Result<()> {
    let mut question = [0; 64];
    while stream.read(&mut question).await? > 0 {
        // The shield holds a cancellation back until the answer is complete.
        shield(answer(stream)).await?;
    }
    Ok(())
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
        let server = spawn(listener.serve(handler));
        let clients: Vec<_> = (0..CLIENTS).map(|_| spawn(client(address))).collect();
        sleep(Duration::from_millis(25)).await?; // in the middle of the third answer
        println!("{} tasks are at work", kernel::tasks().len());
        server.cancel().await?;
        println!("the server is shut down; tasks left besides main: {}", kernel::tasks().len() - 1);
        for client in clients {
            let heard = client.await?;
            let answers = heard.strip_suffix("goodbye\n").expect("goodbye comes last");
            assert_eq!(answers.replace("let me think... yes\n", ""), "", "half an answer");
        }
        println!("{CLIENTS} clients had every answer whole, and heard goodbye");
        Ok(())
    })
}
