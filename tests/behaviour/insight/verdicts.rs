//! What is certain of tasks that wait.

use std::cell::RefCell;
use std::future::{pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use curium::kernel::insight::Verdict;
use curium::kernel::wait_queue::{WaitQueue, WaitSlot};
use curium::kernel::{
    self, Kernel, Report, SnapshotParts, Task, TaskCancelled, TaskGroup, TaskId, ignore_after,
    shield, sleep, spawn, spawn_named, testing, yield_now,
};
use curium::sync::Event;
use futures::future::{join, select};
use futures::stream::{FuturesUnordered, StreamExt};

use crate::support::reports::picked;
use crate::support::time::secs;

type Unit = Result<(), TaskCancelled>;
type Slot = Rc<RefCell<Option<Task<(), TaskCancelled>>>>;

/// Two tasks that wait for each other. The first waits as `wait` does.
fn circle(wait: impl AsyncFn(Task<(), TaskCancelled>) -> Unit + 'static) -> [TaskId; 2] {
    let other = Slot::default();
    let theirs = other.clone();
    let one = spawn_named("one", async move {
        let other = theirs.take().expect("it was spawned");
        wait(other).await
    });
    let first = one.id();
    let two = spawn_named("two", async move { one.await });
    let ids = [first, two.id()];
    *other.borrow_mut() = Some(two);
    ids
}

/// The verdicts once the tasks have parked, after a look at what the kernel does.
async fn verdicts() -> Result<Vec<Verdict>, TaskCancelled> {
    for _ in 0..4 {
        yield_now().await?;
    }
    Ok(kernel::wait_graph().verdicts())
}

/// M5: two tasks that join each other are told with the lines of both.
#[test]
fn tasks_that_wait_for_each_other_are_a_circle() {
    testing::run(async || {
        let ids = circle(async |other| other.await);
        let told = verdicts().await?;
        let [Verdict::Cycle { waits, behind: 0, .. }] = &told[..] else { panic!("{told:?}") };
        assert_eq!(told[0].tasks(), ids);
        let text = told[0].to_string();
        assert_eq!(text.matches("verdicts.rs:").count(), 2, "{text}");
        assert!(waits[0].kind == "JOIN" && text.starts_with("deadlock: #1 one, JOIN at"), "{text}");
        assert!(kernel::snapshot().to_string().contains("\n(!) deadlock: #1 one"));
        Ok::<_, TaskCancelled>(())
    })
    .unwrap();
}

/// M5: a verdict on parts of a snapshot is confirmed until one of its tasks has run.
#[test]
fn a_verdict_is_not_confirmed_once_a_task_of_it_has_run() {
    testing::run(async || {
        let ids = circle(async |other| other.await);
        let others: Vec<_> = (0..500).map(|_| spawn(sleep(secs(1)))).collect();
        yield_now().await?;
        yield_now().await?;
        let mut parts = SnapshotParts::begin();
        assert!(!parts.take(1));
        yield_now().await?;
        while !parts.take(100) {}
        let mut graph = parts.finish().into_wait_graph();
        assert_eq!(graph.verdicts()[0].tasks(), ids);
        assert!(kernel::are_unpolled(&graph.evidence()));
        kernel::handle().request_cancel(ids[0]).unwrap();
        yield_now().await?;
        yield_now().await?;
        assert!(!kernel::are_unpolled(&graph.evidence()));
        graph.refute();
        assert!(graph.verdicts().is_empty());
        let snapshot = graph.snapshot();
        assert!(!snapshot.to_string().contains("(!)"), "{snapshot}");
        drop(others);
        Ok::<_, TaskCancelled>(())
    })
    .unwrap();
}

/// M5: a circle may lead through groups and `cancel`. Tasks behind it are counted.
#[test]
fn a_circle_leads_through_groups_and_cancels() {
    testing::run(async || {
        let owner = Rc::new(RefCell::new(None::<Rc<Task<(), TaskCancelled>>>));
        let theirs = owner.clone();
        let task = Rc::new(spawn_named("owner", async move {
            TaskGroup::scope(async |g| {
                g.spawn(async move {
                    let owner = theirs.borrow().clone().expect("it was spawned");
                    shield(owner.cancel()).await
                });
                Ok(())
            })
            .await
        }));
        let id = task.id();
        *owner.borrow_mut() = Some(task.clone());
        let told = verdicts().await?;
        let [Verdict::Cycle { waits, behind: 0, .. }] = &told[..] else { panic!("{told:?}") };
        let kinds: Vec<_> = waits.iter().map(|wait| wait.kind).collect();
        assert_eq!(kinds, ["GROUP_END", "CANCEL"]);
        let dot = kernel::wait_graph().dot();
        assert!(dot.contains(&format!("\"{id}\" -> \"{}\"", waits[1].task)), "{dot}");
        // Nothing but an abort ends this.
        task.abort();
        Ok::<_, TaskCancelled>(())
    })
    .unwrap();
}

/// M5: a task in a circle that has another way on is in no verdict: a deadline around it or around
/// its group, another leaf, a timer, a waker that is held elsewhere.
#[test]
fn a_wait_that_can_end_is_no_deadlock() {
    testing::run(async || {
        let timed = circle(async |other| {
            let _ = ignore_after(secs(5), other).await?;
            Ok(())
        });
        assert_eq!(verdicts().await?, [], "a deadline");
        assert!(kernel::wait_graph().to_string().contains("; timeout in 5.0 s"));
        sleep(secs(5)).await?;
        circle(async |other| {
            let pause = pin!(sleep(secs(5)));
            select(pause, pin!(other.wait())).await;
            Ok(())
        });
        assert_eq!(verdicts().await?, [], "a sleep beside it");
        sleep(secs(5)).await?;
        let event = Rc::new(Event::new());
        let sets = event.clone();
        circle(async move |other| {
            let event = pin!(event.wait());
            select(event, pin!(other.wait())).await;
            Ok(())
        });
        assert_eq!(verdicts().await?, [], "an event beside it");
        sets.set();
        let (send, receive) = futures::channel::oneshot::channel::<()>();
        let receive = RefCell::new(Some(receive));
        circle(async move |other| {
            let receive = receive.take().expect("one circle");
            select(receive, pin!(other.wait())).await;
            Ok(())
        });
        assert_eq!(verdicts().await?, [], "a channel of another crate beside it");
        send.send(()).expect("it waits");
        yield_now().await?;
        assert!(kernel::snapshot().task(timed[0]).is_none());
        Ok::<_, TaskCancelled>(())
    })
    .unwrap();
}

/// M5: a deadline around the group of its members bounds their waits.
#[test]
fn members_of_a_group_with_a_deadline_are_in_no_deadlock() {
    testing::run(async || {
        let bounded = spawn(ignore_after(
            secs(5),
            TaskGroup::<TaskCancelled>::scope(async |g| {
                let other = Slot::default();
                let theirs = other.clone();
                let one = g.spawn(async move {
                    let other = theirs.take().expect("it was spawned");
                    other.await
                });
                *other.borrow_mut() = Some(g.spawn(async move { one.await }));
                Event::new().wait().await
            }),
        ));
        assert_eq!(verdicts().await?, []);
        bounded.await.map(drop)
    })
    .unwrap();
}

/// M5: a join that a task keeps and does not poll is not what its leaf waits for.
#[test]
fn a_join_that_is_not_polled_is_no_wait() {
    testing::run(async || {
        let event = Rc::new(Event::new());
        let set = event.clone();
        let sleeper = spawn(sleep(secs(9)));
        let task = spawn(async move {
            let mut late = pin!(sleeper.wait());
            poll_fn(|cx| Poll::Ready(late.as_mut().poll(cx).is_pending())).await;
            yield_now().await?;
            event.wait().await
        });
        yield_now().await?;
        yield_now().await?;
        let graph = kernel::wait_graph();
        let edge = graph.edges.iter().find(|edge| edge.from == task.id()).expect("an edge");
        assert_eq!((edge.kind, edge.on.tasks()), ("EVENT_WAIT", &[][..]));
        set.set();
        task.await
    })
    .unwrap();
}

/// M5: a task that nothing can wake is lost. Not so one of which a waker, or an entry in a wait
/// queue, exists.
#[test]
fn a_task_without_a_waker_is_lost() {
    testing::run(async || {
        let lost = spawn_named("lost", async {
            pending::<()>().await;
            Ok::<_, TaskCancelled>(())
        });
        let kept = Rc::new(RefCell::new(None));
        let waker = kept.clone();
        let held = spawn(poll_fn(move |cx: &mut Context<'_>| {
            *waker.borrow_mut() = Some(cx.waker().clone());
            Poll::<Unit>::Pending
        }));
        let queue = Rc::new(WaitQueue::new());
        let theirs = queue.clone();
        let mut slot = WaitSlot::default();
        let queued = spawn(poll_fn(move |cx| theirs.poll_enter(&mut slot, 1, cx).map(Unit::Ok)));
        let told = verdicts().await?;
        let [Verdict::Orphan(wait)] = &told[..] else { panic!("{told:?}") };
        assert_eq!(wait.task, lost.id());
        assert!(told[0].to_string().contains("lost, FOREIGN"), "{}", told[0]);
        drop(kept.take());
        assert_eq!(verdicts().await?.len(), 2, "its waker is dropped");
        queue.hand_over(()).expect("it waits");
        queued.await?;
        lost.abort();
        held.abort();
        Ok::<_, TaskCancelled>(())
    })
    .unwrap();
}

/// M5: the shutdown waits for a task behind a shield, and for one that has swallowed the
/// cancellation; both are told with their lines, and those that wait for them are not.
#[test]
fn the_tasks_that_hold_up_a_shutdown_are_told() {
    let builder = Kernel::builder().watch().report_swallowed(false);
    let of = |report: &Report<'_>| match report {
        Report::Verdict(verdict) => Some(verdict.to_string()),
        _ => None,
    };
    let ((), told) = picked(builder, of, async || {
        let shielded = spawn_named("shielded", shield(sleep(secs(9))));
        spawn_named("joins", async move { shield(shielded.wait()).await });
        spawn_named("swallows", async {
            let _ = sleep(secs(9)).await;
            sleep(secs(9)).await
        });
        // Its end lets the kernel look while the others are parked for over a second.
        spawn(shield(sleep(secs(2))));
        yield_now().await.unwrap();
    });
    let texts = told.join("\n");
    assert!(texts.contains("waits for #1 shielded, SLEEP at"), "{texts}");
    assert!(texts.contains("swallows") && !texts.contains("joins"), "{texts}");
}

/// M5, K8: the panic of a certain deadlock has the waits for other tasks, and the circle.
#[test]
fn the_panic_of_a_deadlock_shows_the_circle() {
    let run = || {
        testing::run(async || {
            circle(async |other| other.await);
            Event::new().wait().await
        })
    };
    let payload = std::panic::catch_unwind(run).expect_err("a deadlock");
    let text = payload.downcast_ref::<String>().expect("a message");
    assert!(text.contains("the waits for other tasks:\n  #1 one JOIN at "), "{text}");
    assert!(text.contains("the verdicts:\n  deadlock: #1 one, JOIN at "), "{text}");
}

/// M5: a kernel that watches reports each verdict once, before its virtual clock jumps.
#[test]
fn a_kernel_that_watches_reports_each_verdict_once() {
    let of = |report: &Report<'_>| match report {
        Report::Verdict(verdict) => Some((kernel::now(), verdict.to_string())),
        _ => None,
    };
    let (began, told) = picked(Kernel::builder().watch(), of, async || {
        let began = kernel::now();
        circle(async |other| other.await);
        for _ in 0..5 {
            sleep(secs(100)).await.unwrap();
        }
        began
    });
    let [(when, text)] = &told[..] else { panic!("{told:?}") };
    assert_eq!(*when, began);
    assert!(text.starts_with("deadlock: #1 one"), "{text}");
}

/// M5, K8: to watch keeps no deadlocked kernel from its panic, also on the real clock.
#[test]
fn a_deadlock_is_a_panic_also_with_a_watch() {
    for builder in [Kernel::builder(), Kernel::builder().virtual_clock()] {
        let run = || builder.watch().on_report(|_| {}).run(async || Event::new().wait().await);
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
        let payload = ended.expect_err("a deadlock");
        assert!(payload.downcast_ref::<String>().expect("a text").starts_with("deadlock: "));
    }
}

/// M5: a hang behind one's own wakers is told; of the tasks in it, none is in a circle.
#[test]
fn tasks_behind_their_own_wakers_are_in_no_circle() {
    testing::run(async || {
        let event = Rc::new(Event::new());
        let set = event.clone();
        circle(async move |other| {
            let event = event.clone();
            let mut waits: FuturesUnordered<_> =
                [join(other.wait(), event.wait())].into_iter().collect();
            waits.next().await;
            Ok(())
        });
        assert_eq!(verdicts().await?, []);
        set.set();
        Ok::<_, TaskCancelled>(())
    })
    .unwrap();
}

/// M5, K8: on the real clock, a kernel that watches finds a circle, and a hang behind the wakers of
/// a `FuturesUnordered`.
#[test]
fn a_circle_and_a_hang_are_told_on_the_real_clock() {
    let event = Rc::new(Event::new());
    let told: Rc<RefCell<Vec<String>>> = Rc::default();
    let (ends, noted) = (event.clone(), told.clone());
    let builder = Kernel::builder().report_hangs(Duration::from_millis(20)).watch();
    builder
        .on_report(move |report| {
            noted.borrow_mut().push(report.to_string());
            if let Report::Hang(_) = report {
                ends.set();
            }
        })
        .run(async || {
            circle(async |other| other.await);
            let mut waits: FuturesUnordered<_> = (0..3).map(|_| event.wait()).collect();
            while let Some(ended) = waits.next().await {
                ended?;
            }
            Ok::<_, TaskCancelled>(())
        })
        .unwrap();
    let told = told.borrow();
    assert!(told[0].starts_with("deadlock: #1 one, JOIN at"), "{told:?}");
    assert!(told[1].starts_with("nothing runs, and only a waker"), "{told:?}");
}

/// M5: a wait for any one member is in no circle, because a further member may come and end.
#[test]
fn a_wait_for_any_member_is_in_no_circle() {
    testing::run(async || {
        let owner = Rc::new(RefCell::new(None::<Rc<Task<(), TaskCancelled>>>));
        let theirs = owner.clone();
        *owner.borrow_mut() = Some(Rc::new(spawn(async move {
            let group = TaskGroup::<TaskCancelled>::new();
            group.spawn(async move {
                let owner = theirs.borrow().clone().expect("it was spawned");
                owner.wait().await.map(drop)
            });
            group.next_done().await.map(drop)
        })));
        assert_eq!(verdicts().await?, []);
        let graph = kernel::wait_graph().to_string();
        assert!(graph.contains("NEXT_DONE at") && graph.contains("its members"), "{graph}");
        owner.take();
        Ok::<_, TaskCancelled>(())
    })
    .unwrap();
}
