//! Values that tasks inherit, swept and explored: no cancellation and no order of the tasks shows a
//! task the value of another, or leaves a value behind (V4).

use std::rc::Rc;

use curium::kernel::testing;
use curium::kernel::{Result, TaskCancelled, TaskGroup, sleep, spawn, task_local, yield_now};

use super::checks::{Life, Living, MS, assert_tried, undisturbed};
use super::explored::assert_complete;

task_local! {
    static NUMBER: u32;
    static HELD: Life;
}

fn number() -> Option<u32> {
    NUMBER.try_with(|number| *number)
}

/// Sees the same value in each of its turns, in its cleanup, and when it is dropped.
async fn sees(expected: Option<u32>) -> Result<()> {
    struct Last(Option<u32>);
    impl Drop for Last {
        fn drop(&mut self) {
            assert_eq!(number(), self.0, "a destructor sees the value of another task");
        }
    }
    let last = Last(expected);
    let slept = sleep(MS).await;
    assert_eq!(number(), last.0);
    if let Err(cancelled) = slept {
        yield_now().await?;
        assert_eq!(number(), last.0, "a cleanup sees another value");
        return Err(cancelled);
    }
    Ok(())
}

/// V4, K10: wherever a task is cancelled, it and its children see their own values, and none is
/// left behind.
#[test]
fn values_are_seen_and_dropped_on_every_path() {
    let subject = async |living: Rc<Living>| -> Result<()> {
        sees(None).await?;
        let held = HELD.scope(living.one_more(), async {
            TaskGroup::<TaskCancelled>::scope(async |g| {
                g.spawn(sees(None));
                NUMBER
                    .scope(1, async {
                        g.spawn(sees(Some(1)));
                        sees(Some(1)).await
                    })
                    .await?;
                NUMBER.scope(2, sees(Some(2))).await?;
                g.spawn(sees(None));
                Ok(())
            })
            .await
        });
        held.await?;
        sees(None).await
    };
    let setup = async || Living::default();
    let swept = testing::sweep().pairs().seeds(0..4).run(setup, subject, async |living, run| {
        assert_eq!(number(), None);
        assert_eq!(living.count(), 0, "a value was left behind");
        undisturbed(run);
    });
    assert_tried(&swept, &["SLEEP", "GROUP_WAIT"], 4, 100);
}

/// V4, K10: with every order of three tasks, and one cancel at every moment.
#[test]
fn tasks_see_their_own_values_in_every_order() {
    assert_complete(2_724, async || {
        let turns = |expected: Option<u32>| async move {
            let turned = yield_now().await;
            assert_eq!(number(), expected);
            turned
        };
        let one = NUMBER.scope(1, async { spawn(turns(Some(1))) }).await;
        let two = NUMBER.scope(2, async { spawn(turns(Some(2))) }).await;
        assert_eq!(number(), None);
        let none = spawn(turns(None));
        for task in [one, two, none] {
            task.wait().await?;
        }
        Ok(())
    });
}
