//! Kernels on several cores that wake the tasks of each other: K7 between kernels.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};
use std::task::{Poll, Waker};

use kernel::{TaskCancelled, kernels, spawn, yield_now};

use crate::support::children;

const CORES: usize = 8;

/// A core wakes so many tasks, its own among them, before it lets that one run.
const CROWD: usize = 4 * CORES;

/// Wakes of each core. `CURIUM_CORE_WAKES` sets another number.
fn wakes() -> usize {
    std::env::var("CURIUM_CORE_WAKES").map_or(50_000, |wakes| wakes.parse().expect("a number"))
}

/// What the cores share: the wakers of their tasks, and where they meet before they wake them.
struct Meeting {
    wakers: Mutex<[Option<Waker>; CORES]>,
    all_parked: Barrier,
}

impl Meeting {
    fn new() -> Self {
        Meeting { wakers: Mutex::default(), all_parked: Barrier::new(CORES) }
    }

    fn note(&self, core: usize, waker: &Waker) {
        self.wakers.lock().unwrap()[core].get_or_insert_with(|| waker.clone());
    }

    /// The wakers, when the tasks of all cores have parked.
    async fn of_all(&self) -> Result<Vec<Waker>, TaskCancelled> {
        yield_now().await?;
        self.all_parked.wait();
        Ok(self.wakers.lock().unwrap().iter().flatten().cloned().collect())
    }
}

/// Each core wakes a task of every core in turn, so many times. A task ends when it has seen that
/// every core has finished. Returns the polls of all.
fn wake_in_crowds(wakes: usize) -> usize {
    static MEETING: std::sync::LazyLock<Meeting> = std::sync::LazyLock::new(Meeting::new);
    static THROUGH: [AtomicUsize; CORES] = [const { AtomicUsize::new(0) }; CORES];
    static POLLS: AtomicUsize = AtomicUsize::new(0);
    let ended = kernels(CORES, async |core| {
        let me = core.index();
        let parked = spawn(poll_fn(move |cx| {
            POLLS.fetch_add(1, Ordering::Relaxed);
            MEETING.note(me, cx.waker());
            // Only the wake announces the last step. A task that misses it waits for ever.
            match THROUGH[me].load(Ordering::SeqCst) {
                CORES => Poll::Ready(Ok::<(), TaskCancelled>(())),
                _ => Poll::Pending,
            }
        }));
        let wakers = MEETING.of_all().await?;
        assert_eq!(wakers.len(), CORES);
        for n in 0..wakes - CORES {
            wakers[n % CORES].wake_by_ref();
            if n % CROWD == 0 {
                yield_now().await?;
            }
        }
        for (waker, through) in wakers.into_iter().zip(&THROUGH) {
            through.fetch_add(1, Ordering::SeqCst);
            waker.wake();
        }
        parked.await
    });
    ended.expect("no core fails");
    POLLS.load(Ordering::Relaxed)
}

/// The cores stand in a circle. Each wakes the next step by step, and waits for the wake of the one
/// before, so that the kernels sleep, or are about to, when the wakes come.
fn wake_in_step(steps: usize) {
    let meeting = Meeting::new();
    let sent = [const { AtomicUsize::new(0) }; CORES];
    let ended = kernels(CORES, async |core| {
        let (me, next) = (core.index(), (core.index() + 1) % CORES);
        let mut next_waker = None;
        for step in 1..=steps {
            let mut is_sent = false;
            let wait = poll_fn(|cx| {
                meeting.note(me, cx.waker());
                if let (Some(waker), false) = (&next_waker, is_sent) {
                    is_sent = true;
                    sent[next].store(step, Ordering::SeqCst);
                    Waker::wake_by_ref(waker);
                }
                match sent[me].load(Ordering::SeqCst) >= step || next_waker.is_none() {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                }
            });
            wait.await;
            if next_waker.is_none() {
                next_waker = Some(meeting.of_all().await?.swap_remove(next));
            }
        }
        Ok::<(), TaskCancelled>(())
    });
    ended.expect("no core fails");
}

/// K7: of eight kernels that wake the tasks of each other, no wake is lost, and a task is queued
/// once however often it is woken. `CURIUM_CORE_WAKES=1000000` is the full size.
#[test]
fn of_many_wakes_between_kernels_none_is_lost() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    let (wakes, since) = (wakes(), std::time::Instant::now());
    let polls = wake_in_crowds(wakes);
    let all = CORES * wakes;
    println!("{all} wakes between {CORES} kernels, {polls} polls, {:?}", since.elapsed());
    // The wakes of a core's own task are one in each crowd. Each of the others may be a poll.
    let (own, crowds) = (all / CORES, CORES * wakes.div_ceil(CROWD));
    // The first poll, the last wake, and crowds that are not full.
    let most = all - own + crowds + 4 * CORES;
    assert!(polls <= most, "{polls} polls, but at most {most} if each task is queued once");
}

/// K7: one eventfd write per sleep of a kernel, however many kernels wake it.
#[test]
fn a_kernel_is_rung_by_others_at_most_once_per_sleep() {
    let name = children::this_test!();
    if children::role().is_some() {
        wake_in_crowds(20_000);
        return wake_in_step(500);
    }
    let options = ["-e", "trace=write,?epoll_wait,?epoll_pwait,?epoll_pwait2"];
    let Some(trace) = children::traced(name, "child", &options) else { return };
    // Nothing is registered, so every wait is a sleep.
    let sleeps = trace.calls(&["epoll_wait", "epoll_pwait", "epoll_pwait2"]).count();
    let rings = trace.calls(&["write"]).filter(|call| call.contains("eventfd")).count();
    println!("{rings} rings, {sleeps} sleeps");
    assert!(rings > 500, "the kernels slept in {rings} steps only");
    assert!(rings <= sleeps, "{rings} writes for {sleeps} sleeps");
}
