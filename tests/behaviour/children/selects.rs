//! `select!` (S6).

use std::cell::Cell;
use std::future::{Ready, ready};

use curium::prelude::*;
use curium::{Kernel, now, select, testing};

use crate::support::time::secs;

/// S6: the arm that is ready first runs; the others are dropped before, and lose nothing.
#[test]
fn the_first_arm_to_be_ready_runs() {
    testing::run(async || {
        let queue = Queue::unbounded();
        let (started, place) = (now(), queue.get());
        let won = select! {
            item = place => item.map(|item: u32| item.to_string()),
            slept = sleep(secs(1)) => slept.map(|()| "slept".to_owned()),
        };
        assert_eq!((won.unwrap().as_str(), now() - started), ("slept", secs(1)));
        // The wait for an item is gone: the next getter gets this one.
        queue.try_put(7).unwrap();
        let won = select! {
            slept = sleep(secs(1)) => {
                slept.unwrap();
                0
            }
            item = queue.get() => item.unwrap(),
        };
        assert_eq!(won, 7);
    });
}

/// S6, Y3: an item that was handed to a loser goes to the next getter.
#[test]
fn what_was_handed_to_a_loser_goes_on() {
    testing::run(async || {
        let (one, two) = (Queue::unbounded(), Queue::unbounded());
        let got = scope(async |s| {
            let both = s.spawn(async {
                Ok::<_, TaskCancelled>(select! {
                    biased;
                    item = one.get() => item?,
                    item = two.get() => item?,
                })
            });
            yield_now().await?;
            two.try_put(2).unwrap();
            one.try_put(1).unwrap();
            both.await
        });
        assert_eq!(got.await, Ok(1));
        assert_eq!(two.get().await, Ok(2));
    });
}

/// How often each of three ready arms wins of so many selects.
async fn wins(selects: u32) -> [u32; 3] {
    let mut wins = [0; 3];
    for _ in 0..selects {
        let at = select! {
            at = ready(0) => at,
            at = ready(1) => at,
            at = ready(2) => at,
        };
        wins[at] += 1;
    }
    wins
}

/// S6: arms that are always ready take turns, and the seed says which begins; `biased` ones do not.
#[test]
fn ready_arms_take_turns() {
    testing::run(async || assert_eq!(wins(9).await, [3, 3, 3]));
    for seed in 0..3 {
        let mut first = [0; 3];
        first[seed as usize] = 1;
        testing::run_with(Kernel::builder().seed(seed), async || {
            assert_eq!(wins(1).await, first);
        });
    }
    testing::run(async || {
        for _ in 0..5 {
            let at = select! {
                biased;
                at = ready(0) => at,
                at = ready(1) => at,
            };
            assert_eq!(at, 0);
        }
    });
}

/// S6: with `default` it does not wait.
#[test]
fn a_default_runs_if_no_arm_is_ready() {
    testing::run(async || {
        let started = now();
        let slept = select! {
            slept = sleep(secs(1)) => slept.is_ok(),
            default => false,
        };
        assert!(!slept);
        let found = select! {
            _ = sleep(secs(1)) => 0,
            found = ready(1) => found,
            default => {
                2
            }
        };
        assert_eq!(found, 1);
        assert_eq!(now(), started);
    });
}

/// S6: the code of an arm may leave a loop or a function, and pass an error on; patterns take
/// values apart; a task can be awaited.
#[test]
fn the_code_of_an_arm_is_ordinary_code() {
    testing::run(async || {
        let pairs = Queue::unbounded();
        pairs.try_put((1, 'a')).unwrap();
        pairs.try_put((2, 'b')).unwrap();
        let found = loop {
            select! {
                Ok((number, letter)) | Err((number, letter)) = swap(&pairs) => {
                    if number > 1 {
                        break letter;
                    }
                }
            }
        };
        assert_eq!(found, 'b');
        let task = spawn(async { Ok::<_, TaskCancelled>("task") });
        let ended = async {
            select! {
                ended = &task => {
                    assert_eq!(ended?, "task");
                    return Ok::<_, TaskCancelled>("returned");
                }
                slept = sleep(secs(1)) => slept?,
            }
            Ok("not returned")
        };
        assert_eq!(ended.await, Ok("returned"));
    });
}

/// A pair, as an error if its number is odd.
async fn swap(pairs: &Queue<(u32, char)>) -> Result<(u32, char), (u32, char)> {
    let pair = pairs.get().await.expect("it is not cancelled");
    if pair.0 % 2 == 0 { Ok(pair) } else { Err(pair) }
}

/// S6, C2: a cancellation reaches the parked futures, and the arm that gets the error runs.
#[test]
fn a_cancellation_reaches_a_select() {
    testing::run(async || {
        let task = spawn(async {
            select! {
                slept = sleep(Duration::MAX) => slept,
                slept = sleep(Duration::MAX) => slept,
            }
        });
        sleep(secs(1)).await.unwrap();
        task.cancel().await.unwrap();
        assert!(task.await.is_err());
    });
}

/// S6: up to sixteen arms.
#[test]
fn sixteen_arms_are_polled() {
    testing::run(async || {
        let polled = Cell::new(0);
        let arm = |n: u64| {
            polled.set(polled.get() + 1);
            async move { sleep(secs(n)).await.map(|()| n) }
        };
        let won = select! {
            n = arm(16) => n, n = arm(15) => n, n = arm(14) => n, n = arm(13) => n,
            n = arm(12) => n, n = arm(11) => n, n = arm(10) => n, n = arm(9) => n,
            n = arm(8) => n, n = arm(7) => n, n = arm(6) => n, n = arm(5) => n,
            n = arm(4) => n, n = arm(3) => n, n = arm(2) => n, n = arm(1) => n,
        };
        assert_eq!((won, polled.get()), (Ok(1), 16));
        let only: Ready<u8> = ready(1);
        assert_eq!(select! { n = only => n }, 1);
    });
}
