//! A kernel gives every descriptor back (K5). It counts those of a process of its own.

#![cfg(target_os = "linux")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use kernel::{Kernel, run_in_thread, sleep, spawn};
use net::{TcpListener, TcpStream};

use crate::support::children;
use crate::support::process::open_descriptors;

/// A listener, a connection, parked tasks, a timer, and a waker of another thread.
async fn uses_everything() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let stream = TcpStream::connect(addr).await.unwrap();
    drop(spawn(async move {
        let accepted = listener.accept().await?;
        sleep(Duration::MAX).await?;
        drop(accepted);
        Ok::<(), std::io::Error>(())
    }));
    drop(spawn(async move {
        let mut byte = [0];
        stream.read(&mut byte).await.map(drop)
    }));
    run_in_thread(|| ()).await.unwrap();
    sleep(Duration::from_millis(1)).await.unwrap();
}

/// K5: after a shutdown, a drop without one, and a panic of main, all are closed, also with a
/// handle that outlives the kernel.
#[test]
fn a_kernel_gives_every_descriptor_back() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    let before = open_descriptors();
    kernel::run(uses_everything);
    assert_eq!(open_descriptors(), before, "after a run");

    let kernel = Kernel::new().unwrap();
    let handle = kernel.handle();
    kernel.run(uses_everything);
    assert!(open_descriptors() > before);
    drop(kernel);
    assert_eq!(open_descriptors(), before, "after a drop");
    assert!(handle.spawn(|| sleep(Duration::ZERO)).is_err());

    let ran = catch_unwind(AssertUnwindSafe(|| {
        kernel::run(async || {
            uses_everything().await;
            panic!("of main");
        });
    }));
    assert!(ran.is_err());
    assert_eq!(open_descriptors(), before, "after a panic");
}
