//! Addresses that swallow what is sent to them, in a network of the test's own.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use curium::kernel::{ignore_after, now, testing};
use curium::net::{TcpListener, TcpStream, resolve};

use crate::support::{children, dirs::TempDir, limits};

/// A name with three addresses, of which the one on the loopback interface answers.
const HOSTS: &str = "fd09::2 service\n10.9.0.2 service\n127.0.0.1 service\n";

/// A cable whose other end nothing listens on, and a neighbour that is known but not there: what is
/// sent to it gets no answer, not even that it is unreachable.
const NETWORK: &str = "
    link set lo up
    link add here type veth peer name there
    link set here up
    link set there up
    address add 10.9.0.1/24 dev here
    address add fd09::1/64 dev here nodad
    neighbour add 10.9.0.2 lladdr 02:00:00:00:00:02 dev here
    neighbour add fd09::2 lladdr 02:00:00:00:00:02 dev here";

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
}

/// Lays out the network and the names of this process.
fn lay_out() {
    for line in NETWORK.lines().map(str::trim).filter(|line| !line.is_empty()) {
        run("ip", &line.split(' ').collect::<Vec<_>>());
    }
    let dir = TempDir::new();
    let hosts = dir.of("hosts");
    std::fs::write(&hosts, HOSTS).unwrap();
    run("mount", &["--bind", hosts.to_str().expect("a plain name"), "/etc/hosts"]);
}

/// The sockets that wait for an answer.
fn half_open() -> usize {
    let lines = |path| std::fs::read_to_string(path).unwrap_or_default();
    let table = lines("/proc/net/tcp") + &lines("/proc/net/tcp6");
    table.lines().filter(|line| line.split_whitespace().nth(3) == Some("02")).count()
}

/// The order of attempts: the families in turns.
fn in_turns(found: &[SocketAddr]) -> Vec<IpAddr> {
    let of = |v6| found.iter().map(SocketAddr::ip).filter(move |ip| ip.is_ipv6() == v6);
    let first = found[0].is_ipv6();
    let (mut ours, mut others) = (of(first), of(!first));
    std::iter::from_fn(|| Some([ours.next(), others.next()])).take(3).flatten().flatten().collect()
}

/// N10: each address of a name that swallows everything costs 250 ms, and leaves no socket.
#[test]
fn a_name_with_addresses_that_do_not_answer_connects() {
    let name = children::this_test!();
    if children::role().is_none() {
        children::with_network(name, "child");
        return;
    }
    lay_out();
    limits::within(|| {
        testing::run(async || {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let answers = listener.local_addr()?;
            let found = resolve(("service", answers.port())).await?;
            assert_eq!(found.len(), 3, "{found:?}");
            let turn = in_turns(&found).iter().position(|ip| *ip == answers.ip());
            let turn = u32::try_from(turn.expect("it is one of them")).unwrap();
            let began = now();
            let stream = TcpStream::connect(("service", answers.port())).await?;
            assert_eq!(stream.peer_addr()?, answers);
            assert_eq!(now() - began, turn * Duration::from_millis(250));
            assert_eq!(half_open(), 0);
            let silent: Vec<_> = found.into_iter().filter(|found| *found != answers).collect();
            let never = ignore_after(Duration::from_secs(5), TcpStream::connect(silent));
            assert!(never.await?.is_none());
            assert_eq!(half_open(), 0);
            Ok::<(), io::Error>(())
        })
        .unwrap();
    });
}
