//! A server and a client of QUIC by quinn, each with the other: `quic_echo`.
//!
//! Eight streams of one connection are echoed at once. One is given up in the middle, which the
//! server hears and the other streams do not. In the end both sides close, and no wait is left.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use curium::kernel::{cancellable, cancelled, gather_all};
use curium::prelude::*;
use quinn::rustls::RootCertStore;
use quinn::rustls::pki_types::PrivatePkcs8KeyDer;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, Incoming, ServerConfig};

type Anything = Box<dyn Error + Send + Sync>;

const MIB: usize = 1 << 20;

/// Echoes each stream of a connection until the client closes it.
async fn echo(incoming: Incoming) -> Result<(), Anything> {
    let connection = cancellable(incoming).await??;
    TaskGroup::scope(async |streams| {
        loop {
            match cancellable(connection.accept_bi()).await? {
                Ok((mut sender, mut receiver)) => streams.spawn(async move {
                    match curium::io::copy(&mut receiver, &mut sender).await {
                        Ok(_) => sender.finish()?,
                        Err(error) => println!("the server: {}", error.source),
                    }
                    Ok(())
                }),
                Err(ConnectionError::ApplicationClosed(close)) => {
                    println!("the server: {close}");
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            };
        }
    })
    .await
}

/// Serves until it is cancelled, and then says goodbye to the clients that are left.
async fn serve(server: Endpoint) -> Result<(), Anything> {
    let accept = TaskGroup::scope(async |connections| {
        while let Some(incoming) = cancellable(server.accept()).await? {
            connections.spawn(echo(incoming));
        }
        Ok(())
    });
    finally(accept, async |_| {
        server.close(0_u32.into(), b"the server stops");
        Ok(cancellable(server.wait_idle()).await?)
    })
    .await
}

/// Sends a MiB, and reads it again.
async fn round_trip(connection: &Connection, byte: u8) -> Result<usize, Anything> {
    let (mut sender, mut receiver) = cancellable(connection.open_bi()).await??;
    let send = async {
        cancellable(sender.write_all(&vec![byte; MIB])).await??;
        Ok::<_, Anything>(sender.finish()?)
    };
    let receive = async { Ok(cancellable(receiver.read_to_end(MIB)).await??) };
    let ((), echoed) = curium::gather((send, receive)).await?;
    Ok(echoed.iter().filter(|echoed| **echoed == byte).count())
}

/// Sends without an end. Cancelled, it tells the server that this was not all.
async fn send_on(connection: &Connection) -> Result<(), Anything> {
    let (mut sender, mut receiver) = cancellable(connection.open_bi()).await??;
    let sent = async {
        loop {
            cancellable(sender.write_all(&[0; 1000])).await??;
            cancellable(receiver.read_chunk(1000, true)).await??;
        }
    };
    let sent: Result<(), Anything> = sent.await;
    if sent.as_ref().is_err_and(|error| cancelled(&**error).is_some()) {
        sender.reset(7_u32.into())?;
    }
    sent
}

async fn talk(client: &Endpoint, address: SocketAddr) -> Result<(), Anything> {
    let connection = cancellable(client.connect(address, "localhost")?).await??;
    let echoed = gather_all((0..8).map(|byte| round_trip(&connection, byte))).await?;
    println!("the client: {} MiB came back", echoed.iter().sum::<usize>() / MIB);
    let given_up = timeout_after(Duration::from_millis(50), send_on(&connection)).await;
    println!("the client: gave up: {}", matches!(given_up, Err(TaskTimeout { .. })));
    println!("the client: {} MiB came back", round_trip(&connection, 8).await? / MIB);
    connection.close(0_u32.into(), b"that is all");
    cancellable(client.wait_idle()).await?;
    Ok(())
}

fn main() -> Result<(), Anything> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let certificate = made.cert.der().clone();
    let config = ServerConfig::with_single_cert(vec![certificate.clone()], key.into())?;
    let mut trusted = RootCertStore::empty();
    trusted.add(certificate)?;
    let trusting = ClientConfig::with_root_certificates(Arc::new(trusted))?;

    run(async || {
        TaskGroup::scope(async |group| {
            let server = curium_quinn::server(group, config, "127.0.0.1:0".parse()?)?;
            let address = server.local_addr()?;
            let serving = group.spawn(serve(server));
            let mut client = curium_quinn::client(group, "127.0.0.1:0".parse()?)?;
            client.set_default_client_config(trusting);
            talk(&client, address).await?;
            serving.cancel().await?;
            Ok(())
        })
        .await
    })
}
