//! The sizes of futures, in bytes on a machine of 64 bits. An async function has room for the
//! futures that it awaits, and so has every function around it.

use net::{TcpOptions, TcpStream, UnixStream};

/// What a connect needs is in a box.
#[test]
fn the_future_of_a_connect_is_small() {
    assert!(size_of_val(&TcpStream::connect("127.0.0.1:1")) <= 8);
    assert!(size_of_val(&TcpOptions::new().connect("127.0.0.1:1")) <= 8);
    assert!(size_of_val(&UnixStream::connect("/nowhere")) <= 8);
}
