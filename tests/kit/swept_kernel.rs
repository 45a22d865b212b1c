//! The leaves of the kernel that wait for time, for a turn and for foreign futures, swept.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use curium::kernel::future::{Interval, Sleep};
use curium::kernel::testing::{self, Moment, Run};
use curium::kernel::{
    CancelPoint, Result, TaskCancelled, TaskEnd, cancellable, interval, now, sleep, sleep_until,
    spawn, yield_now,
};
use curium::sync::Lock;
use futures::channel::oneshot;

use super::checks::{Among, Living, MS, aborts, assert_tried, shuts_down, undisturbed};

/// How long each sleep took, how long it was meant to be, and whether it ended in time.
#[derive(Default)]
struct Sleeps {
    log: RefCell<Vec<(Duration, Duration, bool)>>,
}

impl Sleeps {
    async fn one(&self, long: Duration, sleep: Sleep) -> Result<()> {
        let began = now();
        let slept = sleep.await;
        self.log.borrow_mut().push((now() - began, long, slept.is_ok()));
        slept
    }
}

async fn sleep_four_times(sleeps: Rc<Among<Sleeps>>) -> Result<()> {
    sleeps.one(MS, sleep(MS)).await?;
    sleeps.one(2 * MS, sleep_until(now() + 2 * MS)).await?;
    sleeps.one(Duration::ZERO, sleep(Duration::ZERO)).await?;
    sleeps.one(3 * MS, sleep(3 * MS)).await
}

/// V4, C1: a sleep that ends well takes its time, and one that is cancelled ends at once. Sleeps of
/// other tasks that are due at the same instants are not disturbed.
#[test]
fn a_sleep_ends_in_time_or_at_once() {
    let setup = async || {
        let sleeps = Among::new(Sleeps::default());
        let also = async |sleeps: Rc<Sleeps>| {
            sleeps.one(MS, sleep(MS)).await?;
            sleeps.one(2 * MS, sleep(2 * MS)).await?;
            sleeps.one(3 * MS, sleep(3 * MS)).await
        };
        sleeps.and(also).and(also)
    };
    let swept = testing::sweep().seeds(0..8).run(setup, sleep_four_times, async |sleeps, run| {
        sleeps.others_end(run).await;
        for (took, long, well) in sleeps.log.take() {
            assert_eq!(took, if well { long } else { Duration::ZERO });
        }
        if !undisturbed(run) && !aborts(run) && run.injected[0].moment == Moment::Parked {
            assert_eq!(run.end, TaskEnd::Cancelled);
        }
    });
    assert_tried(&swept, &["SLEEP"], 28, 360);
}

/// An interval whose ticks several calls take, one after the other.
struct Ticks {
    interval: Lock<Interval>,
    began: Instant,
    taken: RefCell<Vec<Instant>>,
}

impl Ticks {
    async fn take_one(&self) -> Result<()> {
        let mut interval = self.interval.try_acquire().expect("one call at a time");
        let due = interval.tick().await?;
        self.taken.borrow_mut().push(due);
        Ok(())
    }
}

/// V4, C1: the tick of an interval that is cancelled or dropped is not lost. The next call waits
/// for the same one, and all ticks are on the grid.
#[test]
fn no_tick_of_an_interval_is_lost() {
    let setup = async || {
        let ticks =
            Ticks { interval: Lock::new(interval(MS)), began: now(), taken: RefCell::default() };
        Among::new(ticks).and(async |_| sleep(2 * MS).await)
    };
    let subject = |ticks: Rc<Among<Ticks>>| async move {
        for _ in 0..3 {
            if let Err(cancelled) = ticks.take_one().await {
                ticks.take_one().await?; // the cleanup waits for the tick again
                return Err(cancelled);
            }
        }
        Ok::<_, TaskCancelled>(())
    };
    let swept = testing::sweep().pairs().seeds(0..8).run(setup, subject, async |ticks, run| {
        ticks.others_end(run).await;
        undisturbed(run);
        let before = now();
        ticks.take_one().await.unwrap();
        let taken = ticks.taken.take();
        let first = taken[0];
        assert!(first <= before.max(ticks.began), "the first tick comes at once");
        for (at, due) in (0..).zip(&taken) {
            assert_eq!(*due, first + at * MS, "tick {at} of {taken:?}");
        }
        assert!(now() - first < 4 * MS, "a tick came late: {taken:?}");
    });
    assert_tried(&swept, &["INTERVAL"], 21, 630);
}

/// V4, K1: a yield that ends well has let the other ready task run, and a cancelled one has lost
/// no turn of another task.
#[test]
fn a_yield_gives_every_other_task_its_turn() {
    let setup = async || {
        Among::new(Cell::new(0)).and(async |turns: Rc<Cell<u32>>| {
            for _ in 0..8 {
                turns.set(turns.get() + 1);
                yield_now().await?;
            }
            Ok(())
        })
    };
    let subject = |turns: Rc<Among<Cell<u32>>>| async move {
        for _ in 0..5 {
            let before = turns.get();
            yield_now().await?;
            assert_eq!(turns.get(), before + 1, "the other task had no turn");
        }
        Ok::<_, TaskCancelled>(())
    };
    let swept = testing::sweep().run(setup, subject, async |turns, run| {
        turns.others_end(run).await;
        if !undisturbed(run) && run.injected[0].suspension < 5 && !aborts(run) {
            assert_eq!(run.end, TaskEnd::Cancelled);
        }
        assert!(shuts_down(run) || turns.get() == 8, "{} turns", turns.get());
    });
    assert_tried(&swept, &[], 5, 62);
}

async fn settled(steps: &Cell<u32>) -> Result<()> {
    testing::settle().await?;
    assert_eq!(steps.get() % 3, 0, "another task can still run");
    testing::advance(MS).await?;
    assert_eq!(steps.get() % 3, 0, "another task can still run after the advance");
    Ok(())
}

/// V4, K8: when `settle` ends well, no other task can run; and it holds up no other task.
#[test]
fn what_settles_has_let_all_others_park() {
    let setup = async || {
        let works = async |steps: Rc<Cell<u32>>| {
            for _ in 0..3 {
                for _ in 0..3 {
                    yield_now().await?;
                    steps.set(steps.get() + 1);
                }
                sleep(MS).await?;
            }
            Ok(())
        };
        Among::new(Cell::new(0)).and(works).and(works).and(async |_| testing::settle().await)
    };
    let subject = |steps: Rc<Among<Cell<u32>>>| async move {
        settled(&steps).await?;
        settled(&steps).await
    };
    let swept = testing::sweep().seeds(0..8).run(setup, subject, async |steps, run| {
        undisturbed(run);
        if !shuts_down(run) {
            settled(steps).await.unwrap();
        }
        steps.others_end(run).await;
        assert!(shuts_down(run) || steps.get() == 18, "{} steps", steps.get());
    });
    assert_tried(&swept, &["SETTLE", "SLEEP"], 43, 520);
}

/// A foreign channel, what was got from it, and what its sender could not send.
#[derive(Default)]
struct Mail {
    receiver: RefCell<Option<oneshot::Receiver<u32>>>,
    got: Cell<Option<u32>>,
    refused: Cell<Option<u32>>,
    /// The foreign future, until it is dropped.
    living: Living,
}

/// V4, C9, C1: a cancellation drops the foreign future, so its channel is closed; but a value that
/// has arrived before is returned.
#[test]
fn a_foreign_future_is_dropped_or_gives_its_value() {
    let setup = async || {
        let (sender, receiver) = oneshot::channel();
        let mail = Mail { receiver: RefCell::new(Some(receiver)), ..Mail::default() };
        Among::new(mail).and(async move |mail: Rc<Mail>| {
            let slept = sleep(MS).await;
            mail.refused.set(sender.send(7).err());
            slept
        })
    };
    let subject = |mail: Rc<Among<Mail>>| async move {
        let receiver = mail.receiver.take().expect("one receiver");
        let (living, foreign) = (mail.living.clone(), mail.living.one_more());
        let mut waits = pin!(cancellable(async move {
            let _foreign = foreign;
            receiver.await
        }));
        let got = waits.as_mut().await;
        assert_eq!(living.count(), 0, "the foreign future is not dropped");
        mail.got.set(got?.ok());
        sleep(MS).await
    };
    let swept = testing::sweep().seeds(0..8).run(setup, subject, async |mail, run: &Run| {
        drop(mail.receiver.take()); // if the subject did not begin
        mail.others_end(run).await;
        assert!(!undisturbed(run) || mail.got.get() == Some(7));
        let lost = (mail.got.get(), mail.refused.get()) == (None, None);
        let woken = run.injected.iter().any(|injected| injected.moment == Moment::Woken);
        assert!(!lost || aborts(run) && woken, "the value is lost");
        let (sender, receiver) = oneshot::channel();
        spawn(async move { sender.send(8).expect("the receiver waits") });
        assert_eq!(cancellable(receiver).await.unwrap(), Ok(8));
    });
    assert_tried(&swept, &["FOREIGN_WAIT", "SLEEP"], 14, 200);
}

/// A hand-made box for one value, and what was taken from it.
#[derive(Default)]
struct Letters {
    letter: Cell<Option<u32>>,
    waker: RefCell<Option<Waker>>,
    taken: RefCell<Vec<u32>>,
}

impl Letters {
    async fn take(&self) -> Result<()> {
        let mut point = CancelPoint::new("LETTER");
        let letter = poll_fn(|cx| {
            point.poll(cx, |cx| match self.letter.take() {
                Some(letter) => Poll::Ready(letter),
                None => {
                    self.waker.replace(Some(cx.waker().clone()));
                    Poll::Pending
                }
            })
        });
        let letter = letter.await?;
        self.taken.borrow_mut().push(letter);
        Ok(())
    }
}

/// V4, C1: a leaf of the program's own, around a poll function that takes something. What it does
/// not return stays where it was.
#[test]
fn a_leaf_of_ones_own_takes_what_it_returns() {
    let setup = async || {
        Among::new(Letters::default()).and(async |letters: Rc<Letters>| {
            for letter in 1..=3 {
                while let Some(unread) = letters.letter.take() {
                    letters.letter.set(Some(unread));
                    yield_now().await?;
                    if letters.waker.borrow().is_none() {
                        return Ok(()); // the box stays full
                    }
                }
                letters.letter.set(Some(letter));
                letters.waker.take().into_iter().for_each(Waker::wake);
                sleep(MS).await?;
            }
            Ok(())
        })
    };
    let subject = |letters: Rc<Among<Letters>>| async move {
        letters.take().await?;
        letters.take().await?;
        letters.take().await
    };
    let swept = testing::sweep().seeds(0..8).run(setup, subject, async |letters, run| {
        undisturbed(run);
        letters.others_end(run).await;
        let mut there = letters.taken.take();
        there.extend(letters.letter.take());
        let expected: Vec<u32> = (1..=there.len() as u32).collect();
        assert_eq!(there, expected, "a letter is lost");
        assert!(!run.injected.is_empty() || there.len() == 3);
        assert!(shuts_down(run) || !there.is_empty());
    });
    assert_tried(&swept, &["LETTER"], 18, 240);
}
