//! What a wait for room in a queue shows: the task that has read last.

use std::rc::Rc;

use curium::kernel::insight::WaitsFor;
use curium::kernel::testing::run;
use curium::kernel::{Task, TaskCancelled, TaskId, snapshot, spawn_named, yield_now};
use curium::sync::Queue;

/// Puts until the queue is full, and waits then.
fn writer(queue: Rc<Queue<u32>>) -> Task<(), TaskCancelled> {
    spawn_named("writer", async move {
        for item in 0.. {
            queue.put(item).await?;
        }
        Ok(())
    })
}

fn on(task: TaskId) -> WaitsFor {
    let edges = snapshot().edges;
    edges.into_iter().find(|edge| edge.from == task).expect("it waits").on
}

/// M4: a task that waits for room shows which task has read last, and whether that has ended.
#[test]
fn a_wait_for_room_names_the_last_reader() {
    run(async || {
        let queue = Rc::new(Queue::bounded(2));
        let theirs = queue.clone();
        let reader = spawn_named("reader", async move {
            theirs.get().await?;
            Queue::<()>::bounded(1).get().await
        });
        let writer = writer(queue);
        yield_now().await?;
        yield_now().await?;
        let seen = on(writer.id());
        let id = reader.id();
        assert!(
            matches!(seen, WaitsFor::Room { reader, has_ended: false, .. } if reader == id),
            "{seen:?}"
        );
        let tree = snapshot().to_string();
        assert!(tree.contains("room in a queue, last read by #1 reader"), "{tree}");
        reader.cancel().await?;
        let seen = on(writer.id());
        assert!(
            matches!(seen, WaitsFor::Room { reader, has_ended: true, .. } if reader == id),
            "{seen:?}"
        );
        let tree = snapshot().to_string();
        assert!(tree.contains("room in a queue, whose last reader, #1, has ended"), "{tree}");
        writer.cancel().await
    })
    .unwrap();
}

/// M4: of a queue for whose items no task has waited, no reader is shown.
#[test]
fn a_queue_that_no_task_has_waited_for_shows_no_reader() {
    run(async || {
        let queue = Rc::new(Queue::bounded(2));
        let writer = writer(queue.clone());
        yield_now().await?;
        assert!(matches!(on(writer.id()), WaitsFor::Unknown { .. }));
        writer.cancel().await
    })
    .unwrap();
}

/// M4: a reader beside other waits counts as well. A queue that an earlier kernel has used shows no
/// task of that one.
#[test]
fn a_reader_is_of_this_kernel_however_it_waits() {
    let queue = Rc::new(Queue::bounded(2));
    run(async || {
        let theirs = queue.clone();
        let reader =
            spawn_named(
                "reader",
                async move { futures::join!(theirs.next(), yield_now()).0.map(drop) },
            );
        yield_now().await?;
        let writer = writer(queue.clone());
        yield_now().await?;
        yield_now().await?;
        let (seen, id) = (on(writer.id()), reader.id());
        assert!(
            matches!(seen, WaitsFor::Room { reader, has_ended: true, .. } if reader == id),
            "{seen:?}"
        );
        writer.cancel().await
    })
    .unwrap();
    run(async || {
        let writer = writer(queue.clone());
        yield_now().await?;
        let seen = on(writer.id());
        assert!(matches!(seen, WaitsFor::Unknown { .. }), "{seen:?}");
        writer.cancel().await
    })
    .unwrap();
}
