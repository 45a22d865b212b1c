//! Threads that are tasks: their ends, what they do on the kernel, and how they are shown (R2).

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, ThreadId};
use std::time::Duration;

use curium::kernel::testing;
use curium::kernel::{
    self, Here, Kernel, TaskCancelled, TaskError, TaskGroup, TaskInfo, TaskState, TaskTimeout,
    sleep, spawn, spawn_thread, spawn_thread_named, timeout_after, yield_now,
};
use curium::sync::Event;

use crate::support::reports;
use crate::support::time::{SECOND, secs};

type Result<T = (), E = TaskCancelled> = std::result::Result<T, E>;

fn info_of<T: 'static, E: 'static>(task: &kernel::Task<T, E>) -> TaskInfo {
    kernel::tasks().into_iter().find(|info| info.id == task.id()).expect("it has not ended")
}

/// Records on which thread it is dropped.
struct Drops(mpsc::Sender<ThreadId>);

impl Drop for Drops {
    fn drop(&mut self) {
        self.0.send(thread::current().id()).unwrap();
    }
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a destructor");
    }
}

/// R2: the value, the error and the panic of the body are those of the task.
#[test]
fn the_end_of_the_body_is_the_end_of_the_task() {
    testing::run(async || {
        let kernel = thread::current().id();
        let id = spawn_thread(|_| Ok::<_, TaskCancelled>(thread::current().id())).await?;
        assert_ne!(id, kernel);
        spawn_thread(|_| ()).await?;
        let failed = spawn_thread(|_| Err::<(), _>("no")).join().await?;
        assert!(matches!(failed, Err(TaskError::Failed("no"))), "{failed:?}");
        let panicked = spawn_thread(|_| -> Result { panic!("of the body") }).join().await?;
        let Err(TaskError::Panicked(panic)) = panicked else { panic!("{panicked:?}") };
        assert_eq!(panic.message(), "of the body");
        Ok::<_, TaskCancelled>(())
    })
    .unwrap();
}

/// R2, K6: a failure that no task takes is reported with the name of the body.
#[test]
fn the_failure_of_a_thread_that_is_not_joined_is_reported() {
    let ((), failures) = reports::failures(async || {
        drop(spawn_thread(|_| Err::<(), _>("not taken")));
        yield_now().await.unwrap();
        testing::settle().await.unwrap();
    });
    assert_eq!(failures, ["\"not taken\""]);
}

/// R2, C11: a future is built, polled and dropped on the kernel's thread, and its output comes to
/// the thread. So only the closure and the output are sent.
#[test]
fn a_future_of_a_thread_runs_on_the_kernel() {
    testing::run(async || {
        let kernel = thread::current().id();
        let (dropped, drops) = mpsc::channel();
        let thread = spawn_thread(move |here| {
            let seen = here.wait(move || {
                let (built, not_send) = (thread::current().id(), Rc::new(Drops(dropped)));
                async move {
                    sleep(SECOND).await?;
                    let polled = thread::current().id();
                    drop(not_send);
                    Ok::<_, TaskCancelled>([built, polled])
                }
            })??;
            Ok::<_, TaskCancelled>(seen)
        });
        assert_eq!(thread.await?, [kernel; 2]);
        assert_eq!(drops.try_iter().collect::<Vec<_>>(), [kernel]);
        Ok::<_, TaskCancelled>(())
    })
    .unwrap();
}

/// R2, K3: the panic of `build`, of the future or of its destructor goes on in the thread, which
/// may catch it. The task and its kernel go on.
#[test]
fn the_panic_of_a_future_goes_on_in_its_thread() {
    fn message<T>(run: impl FnOnce() -> T) -> String {
        let panic = catch_unwind(AssertUnwindSafe(run)).err().expect("a panic");
        (*panic.downcast_ref::<&str>().expect("a text")).to_owned()
    }
    let (messages, texts) = reports::texts(async || {
        spawn_thread(|here| {
            let build = message(|| here.wait(|| -> std::future::Ready<()> { panic!("build") }));
            let poll = message(|| here.wait(|| async { panic!("poll") }));
            let late = message(|| {
                here.wait(|| async {
                    sleep(SECOND).await.unwrap();
                    panic!("later");
                })
            });
            let bomb = Bomb;
            let destructor = message(move || {
                here.wait(move || async move {
                    let _bomb = &bomb;
                    1
                })
            });
            let two = here.wait(|| async { 2 })?;
            Ok::<_, TaskCancelled>(([build, poll, late, destructor], two))
        })
        .await
        .unwrap()
    });
    let (messages, two) = messages;
    assert_eq!(messages, ["build", "poll", "later", "a destructor"]);
    assert_eq!((two, texts), (2, Vec::<String>::new()));
}

/// R2: timeouts, groups and threads work in a future of a thread as in any task.
#[test]
fn a_future_of_a_thread_may_do_what_a_task_may() {
    testing::run(async || {
        let thread = spawn_thread(|here| {
            let late = here.wait(|| timeout_after(SECOND, sleep(secs(3600))))?;
            assert!(matches!(late, Err(TaskTimeout { .. })), "{late:?}");
            let sum = here.wait(|| {
                TaskGroup::<TaskCancelled>::scope(async |g| {
                    let one = g.spawn(async { Ok(1) });
                    let two = g.spawn_thread(|here| here.wait(|| async { 2 }));
                    Ok(one.await? + two.await?)
                })
            })??;
            Ok::<_, TaskCancelled>(sum)
        });
        assert_eq!(thread.await?, 3);
        Ok::<_, TaskCancelled>(())
    })
    .unwrap();
}

/// R2: many waits of many threads, each with its own answer.
#[test]
fn each_thread_gets_its_own_answers() {
    testing::run(async || {
        let turns = Rc::new(Cell::new(0));
        TURNS
            .scope(turns.clone(), async {
                TaskGroup::<TaskCancelled>::scope(async |g| {
                    for thread in 0..8 {
                        g.spawn_thread(move |here| {
                            for turn in 0..50 {
                                let ask = move || async move {
                                    yield_now().await?;
                                    TURNS.with(|turns| turns.set(turns.get() + 1));
                                    Ok::<_, TaskCancelled>((thread, turn))
                                };
                                assert_eq!(here.wait(ask)??, (thread, turn));
                            }
                            Ok(())
                        });
                    }
                    Ok(())
                })
                .await
            })
            .await?;
        assert_eq!(turns.get(), 400);
        Ok::<_, TaskCancelled>(())
    })
    .unwrap();
}

/// R2, K2: a thread whose every wait completes at once holds up no task.
#[test]
fn a_thread_that_waits_again_and_again_starves_no_task() {
    testing::run(async || {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = spawn_thread(move |here| {
            let mut waits = 0;
            while !stopped.load(Ordering::Relaxed) {
                waits = here.wait(move || async move { waits + 1 })?;
            }
            Ok::<u32, TaskCancelled>(waits)
        });
        while info_of(&thread).cycles < 100 {
            yield_now().await?;
        }
        stop.store(true, Ordering::Relaxed);
        assert!(thread.await? > 0);
        Ok::<_, TaskCancelled>(())
    })
    .unwrap();
}

curium::task_local! {
    static TURNS: Rc<Cell<u32>>;
}

/// R2, K10: a future of a thread sees the values of its spawner. The body sees none.
#[test]
fn a_future_of_a_thread_sees_inherited_values() {
    testing::run(async || {
        let value = Rc::new(Cell::new(7));
        let thread = TURNS.scope(value, async {
            spawn_thread(|here| {
                let outside = TURNS.try_with(|value| value.get());
                let build = here.wait(|| std::future::ready(TURNS.with(|value| value.get())))?;
                let inside = here.wait(|| async { TURNS.with(|value| value.get()) })?;
                Ok::<_, TaskCancelled>((outside, build, inside))
            })
        });
        assert_eq!(thread.await.await?, (None, 7, 7));
        Ok::<_, TaskCancelled>(())
    })
    .unwrap();
}

/// R2: while the thread computes, its task shows the line that started it; while it waits, the line
/// where its future waits.
#[test]
fn a_thread_is_listed_where_it_waits() {
    testing::run(async || {
        let (go, gone) = mpsc::channel::<()>();
        let line = line!() + 1;
        let thread = spawn_thread(move |here| {
            gone.recv().unwrap();
            here.wait(|| sleep(secs(5)))?
        });
        assert_eq!(thread.state(), TaskState::Ready);
        yield_now().await?;
        let computes = info_of(&thread);
        assert_eq!(computes.state, TaskState::Parked("THREAD"));
        assert_eq!(computes.site().map(|site| site.line()), Some(line));
        assert!(computes.name.ends_with("a_thread_is_listed_where_it_waits"), "{computes}");
        go.send(()).unwrap();
        testing::settle().await?;
        let waits = info_of(&thread);
        assert_eq!(waits.state, TaskState::Parked("SLEEP"));
        assert_eq!(waits.site().map(|site| site.line()), Some(line + 2));
        thread.await
    })
    .unwrap();
}

/// R2: the thread has the name of its task, for the system too.
#[test]
fn a_thread_has_the_name_of_its_task() {
    fn name(_: &Here) -> Result<Option<String>> {
        Ok(thread::current().name().map(str::to_owned))
    }
    testing::run(async || {
        let named = spawn_thread_named("adds\0up", name);
        assert_eq!(named.name(), "adds\0up");
        assert_eq!(named.await?.as_deref(), Some("adds up"));
        let other = spawn_thread(name);
        let its_name = other.name();
        assert!(its_name.ends_with("a_thread_has_the_name_of_its_task::name"), "{its_name}");
        assert_eq!(other.await?, Some(its_name));
        Ok::<_, TaskCancelled>(())
    })
    .unwrap();
}

/// R2, K8: a virtual clock stands still while the thread computes, and jumps while it waits.
#[test]
fn the_virtual_clock_waits_while_a_thread_computes() {
    testing::run(async || {
        let begun = kernel::now();
        let late = spawn(sleep(secs(3600)));
        let thread = spawn_thread(|here| {
            thread::sleep(Duration::from_millis(20));
            here.wait(|| sleep(secs(60)))??;
            thread::sleep(Duration::from_millis(20));
            here.wait(|| async { kernel::now() })
        });
        assert_eq!(thread.await? - begun, secs(60));
        assert!(!late.is_done());
        late.await?;
        assert_eq!(kernel::now() - begun, secs(3600));
        Ok::<_, TaskCancelled>(())
    })
    .unwrap();
}

/// R2, K8: a thread that waits for what never comes is in a deadlock, and is named. Nothing else
/// holds its waker meanwhile, so that is certain at once, on the real clock too.
#[test]
fn a_thread_that_waits_for_ever_is_a_deadlock() {
    for builder in [Kernel::builder(), Kernel::builder().virtual_clock()] {
        let (send, reasons) = mpsc::channel();
        let ran = catch_unwind(AssertUnwindSafe(|| {
            builder.run(async || {
                spawn_thread(move |here| {
                    let waited = here.wait(|| async { Event::new().wait().await });
                    send.send(waited.unwrap_err().reason()).unwrap();
                })
                .await
            })
        }));
        let panic = ran.expect_err("nothing ends it");
        let text = panic.downcast_ref::<String>().expect("a message");
        assert!(text.starts_with("deadlock") && text.contains("EVENT_WAIT"), "{text}");
        assert_eq!(reasons.recv(), Ok(kernel::CancelReason::Abandoned));
    }
}

/// R2: `here` refuses to block a kernel that the thread runs itself, and the panic names the call.
#[test]
fn a_wait_in_a_kernel_of_the_thread_itself_is_refused() {
    testing::run(async || {
        spawn_thread(|here| {
            for call in ["Here::wait", "Here::check"] {
                let inner = catch_unwind(AssertUnwindSafe(|| {
                    kernel::run(async || match call {
                        "Here::wait" => here.wait(|| async {}),
                        _ => here.check(),
                    })
                }));
                let panic = inner.expect_err("it is refused");
                let text = panic.downcast_ref::<String>().expect("a message");
                assert!(text.contains(&format!("`{call}` would block the kernel")), "{text}");
            }
            here.wait(|| async {})
        })
        .await
    })
    .unwrap();
}

/// R2: outside a kernel there is no task that a thread could be.
#[test]
fn a_thread_outside_a_kernel_is_refused() {
    let refused = catch_unwind(|| drop(spawn_thread(|_| ()))).expect_err("it is refused");
    let text = refused.downcast_ref::<String>().expect("a message");
    assert!(text.contains("kernel::spawn_thread was called outside a kernel"), "{text}");
}
