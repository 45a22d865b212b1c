//! Clients of the server itself, on the virtual clock.

use std::io;
use std::net::SocketAddr;

use curium::io::{BufReader, WriteExt};
use curium::prelude::*;

struct Client(BufReader<TcpStream>);

impl Client {
    async fn connect(address: SocketAddr) -> io::Result<Self> {
        Ok(Client(BufReader::new(TcpStream::connect(address).await?)))
    }

    /// Sends commands, all at once, and prints each with its answer.
    async fn ask(&mut self, commands: &[&str]) -> io::Result<()> {
        self.0.write_all(format!("{}\r\n", commands.join("\r\n")).as_bytes()).await?;
        for command in commands {
            println!("{command} -> {}", self.answer().await?);
        }
        Ok(())
    }

    /// The next answer. Its lines become one.
    async fn answer(&mut self) -> io::Result<String> {
        let (mut answer, mut lines) = (String::new(), 1);
        while lines > 0 {
            let mut line = String::new();
            if self.0.read_line(&mut line).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            lines -= 1;
            match (line.as_bytes()[0], line[1..].trim_end().parse::<i64>()) {
                (b'*', Ok(elements)) => lines += elements,
                (b'$', Ok(0..)) => lines += 1,
                _ => {}
            }
            answer += line.trim_end();
            answer += " ";
        }
        answer.pop();
        Ok(answer)
    }
}

/// Publishes until the subscriber that does not read is disconnected.
async fn outrun(publisher: &mut Client) -> io::Result<()> {
    let text = "x".repeat(64 * 1024);
    let command = format!("*3\r\n$7\r\nPUBLISH\r\n$4\r\nnews\r\n${}\r\n{text}\r\n", text.len());
    loop {
        publisher.0.write_all(command.as_bytes()).await?;
        if publisher.answer().await? == ":0" {
            return Ok(());
        }
    }
}

async fn converse(address: SocketAddr) -> io::Result<()> {
    let mut one = Client::connect(address).await?;
    one.ask(&["PING", "SET greeting hello", "GET greeting", "get nothing"]).await?;
    one.ask(&["INCR visits", "INCR visits", "INCR greeting", "DEL greeting visits"]).await?;
    one.ask(&["LPUSH list three two one", "LRANGE list 0 -2", "GET list", "HGET h f"]).await?;
    one.ask(&["EXPIRE list 10", "LRANGE list 0 0"]).await?;
    sleep(Duration::from_secs(10)).await?;
    one.ask(&["LRANGE list 0 0"]).await?;

    let mut two = Client::connect(address).await?;
    two.ask(&["SUBSCRIBE news sport", "GET greeting"]).await?;
    println!("{}", two.answer().await?); // the first command had two answers
    one.ask(&["PUBLISH news hello", "PUBLISH weather rain"]).await?;
    println!("{}", two.answer().await?);
    outrun(&mut one).await?;
    println!("the subscriber was slow, and is disconnected");
    Ok(())
}

pub(crate) async fn run() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    TaskGroup::scope(async |g| {
        // A daemon: the group cancels it when the clients have ended.
        let server = listener.serve(async |stream, _| crate::serve_client(stream).await);
        g.spawn_daemon(crate::serve(server));
        converse(address).await
    })
    .await
}
