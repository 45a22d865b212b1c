//! The sweep itself: how often it runs the subject, and what it gives back (V1).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use curium::kernel::testing::{self, Injection, Moment};
use curium::kernel::{TaskCancelled, TaskEnd, sleep, spawn, yield_now};
use curium::sync::{Lock, Queue};
use futures::join;

const MS: Duration = Duration::from_millis(1);

async fn sleep_three_times() -> Result<(), TaskCancelled> {
    for _ in 0..3 {
        sleep(MS).await?;
    }
    Ok(())
}

/// V1: with s suspensions there are one first run, 1 + s surveys, and one run for each injection:
/// each of the kinds once before the first poll, and once parked and once woken per suspension.
#[test]
fn every_injection_is_made_once_at_every_moment_of_every_suspension() {
    let seen = RefCell::new(Vec::new());
    let swept = testing::sweep().run(
        async || (),
        |_| sleep_three_times(),
        async |_, run| seen.borrow_mut().push(run.injected.clone()),
    );
    assert_eq!((swept.suspensions, swept.runs), (3, 1 + (1 + 3) + 5 * (1 + 2 * 3)));
    let seen = seen.into_inner();
    // The surveys do not call the check.
    assert_eq!(seen.len(), 1 + 5 * (1 + 2 * 3));
    assert!(seen[0].is_empty(), "the first run is undisturbed");
    for (at, injected) in seen.iter().enumerate() {
        assert!(!seen[..at].contains(injected), "twice: {injected:?}");
    }
    for injected in &seen[1..] {
        let [injected] = injected[..] else { panic!("one injection a run: {injected:?}") };
        let before = injected.suspension == 0;
        assert_eq!(before, injected.moment == Moment::BeforeFirstPoll);
        assert_eq!(injected.kind, if before { "START" } else { "SLEEP" });
        assert_eq!(injected.site.is_none(), before);
    }
}

/// V1: the moments and the injections are those that were asked for.
#[test]
fn a_sweep_is_limited_to_some_moments_and_injections() {
    let sweep = || testing::sweep().inject(&[Injection::Cancel, Injection::Abort]);
    let runs = |moments: &[Moment]| {
        let swept = sweep().moments(moments).run(
            async || (),
            |_| sleep_three_times(),
            async |_, run| {
                for injected in &run.injected {
                    assert!(moments.contains(&injected.moment));
                    assert!([Injection::Cancel, Injection::Abort].contains(&injected.injection));
                }
            },
        );
        swept.runs
    };
    assert_eq!(runs(&[Moment::BeforeFirstPoll]), 5 + 2);
    assert_eq!(runs(&[Moment::Parked]), 5 + 2 * 3);
    assert_eq!(runs(&[Moment::BeforeFirstPoll, Moment::Woken]), 5 + 2 + 2 * 3);
    assert_eq!(runs(&[]), 5);
}

/// V1: a subject that never parks is swept before its first poll.
#[test]
fn a_subject_without_a_suspension_is_swept_before_its_first_poll() {
    let swept = testing::sweep().run(
        async || (),
        |_| async { Ok::<_, TaskCancelled>(()) },
        async |_, _| {},
    );
    assert_eq!((swept.suspensions, swept.runs), (0, 1 + 1 + 5));
}

/// V1: everything is done once for each seed, and the check sees the seed.
#[test]
fn each_seed_is_swept() {
    let seen = RefCell::new(Vec::new());
    let swept = testing::sweep()
        .moments(&[Moment::Parked])
        .inject(&[Injection::Cancel])
        .seeds(3..6)
        .run(async || (), |_| sleep_three_times(), async |_, run| seen.borrow_mut().push(run.seed));
    assert_eq!((swept.suspensions, swept.runs), (3 * 3, 3 * (5 + 3)));
    let seeds: Vec<_> = (3..6).flat_map(|seed| [Some(seed); 4]).collect();
    assert_eq!(seen.into_inner(), seeds);
}

/// V1: each leaf is listed with its kind and line and the suspensions there, also a leaf that is
/// ready at once in every run.
#[test]
fn leaves_that_never_park_are_listed() {
    let swept = testing::sweep().run(
        async || Lock::new(0),
        |lock: Rc<Lock<i32>>| async move {
            *lock.acquire().await? += 1;
            let (slept, acquired) = join!(sleep(MS), lock.acquire());
            drop(acquired);
            slept
        },
        async |_, _| {},
    );
    let never: Vec<_> = swept.never_suspended().map(|site| (site.kind, site.suspended)).collect();
    assert_eq!(never, [("LOCK_ACQUIRE", 0); 2]);
    let slept: Vec<_> = swept.sites.iter().filter(|site| site.kind == "SLEEP").collect();
    assert_eq!(slept.len(), 1);
    assert!(slept[0].location.file().ends_with("sweep.rs"));
    // All runs but the five with an injection before the first poll.
    assert_eq!(slept[0].suspended, swept.runs - 5);
}

/// V1: leaves of the cleanup are listed, although this sweep injects no cancellation.
#[test]
fn leaves_of_the_cleanup_are_listed() {
    let swept = testing::sweep().inject(&[Injection::Abort]).run(
        async || (),
        |_| async {
            let slept = sleep(MS).await;
            if slept.is_err() {
                drop(Lock::new(()).acquire().await?);
                sleep(MS).await?;
            }
            slept
        },
        async |_, _| {},
    );
    let sites: Vec<_> = swept.sites.iter().map(|site| (site.kind, site.suspended)).collect();
    // Two of the runs were surveys, one of which has cancelled the sleep.
    assert_eq!(sites, [("SLEEP", swept.runs - 1), ("LOCK_ACQUIRE", 0), ("SLEEP", 1)]);
}

/// V1: what the subject leaves running is cancelled by the shutdown of the run.
#[test]
fn a_subject_may_leave_tasks_running() {
    testing::sweep().pairs().run(
        async || Rc::new(Cell::new(0)),
        |state: Rc<Rc<Cell<u32>>>| async move {
            let ended = Rc::clone(&state);
            spawn(async move {
                let slept = sleep(Duration::MAX).await;
                ended.set(ended.get() + 1);
                slept
            });
            sleep(MS).await
        },
        async |state, run| {
            let shut_down = run.injected.iter().any(|it| it.injection == Injection::ShutDown);
            // A task that was not spawned before the shutdown starts cancelled.
            let ended = u32::from(shut_down && run.end != TaskEnd::Aborted);
            assert_eq!(state.get(), ended);
        },
    );
}

/// V1: twenty suspensions are swept in one go.
#[test]
fn a_subject_with_twenty_suspensions_is_swept() {
    let started = Instant::now();
    let swept = testing::sweep().run(
        async || Rc::new(Queue::bounded(1)),
        |queue: Rc<Rc<Queue<u32>>>| async move {
            let source = Rc::clone(&queue);
            let put = spawn(async move {
                for item in 0..10 {
                    sleep(MS).await?;
                    source.put(item).await?;
                }
                Ok::<_, TaskCancelled>(())
            });
            for _ in 0..10 {
                queue.get().await?;
                yield_now().await?;
            }
            put.await
        },
        async |_, _| {},
    );
    println!("{} runs in {:?}", swept.runs, started.elapsed());
    let suspensions = swept.suspensions;
    assert!(suspensions >= 20, "{suspensions}");
    assert_eq!(swept.runs, 1 + (1 + suspensions) + 5 * (1 + 2 * suspensions));
}
