//! async-nats inside tasks of Curium.

use std::rc::Rc;

use curium::io::BufReader;
use curium::kernel::cancellable;
use curium::prelude::*;
use futures::StreamExt;

/// The side of the server: reads lines of the client until one begins with `wanted`, and answers
/// pings.
async fn until(stream: &mut BufReader<TcpStream>, wanted: &str) -> std::io::Result<String> {
    loop {
        let mut line = String::new();
        assert_ne!(stream.read_line(&mut line).await?, 0, "the client is gone");
        if line.starts_with("PING") {
            stream.get_ref().write_all(b"PONG\r\n").await?;
        }
        if line.starts_with(wanted) {
            return Ok(line.trim_end().to_owned());
        }
    }
}

/// E2, E3: a cancel while async-nats waits for a message arrives, and ends the subscription on the
/// server. The client can be used, and its connection is closed when it is dropped.
#[test]
fn a_cancelled_subscriber_of_nats_has_unsubscribed() {
    curium_tokio::run(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let connecting = spawn(async move { cancellable(async_nats::connect(address)).await });
        let (stream, _) = listener.accept().await?;
        stream.write_all(b"INFO {\"server_id\":\"it\",\"max_payload\":1024}\r\n").await?;
        let mut stream = BufReader::new(stream);
        until(&mut stream, "PING").await?;
        let client = connecting.join().await?.unwrap().unwrap();

        let subscribed = Rc::new(Event::new());
        let (theirs, says) = (client.clone(), subscribed.clone());
        let subscriber = spawn(async move {
            let mut messages = cancellable(theirs.subscribe("news")).await?.unwrap();
            says.set();
            cancellable(messages.next()).await.map(drop)
        });
        subscribed.wait().await?;
        assert_eq!(until(&mut stream, "SUB").await?, "SUB news 1");
        subscriber.cancel().await?;
        assert!(matches!(subscriber.join().await?, Err(TaskError::Cancelled(_))));
        assert!(until(&mut stream, "UNSUB").await?.starts_with("UNSUB 1"));

        cancellable(client.publish("news", "two".into())).await?.unwrap();
        assert_eq!(until(&mut stream, "PUB").await?, "PUB news 3");
        drop(client);
        while stream.read_line(&mut String::new()).await? != 0 {}
        std::io::Result::Ok(())
    })
    .unwrap();
}
