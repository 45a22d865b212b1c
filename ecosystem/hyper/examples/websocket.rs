//! A WebSocket server by async-tungstenite behind hyper: `websocket [ADDRESS]`. It returns each
//! message in capitals.

use std::env;
use std::error::Error;

use async_tungstenite::tungstenite::error::ProtocolError;
use async_tungstenite::tungstenite::handshake::derive_accept_key;
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use async_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role};
use async_tungstenite::{WebSocketStream, tungstenite};
use curium::kernel::{GroupRef, cancellable};
use curium::net::{TcpListener, TcpStream};
use curium::prelude::*;
use curium::signal::{SIGINT, SIGTERM, until_signal};
use curium_hyper::{serve, upgraded};
use futures::StreamExt;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};

type Anything = Box<dyn Error + Send + Sync>;

/// The conversation. If the server stops, the client is told so.
async fn converse(stream: TcpStream, early: Bytes) -> Result<(), Anything> {
    let early = early.to_vec();
    let mut socket = WebSocketStream::from_partially_read(stream, early, Role::Server, None).await;
    loop {
        let message = match cancellable(socket.next()).await {
            Ok(Some(message)) => message?,
            Ok(None) => return Ok(()),
            Err(cancelled) => {
                let (code, reason) = (CloseCode::Away, "the server stops".into());
                let close = socket.close(Some(CloseFrame { code, reason }));
                // Cleanup may await; a client that does not read does not hold it up.
                let _ = timeout_after(Duration::from_secs(1), cancellable(close)).await;
                return Err(cancelled.into());
            }
        };
        let answer = match message {
            Message::Text(text) => Message::text(text.to_uppercase()),
            Message::Binary(bytes) => Message::Binary(bytes),
            _ => continue, // tungstenite answers a ping and a close
        };
        cancellable(socket.send(answer)).await??;
    }
}

/// Whether the client is gone without a close, which is no failure of the server.
fn has_hung_up(error: &Anything) -> bool {
    use tungstenite::Error;

    matches!(
        error.downcast_ref(),
        Some(Error::Io(_) | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake))
    )
}

/// Changes the protocol, and leaves the conversation to a task of the group.
async fn handshake(
    group: GroupRef<Anything>,
    mut request: Request<Incoming>,
) -> hyper::http::Result<Response<String>> {
    let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY).cloned() else {
        let answer = Response::builder().status(StatusCode::UPGRADE_REQUIRED);
        return answer.header(UPGRADE, "websocket").body("this is for WebSockets\n".to_owned());
    };
    let upgrade = hyper::upgrade::on(&mut request);
    group.spawn_daemon(async {
        let (stream, early) = upgraded(upgrade).await?;
        match converse(stream, early).await {
            Err(error) if has_hung_up(&error) => Ok(()),
            ended => ended,
        }
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(CONNECTION, "upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_ACCEPT, derive_accept_key(key.as_bytes()))
        .body(String::new())
}

fn main() -> Result<(), Anything> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    run(async || {
        let listener = TcpListener::bind(address).await?;
        println!("listening on {}", listener.local_addr()?);
        let server = TaskGroup::scope(async |group| {
            let service = service_fn(move |request| handshake(group, request));
            serve(listener, service).await.map_err(Anything::from)
        });
        match until_signal([SIGINT, SIGTERM], server)?.await {
            Ok(ended) => ended,
            Err(signalled) => {
                println!("{signalled}, every client has been sent a close");
                Ok(())
            }
        }
    })
}
