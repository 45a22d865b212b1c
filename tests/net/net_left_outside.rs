//! A leaf on a socket that is dropped or polled outside the run of its kernel.

use std::future::poll_fn;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use kernel::{Kernel, sleep};

use crate::support::connections;

/// With a virtual clock, which stands still while a leaf is parked on a silent socket.
fn virtual_kernel() -> Kernel {
    Kernel::builder().virtual_clock().build().unwrap()
}

/// Parks a future: polls it once.
async fn park<F: Future>(mut future: Pin<&mut F>) {
    let pending = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await;
    assert!(pending, "there is nothing to wait for");
}

/// N2, N4: a read that is dropped between two runs of its kernel leaves nothing behind, and the
/// stream can be read again, in this kernel and in another one.
#[test]
fn a_read_dropped_between_two_runs_leaves_nothing_behind() {
    let (one, other) = (virtual_kernel(), virtual_kernel());
    let (stream, mut theirs) = one.run(connections::from_std).unwrap();
    for kernel in [&one, &one, &other, &one] {
        let mut buf = [0; 8];
        let mut read = Box::pin(stream.read(&mut buf));
        kernel.run(async || park(read.as_mut()).await);
        assert_eq!(kernel.leftovers().registrations, 1);
        drop(read);
        // No task is parked, so the kernel waits for nothing, and the old record is removed.
        kernel.run(async || sleep(Duration::from_secs(3600)).await).unwrap();
        assert_eq!(kernel.leftovers().registrations, 0);
        theirs.write_all(b"x").unwrap();
        assert_eq!(kernel.run(async || stream.read(&mut [0; 8]).await).unwrap(), 1);
    }
}

/// N2, N3: while a read is parked in one kernel, another kernel can neither read nor write on it.
/// The read continues in its own kernel.
#[test]
fn a_parked_read_keeps_its_stream_in_its_kernel() {
    let (one, other) = (virtual_kernel(), virtual_kernel());
    let (stream, mut theirs) = one.run(connections::from_std).unwrap();
    let mut buf = [0; 8];
    let mut read = Box::pin(stream.read(&mut buf));
    one.run(async || park(read.as_mut()).await);
    assert!(other.run(async || stream.write(b"x").await).is_err());
    assert!(other.run(async || stream.read(&mut [0; 8]).await).is_err());
    theirs.write_all(b"x").unwrap();
    assert_eq!(one.run(async || read.await).unwrap(), 1);
    assert_eq!(other.run(async || stream.write(b"x").await).unwrap(), 1);
}

/// N2: a read that is parked in one kernel and polled in another gets an error there, and the
/// stream is free afterwards.
#[test]
fn a_parked_read_that_is_polled_in_another_kernel_gets_an_error() {
    let (one, other) = (virtual_kernel(), virtual_kernel());
    let (stream, mut theirs) = one.run(connections::from_std).unwrap();
    let mut buf = [0; 8];
    let mut read = Box::pin(stream.read(&mut buf));
    one.run(async || park(read.as_mut()).await);
    assert!(other.run(async || read.as_mut().await).is_err());
    drop(read);
    theirs.write_all(b"x").unwrap();
    assert_eq!(other.run(async || stream.read(&mut [0; 8]).await).unwrap(), 1);
    one.run(async || sleep(Duration::from_secs(3600)).await).unwrap();
    assert_eq!(one.leftovers().registrations, 0);
}

/// N2, N3, N4, K8: the same for a stream on which two leaves were parked: the leaf that stays
/// continues in its kernel, and afterwards the kernel waits for nothing.
#[test]
fn one_of_two_parked_leaves_may_be_dropped_between_two_runs() {
    let (kernel, other) = (virtual_kernel(), virtual_kernel());
    let (stream, mut theirs) = kernel.run(connections::from_std).unwrap();
    let chunk = vec![0; 1 << 20];
    let (mut buf, mut written) = ([0; 8], 0);
    let mut read = Box::pin(stream.read(&mut buf));
    let mut write = Box::pin(async {
        loop {
            written += stream.write(&chunk).await?;
        }
        #[allow(unreachable_code)]
        Ok::<(), io::Error>(())
    });
    kernel.run(async || {
        park(read.as_mut()).await;
        park(write.as_mut()).await;
    });
    drop(write);
    assert!(written > 0);
    let refused = other.run(async || stream.read(&mut [0; 8]).await).unwrap_err();
    assert!(refused.to_string().contains("another kernel"), "{refused}");
    let refused = kernel.run(async || stream.read(&mut [0; 8]).await).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ResourceBusy);
    theirs.write_all(b"x").unwrap();
    assert_eq!(kernel.run(async || read.await).unwrap(), 1);
    let waits = AssertUnwindSafe(|| kernel.run(async || std::future::pending::<()>().await));
    assert!(catch_unwind(waits).is_err(), "a deadlock was not seen");
}
