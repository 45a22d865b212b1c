//! Members that are started, that wait for a free place, and that are started again, swept.

use std::cell::Cell;
use std::rc::Rc;

use curium::kernel::testing;
use curium::kernel::{
    Ready, RestartPolicy, Result, TaskCancelled, TaskEnd, TaskGroup, sleep, yield_now,
};

use super::checks::{Living, MS, assert_tried, undisturbed};

/// What the subjects note.
#[derive(Default)]
struct Noted {
    living: Living,
    /// How many members have done their work.
    worked: Cell<usize>,
}

/// V4, G9, G1: a `start` that was left without a value leaves no member alive, and neither does the
/// group.
#[test]
fn a_start_that_fails_leaves_no_member_alive() {
    let setup = async || Noted::default();
    let subject = async |noted: Rc<Noted>| -> Result<()> {
        let living = noted.living.clone();
        let server = async move |ready: Ready<u32>| -> Result<()> {
            let _alive = living.one_more();
            if let Err(cancelled) = sleep(MS).await {
                yield_now().await?;
                return Err(cancelled);
            }
            ready.set(5);
            sleep(2 * MS).await
        };
        TaskGroup::<TaskCancelled>::scope(async |g| {
            match g.start(server).await {
                Ok(value) => assert_eq!(value, 5),
                Err(cancelled) => {
                    assert_eq!(noted.living.count(), 0, "the member goes on after a failed start");
                    return Err(cancelled);
                }
            }
            noted.worked.set(1);
            sleep(MS).await
        })
        .await
    };
    let swept = testing::sweep().pairs().seeds(0..4).run(setup, subject, async |noted, run| {
        assert_eq!(noted.living.count(), 0, "a member was left behind");
        assert!(!undisturbed(run) || noted.worked.get() == 1);
    });
    assert_tried(&swept, &["GROUP_START", "GROUP_WAIT"], 4, 40);
}

/// V4, G10, Y3: a wait for a place that is cancelled or dropped spawns nothing and loses no place.
#[test]
fn a_wait_for_a_place_loses_none() {
    struct Limited {
        group: TaskGroup<TaskCancelled>,
        noted: Noted,
    }
    let setup = async || {
        let limited = Limited { group: TaskGroup::new(), noted: Noted::default() };
        limited.group.limit(1);
        limited
    };
    async fn member(limited: Rc<Limited>) -> Result<()> {
        let _alive = limited.noted.living.one_more();
        sleep(MS).await
    }
    let subject = async |limited: Rc<Limited>| -> Result<()> {
        for _ in 0..3 {
            limited.group.spawn_when_free(member(limited.clone())).await?;
            assert_eq!(limited.group.len(), 1, "two members run");
            limited.noted.worked.set(limited.noted.worked.get() + 1);
        }
        Ok(())
    };
    let swept = testing::sweep().pairs().seeds(0..4).run(setup, subject, async |limited, run| {
        assert!(limited.group.len() <= 1, "two members run");
        assert!(!undisturbed(run) || limited.noted.worked.get() == 3);
        // The place is free as soon as the member has ended.
        limited.group.spawn_when_free(async {}).await.expect("main is not cancelled");
        limited.group.join().await.expect("no member fails");
        assert_eq!(limited.noted.living.count(), 0, "a member was left behind");
    });
    assert_tried(&swept, &["GROUP_LIMIT"], 2, 20);
}

/// V4, G11: a supervised member is never started again once it was cancelled, and what its attempts
/// hold is dropped.
#[test]
fn a_supervised_member_leaves_nothing_behind() {
    let subject = async |noted: Rc<Noted>| -> std::io::Result<()> {
        TaskGroup::<std::io::Error>::scope(async |g| {
            let policy = RestartPolicy::new(3, 1000 * MS).delays(MS, 8 * MS);
            let inner = noted.clone();
            g.supervise(policy, async move || {
                let _alive = inner.living.one_more();
                let attempt = inner.worked.get() + 1;
                inner.worked.set(attempt);
                sleep(MS).await?;
                assert_ne!(attempt, 2, "the second attempt panics");
                if attempt == 1 { Err(std::io::Error::other("its own")) } else { Ok(()) }
            });
            Ok(())
        })
        .await
    };
    let setup = async || Noted::default();
    let swept = testing::sweep().pairs().seeds(0..4).run(setup, subject, async |noted, run| {
        assert_eq!(noted.living.count(), 0, "an attempt was left behind");
        assert!(!undisturbed(run) || noted.worked.get() == 3);
        assert_ne!(run.end, TaskEnd::Failed, "{:?}", run.error);
    });
    assert_tried(&swept, &["GROUP_WAIT"], 2, 20);
}
