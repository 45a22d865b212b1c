//! Panics of the kernel show the line of the program that made the mistake, not a line of the
//! kernel.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use kernel::{
    Kernel, TaskCancelled, TaskGroup, finally, ignore_after, interval, run, run_in_thread, sleep,
    sleep_until, spawn, testing, timeout_after,
};
use sync::{Event, Queue};

use crate::support::children;

/// Where the last panic was: file and line.
static PLACE: Mutex<Option<(String, u32)>> = Mutex::new(None);

fn note_places() {
    std::panic::set_hook(Box::new(|info| {
        eprintln!("{info}");
        let place = info.location().expect("a panic has a location");
        *PLACE.lock().unwrap() = Some((place.file().to_owned(), place.line()));
    }));
}

/// Runs `mistake`, which panics within this many lines of the line of its caller.
#[track_caller]
fn shows_this_line(what: &str, mistake: impl FnOnce()) {
    let here = std::panic::Location::caller();
    *PLACE.lock().unwrap() = None;
    assert!(catch_unwind(AssertUnwindSafe(mistake)).is_err(), "{what} is no mistake");
    let (file, line) = PLACE.lock().unwrap().take().expect("the hook has seen it");
    let near = line.abs_diff(here.line()) <= 4;
    assert!(file == here.file() && near, "{what} at {here} shows {file}:{line}");
}

/// Polls once, outside any kernel.
fn poll<T>(future: impl Future<Output = T>) {
    let _ = pin!(future).poll(&mut Context::from_waker(Waker::noop()));
}

fn mistakes_outside_a_kernel() {
    let second = Duration::from_secs(1);
    shows_this_line("sleep", || poll(async { sleep(Duration::from_secs(1)).await }));
    shows_this_line("sleep_until", || poll(async { sleep_until(Instant::now()).await }));
    shows_this_line("a tick", || poll(async { interval(second).tick().await }));
    shows_this_line("a job", || poll(async { run_in_thread(|| ()).await }));
    shows_this_line("a timeout", || {
        poll(async {
            let nothing = std::future::ready(Ok::<(), TaskCancelled>(()));
            timeout_after(second, nothing).await
        });
    });
    shows_this_line("ignore_after", || {
        poll(async {
            let nothing = std::future::ready(Ok::<(), TaskCancelled>(()));
            ignore_after(second, nothing).await
        });
    });
    shows_this_line("finally", || {
        poll(async { finally(async { Ok::<_, TaskCancelled>(()) }, async |_| {}).await });
    });
    shows_this_line("a group", || {
        poll(async { TaskGroup::<TaskCancelled>::scope(async |_| Ok(())).await });
    });
    shows_this_line("a group with all errors", || {
        poll(async { TaskGroup::<TaskCancelled>::scope_all(async |_| Ok(())).await });
    });
    shows_this_line("spawn", || drop(spawn(async { Ok::<(), TaskCancelled>(()) })));
    shows_this_line("now", || assert!(kernel::now() > Instant::now()));
    shows_this_line("tasks", || drop(kernel::tasks()));
    shows_this_line("handle", || drop(kernel::handle()));
    shows_this_line("settle", || poll(async { testing::settle().await }));
}

fn mistakes_with_queues() {
    shows_this_line("a bound of nothing", || drop(Queue::<u32>::bounded(0)));
    let queue = Queue::unbounded();
    queue.close();
    shows_this_line("a put", || poll(async { queue.put(1).await }));
    shows_this_line("a put_from", || poll(async { queue.put_from(&mut Some(1)).await }));
    shows_this_line("a reserve", || poll(async { queue.reserve().await }));
    shows_this_line("a get", || poll(async { queue.get().await }));
    let queue = Queue::<u32>::unbounded();
    shows_this_line("a parked get", || {
        let mut get = pin!(async { queue.get().await });
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(get.as_mut().poll(cx).is_pending());
        queue.close();
        let _ = get.poll(cx);
    });
}

async fn waits_for_nothing() -> Result<(), TaskCancelled> {
    Event::new().wait().await
}

fn deadlocks() {
    shows_this_line("a deadlock", || run(waits_for_nothing).unwrap());
    shows_this_line("on a virtual clock", || testing::run(waits_for_nothing).unwrap());
    let kernel = Kernel::new().unwrap();
    shows_this_line("in a kernel of one's own", || kernel.run(waits_for_nothing).unwrap());
}

fn outcomes_taken_twice() {
    let takes_twice = async || {
        let task = spawn(async { Ok::<(), TaskCancelled>(()) });
        (&task).await?;
        task.await
    };
    shows_this_line("a second await", || testing::run(takes_twice).unwrap());
}

/// C12, C19, K8, Y5: in its own process, because the hook belongs to the process.
#[test]
fn a_panic_shows_the_line_of_the_mistake() {
    if children::role().is_some() {
        note_places();
        mistakes_outside_a_kernel();
        mistakes_with_queues();
        deadlocks();
        outcomes_taken_twice();
        return;
    }
    children::run(children::this_test!(), "mistakes");
}
