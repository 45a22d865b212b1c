use std::cell::RefCell;
use std::rc::Rc;

use kernel::{Kernel, SnapshotParts, Task, TaskCancelled, TaskId, Watcher, spawn_named, yield_now};

use super::*;
use crate::listen::Place;

/// Keeps the link to its kernel.
#[derive(Clone, Default)]
struct Keeper(Rc<RefCell<Option<Link>>>);

impl Watcher for Keeper {
    fn begin(&self, link: Link) {
        *self.0.borrow_mut() = Some(link);
    }

    fn end(&self) {}
}

/// Two tasks that join each other.
async fn circle() -> Result<TaskId, TaskCancelled> {
    let other: Rc<RefCell<Option<Task<(), TaskCancelled>>>> = Rc::default();
    let theirs = other.clone();
    let one = spawn_named("one", async move {
        let other = theirs.take().expect("it was spawned");
        other.await
    });
    let id = one.id();
    *other.borrow_mut() = Some(spawn_named("two", async move { one.await }));
    yield_now().await?;
    yield_now().await?;
    Ok(id)
}

/// What is shown of a circle, of which a task is polled before the kernel is asked again if
/// `breaks`.
fn shown(breaks: bool) -> String {
    let keeper = Keeper::default();
    let kernel = Kernel::builder().watcher(keeper.clone()).build().expect("a kernel");
    let link = keeper.0.borrow().clone().expect("the kernel was made");
    let seen = kernel.run(async move || {
        let listener = Listener::bind(&Place::Port(([127, 0, 0, 1], 0).into())).expect("a port");
        let mut server =
            Server::new(listener, Rights::default(), String::new()).expect("descriptors");
        server.add(link);
        let one = circle().await?;
        let mut parts = SnapshotParts::begin();
        while !parts.take(100) {}
        if breaks {
            kernel::handle().request_cancel(one).expect("the kernel runs");
        }
        let known = server.world.kernels.get_mut(&0).expect("it was added");
        let watched = server.kernels.get_mut(&0).expect("it was added");
        watched.judge(parts.finish(), None, known, Instant::now());
        assert!(known.shot.is_none(), "the kernel has not confirmed it");
        while server.world.kernels[&0].shot.is_none() {
            yield_now().await?;
            server.receive();
        }
        kernel::handle().request_cancel(one).expect("the kernel runs");
        let shot = &server.world.kernels[&0].shot;
        Ok::<_, TaskCancelled>(shot.as_ref().map(|shot| shot.alarms() + &shot.tree()))
    });
    seen.expect("main is not cancelled").expect("a shot")
}

/// M5: a verdict of which a task has run before the kernel has confirmed it is not shown.
#[test]
fn only_a_verdict_that_the_kernel_confirms_is_shown() {
    let confirmed = shown(false);
    assert!(confirmed.starts_with("(!) deadlock: #1 one"), "{confirmed}");
    let refuted = shown(true);
    assert!(!refuted.contains("(!)") && refuted.contains("#1 one"), "{refuted}");
}
