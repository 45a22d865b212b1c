//! What a snapshot shows.

use std::rc::Rc;
use std::time::Duration;

use curium::kernel::insight::{Snapshot, TaskDetails, WaitsFor};
use curium::kernel::{
    self, SnapshotParts, Task, TaskCancelled, TaskGroup, cancellable, ignore_after, scope, shield,
    sleep, spawn, spawn_named, yield_now,
};
use curium::sync::{Event, Lock};

use crate::support::time::secs;

/// The task in a snapshot.
fn seen<'a, T: 'static, E: 'static>(snapshot: &'a Snapshot, task: &Task<T, E>) -> &'a TaskDetails {
    snapshot.task(task.id()).expect("the task has not ended")
}

/// What the first leaf of a task waits for.
fn waits_for(snapshot: &Snapshot, task: &TaskDetails) -> WaitsFor {
    let edge = snapshot.edges.iter().find(|edge| edge.from == task.info.id);
    edge.expect("a parked task has an edge").on.clone()
}

/// M4: a snapshot is owned data, for any thread.
#[test]
fn a_snapshot_outlives_its_kernel_on_another_thread() {
    let snapshot = kernel::testing::run(async || {
        let task = spawn_named("sleeper", sleep(secs(5)));
        yield_now().await?;
        let snapshot = kernel::snapshot();
        task.await?;
        Ok::<_, TaskCancelled>(snapshot)
    })
    .unwrap();
    let copy = snapshot.clone();
    let text = std::thread::spawn(move || copy.to_string()).join().expect("no panic");
    assert_eq!(text, snapshot.to_string());
    assert!(
        text.contains("sleeper") && text.contains("SLEEP") && text.contains("in 5.0 s"),
        "{text}"
    );
}

/// M4: each parked leaf has an edge to what it waits for.
#[test]
fn leaves_point_to_what_they_wait_for() {
    kernel::testing::run(async || {
        let event = Rc::new(Event::new());
        let theirs = event.clone();
        let waiter = spawn(async move { theirs.wait().await });
        let sleeper = spawn(sleep(secs(7)));
        let slept = sleeper.id();
        let joiner = spawn(async move { sleeper.await });
        let late = spawn(ignore_after(secs(3), sleep(secs(9))));
        yield_now().await?;
        let now = kernel::now();
        let snapshot = kernel::snapshot();
        let on = waits_for(&snapshot, seen(&snapshot, &waiter));
        assert!(matches!(on, WaitsFor::Unknown { object: 1.. }), "{on:?}");
        assert_eq!(waits_for(&snapshot, seen(&snapshot, &joiner)), WaitsFor::Task(slept));
        let sleeper = snapshot.task(slept).expect("it sleeps");
        assert_eq!(waits_for(&snapshot, sleeper), WaitsFor::Time(now + secs(7)));
        let late = seen(&snapshot, &late);
        assert_eq!(late.timeouts[0].deadline, Some(now + secs(3)));
        let edge = snapshot.edges.iter().find(|edge| edge.from == late.info.id).expect("an edge");
        assert_eq!(edge.deadline, Some(now + secs(3)));
        event.set();
        joiner.await
    })
    .unwrap();
}

/// M4: groups and borrowing scopes show their owner, their members, and the tasks that wait.
#[test]
fn scopes_show_their_owners_and_members() {
    kernel::testing::run(async || {
        let owner = spawn(async {
            TaskGroup::<TaskCancelled>::scope(async |g| {
                g.spawn(sleep(secs(1)));
                g.spawn_daemon(sleep(secs(2)));
                Ok(())
            })
            .await
        });
        let host = spawn(async {
            let pause = secs(1);
            scope(async |s| {
                s.spawn(async { sleep(pause).await });
                Ok::<_, TaskCancelled>(())
            })
            .await
        });
        yield_now().await?;
        yield_now().await?;
        let snapshot = kernel::snapshot();
        let [group, borrowing] = &snapshot.scopes[..] else { panic!("two scopes") };
        assert_eq!((group.owner, borrowing.owner), (Some(owner.id()), Some(host.id())));
        assert_eq!((group.members.len(), borrowing.members.len()), (2, 1));
        let text = snapshot.to_string();
        assert!(text.contains(", 2 members ") && text.contains(", 1 member "), "{text}");
        assert!(!group.hosts && borrowing.hosts);
        assert_eq!(group.site.map(|site| site.file()), Some(file!()));
        let daemons: Vec<bool> =
            group.members.iter().map(|id| snapshot.task(*id).expect("a member").daemon).collect();
        assert_eq!(daemons, [false, true]);
        assert!(snapshot.task(borrowing.members[0]).expect("a child").hosted);
        let on = waits_for(&snapshot, seen(&snapshot, &owner));
        assert!(matches!(on, WaitsFor::Group { scope, .. } if scope == group.id), "{on:?}");
        owner.await?;
        host.await
    })
    .unwrap();
}

/// M4: a cancellation is shown with its reason, its delivery and the shields that hold it back.
#[test]
fn cancelled_tasks_show_whether_they_clean_up() {
    kernel::testing::run(async || {
        let shielded = spawn(shield(sleep(secs(1))));
        let cleans = spawn(async {
            let ended = sleep(secs(9)).await;
            shield(sleep(secs(1))).await?;
            ended
        });
        yield_now().await?;
        shielded.request_cancel();
        cleans.request_cancel();
        yield_now().await?;
        let snapshot = kernel::snapshot();
        let shielded = seen(&snapshot, &shielded);
        assert!(!shielded.is_cleaning_up() && !shielded.shields[0].over);
        let cleans = seen(&snapshot, &cleans);
        assert!(cleans.is_cleaning_up());
        let cancel = cleans.cancel.expect("it was cancelled");
        assert_eq!(cancel.delivered_at.map(|site| site.file()), Some(file!()));
        let text = snapshot.to_string();
        assert!(
            text.contains(", cleaning up since ")
                && text.contains(", held back by a shield without a limit"),
            "{text}"
        );
        Ok::<_, TaskCancelled>(())
    })
    .unwrap();
}

/// M4: taken in parts, it has the same tasks; the kernel runs in between.
#[test]
fn a_snapshot_is_taken_in_parts() {
    kernel::testing::run(async || {
        let tasks: Vec<_> = (0..500).map(|_| spawn(sleep(secs(1)))).collect();
        yield_now().await?;
        let mut parts = SnapshotParts::begin();
        let mut count = 1;
        while !parts.take(100) {
            yield_now().await?;
            count += 1;
        }
        assert!((5..10).contains(&count), "{count} parts");
        let ids = |snapshot: &Snapshot| -> Vec<_> {
            snapshot.tasks.iter().map(|task| task.info.id).collect()
        };
        assert_eq!(ids(&parts.finish()), ids(&kernel::snapshot()));
        drop(tasks);
        Ok::<_, TaskCancelled>(())
    })
    .unwrap();
}

/// M4: each task of a part has its own name, leaves, timeouts, shields, holders and joiners.
#[test]
fn parts_show_the_same_as_the_whole() {
    kernel::testing::run(async || {
        let (lock, event) = (Rc::new(Lock::new(())), Rc::new(Event::new()));
        for number in 0..60 {
            let (mine, theirs) = (lock.clone(), event.clone());
            spawn_named(format!("lock {number}"), async move {
                let _guard = mine.acquire().await?;
                theirs.wait().await
            });
            spawn(ignore_after(secs(number + 10), shield(sleep(secs(number + 1)))));
            spawn_named("", sleep(secs(2)));
            let joined = spawn(sleep(secs(3)));
            let theirs = event.clone();
            spawn_named(format!("both {number}"), async move {
                let waits = futures::join!(theirs.wait(), joined.join());
                waits.0
            });
            spawn(async move {
                TaskGroup::<TaskCancelled>::scope(async |g| {
                    g.spawn(sleep(secs(number)));
                    Ok(())
                })
                .await
            });
        }
        yield_now().await?;
        yield_now().await?;
        let whole = kernel::snapshot();
        let mut parts = SnapshotParts::begin();
        while !parts.take(50) {}
        let parts = parts.finish();
        assert_eq!(format!("{whole:#}"), format!("{parts:#}"));
        assert_eq!(whole.wait_graph().to_string(), parts.wait_graph().to_string());
        assert_eq!(format!("{:?}", whole.tasks), format!("{:?}", parts.tasks));
        let of = |name: &str| whole.tasks.iter().find(|task| task.info.name == name);
        let first = of("lock 0").expect("it waits").info.id;
        let on = waits_for(&whole, of("lock 9").expect("it waits"));
        assert!(matches!(&on, WaitsFor::Holders { tasks, .. } if *tasks == [first]), "{on:?}");
        assert_eq!(of("both 7").expect("it waits").info.parked.len(), 2);
        event.set();
        Ok::<_, TaskCancelled>(())
    })
    .unwrap();
}

/// M4: names are shown without control characters, and long lists are cut with a count.
#[test]
fn the_tree_is_safe_and_short() {
    kernel::testing::run(async || {
        for _ in 0..1000 {
            spawn_named("a\u{1b}[31m\nb\u{202e}", sleep(Duration::from_millis(1)));
        }
        yield_now().await?;
        let snapshot = kernel::snapshot();
        let text = snapshot.to_string();
        assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text}");
        assert!(text.contains("a\\u{1b}[31m\\u{a}b\\u{202e}"), "{text}");
        assert!(text.contains("and 980 more") && text.lines().count() < 40, "{text}");
        assert!(format!("{snapshot:#}").lines().count() > 1000);
        Ok::<_, TaskCancelled>(())
    })
    .unwrap();
}

/// M4, C17: a task that waits in a future of another crate has a line in the tree if the future is
/// in a door, and otherwise the tree says so.
#[test]
fn a_wait_outside_curium_has_a_line_in_a_door() {
    kernel::testing::run(async || {
        let (sender, receiver) = futures::channel::oneshot::channel::<()>();
        let (other_sender, other_receiver) = futures::channel::oneshot::channel::<()>();
        let bare = spawn_named("bare", async { Ok::<_, TaskCancelled>(receiver.await.is_ok()) });
        let line = line!() + 1;
        let door = spawn_named("door", cancellable(other_receiver));
        kernel::testing::settle().await?;
        let text = kernel::snapshot().to_string();
        let row = |name| text.lines().find(|row| row.contains(name)).expect("a row");
        assert!(row("bare").contains("FOREIGN "), "{text}");
        assert!(row("bare").contains(" (`cancellable` shows where) "), "{text}");
        assert!(row("door").contains(&format!("FOREIGN_WAIT  {}:{line}:", file!())), "{text}");
        drop((sender, other_sender));
        assert!(!bare.await?);
        door.await.map(drop)
    })
    .unwrap();
}

/// M4: the tree nests without recursion: a chain of tasks may be long.
#[test]
fn a_long_chain_of_tasks_is_shown() {
    fn chain(left: u32) -> std::pin::Pin<Box<dyn Future<Output = Result<(), TaskCancelled>>>> {
        Box::pin(async move {
            if left > 0 {
                spawn(chain(left - 1));
            }
            sleep(secs(1)).await
        })
    }
    kernel::testing::run(async || {
        spawn(chain(20_000));
        sleep(Duration::from_millis(1)).await?;
        let text = kernel::snapshot().to_string();
        assert!(text.contains("more rows"), "{text}");
        Ok::<_, TaskCancelled>(())
    })
    .unwrap();
}
