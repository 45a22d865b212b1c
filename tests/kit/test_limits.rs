//! The time that a test has (K13).

use std::sync::mpsc;
use std::time::Duration;

use curium::kernel::{
    Kernel, TaskCancelled, run_in_thread, shield, sleep, spawn_named, testing, yield_now,
};
use curium::net::TcpListener;

use crate::{assert_says, panic_of};

const HOUR: Duration = Duration::from_secs(3600);

/// The message of a test that is out of time after a moment.
fn out_of_time(main: impl AsyncFnOnce() -> Result<(), TaskCancelled>) -> String {
    let builder = Kernel::builder().test_limit(Duration::from_millis(20));
    panic_of(|| testing::run_with(builder, main))
}

const MESSAGE: &str = "the test has not ended within 20ms, see `Builder::test_limit`:\n";

/// K13: the message shows the tree of the tasks, and the line that each is parked at.
#[test]
fn a_test_that_waits_for_a_socket_fails_with_the_tree() {
    let text = out_of_time(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let server = spawn_named("server", async move { listener.accept().await.map(drop) });
        server.join().await.map(drop)
    });
    assert_says(&text, &[MESSAGE, "main", "server", "ACCEPT", "test_limits.rs:"]);
}

/// K13: so does one whose tasks run without an end.
#[test]
fn a_test_that_never_parks_fails() {
    let text = out_of_time(async || {
        loop {
            yield_now().await?;
        }
    });
    assert_says(&text, &[MESSAGE, "main"]);
}

/// K13: so does one for which virtual time has no end.
#[test]
fn a_test_that_sleeps_for_ever_fails() {
    let text = out_of_time(async || {
        loop {
            sleep(HOUR).await?;
        }
    });
    assert_says(&text, &[MESSAGE, "SLEEP"]);
}

/// K13: so does one that waits for a thread.
#[test]
fn a_test_that_waits_for_a_thread_fails() {
    let (end, ended) = mpsc::channel::<()>();
    let text = out_of_time(async || {
        let job = run_in_thread(move || ended.recv());
        job.await.map(drop)
    });
    assert_says(&text, &[MESSAGE, "main", "THREAD_WAIT"]);
    drop(end);
}

/// K13: the shutdown has a limit too.
#[test]
fn a_test_whose_shutdown_does_not_end_fails() {
    let text = out_of_time(async || {
        let endless = async {
            loop {
                shield(sleep(HOUR)).await?;
            }
        };
        spawn_named("endless", async move {
            let ended: Result<(), TaskCancelled> = shield(endless).await;
            ended
        });
        yield_now().await
    });
    assert_says(&text, &[MESSAGE, "endless"]);
}
