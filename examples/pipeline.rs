//! Three stages over bounded channels, cancelled half-way: no item is lost, and none comes twice.
//!
//! A stage reserves a slot before it takes an item. So at each of its await points every item is in
//! a channel, and a cancellation finds none in its hands. The clock is virtual.

use std::cell::RefCell;
use std::rc::Rc;

use curium::kernel::{Kernel, TaskGroup};
use curium::prelude::*;
use curium::sync::{Receiver, Sender, channel};

const MS: Duration = Duration::from_millis(1);

/// Numbers from 1 on. Counts those that it has made.
async fn source(made: Rc<RefCell<Vec<u32>>>, to: Sender<u32>) -> Result<()> {
    while let Ok(slot) = to.reserve().await? {
        let item = made.borrow().len() as u32 + 1;
        made.borrow_mut().push(item);
        slot.put(item);
    }
    Ok(())
}

/// Takes an item, works on it, and passes it on; `pace` is how often.
async fn stage(from: Receiver<u32>, to: Sender<u32>, pace: Duration) -> Result<()> {
    loop {
        sleep(pace).await?;
        let Ok(slot) = to.reserve().await? else { return Ok(()) };
        let Some(item) = from.recv().await? else { return Ok(()) };
        slot.put(item + 1000);
    }
}

async fn sink(from: Receiver<u32>, arrived: Rc<RefCell<Vec<u32>>>) -> Result<()> {
    while let Some(item) = from.recv().await? {
        arrived.borrow_mut().push(item);
    }
    Ok(())
}

async fn pipeline() -> Result<()> {
    let (made, arrived) = <(Rc<RefCell<_>>, Rc<RefCell<_>>)>::default();
    let ((first, second), (third, fourth), (fifth, sixth)) = (channel(2), channel(3), channel(2));
    // Kept here, to look into the channels afterwards.
    let channels = [second.clone(), fourth.clone(), sixth.clone()];
    let ended = ignore_after(50 * MS, async {
        TaskGroup::<TaskCancelled>::scope(async |g| {
            g.spawn(source(made.clone(), first));
            g.spawn(stage(second, third, 2 * MS));
            g.spawn(stage(fourth, fifth, 3 * MS));
            g.spawn(sink(sixth, arrived.clone()));
            Ok(())
        })
        .await
    });
    println!("ended by itself: {}", ended.await?.is_some());

    let made = made.take();
    let mut there: Vec<u32> = arrived.take();
    println!("made {}, arrived {}", made.len(), there.len());
    for (at, channel) in channels.iter().enumerate() {
        println!("in channel {}: {}", at + 1, channel.len());
        there.extend(std::iter::from_fn(|| channel.try_recv().ok()));
    }
    there.iter_mut().for_each(|item| *item %= 1000);
    there.sort_unstable();
    println!("each item once: {}", there == made);
    Ok(())
}

fn main() -> Result<()> {
    Kernel::builder().virtual_clock().run(pipeline)
}
