//! Members of groups that are threads, swept. The thread and the subject take turns, so that every
//! run is alike up to its injection.

use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use curium::kernel::testing::{self, Run};
use curium::kernel::{
    CancelReason, Here, Result, TaskCancelled, TaskGroup, sleep, spawn, spawn_thread,
};
use curium::sync::{UniversalEvent, UniversalQueue};

use super::checks::{MS, aborts, assert_tried, shuts_down, undisturbed};

/// What the subject shares with its thread.
#[derive(Default)]
struct Shared {
    items: Queue,
    /// What the thread got, item by item.
    got: Queue,
    /// The subject asks the thread to compute, until the gate opens.
    asked: UniversalEvent,
    computes: UniversalEvent,
    gate: UniversalEvent,
    /// What the thread did last.
    log: Mutex<Vec<u32>>,
    /// The reason of the cancellation that ended the thread.
    reason: Mutex<Option<CancelReason>>,
    /// The subject has begun.
    begun: UniversalEvent,
    /// The body of the thread has ended, or was dropped.
    ended: UniversalEvent,
}

/// The state of a run.
struct Setup(Arc<Shared>);

struct Queue(UniversalQueue<u32>);

impl Default for Queue {
    fn default() -> Self {
        Queue(UniversalQueue::unbounded())
    }
}

/// Sets an event when it is dropped.
struct Sets(Arc<Shared>, fn(&Shared) -> &UniversalEvent);

impl Drop for Sets {
    fn drop(&mut self) {
        self.1(&self.0).set();
    }
}

/// Alternates checks and waits. An item that it got is never lost.
fn body(here: &Here, shared: &Arc<Shared>) -> Result<()> {
    for _ in 0..3 {
        here.check()?;
        let queue = shared.clone();
        let item = here.wait(move || async move { queue.items.0.get().await })??;
        shared.log.lock().unwrap().push(item);
        shared.got.0.try_put(item).unwrap();
    }
    let asked = shared.clone();
    here.wait(move || async move { asked.asked.wait().await })??;
    shared.computes.set();
    shared.gate.wait_blocking(Duration::MAX).expect("no limit");
    here.check()
}

/// The subject begins. What this returns belongs to its thread.
fn begin(shared: &Arc<Shared>) -> Sets {
    shared.begun.set();
    Sets(shared.clone(), |shared| &shared.ended)
}

/// The thread has ended, if the subject has begun.
async fn thread_ends(shared: &Shared) {
    if shared.begun.is_set() {
        shared.ended.wait().await.unwrap();
    }
}

async fn take_turns(shared: Rc<Setup>) -> Result<()> {
    let shared = shared.0.clone();
    let ends = begin(&shared);
    TaskGroup::<TaskCancelled>::scope(async |g| {
        let _opens = Sets(shared.clone(), |shared| &shared.gate);
        let theirs = shared.clone();
        g.spawn_thread(move |here| {
            let ends = ends;
            let ended = body(here, &theirs);
            if let Err(cancelled) = &ended {
                *ends.0.reason.lock().unwrap() = Some(cancelled.reason());
            }
            ended
        });
        for item in 1..=3 {
            shared.items.0.try_put(item).unwrap();
            assert_eq!(shared.got.0.get().await?, item);
        }
        shared.asked.set();
        shared.computes.wait().await?;
        shared.gate.set();
        Ok(())
    })
    .await
}

async fn nothing_is_lost(Setup(shared): &Setup, run: &Run) {
    // A group waits for its thread. An abort abandons it.
    assert!(aborts(run) || shared.ended.is_set(), "the thread outlives its group");
    thread_ends(shared).await;
    let reason = shared.reason.lock().unwrap().take();
    if undisturbed(run) {
        assert_eq!(reason, None);
    }
    if aborts(run) {
        assert!(matches!(reason, None | Some(CancelReason::Abandoned)), "{reason:?}");
    } else {
        assert_ne!(reason, Some(CancelReason::Abandoned));
    }
    // What the thread got, and what is left, is what the subject has put.
    let mut there = shared.log.lock().unwrap().clone();
    while let Some(item) = shared.items.0.try_get() {
        there.push(item);
    }
    assert!(there.iter().copied().eq(1..=there.len() as u32), "{there:?}");
}

/// V4, R2, C3: a member that is a thread, which alternates checks and waits, is cancelled, timed
/// out, failed and dropped with its group at every point.
#[test]
fn a_member_that_is_a_thread_ends_with_its_group() {
    let setup = async || Setup(Arc::default());
    let swept = testing::sweep().run(setup, take_turns, nothing_is_lost);
    assert_tried(&swept, &["QUEUE_GET", "EVENT_WAIT", "GROUP_WAIT"], 5, 50);
}

/// V4, R2, T6: what disturbs a task that awaits a thread leaves the thread alone.
#[test]
fn a_thread_outlives_the_wait_for_it() {
    let setup = async || {
        let shared = Arc::new(Shared::default());
        let theirs = shared.clone();
        spawn(async move {
            sleep(MS).await?;
            theirs.items.0.put(1).await
        });
        Setup(shared)
    };
    let subject = |shared: Rc<Setup>| async move {
        let ends = begin(&shared.0);
        let thread = spawn_thread(move |here| {
            let ends = ends;
            let shared = ends.0.clone();
            let item = here.wait(move || async move { shared.items.0.get().await })??;
            here.check()?;
            ends.0.log.lock().unwrap().push(item);
            Ok::<_, TaskCancelled>(())
        });
        thread.wait().await
    };
    let check = async |Setup(shared): &Setup, run: &Run| {
        thread_ends(shared).await;
        // A shutdown cancels the thread itself, if it has not ended.
        if shared.begun.is_set() && !shuts_down(run) {
            assert_eq!(*shared.log.lock().unwrap(), [1]);
        }
    };
    let swept = testing::sweep().run(setup, subject, check);
    assert_tried(&swept, &["WAIT"], 1, 11);
}
