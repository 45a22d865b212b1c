//! Addresses that do not answer a connect.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// The sockets of this machine that wait for an answer from an address of IPv4 on the loopback
/// interface, as the system lists them.
fn half_open(address: SocketAddr) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux has it");
    let columns = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let remote = format!("0100007F:{:04X}", address.port());
    columns.filter(|line| line[2] == remote && line[3] == "02").count()
}

/// Fails unless every connect to the addresses has been given up. A child that another test of this
/// process starts holds duplicates of all descriptors until its exec, so this looks for a while.
pub(crate) fn assert_none_half_open(addresses: impl IntoIterator<Item = SocketAddr>) {
    let begun = Instant::now();
    for address in addresses {
        while half_open(address) > 0 {
            assert!(begun.elapsed() < Duration::from_secs(5), "{address} is still connected to");
            thread::yield_now();
        }
    }
}

/// A listener whose queue has room for one connection, which has taken it. It does not answer the
/// next one.
pub(crate) struct Silent {
    pub(crate) listener: TcpListener,
    pub(crate) address: SocketAddr,
    _first: TcpStream,
}

impl Silent {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let address = listener.local_addr().unwrap();
        Silent { listener, address, _first: TcpStream::connect(address).unwrap() }
    }
}
