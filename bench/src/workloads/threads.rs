//! A wake from another thread; a runtime's start and end.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::task::{Poll, Waker};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::{Outcome, block_on, sleep, spawn, yield_now};
use crate::cores;
use crate::load::{Load, Meter, Numbers, Sample, Workload};

/// Runs the workload, if it is one of these.
pub(super) fn run(workload: Workload, load: Load) -> Option<Sample> {
    Some(match workload {
        Workload::WakeThread => block_on(move || wake_thread(load)),
        Workload::StartStop => start_stop(load),
        Workload::EndSleepers => end_sleepers(load),
        _ => return None,
    })
}

/// How long the thread waits before each wake, so that the runtime sleeps.
const PAUSE: Duration = Duration::from_micros(60);

/// The numbers of the last trip that was begun, and of the last that was answered.
#[derive(Default)]
struct Trips {
    begun: AtomicU64,
    answered: AtomicU64,
}

/// A thread on another core wakes this task while the runtime sleeps, and waits for the answer;
/// `ops` times. How long is each trip?
async fn wake_thread(load: Load) -> Outcome<Sample> {
    let (first, last) = first_and_last_core();
    cores::pin(first).expect("a core");
    let trips = Arc::new(Trips::default());
    let mut partner: Option<JoinHandle<Vec<Duration>>> = None;
    let meter = Meter::start();
    poll_fn(|cx| {
        partner.get_or_insert_with(|| {
            let (trips, waker) = (trips.clone(), cx.waker().clone());
            thread::spawn(move || travel(&trips, &waker, load.ops, last))
        });
        let trip = trips.begun.load(Ordering::Acquire);
        trips.answered.store(trip, Ordering::Release);
        if trip == load.ops { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    let mut sample = meter.stop(load.ops);
    let partner = partner.expect("the task was polled");
    sample.each = partner.join().expect("the thread ends well");
    done!(sample)
}

/// One for the runtime and one for the thread. They differ unless there is only one.
fn first_and_last_core() -> (usize, usize) {
    let cores = cores::allowed().expect("the system says which");
    (*cores.first().expect("a core"), *cores.last().expect("a core"))
}

/// The thread's side. It spins while it waits, so that its own sleep is no part of a trip.
fn travel(trips: &Trips, waker: &Waker, ops: u64, core: usize) -> Vec<Duration> {
    cores::pin(core).expect("a core");
    let mut each = Vec::new();
    for trip in 1..=ops {
        let pause = Instant::now();
        while pause.elapsed() < PAUSE {
            std::hint::spin_loop();
        }
        let begun = Instant::now();
        trips.begun.store(trip, Ordering::Release);
        waker.wake_by_ref();
        while trips.answered.load(Ordering::Acquire) != trip {
            std::hint::spin_loop();
        }
        each.push(begun.elapsed());
    }
    each
}

/// A runtime starts, runs a task that does nothing, and stops; `ops` times.
fn start_stop(load: Load) -> Sample {
    let meter = Meter::start();
    for _ in 0..load.ops {
        block_on(async || done!(Sample::default()));
    }
    meter.stop(load.ops)
}

/// The runtime ends while `ops` tasks sleep. It runs on a thread of its own, because one runtime
/// is kept in a thread-local value, which ends with the thread.
fn end_sleepers(load: Load) -> Sample {
    let (sender, begun) = mpsc::channel();
    let runtime = thread::spawn(move || {
        block_on(async move || {
            let mut numbers = Numbers::new();
            for _ in 0..load.ops {
                let far = numbers.far();
                detach!(spawn(async move {
                    go!(sleep(far));
                    done!(())
                }));
            }
            // On some runtimes not every task has run after a turn of this one.
            for _ in 0..load.ops / 32 + 2 {
                go!(yield_now());
            }
            sender.send(Meter::start()).expect("the receiver exists");
            done!(Sample::default())
        })
    });
    runtime.join().expect("the runtime ends well");
    begun.recv().expect("the end has begun").stop(load.ops)
}
