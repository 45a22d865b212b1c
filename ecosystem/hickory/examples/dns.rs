//! A resolver of DNS by hickory, and a name server of this program that it asks: `dns`.
//!
//! `www.here.` has two addresses. The text of `long.here.` is too long for a datagram, so hickory
//! asks for it again over TCP. Questions for `silent.here.` are not answered.

use std::error::Error;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use curium::kernel::{cancellable, cancellable_after};
use curium::net::UdpSocket;
use curium::prelude::*;
use curium_hickory::GroupProvider;
use hickory_resolver::Resolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::rdata::{A, TXT};
use hickory_resolver::proto::rr::{RData, Record};

type Anything = Box<dyn Error + Send + Sync>;

/// The longest answer over UDP.
const DATAGRAM: usize = 512;

/// The answer to a question. Over UDP it may be cut, and then says so.
fn answer(question: &[u8], over_udp: bool) -> Result<Option<Vec<u8>>, Anything> {
    let mut message = Message::from_vec(question)?.into_response();
    let name = message.queries.first().ok_or("no question")?.name().clone();
    let data = match name.to_ascii().as_str() {
        "www.here." => [1, 2].map(|it| RData::A(A(Ipv4Addr::new(192, 0, 2, it)))).to_vec(),
        "long.here." => vec![RData::TXT(TXT::new(vec!["long".repeat(50); 5]))],
        _ => return Ok(None),
    };
    message.add_answers(data.into_iter().map(|data| Record::from_rdata(name.clone(), 60, data)));
    let bytes = message.to_vec()?;
    if over_udp && bytes.len() > DATAGRAM {
        return Ok(Some(message.truncate().to_vec()?));
    }
    Ok(Some(bytes))
}

async fn answer_datagrams(socket: UdpSocket) -> Result<(), Anything> {
    let mut buf = [0; DATAGRAM];
    loop {
        let (received, from) = socket.recv_from(&mut buf).await?;
        if let Some(answer) = answer(&buf[..received.len], true)? {
            socket.send_to(&answer, from).await?;
        }
    }
}

/// Over TCP each message has its length in front.
async fn answer_stream(stream: TcpStream, _: SocketAddr) -> Result<(), Anything> {
    println!("a question over TCP");
    loop {
        let mut length = [0; 2];
        if stream.read(&mut length[..1]).await? == 0 {
            return Ok(());
        }
        stream.read_exact(&mut length[1..]).await?;
        let mut question = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut question).await?;
        if let Some(answer) = answer(&question, false)? {
            let length = u16::try_from(answer.len())?.to_be_bytes();
            stream.write_all(&[&length, &answer[..]].concat()).await?;
        }
    }
}

async fn look_up(resolver: &Resolver<GroupProvider<Anything>>) -> Result<(), Anything> {
    let found = cancellable(resolver.lookup_ip("www.here.")).await??;
    let mut addresses: Vec<String> = found.iter().map(|address| address.to_string()).collect();
    addresses.sort();
    println!("www.here. is {}", addresses.join(" and "));

    let found = cancellable(resolver.txt_lookup("long.here.")).await??;
    let length: usize = found.answers().iter().map(|record| record.data.to_string().len()).sum();
    println!("long.here. has {length} bytes of text");

    let limit = Duration::from_millis(200);
    let silent = cancellable_after(limit, resolver.lookup_ip("silent.here.")).await;
    println!("silent.here. is given up: {}", matches!(silent, Err(TaskTimeout { .. })));

    // From the cache.
    println!("www.here. again: {}", cancellable(resolver.lookup_ip("www.here.")).await?.is_ok());
    Ok(())
}

/// The same port for both protocols.
async fn bind() -> io::Result<(UdpSocket, TcpListener)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    Ok((UdpSocket::bind(listener.local_addr()?).await?, listener))
}

fn main() -> Result<(), Anything> {
    run(async || {
        TaskGroup::scope(async |group| {
            let (socket, listener) = bind().await?;
            let address = listener.local_addr()?;
            group.spawn_daemon(answer_datagrams(socket));
            group.spawn_daemon(async { Ok(listener.serve(answer_stream).await?) });

            let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
            connections.iter_mut().for_each(|connection| connection.port = address.port());
            let server = NameServerConfig::new(address.ip(), true, connections);
            let config = ResolverConfig::from_name_servers(vec![server]);
            let provider = GroupProvider::new(group);
            look_up(&Resolver::builder_with_config(config, provider).build()?).await
        })
        .await
    })
}
