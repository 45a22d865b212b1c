//! A kernel that another loop turns (K11).

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use curium::kernel::{
    Guest, Kernel, TaskCancelled, handle, run_in_thread, shield, sleep, spawn, spawn_named,
    testing, yield_now,
};
use curium::net::{TcpListener, TcpStream};
use curium::sync::Event;
use mio::unix::SourceFd;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::fd::{AsFd, AsRawFd};

use crate::support::children::DEADLINE;

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn guest<'a, T: 'a>(main: impl AsyncFnOnce() -> T + 'a) -> Guest<'a, T> {
    Kernel::new().unwrap().guest(main).unwrap()
}

/// Whether there is something to do within `patience`.
pub(crate) fn is_readable<T>(guest: &Guest<'_, T>, patience: Duration) -> bool {
    let patience = Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: 0 };
    poll(&mut [PollFd::new(&guest.as_fd(), PollFlags::IN)], Some(&patience)).unwrap() > 0
}

/// Turns the guest whenever its descriptor is readable, and at no other time.
pub(crate) fn turn_to_the_end<T>(guest: &mut Guest<'_, T>, polls: u32) -> T {
    loop {
        assert!(is_readable(guest, DEADLINE), "it has something to do");
        if let Poll::Ready(value) = guest.turn(polls) {
            return value;
        }
    }
}

/// Turns the guest until it has nothing to do.
pub(crate) fn turn_until_idle<T>(guest: &mut Guest<'_, T>) {
    while is_readable(guest, Duration::ZERO) {
        assert!(guest.turn(100).is_pending());
    }
}

/// K11: a task, a timer, a socket, a job and another thread each make the descriptor readable.
#[test]
fn whatever_wakes_a_task_makes_the_descriptor_readable() {
    for polls in [1, 2, 100] {
        let mut word = String::from("borrowed");
        let mut guest = guest(async || {
            yield_now().await?;
            sleep(Duration::from_millis(2)).await?;
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let client = spawn(async move {
                let stream = TcpStream::connect(address).await.unwrap();
                stream.write_all(b"hello").await
            });
            let (stream, _) = listener.accept().await.unwrap();
            let mut bytes = [0; 5];
            stream.read_exact(&mut bytes).await.unwrap();
            client.join().await?.unwrap();
            word.push_str(&String::from_utf8_lossy(&bytes));
            let event = Rc::new(Event::new());
            let (kernel, set) = (handle(), event.clone());
            let waits = spawn(async move { set.wait().await });
            let id = waits.id();
            let canceller = thread::spawn(move || kernel.request_cancel(id));
            assert!(waits.join().await?.is_err());
            canceller.join().unwrap().unwrap();
            run_in_thread(|| 7).await
        });
        assert_eq!(turn_to_the_end(&mut guest, polls), Ok(7));
        drop(guest);
        assert_eq!(word, "borrowedhello");
    }
}

/// K11: a turn polls no more tasks than it may, and the descriptor stays readable.
#[test]
fn a_turn_polls_as_many_tasks_as_it_may() {
    let polls = Rc::new(Cell::new(0));
    let counted = polls.clone();
    let mut guest = guest(async move || {
        for _ in 0..300 {
            counted.set(counted.get() + 1);
            yield_now().await?;
        }
        Ok::<_, TaskCancelled>(())
    });
    for turn in 1.. {
        assert!(is_readable(&guest, Duration::ZERO));
        assert!(guest.next_deadline().is_some_and(|next| next <= Instant::now()));
        if guest.turn(7).is_ready() {
            break;
        }
        assert_eq!(polls.get(), turn * 7);
    }
    assert_eq!(polls.get(), 300);
}

/// K11: a turn of a kernel in which no task is ready returns, and states the next deadline.
#[test]
fn a_turn_does_not_sleep() {
    let started = Instant::now();
    let mut guest = guest(async || sleep(HOUR).await);
    turn_until_idle(&mut guest);
    assert!(guest.turn(100).is_pending());
    assert!(!is_readable(&guest, Duration::ZERO));
    let next = guest.next_deadline().unwrap();
    assert!(next >= started + HOUR && next <= Instant::now() + HOUR);
}

/// K11: a kernel without timers has no deadline, and no task that waits for another is a panic.
/// What the code around the turns wakes makes the descriptor readable.
#[test]
fn code_between_the_turns_may_wake_a_task() {
    let event = Rc::new(Event::new());
    let waited = event.clone();
    let mut guest = guest(async move || waited.wait().await);
    turn_until_idle(&mut guest);
    assert_eq!(guest.next_deadline(), None);
    assert!(!is_readable(&guest, Duration::ZERO));
    event.set();
    assert!(is_readable(&guest, Duration::ZERO));
    assert_eq!(guest.turn(1), Poll::Ready(Ok(())));
}

/// K11: the tasks that main leaves are cancelled, and clean up in further turns.
#[test]
fn the_shutdown_takes_further_turns() {
    let log = Rc::new(RefCell::new(Vec::new()));
    let shown = log.clone();
    let mut guest = guest(async move || {
        let log = shown.clone();
        spawn(async move {
            let slept = sleep(HOUR).await;
            shield(sleep(Duration::from_millis(2))).await.unwrap();
            log.borrow_mut().push("cleaned up");
            slept
        });
        yield_now().await.unwrap();
        shown.borrow_mut().push("main has ended");
        7
    });
    assert_eq!(turn_to_the_end(&mut guest, 1), 7);
    assert_eq!(*log.borrow(), ["main has ended", "cleaned up"]);
}

/// K11: a grace period of the shutdown holds, and the tasks that are left then are aborted.
#[test]
fn a_guest_aborts_what_is_left_after_the_grace_period() {
    let builder = Kernel::builder().shutdown_grace(Duration::from_millis(2)).on_report(|_| ());
    let mut guest = builder
        .build()
        .unwrap()
        .guest(async || {
            spawn(shield(sleep(HOUR)));
            yield_now().await
        })
        .unwrap();
    assert_eq!(turn_to_the_end(&mut guest, 100), Ok(()));
}

/// K11: a panic of main is resumed when the other tasks have ended.
#[test]
fn a_panic_of_main_is_resumed_after_the_shutdown() {
    let cleaned = Rc::new(Cell::new(false));
    let shown = cleaned.clone();
    let mut guest = guest(async move || {
        spawn_named("left", async move {
            let slept = sleep(HOUR).await;
            yield_now().await.unwrap_or_default();
            shown.set(true);
            slept
        });
        yield_now().await.unwrap();
        panic!("on purpose");
    });
    let panicked = catch_unwind(AssertUnwindSafe(|| turn_to_the_end::<()>(&mut guest, 100)));
    assert_eq!(*panicked.unwrap_err().downcast::<&str>().unwrap(), "on purpose");
    assert!(cleaned.get());
}

/// K11: a guest that is dropped drops its tasks, main among them, and closes its descriptors.
#[test]
fn a_dropped_guest_leaves_nothing() {
    for turns in 0..4 {
        let alive = Rc::new(());
        let held = alive.clone();
        let mut guest = guest(async move || {
            let also = held.clone();
            spawn(async move {
                sleep(HOUR).await?;
                drop(also);
                Ok::<_, TaskCancelled>(())
            });
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let accepted = listener.accept().await;
            drop(held);
            accepted.map(drop)
        });
        for _ in 0..turns {
            assert!(guest.turn(1).is_pending());
        }
        drop(guest);
        assert_eq!(Rc::strong_count(&alive), 1, "{turns} turns");
    }
}

/// K11: an edge-triggered poll, as other runtimes have it, sees all that happens.
#[test]
fn an_edge_triggered_poll_loses_no_wake() {
    let mut guest = guest(async || {
        let kernel = handle();
        let (mut ended, count) = (Vec::new(), Rc::new(Cell::new(0)));
        let threads = thread::spawn(move || {
            for _ in 0..1000 {
                kernel.spawn(async || Ok::<_, TaskCancelled>(())).unwrap();
            }
        });
        for n in 0..700 {
            let count = count.clone();
            ended.push(spawn(async move {
                sleep(Duration::from_micros(n)).await?;
                count.set(count.get() + 1);
                Ok::<_, TaskCancelled>(())
            }));
        }
        for task in ended {
            task.await?;
        }
        run_in_thread(move || threads.join().unwrap()).await?;
        Ok::<_, TaskCancelled>(count.get())
    });
    let mut poll = mio::Poll::new().unwrap();
    let raw = guest.as_fd().as_raw_fd();
    let mut source = SourceFd(&raw);
    let readable = mio::Interest::READABLE;
    poll.registry().register(&mut source, mio::Token(0), readable).unwrap();
    let mut events = mio::Events::with_capacity(8);
    let value = loop {
        poll.poll(&mut events, Some(DEADLINE)).unwrap();
        assert!(!events.is_empty(), "an edge was lost");
        if let Poll::Ready(value) = guest.turn(20) {
            break value;
        }
    };
    assert_eq!(value, Ok(700));
}

/// The message of the panic of `f`.
fn panic_of<T>(f: impl FnOnce() -> T) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).map(|_| ()).unwrap_err();
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap()
}

/// K11: faults of the program are panics that say what to do.
#[test]
fn what_a_guest_cannot_do_is_a_clear_panic() {
    let mut ended = guest(async || ());
    assert!(panic_of(|| ended.turn(0)).contains("a turn of no polls"));
    while ended.turn(1).is_pending() {}
    assert!(panic_of(|| ended.turn(1)).contains("turned after its end"));
    let inside = panic_of(|| {
        testing::run(async || {
            let _ = guest(async || ()).turn(1);
        });
    });
    assert!(inside.contains("Guest::turn was called inside a running kernel"), "{inside}");
    let on_virtual_time = panic_of(|| {
        let kernel = Kernel::builder().virtual_clock().build().unwrap();
        drop(kernel.guest(async || ()));
    });
    assert!(on_virtual_time.contains("virtual clock"), "{on_virtual_time}");
}
