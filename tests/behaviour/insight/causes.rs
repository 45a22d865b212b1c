//! What the tree says of a task that does not go on and is in no verdict.

use std::mem::ManuallyDrop;
use std::rc::Rc;

use curium::kernel::testing::settle;
use curium::kernel::{
    self, Task, TaskCancelled, shield, shield_for, sleep, spawn_named, yield_now,
};
use curium::sync::{Event, Lock, Semaphore};

use crate::support::time::secs;

type Outcome<T = ()> = Result<T, TaskCancelled>;

/// What the tree says of a task besides where it is parked.
fn said<T: 'static, E: 'static>(task: &Task<T, E>) -> String {
    let tree = kernel::snapshot().to_string();
    let start = format!("{} ", task.id());
    let own = |line: &&str| line.trim_start_matches(['│', '├', '└', '─', ' ']).starts_with(&start);
    let line = tree.lines().find(own).unwrap_or_else(|| panic!("no {start}in {tree}"));
    line.split_once(" → ").expect("it waits").1.to_owned()
}

/// M4: a wait for permits names the tasks that took them, also those that have ended without
/// giving them back.
#[test]
fn a_permit_that_is_never_released_has_a_holder() {
    kernel::testing::run(async || {
        let permits = Rc::new(Semaphore::new(3));
        let takes = |name: &'static str, leaks: bool| {
            let permits = permits.clone();
            spawn_named(name, async move {
                let taken = permits.acquire().await?;
                if leaks {
                    let _lost = ManuallyDrop::new(taken);
                    return Outcome::Ok(());
                }
                yield_now().await?;
                permits.acquire().await.map(drop)
            })
        };
        let [one, two] = ["one", "two"].map(|name| takes(name, false));
        let lost = takes("lost", true);
        let gone = lost.id();
        lost.await?;
        settle().await?;
        let held =
            format!("held by {} one, {} two, {gone}; 1 of these has ended", one.id(), two.id());
        assert_eq!((said(&one), said(&two)), (held.clone(), held));
        one.cancel().await?;
        two.await?;

        let one = Rc::new(Semaphore::new(1));
        let theirs = one.clone();
        let lost = spawn_named("lost", async move {
            let _lost = ManuallyDrop::new(theirs.acquire().await?);
            Outcome::Ok(())
        });
        let gone = lost.id();
        lost.await?;
        let theirs = one.clone();
        let waits = spawn_named("waits", async move { theirs.acquire().await.map(drop) });
        settle().await?;
        assert_eq!(said(&waits), format!("held by {gone}, which has ended"));
        one.add_permits(1);
        waits.await?;

        let none = Rc::new(Semaphore::new(1));
        none.acquire().await?.forget();
        let theirs = none.clone();
        let waits = spawn_named("waits", async move { theirs.acquire().await.map(drop) });
        settle().await?;
        assert_eq!(said(&waits), "held by no task");
        none.add_permits(1);
        waits.await
    })
    .unwrap();
}

/// M4: a lock whose holder has ended, because its guard was leaked.
#[test]
fn a_lock_whose_holder_has_ended_says_so() {
    kernel::testing::run(async || {
        let lock = Rc::new(Lock::new(()));
        let theirs = lock.clone();
        let lost = spawn_named("lost", async move {
            let _lost = ManuallyDrop::new(theirs.acquire().await?);
            Outcome::Ok(())
        });
        let gone = lost.id();
        lost.await?;
        let waits = spawn_named("waits", async move { lock.acquire().await.map(drop) });
        settle().await?;
        assert_eq!(said(&waits), format!("held by {gone}, which has ended"));
        assert_eq!(kernel::wait_graph().verdicts(), []);
        waits.cancel().await
    })
    .unwrap();
}

/// M4: a cleanup says since when and since which await point it goes on, and a shield that it holds
/// a cancellation back.
#[test]
fn a_cleanup_without_an_end_says_since_when() {
    kernel::testing::run(async || {
        let never = Rc::new(Event::new());
        let theirs = never.clone();
        let cleans = spawn_named("cleans", async move {
            let ended = sleep(secs(1000)).await;
            theirs.wait().await?;
            ended
        });
        let theirs = never.clone();
        let shielded = spawn_named("shielded", async move { shield(theirs.wait()).await });
        let theirs = never.clone();
        let limited =
            spawn_named("limited", async move { shield_for(secs(60), theirs.wait()).await });
        let tasks = [&cleans, &shielded, &limited];
        yield_now().await?;
        assert!(said(&shielded).ends_with(" · shielded without a limit"), "{}", said(&shielded));
        tasks.iter().for_each(|task| task.request_cancel());
        sleep(secs(12)).await?;
        let [cleaning, held, limited] = tasks.map(said);
        let main = kernel::current_task_id().expect("a task");
        let ago = format!(" · cancelled 12.0 s ago (requested by task {main})");
        assert!(cleaning.contains(&format!("{ago}, cleaning up since {}:", file!())), "{cleaning}");
        let back = format!("{ago}, held back by a shield ");
        assert!(held.ends_with(&format!("{back}without a limit")), "{held}");
        assert!(limited.ends_with(&format!("{back}for 48.0 s")), "{limited}");
        never.set();
        let _ = (cleans.await, shielded.await);
        Outcome::Ok(())
    })
    .unwrap();
}
