//! `gather`, `race`, `first_ok`, `as_completed` and `select!`, swept.

use std::cell::Cell;
use std::rc::Rc;

use curium::kernel::testing::{self, Run, Swept};
use curium::kernel::{
    Result, as_completed, first_ok, gather, gather_all, race, select, sleep, yield_now,
};
use curium::sync::Queue;
use futures::StreamExt;

use super::checks::{AtTheEnd, Living, MS, aborts, assert_tried, undisturbed};

/// What the futures of a combinator leave behind: nothing.
#[derive(Default)]
struct Arms {
    living: Living,
    left: Cell<bool>,
    outlived: Cell<bool>,
    begun: Cell<u32>,
    ended: Cell<u32>,
}

impl Arms {
    /// Works for so many milliseconds. Its cleanup awaits.
    async fn arm(&self, ms: u32) -> Result<u32> {
        let _alive = self.living.one_more();
        self.begun.set(self.begun.get() + 1);
        let worked = async {
            yield_now().await?;
            sleep(ms * MS).await
        };
        let worked = worked.await;
        if worked.is_err() {
            sleep(MS).await?;
            yield_now().await?;
        }
        self.outlived.set(self.outlived.get() || self.left.get());
        self.ended.set(self.ended.get() + 1);
        worked.map(|()| ms)
    }

    fn check(&self, run: &Run) {
        assert!(!self.outlived.get(), "a future ran after the combinator was left");
        assert_eq!(self.living.count(), 0, "futures were left behind");
        let lost = self.begun.get() - self.ended.get();
        assert!(lost == 0 || aborts(run), "{lost} futures neither ended nor cleaned up");
        undisturbed(run);
    }
}

/// Sweeps a combinator over arms. The arms are awaited on every path but an abort.
fn sweep_arms<F>(combine: impl Fn(Rc<Arms>) -> F) -> Swept
where
    F: Future<Output = Result<()>> + 'static,
{
    testing::sweep().pairs().run(
        async || Arms::default(),
        |arms| {
            let combined = combine(arms.clone());
            async move {
                let _left = AtTheEnd(&arms.left);
                combined.await
            }
        },
        async |arms, run| arms.check(run),
    )
}

/// V4, S5: gathered futures end, or clean up, before `gather` returns.
#[test]
fn gathered_futures_are_swept() {
    let swept = sweep_arms(|arms| async move {
        assert_eq!(gather((arms.arm(2), arms.arm(1))).await?, (2, 1));
        assert_eq!(gather_all([arms.arm(1), arms.arm(2)]).await?, [1, 2]);
        Ok(())
    });
    assert_tried(&swept, &["GROUP_WAIT"], 6, 300);
}

/// V4, S5: so do the futures of a race, and of `first_ok`.
#[test]
fn racing_futures_are_swept() {
    let swept = sweep_arms(|arms| async move {
        let raced = race((arms.arm(3), arms.arm(1), arms.arm(2))).await?;
        assert_eq!((raced.first?, raced.winner, raced.late.len()), (1, 1, 0));
        let first = first_ok([arms.arm(2), arms.arm(1)]).await;
        first.map(drop).map_err(|errors| errors.first)
    });
    assert_tried(&swept, &["GROUP_WAIT", "GROUP_END"], 10, 500);
}

/// V4, S5: a wait for the next output that is cancelled loses none.
#[test]
fn outputs_as_completed_are_swept() {
    let swept = testing::sweep().pairs().run(
        async || Arms::default(),
        |arms| async move {
            let _left = AtTheEnd(&arms.left);
            let mut outputs = as_completed([3, 1, 2].map(|ms| arms.arm(ms)));
            let mut seen = Vec::new();
            let mut cancelled = Ok(());
            while seen.len() < 3 {
                match outputs.next().await {
                    Ok(output) => seen.push(output.expect("one for each")?),
                    Err(error) => cancelled = Err(error),
                }
            }
            assert_eq!(seen, [1, 2, 3]);
            cancelled
        },
        async |arms, run| arms.check(run),
    );
    assert_tried(&swept, &["AS_COMPLETED"], 4, 190);
}

/// V4, S5: so is a wait of the stream.
#[test]
fn the_stream_of_outputs_is_swept() {
    let swept = testing::sweep().pairs().run(
        async || Arms::default(),
        |arms| async move {
            let _left = AtTheEnd(&arms.left);
            let mut outputs = as_completed([3, 1, 2].map(|ms| arms.arm(ms)));
            let mut seen = Vec::new();
            let mut cancelled = Ok(());
            while seen.len() < 3 {
                match StreamExt::next(&mut outputs).await.expect("one for each") {
                    Ok(output) => seen.push(output?),
                    Err(error) => cancelled = Err(error),
                }
            }
            assert_eq!(seen, [1, 2, 3]);
            cancelled
        },
        async |arms, run| arms.check(run),
    );
    assert_tried(&swept, &["AS_COMPLETED"], 4, 190);
}

/// V4, S6, Y3: an item is got by an arm of `select!`, or stays in its queue.
#[test]
fn a_select_is_swept() {
    let swept = testing::sweep().pairs().seeds(0..4).run(
        async || (Queue::unbounded(), Queue::unbounded(), Cell::new(0)),
        |shared| async move {
            let (one, two, got) = &*shared;
            let feed = async {
                yield_now().await?;
                one.try_put(1).unwrap();
                two.try_put(1).unwrap();
                sleep(MS).await
            };
            let take = async {
                while got.get() < 2 {
                    let item: u32 = select! {
                        item = one.get() => item?,
                        item = two.get() => item?,
                        slept = sleep(5 * MS) => {
                            slept?;
                            0
                        }
                    };
                    got.set(got.get() + item);
                }
                Ok(())
            };
            gather((feed, take)).await.map(|((), ())| ())
        },
        async |(one, two, got), run| {
            let left = one.len() + two.len();
            let (all, none) = (got.get() as usize + left == 2, got.get() == 0 && left == 0);
            assert!(all || none, "of 2 items {} were got and {left} are left", got.get());
            if undisturbed(run) {
                assert_eq!(got.get(), 2);
            }
        },
    );
    assert_tried(&swept, &["QUEUE_GET"], 4, 320);
}
