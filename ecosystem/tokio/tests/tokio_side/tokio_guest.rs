//! A kernel inside a task of tokio.

use std::cell::RefCell;
use std::rc::Rc;

use curium::kernel::{cancellable, run_in_thread, yield_now};
use curium::net::{TcpListener, TcpStream};
use curium::prelude::*;
use curium_tokio::guest;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::LocalSet;

const LONG: Duration = Duration::from_secs(1000);

fn tokio() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// K11: timers, sockets, threads and tasks of a kernel work inside a task of tokio, and so do
/// futures of tokio inside its tasks.
#[test]
fn a_kernel_runs_inside_a_task_of_tokio() {
    let ended = tokio().block_on(guest(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let client = spawn(async move {
            let stream = TcpStream::connect(address).await?;
            stream.write_all(b"hello").await?;
            Ok::<_, curium::Error>(())
        });
        let (stream, _) = listener.accept().await?;
        let mut word = [0; 5];
        stream.read_exact(&mut word).await?;
        client.await?;
        sleep(Duration::from_millis(1)).await?;
        cancellable(tokio::time::sleep(Duration::from_millis(1))).await?;
        let doubled = cancellable(tokio::spawn(async { 2 * 21 })).await?.unwrap();
        let thread = run_in_thread(|| 1).await?;
        Ok::<_, curium::Error>((word, doubled, thread))
    }));
    let (word, doubled, thread) = ended.unwrap().unwrap();
    assert_eq!((&word, doubled, thread), (b"hello", 42, 1));
}

/// K11: a kernel whose tasks are always ready leaves the other tasks of tokio their turns, and
/// those of another guest.
#[test]
fn a_busy_kernel_holds_up_no_task_of_tokio() {
    let log = Rc::new(RefCell::new(Vec::new()));
    let tasks = LocalSet::new();
    let (say, said) = oneshot::channel();
    let shown = log.clone();
    tasks.spawn_local(async move {
        let mut said = said;
        let ended = guest(async || {
            while said.try_recv().is_err() {
                yield_now().await?;
            }
            Ok::<_, TaskCancelled>(())
        });
        assert_eq!(ended.await.unwrap(), Ok(()));
        shown.borrow_mut().push("busy");
    });
    let shown = log.clone();
    tasks.spawn_local(async move {
        let other = guest(async || sleep(Duration::from_millis(1)).await);
        assert_eq!(other.await.unwrap(), Ok(()));
        shown.borrow_mut().push("other");
        say.send(()).unwrap();
    });
    tokio().block_on(tasks);
    assert_eq!(*log.borrow(), ["other", "busy"]);
}

/// K11, C22: a guest whose future is dropped drops its tasks.
#[test]
fn a_guest_that_is_dropped_leaves_nothing() {
    let alive = Rc::new(());
    let held = alive.clone();
    tokio().block_on(async {
        let endless = guest(async move || {
            let also = held.clone();
            let task = spawn(async move {
                sleep(LONG).await?;
                drop(also);
                Ok::<_, TaskCancelled>(())
            });
            let ended = task.await;
            drop(held);
            ended
        });
        let limit = Duration::from_millis(5);
        assert!(tokio::time::timeout(limit, endless).await.is_err());
    });
    assert_eq!(Rc::strong_count(&alive), 1);
}

/// K11: a panic of main reaches the task of tokio.
#[test]
#[should_panic(expected = "on purpose")]
fn a_panic_of_a_guest_is_one_of_the_task_of_tokio() {
    let _ = tokio().block_on(guest(async || {
        sleep(Duration::from_millis(1)).await.unwrap();
        panic!("on purpose")
    }));
}
