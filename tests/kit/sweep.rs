//! The sweep itself: what it tries, what it finds, and what it says (V1).

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use curium::kernel::testing;
use curium::kernel::{TaskCancelled, sleep, spawn};
use curium::sync::Queue;

const MS: Duration = Duration::from_millis(1);

/// Two queues, the second of which is emptied slowly.
struct Queues {
    from: Rc<Queue<u32>>,
    to: Rc<Queue<u32>>,
    taken: Rc<Cell<usize>>,
}

impl Queues {
    /// Three items in the first queue, and a task that takes one a millisecond from the second.
    async fn new() -> Self {
        let queues = Queues {
            from: Rc::new(Queue::unbounded()),
            to: Rc::new(Queue::bounded(1)),
            taken: Rc::default(),
        };
        for item in 0..3 {
            queues.from.put(item).await.unwrap();
        }
        let (to, taken) = (queues.to.clone(), queues.taken.clone());
        spawn(async move {
            loop {
                sleep(MS).await?;
                to.get().await?;
                taken.set(taken.get() + 1);
            }
            #[allow(unreachable_code, reason = "it names the error")]
            Ok::<(), TaskCancelled>(())
        });
        queues
    }

    fn count(&self) -> usize {
        self.from.len() + self.to.len() + self.taken.get()
    }
}

async fn move_three(queues: Rc<Queues>) -> Result<(), TaskCancelled> {
    for _ in 0..3 {
        let item = queues.from.get().await?;
        queues.to.put(item).await?;
    }
    Ok(())
}

/// V1: the mover that loses the item that it holds when it is cancelled.
#[test]
#[should_panic(expected = "parked at suspension 1 (QUEUE_PUT at")]
fn a_mover_that_loses_its_item_is_found() {
    testing::sweep().run(Queues::new, move_three, async |queues, run| {
        assert_eq!(queues.count(), 3, "items are lost; the mover ended: {:?}", run.end);
    });
}
