//! The order in which tasks run, with and without a seed, and that a spinning task starves no other
//! (K1, K2, K8).

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use kernel::{
    Kernel, TaskCancelled, TaskEnd, TaskState, cancellable, run_in_thread, sleep, spawn, testing,
    yield_now,
};
use sync::Event;

type Ended = Result<(), TaskCancelled>;
type Log = Rc<RefCell<Vec<u32>>>;

/// Logs its number, some times, with a switch in between.
async fn says(log: Log, n: u32, times: u32) -> Ended {
    for _ in 0..times {
        log.borrow_mut().push(n);
        yield_now().await?;
    }
    Ok(())
}

/// A trace of five tasks of three turns each.
async fn trace() -> Vec<u32> {
    let log = Log::default();
    for n in 0..5 {
        spawn(says(log.clone(), n, 3));
    }
    testing::settle().await.unwrap();
    log.take()
}

/// K1: without a seed, first come, first served.
#[test]
fn ready_tasks_run_first_come_first_served() {
    let trace = testing::run(trace);
    assert_eq!(trace, [0, 1, 2, 3, 4].repeat(3));
}

/// K1: `spawn` does not switch.
#[test]
fn spawn_does_not_switch() {
    testing::run(async || {
        let log = Log::default();
        let task = spawn(says(log.clone(), 1, 1));
        log.borrow_mut().push(0);
        task.join().await.unwrap().unwrap();
        assert_eq!(log.take(), [0, 1]);
    });
}

/// K1: neither does a wake, nor a request to cancel. The woken task runs after those that were
/// ready before.
#[test]
fn a_wake_does_not_switch() {
    testing::run(async || {
        let log = Log::default();
        let event = Rc::new(Event::new());
        let (theirs, waited) = (event.clone(), log.clone());
        spawn(async move {
            theirs.wait().await?;
            waited.borrow_mut().push(3);
            Ok::<_, TaskCancelled>(())
        });
        let cancelled = log.clone();
        let parked = spawn(async move {
            let delivered = sleep(Duration::MAX).await;
            cancelled.borrow_mut().push(4);
            delivered
        });
        testing::settle().await.unwrap();
        spawn(says(log.clone(), 2, 1));
        event.set();
        parked.request_cancel();
        log.borrow_mut().push(1);
        testing::settle().await.unwrap();
        assert_eq!(log.take(), [1, 2, 3, 4]);
    });
}

/// K1: main is in the same queue as all other tasks.
#[test]
fn main_stands_in_the_same_queue() {
    testing::run(async || {
        let log = Log::default();
        spawn(says(log.clone(), 1, 2));
        log.borrow_mut().push(0);
        yield_now().await.unwrap();
        log.borrow_mut().push(0);
        yield_now().await.unwrap();
        assert_eq!(log.take(), [0, 1, 0, 1]);
    });
}

/// K1: a task that is woken twice is queued once.
#[test]
fn a_double_wake_is_one_turn() {
    testing::run(async || {
        let polls = Rc::new(Cell::new(0));
        let waker = Rc::new(RefCell::new(None));
        let (count, mine) = (polls.clone(), waker.clone());
        let task = spawn(std::future::poll_fn(move |cx| {
            count.set(count.get() + 1);
            *mine.borrow_mut() = Some(cx.waker().clone());
            Poll::<Ended>::Pending
        }));
        testing::settle().await.unwrap();
        let waker: std::task::Waker = waker.borrow().clone().unwrap();
        for _ in 0..3 {
            waker.wake_by_ref();
        }
        testing::settle().await.unwrap();
        assert_eq!(polls.get(), 2);
        task.abort();
    });
}

/// K8: the same seed gives the same trace.
#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..50 {
        let traces = testing::run_seeds([seed, seed], async |_| trace().await);
        assert_eq!(traces[0], traces[1], "seed {seed}");
    }
}

/// K8: different seeds give different traces: every order of three tasks occurs.
#[test]
fn different_seeds_give_different_traces() {
    let orders: BTreeSet<Vec<u32>> = testing::run_seeds(0..200, async |_| {
        let log = Log::default();
        for n in 0..3 {
            spawn(says(log.clone(), n, 1));
        }
        testing::settle().await.unwrap();
        log.take()
    })
    .into_iter()
    .collect();
    assert_eq!(orders.len(), 6, "{orders:?}");
}

/// K8: a seed changes only the order of ready tasks. A required order stays.
#[test]
fn a_seed_leaves_causes_before_their_effects() {
    testing::run_seeds(0..100, async |seed| {
        let log = Log::default();
        let mut before = spawn(says(log.clone(), 0, 2));
        for n in 1..5 {
            let log = log.clone();
            before = spawn(async move {
                before.join().await?.unwrap();
                says(log, n, 2).await
            });
        }
        before.join().await.unwrap().unwrap();
        assert_eq!(log.take(), [0, 0, 1, 1, 2, 2, 3, 3, 4, 4], "seed {seed}");
    });
}

/// Never parks: the event is set.
async fn spins(event: Rc<Event>, turns: Rc<Cell<u64>>) -> Ended {
    event.set();
    loop {
        event.wait().await?;
        turns.set(turns.get() + 1);
    }
}

/// K2: a leaf that is always ready yields by a budget, so other tasks run, and it can be cancelled.
#[test]
fn a_spinner_on_a_set_event_starves_nobody() {
    testing::run(async || {
        let turns = Rc::new(Cell::new(0));
        let spinner = spawn(spins(Rc::new(Event::new()), turns.clone()));
        let log = Log::default();
        for n in 0..3 {
            spawn(says(log.clone(), n, 2)).join().await.unwrap().unwrap();
        }
        assert_eq!(log.take(), [0, 0, 1, 1, 2, 2]);
        assert!(turns.get() > 0 && !spinner.is_done());
        spinner.cancel().await.unwrap();
        assert_eq!(spinner.end(), Some(TaskEnd::Cancelled));
    });
}

/// K2: at that checkpoint a pending cancel comes before the operation, within one budget, and the
/// items that were not taken are still there.
#[test]
fn a_cancel_comes_before_the_operation_when_the_budget_is_spent() {
    testing::run(async || {
        let queue = Rc::new(sync::Queue::unbounded());
        for n in 0..1000 {
            queue.try_put(n).unwrap();
        }
        let got = Rc::new(Cell::new(0));
        let (theirs, count) = (queue.clone(), got.clone());
        let taker = spawn(async move {
            loop {
                theirs.get().await?;
                count.set(count.get() + 1);
            }
            #[allow(unreachable_code)]
            Ok::<(), TaskCancelled>(())
        });
        taker.cancel().await.unwrap();
        assert_eq!(taker.end(), Some(TaskEnd::Cancelled));
        assert!(got.get() <= 128, "{} items in one poll", got.get());
        assert_eq!(queue.len(), 1000 - got.get());
    });
}

/// K2: a task that wakes itself in every poll starves no other.
#[test]
fn a_self_waking_task_starves_nobody() {
    testing::run(async || {
        let polls = Rc::new(Cell::new(0));
        let count = polls.clone();
        let spinner = spawn(std::future::poll_fn(move |cx| {
            count.set(count.get() + 1);
            cx.waker().wake_by_ref();
            Poll::<Ended>::Pending
        }));
        let log = Log::default();
        spawn(says(log.clone(), 1, 5)).join().await.unwrap().unwrap();
        assert_eq!(log.take().len(), 5);
        // One poll a turn, no more.
        assert!((5..=8).contains(&polls.get()), "{} polls", polls.get());
        assert_eq!(spinner.state(), TaskState::Ready);
        spinner.abort();
    });
}

/// K2, C9: it can be cancelled if it is wrapped in `cancellable`, or has a leaf in its loop.
#[test]
fn a_self_waking_task_can_be_cancelled() {
    testing::run(async || {
        let foreign = spawn(cancellable(std::future::poll_fn(|cx| {
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        })));
        let yields = spawn(async {
            loop {
                yield_now().await?;
            }
            #[allow(unreachable_code)]
            Ok::<(), TaskCancelled>(())
        });
        let sleeps = spawn(async {
            loop {
                sleep(Duration::ZERO).await?;
            }
            #[allow(unreachable_code)]
            Ok::<(), TaskCancelled>(())
        });
        for _ in 0..100 {
            yield_now().await.unwrap();
        }
        for task in [foreign, yields, sleeps] {
            assert!(!task.is_done());
            task.cancel().await.unwrap();
            assert_eq!(task.end(), Some(TaskEnd::Cancelled));
        }
    });
}

/// K2: a pair of tasks that wake each other, so that one is always ready, starves no other task.
#[test]
fn a_ping_pong_pair_starves_nobody() {
    testing::run(async || {
        let sides = [Rc::new(Event::new()), Rc::new(Event::new())];
        let players = [0, 1].map(|me| {
            let (mine, theirs) = (sides[me].clone(), sides[1 - me].clone());
            spawn(async move {
                loop {
                    mine.wait().await?;
                    mine.clear();
                    theirs.set();
                }
                #[allow(unreachable_code)]
                Ok::<(), TaskCancelled>(())
            })
        });
        sides[0].set();
        let log = Log::default();
        spawn(says(log.clone(), 1, 100)).join().await.unwrap().unwrap();
        assert_eq!(log.take().len(), 100);
        for player in players {
            player.cancel().await.unwrap();
            assert_eq!(player.end(), Some(TaskEnd::Cancelled));
        }
    });
}

/// K2: the kernel looks at timers at least every 64 polls, however many tasks spin.
#[test]
fn a_spinner_does_not_hold_up_timers() {
    kernel::run(async || {
        let slept = spawn(sleep(Duration::from_nanos(1)));
        let mut polls = 0;
        while !slept.is_done() {
            yield_now().await.unwrap();
            polls += 1;
        }
        // Two looks at most: the first may come before the nanosecond is over.
        assert!(polls <= 3 * 64, "{polls} polls");
    });
}

/// K2, K7: so it does at the messages of other threads.
#[test]
fn a_spinner_does_not_hold_up_other_threads() {
    kernel::run(async || {
        let spinner = spawn(spins(Rc::new(Event::new()), Rc::default()));
        assert_eq!(run_in_thread(|| 6 * 7).await.unwrap(), 42);
        assert!(!spinner.is_done());
    });
}

/// K2, C2: a spinning task is cancelled by its timeout, too.
#[test]
fn a_timeout_reaches_a_spinner() {
    Kernel::builder().run(async || {
        let spinning = spins(Rc::new(Event::new()), Rc::default());
        let ended = kernel::timeout_after(Duration::from_millis(1), spinning).await;
        assert!(ended.is_err());
    });
}

/// K2: the budget belongs to a task for one poll, not to the kernel: a spinning task uses up no
/// other budget.
#[test]
fn a_spinner_does_not_spend_the_budget_of_others() {
    testing::run(async || {
        let spinner = spawn(spins(Rc::new(Event::new()), Rc::default()));
        let (ready, log) = (Rc::new(Event::new()), Log::default());
        ready.set();
        let (theirs, count) = (ready.clone(), log.clone());
        let modest = spawn(async move {
            yield_now().await?;
            for n in 0..100 {
                theirs.wait().await?;
                count.borrow_mut().push(n);
            }
            Ok::<_, TaskCancelled>(kernel::current_task().cycles)
        });
        assert_eq!(modest.join().await.unwrap().unwrap(), 2);
        assert_eq!(log.borrow().len(), 100);
        spinner.cancel().await.unwrap();
    });
}
