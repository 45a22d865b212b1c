//! `sync::OnceCell`.

use std::cell::Cell;
use std::rc::Rc;

use futures::FutureExt;
use kernel::{TaskCancelled, sleep, spawn, testing};
use sync::OnceCell;

use crate::support::time::secs;

/// Y10: one task makes the value, and the others wait for it.
#[test]
fn the_value_is_made_once() {
    testing::run(async || {
        let (cell, made) = (Rc::new(OnceCell::new()), Rc::new(Cell::new(0)));
        let tasks = [1, 2, 3].map(|n| {
            let (cell, made) = (cell.clone(), made.clone());
            spawn(async move {
                let make = async || {
                    made.set(made.get() + 1);
                    sleep(secs(1)).await.map(|()| n)
                };
                cell.get_or_try_init(make).await.copied()
            })
        });
        testing::settle().await?;
        let now = cell.statistics();
        assert_eq!((now.is_set, now.is_being_made, now.waiting), (false, true, 2));
        assert_eq!(cell.get(), None);
        for task in tasks {
            assert_eq!(task.await?, 1);
        }
        assert_eq!((made.get(), cell.get()), (1, Some(&1)));
        let now = cell.statistics();
        assert_eq!((now.is_set, now.is_being_made, now.waiting), (true, false, 0));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y10, Y3: if the task that makes the value fails, is cancelled or dropped, the next one makes it.
#[test]
fn a_failed_maker_lets_the_next_one_make_the_value() {
    testing::run(async || {
        let cell = Rc::new(OnceCell::new());
        let maker = |value: Option<u32>| {
            let cell = cell.clone();
            spawn(async move {
                let make = async || {
                    sleep(secs(1)).await.map_err(anyhow::Error::from)?;
                    value.ok_or(anyhow::anyhow!("no value"))
                };
                cell.get_or_try_init(make).await.copied()
            })
        };
        let [cancelled, aborted, failed, good, late] =
            [Some(1), Some(2), None, Some(4), Some(5)].map(maker);
        testing::settle().await?;
        assert_eq!(good.state().to_string(), "LOCK_ACQUIRE");
        cancelled.cancel().await?;
        testing::settle().await?;
        aborted.abort();
        assert_eq!(failed.await.unwrap_err().to_string(), "no value");
        assert_eq!((good.join().await?.unwrap(), late.join().await?.unwrap()), (4, 4));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y10: `set` sets a value once, also while a task makes one, which then drops its own.
#[test]
fn a_value_that_is_set_is_the_value() {
    testing::run(async || {
        let cell = Rc::new(OnceCell::new());
        let task = spawn({
            let cell = cell.clone();
            async move {
                let make = async || sleep(secs(1)).await.map_or(0, |()| 1);
                cell.get_or_init(make).await.copied()
            }
        });
        testing::settle().await?;
        assert_eq!((cell.set(7), cell.set(8)), (Ok(()), Err(8)));
        assert_eq!(task.await?, 7);
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
    let mut cell = OnceCell::default();
    assert_eq!(cell.get_or_init(async || 1).now_or_never(), Some(Ok(&1)));
    assert_eq!(format!("{cell:?}"), "OnceCell(Some(1))");
    assert_eq!((cell.take(), cell.into_inner()), (Some(1), None));
}
