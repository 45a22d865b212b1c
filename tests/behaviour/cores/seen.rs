//! Snapshots of all cores (P5).

use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

use curium::kernel::{
    CancelScope, CoreSilent, CoreSnapshots, Cores, Kernel, Task, TaskCancelled, TaskId, handle,
    kernels, run, shield, sleep, snapshot, spawn, spawn_named, yield_now,
};
use curium::sync::UniversalEvent;
use futures::poll;

/// What core 0 of three sees while a task sleeps on each.
fn seen_by_core_0(cores: Cores) -> CoreSnapshots {
    let (asleep, done) = (Barrier::new(3), UniversalEvent::new());
    let seen = kernels(cores, async |core| {
        let kid = spawn_named(format!("kid of {}", core.index()), sleep(Duration::MAX));
        yield_now().await?;
        asleep.wait();
        let seen = match core.index() {
            0 => Some(core.snapshots().await?),
            _ => None,
        };
        match &seen {
            Some(_) => done.set(),
            None => done.wait().await?,
        }
        kid.cancel().await?;
        Ok::<_, TaskCancelled>(seen)
    });
    seen.expect("no core fails").remove(0).expect("core 0 has looked")
}

/// P5: each core is shown with its own tasks, which are named with their core in front, in the
/// order of the cores.
#[test]
fn every_core_is_shown_with_its_tasks() {
    let seen = seen_by_core_0(Cores::count(3));
    for (core, seen) in seen.cores.iter().enumerate() {
        let seen = seen.as_ref().expect("it answers");
        assert_eq!(seen.core, Some(core));
        let name = format!("kid of {core}");
        let kid = seen.tasks.iter().find(|task| task.info.name == name).expect("it sleeps");
        assert_eq!(kid.info.state.to_string(), "SLEEP");
    }
    let text = seen.to_string();
    let place = |part| text.find(part).unwrap_or_else(|| panic!("{part} is not in\n{text}"));
    let parts = ["core 0 · kernel", "#0:0 main", "core 1 ·", "#1:0 main", "core 2 ·", "kid of 2"];
    assert!(parts.map(place).is_sorted(), "{text}");
    assert!(text.contains("tests/behaviour/cores/seen.rs"), "{text}");
}

/// P5: the time to answer is real on cores with virtual clocks, too.
#[test]
fn cores_with_virtual_clocks_are_shown() {
    let seen = seen_by_core_0(Cores::count(3).builder(|_| Kernel::builder().virtual_clock()));
    assert!(seen.cores.iter().all(Result::is_ok), "{seen}");
}

/// Two tasks that wait for each other, until the one with this id is cancelled.
fn circle_of_two() -> TaskId {
    let other = Rc::new(RefCell::new(None::<Task<(), TaskCancelled>>));
    let theirs = other.clone();
    let one = spawn_named("one", async move {
        let other = theirs.take().expect("it was spawned");
        other.await
    });
    let id = one.id();
    *other.borrow_mut() = Some(spawn_named("two", async move { one.await }));
    id
}

/// Such tasks as the texts of their kernel show them.
async fn circle() -> Result<String, TaskCancelled> {
    let id = circle_of_two();
    for _ in 0..3 {
        yield_now().await?;
    }
    let seen = snapshot();
    let graph = seen.wait_graph();
    handle().request_cancel(id).expect("it runs");
    Ok(format!("{seen}\n{graph}\n{}", graph.dot()))
}

/// P5: the tree, the graph and the verdicts of a core name tasks with their core. A kernel that is
/// alone has no core to name.
#[test]
fn verdicts_and_graphs_of_a_core_name_tasks_with_it() {
    let texts = kernels(2, async |core| match core.index() {
        1 => circle().await,
        _ => Ok(String::new()),
    });
    let text = texts.expect("no core fails").remove(1);
    let named = ["(!) deadlock: #1:1 one", "→ #1:2 two", "#1:1 one JOIN at", "-> #1:2 two"];
    for part in named.into_iter().chain(["\"#1:1\" [label=\"#1:1 one\"]", "\"#1:1\" -> \"#1:2\""]) {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let alone = run(circle).expect("main is not cancelled");
    assert!(alone.starts_with("kernel ") && alone.contains("deadlock: #1 one"), "{alone}");
}

/// A core takes the first and drops it to free the one that waits for the second, also by a panic.
fn free() -> (Mutex<Option<Sender<()>>>, Mutex<Receiver<()>>) {
    let (free, is_free) = channel();
    (Mutex::new(Some(free)), Mutex::new(is_free))
}

/// P5: a core that blocks its thread is named, and the others are shown. Once it runs, so is it.
#[test]
fn a_core_that_blocks_holds_up_no_snapshot() {
    let (blocked, (free, is_free)) = (Barrier::new(2), free());
    let seen = kernels(3, async |core| {
        if core.index() == 2 {
            blocked.wait();
            let _ = is_free.lock().unwrap().recv();
            return Ok(String::new());
        }
        if core.index() == 1 {
            return Ok(String::new()); // it still serves
        }
        let free = free.lock().unwrap().take();
        blocked.wait();
        let seen = core.snapshots().await?;
        let [Ok(_), Ok(one), Err(silent)] = &seen.cores[..] else { panic!("{seen:?}") };
        assert_eq!((one.core, silent.core()), (Some(1), 2));
        assert!(matches!(silent, CoreSilent::Blocked { task: None, .. }), "{silent:?}");
        drop(free);
        core.call(2, async || ()).await?;
        assert!(core.snapshots().await?.cores[2].is_ok());
        Ok::<_, TaskCancelled>(seen.to_string())
    });
    let text = seen.expect("no core fails").remove(0);
    let line = "\ncore 2 has not answered for ";
    assert!(text.contains(line) && text.contains(": a task there computes or blocks"), "{text}");
}

/// P5: a core that could not start has no snapshot, and nobody waits for it.
#[test]
#[cfg(target_os = "linux")]
fn a_core_that_did_not_start_has_no_snapshot() {
    let (give, take) = channel();
    let cores = Cores::pinned([super::kernels::allowed_processors()[0], 1_000_000]);
    let failed = kernels(cores, async |core| {
        let seen = shield(core.snapshots()).await?;
        give.send(seen).expect("it is awaited");
        Ok::<_, TaskCancelled>(())
    });
    assert!(failed.is_err());
    let seen = take.recv().expect("core 0 has looked");
    let gone = CoreSilent::Gone { core: 1 };
    assert!(matches!(&seen.cores[..], [Ok(_), Err(silent)] if *silent == gone), "{seen:?}");
    assert!(seen.to_string().ends_with("core 1 has no kernel: it could not start, or has ended\n"));
}

/// P5, C4: a wait for snapshots is cancelled at once, and leaves the cores as they were.
#[test]
fn a_wait_for_snapshots_is_cancelled_at_once() {
    let (blocked, (free, is_free)) = (Barrier::new(2), free());
    let ended = kernels(2, async |core| {
        if core.index() == 1 {
            blocked.wait();
            let _ = is_free.lock().unwrap().recv();
            return Ok(());
        }
        let free = free.lock().unwrap().take();
        blocked.wait();
        let scope = CancelScope::new();
        let left = scope.run(async {
            // The other core blocks its thread.
            let mut wait = pin!(core.snapshots());
            assert!(poll!(wait.as_mut()).is_pending());
            scope.cancel();
            wait.await
        });
        assert!(left.await.is_err());
        drop(free);
        core.call(1, async || ()).await?;
        assert!(core.snapshots().await?.cores[1].is_ok());
        Ok::<_, TaskCancelled>(())
    });
    ended.expect("no core fails");
}

/// More tasks than one look takes.
const MANY: usize = 2000;

/// Cancels these, and awaits their ends.
async fn end(many: Vec<Task<(), TaskCancelled>>) -> Result<(), TaskCancelled> {
    for task in &many {
        handle().request_cancel(task.id()).expect("it runs");
    }
    for task in many {
        let _ = task.join().await?;
    }
    Ok(())
}

/// P5, M4: a core with many tasks gives its snapshot in parts, and its tasks run between them. The
/// verdicts on all parts are shown if they hold.
#[test]
fn a_core_with_many_tasks_runs_on_while_it_is_seen() {
    let (ready, done, first) = (Barrier::new(2), UniversalEvent::new(), AtomicU64::new(0));
    let first = Arc::new(first);
    let seen = kernels(2, async |core| {
        if core.index() == 0 {
            ready.wait();
            let seen = core.snapshots().await;
            done.set();
            return Ok(Some(seen?));
        }
        let many: Vec<_> = (0..MANY).map(|_| spawn(sleep(Duration::MAX))).collect();
        let circle = circle_of_two();
        // It is polled once in each turn.
        let begun = first.clone();
        let ticks = spawn_named("ticks", async move {
            begun.store(snapshot().turn, Ordering::Relaxed);
            loop {
                yield_now().await?;
            }
            #[allow(unreachable_code)]
            Ok::<(), TaskCancelled>(())
        });
        sleep(Duration::from_millis(1)).await?;
        ready.wait();
        done.wait().await?;
        handle().request_cancel(circle).expect("it runs");
        ticks.cancel().await?;
        end(many).await?;
        Ok::<_, TaskCancelled>(None)
    });
    let mut seen = seen.expect("no core fails").remove(0).expect("core 0 has looked");
    let seen = seen.cores.remove(1).expect("it answers");
    let ticks = seen.tasks.iter().find(|task| task.info.name == "ticks").expect("it runs");
    assert!(seen.tasks.len() > MANY, "{} tasks", seen.tasks.len());
    let turns = seen.turn - first.load(Ordering::Relaxed);
    let polls = ticks.info.cycles;
    assert!(polls > turns + 4, "{polls} polls, and {turns} turns before the first part");
    assert!(seen.to_string().contains("(!) deadlock: #1:"), "{seen}");
}

/// P5: the own core is seen in parts, too.
#[test]
fn a_core_that_asks_has_turns_for_its_tasks() {
    let ended = kernels(2, async |core| {
        if core.index() == 1 {
            return Ok(());
        }
        let many: Vec<_> = (0..MANY).map(|_| spawn(sleep(Duration::MAX))).collect();
        yield_now().await?;
        let asks = spawn(async move { core.snapshots().await });
        yield_now().await?;
        assert_eq!(snapshot().jobs, 0, "it has not come to the other core");
        let seen = asks.await?;
        let [Ok(own), Ok(_)] = &seen.cores[..] else { panic!("{seen}") };
        assert!(own.tasks.len() > MANY, "{} tasks", own.tasks.len());
        end(many).await
    });
    ended.expect("no core fails");
}
