//! A name server and its resolvers, for the tests.

use std::cell::RefCell;
use std::error::Error;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use curium::kernel::testing;
use curium::kernel::{GroupRef, Kernel, TaskGroup, cancellable};
use curium::net::{SimulatedNetExt, TcpListener, TcpStream, UdpSocket};
use curium_hickory::GroupProvider;
use hickory_resolver::Resolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::rdata::A;
use hickory_resolver::proto::rr::{RData, Record};

pub(crate) type Anything = Box<dyn Error + Send + Sync>;

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The address of the name server.
const SERVER: &str = "127.0.0.1:53";

/// The address of each host.
pub(crate) const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// Runs `main` on a simulated network, checks that nothing is left, and that nothing is reported.
#[track_caller]
pub(crate) fn quiet<T>(main: impl AsyncFnOnce() -> T) -> T {
    let reports = Rc::new(RefCell::new(Vec::new()));
    let sink = reports.clone();
    let builder = Kernel::builder().simulated_net();
    let builder = builder.on_report(move |report| sink.borrow_mut().push(report.to_string()));
    let value = testing::run_with(builder, main);
    assert_eq!(reports.take(), Vec::<String>::new());
    value
}

/// Every host has the same address, but `silent.`, of which nothing is said.
fn answer(question: &[u8]) -> Result<Option<Vec<u8>>, Anything> {
    let mut message = Message::from_vec(question)?.into_response();
    let name = message.queries.first().ok_or("no question")?.name().clone();
    if name.to_ascii() == "silent." {
        return Ok(None);
    }
    message.add_answer(Record::from_rdata(name, 60, RData::A(A(HOST))));
    Ok(Some(message.to_vec()?))
}

async fn answer_datagrams(socket: UdpSocket) -> Result<(), Anything> {
    let mut buf = [0; 512];
    loop {
        let (received, from) = socket.recv_from(&mut buf).await?;
        if let Some(answer) = answer(&buf[..received.len])? {
            socket.send_to(&answer, from).await?;
        }
    }
}

async fn answer_stream(stream: TcpStream, _: SocketAddr) -> Result<(), Anything> {
    loop {
        let mut length = [0; 2];
        if stream.read(&mut length[..1]).await? == 0 {
            return Ok(());
        }
        stream.read_exact(&mut length[1..]).await?;
        let mut question = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut question).await?;
        if let Some(answer) = answer(&question)? {
            let length = u16::try_from(answer.len())?.to_be_bytes();
            stream.write_all(&[&length, &answer[..]].concat()).await?;
        }
    }
}

/// Runs `body` beside a name server.
pub(crate) async fn with_server(
    body: impl AsyncFnOnce() -> Result<(), Anything>,
) -> Result<(), Anything> {
    TaskGroup::scope(async |group| {
        let socket = UdpSocket::bind(SERVER).await?;
        let listener = TcpListener::bind(SERVER).await?;
        group.spawn_daemon(answer_datagrams(socket));
        group.spawn_daemon(async { Ok::<_, Anything>(listener.serve(answer_stream).await?) });
        body().await
    })
    .await
}

/// A resolver in `group` that asks over these protocols. It keeps no answers.
pub(crate) fn resolver(
    group: GroupRef<Anything>,
    connections: Vec<ConnectionConfig>,
) -> Result<Resolver<GroupProvider<Anything>>, Anything> {
    let address: SocketAddr = SERVER.parse()?;
    let server = NameServerConfig::new(address.ip(), true, connections);
    let config = ResolverConfig::from_name_servers(vec![server]);
    let mut builder = Resolver::builder_with_config(config, GroupProvider::new(group));
    builder.options_mut().cache_size = 0;
    Ok(builder.build()?)
}

/// Looks up the address of a host.
pub(crate) async fn look_up(
    resolver: &Resolver<GroupProvider<Anything>>,
    host: &str,
) -> Result<(), Anything> {
    let found = cancellable(resolver.ipv4_lookup(host)).await??;
    let found: Vec<_> = found.answers().iter().map(|record| record.data.clone()).collect();
    if found == [RData::A(A(HOST))] { Ok(()) } else { Err(io::Error::other("another").into()) }
}
