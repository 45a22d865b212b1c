//! The sizes of futures, in bytes on a machine of 64 bits. An async function has room for the
//! futures that it awaits, and so has every function around it.

use std::future::IntoFuture;

use kernel::{TaskCancelled, spawn, testing};
use net::{TcpOptions, TcpStream, UnixStream};

use crate::support::both;

/// What a connect needs is in a box.
#[test]
fn the_future_of_a_connect_is_small() {
    assert!(size_of_val(&TcpStream::connect("127.0.0.1:1")) <= 8);
    assert!(size_of_val(&TcpOptions::new().connect("127.0.0.1:1")) <= 8);
    assert!(size_of_val(&UnixStream::connect("/nowhere")) <= 8);
}

#[test]
fn the_futures_of_reads_and_writes_are_small() {
    both::run(async || {
        let (stream, _peer) = both::to_peer().await?;
        let mut buf = [0; 8];
        assert!(size_of_val(&stream.read(&mut buf)) <= 56);
        assert!(size_of_val(&stream.peek(&mut buf)) <= 56);
        assert!(size_of_val(&stream.write(b"x")) <= 56);
        assert!(size_of_val(&stream.write_all(b"x")) <= 64);
        Ok::<(), std::io::Error>(())
    })
    .unwrap();
}

#[test]
fn the_futures_of_joins_are_small() {
    testing::run(async || {
        let task = spawn(async { Ok::<_, TaskCancelled>(()) });
        assert!(size_of_val(&task.join()) <= 48);
        assert!(size_of_val(&task.wait()) <= 48);
        assert!(size_of_val(&task.cancel()) <= 56);
        assert!(size_of_val(&task.into_future()) <= 48);
    });
}
