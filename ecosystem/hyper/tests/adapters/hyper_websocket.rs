//! async-tungstenite over streams of Curium, which the example `websocket` serves behind hyper.

use std::error::Error;

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use async_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role};
use async_tungstenite::{accept_async, client_async};
use curium::kernel::{GroupRef, cancellable, cancellable_after, now, spawn, testing};
use curium::net::{TcpListener, TcpStream};
use curium::prelude::*;
use curium_hyper::{serve, upgraded};
use futures::StreamExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};

use crate::kit::{bound, quiet, rest, secs, sent};

type Anything = Box<dyn Error + Send + Sync>;
type Socket = WebSocketStream<TcpStream>;

/// More than the network holds for a reader that does not read.
const MUCH: usize = 1 << 20;

async fn connected() -> Result<(TcpStream, TcpStream), Anything> {
    let (listener, address) = bound().await?;
    let client = TcpStream::connect(address).await?;
    Ok((listener.accept().await?.0, client))
}

async fn socket(stream: TcpStream, role: Role) -> Socket {
    WebSocketStream::from_raw_socket(stream, role, None).await
}

/// A frame of a server: its head, and the first bytes of its text.
fn frame(text: &str) -> Vec<u8> {
    [&[0x81, u8::try_from(text.len()).expect("a short text")], text.as_bytes()].concat()
}

/// Cancels a task that waits in `wait`, which owns its stream. The error arrives, and the stream
/// is closed.
async fn cancels<F: Future<Output: 'static> + 'static>(
    wait: impl FnOnce(TcpStream) -> F,
) -> Result<(), Anything> {
    let (ours, theirs) = connected().await?;
    let task = spawn(cancellable(wait(ours)));
    testing::settle().await?;
    task.cancel().await?;
    assert!(matches!(task.join().await?, Err(TaskError::Cancelled(_))), "it has not waited");
    rest(&theirs).await?;
    Ok(())
}

/// E2: a cancel arrives in each wait of tungstenite, and with the future its stream is closed.
#[test]
fn a_cancel_arrives_in_each_wait_of_tungstenite() {
    quiet(async || {
        cancels(accept_async).await?;
        cancels(|stream| client_async("ws://here/", stream)).await?;
        cancels(async |stream| socket(stream, Role::Client).await.next().await).await?;
        cancels(async |stream| {
            let mut socket = socket(stream, Role::Server).await;
            socket.send(Message::binary(vec![7; MUCH])).await
        })
        .await?;
        cancels(async |stream| {
            let (sender, mut receiver) = socket(stream, Role::Server).await.split();
            drop(sender);
            receiver.next().await.map(drop)
        })
        .await
    })
    .unwrap();
}

/// E2: a wait for a message that is cancelled in the middle of one loses no part of it, and one
/// for room in the middle of an answer sends the rest of it with the next.
#[test]
fn a_cancelled_wait_of_tungstenite_loses_no_part_of_a_message() {
    quiet(async || {
        let (ours, theirs) = connected().await?;
        let mut client = socket(ours, Role::Client).await;
        let begun = now();
        theirs.write_all(&frame("whole")[..4]).await?;
        assert!(cancellable_after(secs(1), client.next()).await.is_err());
        theirs.write_all(&frame("whole")[4..]).await?;
        assert_eq!(cancellable(client.next()).await?.unwrap()?, Message::text("whole"));

        let much = Message::binary(vec![7; MUCH]);
        assert!(cancellable_after(secs(1), client.send(much.clone())).await.is_err());
        let mut server = socket(theirs, Role::Server).await;
        let reader = spawn(async move {
            let first = cancellable(server.next()).await?.unwrap()?;
            let second = cancellable(server.next()).await?.unwrap()?;
            Ok::<_, Anything>((first, second))
        });
        cancellable(client.send(Message::text("last"))).await??;
        assert!(reader.join().await?.unwrap() == (much, Message::text("last")));
        assert_eq!(now() - begun, secs(2));
        Ok::<_, Anything>(())
    })
    .unwrap();
}

/// Waits for a message, and says goodbye if that is cancelled.
async fn converse(stream: TcpStream) -> Result<(), Anything> {
    let mut socket = socket(stream, Role::Server).await;
    let cancelled = match cancellable(socket.next()).await {
        Ok(message) => panic!("{message:?}"),
        Err(cancelled) => cancelled,
    };
    let close = CloseFrame { code: CloseCode::Away, reason: "the server stops".into() };
    cancellable(socket.close(Some(close))).await??;
    Err(cancelled.into())
}

async fn answers(listener: TcpListener) -> Result<(), Anything> {
    TaskGroup::scope(async |group: GroupRef<Anything>| {
        let service = service_fn(move |mut request: Request<Incoming>| async move {
            let upgrade = hyper::upgrade::on(&mut request);
            group.spawn_daemon(async { converse(upgraded(upgrade).await?.0).await });
            let answer = Response::builder().status(101).header("upgrade", "websocket");
            answer.body(String::new())
        });
        Ok(serve(listener, service).await?)
    })
    .await
}

/// E2: a conversation of a server of hyper is cancelled while tungstenite waits. The client hears
/// so before its connection is closed.
#[test]
fn a_cancelled_conversation_says_goodbye() {
    quiet(async || {
        let (listener, address) = bound().await?;
        let server = spawn(answers(listener));
        let head = "GET / HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
        let stream = sent(address, head).await?;
        testing::settle().await?;
        server.cancel().await?;
        assert!(matches!(server.join().await?, Err(TaskError::Cancelled(_))));
        let heard = rest(&stream).await?;
        let (answer, goodbye) = heard.split_once("\r\n\r\n").unwrap();
        assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
        assert!(goodbye.ends_with("the server stops"), "{goodbye}");
        Ok::<_, Anything>(())
    })
    .unwrap();
}
