//! What the monitor says of a kernel that does not answer, and that it keeps no kernel waiting.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use curium::kernel::{self, Kernel, Report, TaskCancelled, sleep, spawn, spawn_named, yield_now};
use curium::monitor::MonitorExt;
use curium::sync::Event;

use crate::monitor_kit::{Client, anywhere, id_of, silent, with_client};
use crate::support::time::secs;

/// M2: while a task blocks the thread of the kernel, the monitor says which one, where it was
/// parked, and shows what it has seen before.
#[test]
fn a_task_that_holds_the_kernel_is_named() {
    let (block, blocked) = channel();
    let (free, freed) = channel::<()>();
    let client = move |client: Client| {
        let (mut terminal, _) = client.terminal();
        let kid = id_of(&terminal.ask_until("ps", "SLEEP"), "kid");
        block.send(()).unwrap();
        let answer = terminal.ask_until("ps", "holds the kernel");
        assert!(
            answer.starts_with(&format!("Task {kid} kid holds the kernel: one poll")),
            "{answer}"
        );
        assert!(answer.contains("\nIt was last seen parked in SLEEP at tests/os/"), "{answer}");
        assert!(answer.contains("\nWhat follows was seen "), "{answer}");
        assert!(answer.contains("\nTask   State"), "{answer}");
        let json = client.http("GET /json", "");
        assert!(
            json.contains(&format!("\"held\":{{\"task\":\"{kid}\",\"name\":\"kid\"")),
            "{json}"
        );
        free.send(()).unwrap();
        let answer = terminal.ask("ps");
        assert!(!answer.contains("holds the kernel"), "{answer}");
        assert!(!answer.contains("was seen") && answer.contains("Task   State"), "{answer}");
    };
    with_client(
        Kernel::builder(),
        |it| it,
        client,
        async |ended| {
            let kid = spawn_named("kid", async move {
                while blocked.try_recv().is_err() {
                    sleep(Duration::from_millis(1)).await?;
                }
                freed.recv().unwrap();
                Ok(())
            });
            ended.wait().await?;
            kid.await
        },
    );
}

async fn blocks_at_once(freed: std::sync::mpsc::Receiver<()>) -> Result<(), TaskCancelled> {
    freed.recv().unwrap();
    Ok(())
}

/// M2: a task that blocks in its first poll is named too, and one whose slot had another task.
#[test]
fn a_task_that_blocks_in_its_first_poll_is_named() {
    for before in [0, 1, 3] {
        let (free, freed) = channel();
        let client = move |client: Client| {
            let (mut terminal, _) = client.terminal();
            let answer = terminal.ask_until("ps", "holds the kernel");
            assert!(answer.contains("monitor_stuck::blocks_at_once holds"), "{answer}");
            free.send(()).unwrap();
        };
        with_client(
            Kernel::builder(),
            |it| it,
            client,
            async |ended| {
                for _ in 0..before {
                    spawn(yield_now()).await?;
                    spawn_named("named", yield_now()).await?;
                }
                spawn(blocks_at_once(freed)).await?;
                ended.wait().await
            },
        );
    }
}

/// M2: main is named.
#[test]
fn a_main_that_blocks_is_named() {
    let (free, freed) = channel();
    let client = move |client: Client| {
        let (mut terminal, greeting) = client.terminal();
        if !greeting.contains("0 main holds the kernel") {
            terminal.ask_until("ps", "Task 0 main holds the kernel");
        }
        free.send(()).unwrap();
    };
    with_client(
        Kernel::builder(),
        |it| it,
        client,
        async |ended| {
            freed.recv().unwrap();
            ended.wait().await
        },
    );
}

/// M1, K8: a monitor is no reason to wait, so a deadlock is found.
#[test]
fn a_deadlock_is_found_with_a_monitor() {
    let (monitor, _address) = anywhere();
    let ended = catch_unwind(AssertUnwindSafe(|| {
        silent().monitor(monitor).run(async || Event::new().wait().await)
    }));
    let text = *ended.unwrap_err().downcast::<String>().unwrap();
    assert!(text.starts_with("deadlock"), "{text}");
}

/// M1, K8: a hang is reported although clients look at the kernel all the time.
#[test]
fn a_hang_is_reported_while_clients_look() {
    let kept: Arc<Mutex<Option<Waker>>> = Arc::default();
    let found = Rc::new(Event::new());
    let sink = found.clone();
    let builder = Kernel::builder().report_hangs(Duration::from_millis(300)).on_report(move |it| {
        if matches!(it, Report::Hang(_)) {
            sink.set();
        }
    });
    let (monitor, address) = anywhere();
    let kernel = builder.monitor(monitor).build().unwrap();
    let (at, token) = address.recv().unwrap();
    let client = std::thread::spawn(move || {
        let (mut terminal, _) = Client { at, token }.terminal();
        // Until the kernel ends.
        while catch_unwind(AssertUnwindSafe(|| terminal.ask("ps"))).is_ok() {}
    });
    kernel.run(async || {
        let parked = spawn(kernel::cancellable(poll_fn(move |cx| {
            *kept.lock().unwrap() = Some(cx.waker().clone());
            Poll::<()>::Pending
        })));
        found.wait().await.unwrap();
        parked.cancel().await.unwrap();
    });
    drop(kernel);
    client.join().unwrap();
}

/// M1: the run loop of a watched kernel does what the other does, so programs run on as they do
/// without a monitor: wakers that are kept, panics, cancellations, members.
#[test]
fn a_program_runs_the_same_with_a_monitor() {
    let (monitor, _address) = anywhere();
    let kept = Rc::new(std::cell::RefCell::new(Vec::new()));
    silent()
        .monitor(monitor)
        .run(async || {
            for round in 0..200 {
                let wakers = kept.clone();
                let parked = spawn(async move {
                    let mut polls = 0;
                    poll_fn(|cx| {
                        polls += 1;
                        wakers.borrow_mut().push(cx.waker().clone());
                        cx.waker().wake_by_ref();
                        if polls < 3 { Poll::Pending } else { Poll::Ready(()) }
                    })
                    .await;
                });
                let panics = spawn(async move {
                    yield_now().await?;
                    assert!(round % 70 != 0, "on purpose");
                    Ok::<_, TaskCancelled>(())
                });
                let sleeps = spawn(sleep(secs(1000)));
                parked.await?;
                assert_eq!(panics.join().await?.is_err(), round % 70 == 0);
                sleeps.cancel().await?;
            }
            Ok::<_, TaskCancelled>(())
        })
        .unwrap();
    assert_eq!(kept.borrow().len(), 600);
}
