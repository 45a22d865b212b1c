//! A sweep: a piece of code is run again and again, and cancelled at each place where it waits.
//!
//! The mover takes items from one queue and puts them into another one, which is full most of the
//! time. With `put(item)` in place of `put_from(&mut item)` the sweep fails: `put` drops its item
//! when it is cancelled.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use curium::kernel::{Result, sleep, spawn, testing};
use curium::sync::Queue;

const ITEMS: usize = 3;

struct Queues {
    from: Queue<usize>,
    to: Queue<usize>,
    taken: Cell<usize>,
}

/// Fresh state for each run, and a task that takes an item now and then.
async fn set_up() -> Rc<Queues> {
    let (from, to) = (Queue::unbounded(), Queue::bounded(1));
    (0..ITEMS).for_each(|item| from.try_put(item).expect("no bound"));
    let queues = Rc::new(Queues { from, to, taken: Cell::new(0) });
    spawn(take_slowly(queues.clone()));
    queues
}

async fn take_slowly(queues: Rc<Queues>) -> Result<()> {
    for _ in 0..ITEMS {
        sleep(Duration::from_millis(1)).await?;
        queues.to.get().await?;
        queues.taken.set(queues.taken.get() + 1);
    }
    Ok(())
}

/// The item in the hand of the mover. If it was not placed, it goes back, also if the mover is
/// dropped.
struct Hand<'a>(Option<usize>, &'a Queues);

impl Drop for Hand<'_> {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(|item| self.1.from.try_put(item).expect("no bound"));
    }
}

async fn move_items(queues: &Queues) -> Result<()> {
    for _ in 0..ITEMS {
        let mut hand = Hand(Some(queues.from.get().await?), queues);
        queues.to.put_from(&mut hand.0).await?;
    }
    Ok(())
}

fn main() {
    let swept = testing::sweep().run(
        set_up,
        |queues| async move { move_items(&queues).await },
        // What must hold, however the mover has ended.
        async |queues, _run| {
            let left = queues.from.len() + queues.to.len() + queues.taken.get();
            assert_eq!(left, ITEMS, "items are lost");
        },
    );
    println!("{} runs, and no item was lost", swept.runs);
    // A call that never had to wait was not cancelled either.
    for site in swept.never_suspended() {
        println!("{} was always ready at once", site.kind);
    }
}
