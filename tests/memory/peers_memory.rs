//! A peer that never reads costs no memory, however long and however often data is written to it.

use std::io;

use futures::future::join;
use kernel::{spawn, testing, timeout_after};
use net::{TcpListener, TcpStream};

use crate::support::time::SECOND;
use crate::{alone, bytes_in_use};

/// Writes into the connection until the time is up: once alone, once beside a read, and once in a
/// task that is cancelled.
async fn attempts(stream: &std::rc::Rc<TcpStream>, out: &'static [u8]) -> io::Result<()> {
    assert!(timeout_after(SECOND, stream.write_all(out)).await.is_err());
    let mut buf = [0; 64];
    let both = async {
        let (read, written) = join(stream.read(&mut buf), stream.write_all(out)).await;
        written?;
        read.map(drop)
    };
    assert!(timeout_after(SECOND, both).await.is_err());
    let writing = stream.clone();
    let task = spawn(async move { writing.write_all(out).await });
    while task.state().to_string() != "WRITE" {
        kernel::yield_now().await?;
    }
    task.cancel().await?;
    assert!(task.join().await?.is_err());
    Ok(())
}

/// N1, N4, T1: three hundred writes that a peer never reads, timed out and cancelled, leave the
/// process as big as thirty did: nothing is buffered here, and nothing is left of the ended writes.
#[test]
fn a_peer_that_never_reads_costs_no_memory() {
    let _alone = alone();
    let out: &'static [u8] = Box::leak(vec![7; 16_000_000].into_boxed_slice());
    testing::run(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let stream = TcpStream::connect(listener.local_addr()?).await?;
        let (_peer, _) = listener.accept().await?;
        let stream = std::rc::Rc::new(stream);
        for _ in 0..10 {
            attempts(&stream, out).await?;
        }
        let before = bytes_in_use();
        for _ in 0..100 {
            attempts(&stream, out).await?;
        }
        let grown = bytes_in_use().saturating_sub(before);
        // The harness may also allocate a little.
        assert!(grown < 16_000, "{grown} bytes more");
        Ok::<(), io::Error>(())
    })
    .unwrap();
}
