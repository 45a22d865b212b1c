//! Leaves that are ready again and again: the steps that spend the budget of a poll.

use std::cell::RefCell;
use std::collections::BTreeSet;

use sync::{Event, Queue, Semaphore};

use super::gate::{Gate, Turnstile};
use super::leaf::{Traits, watch};
use super::program::Ready;
use super::run::{Flow, Frame};
use super::steps::Held;
use super::world::{Guarded, World};

/// More than all leaves of a program can hold at once.
const PLENTY: usize = 1 << 10;

/// Things that are always available.
pub(crate) struct Always {
    set: Event,
    stock: Guarded<Queue<u64>>,
    /// Items that were taken out of the stock.
    out: RefCell<BTreeSet<u64>>,
    permits: Guarded<Semaphore>,
}

impl Always {
    pub(crate) fn new() -> Self {
        let (set, stock) = (Event::new(), Queue::unbounded());
        set.set();
        (0..PLENTY as u64).for_each(|item| stock.try_put(item).expect("it has no bound"));
        Always {
            set,
            stock: Guarded { real: stock, model: Turnstile::new(PLENTY) },
            out: RefCell::default(),
            permits: Guarded { real: Semaphore::new(PLENTY), model: Turnstile::new(PLENTY) },
        }
    }

    /// Checks what must hold when the kernel is gone.
    pub(crate) fn check_end(&self, world: &World) {
        let mut left: Vec<u64> = std::iter::from_fn(|| self.stock.real.try_get()).collect();
        left.sort_unstable();
        let whole = left.iter().copied().eq(0..PLENTY as u64);
        world.check(whole, || format!("C1, Y3: {} of {PLENTY} items are left", left.len()));
        let permits = self.permits.real.available();
        world.check(permits == PLENTY, || format!("Y3: {permits} permits of {PLENTY} are left"));
    }
}

/// Completes so many operations, one after the other.
pub(crate) async fn busy(frame: &Frame, ready: Ready, times: u32) -> Flow {
    for _ in 0..times {
        match ready {
            Ready::Event => event(frame).await?,
            Ready::Item => item(frame).await?,
            Ready::Permit => permit(frame).await?,
            Ready::Lock => lock(frame).await?,
            Ready::Ended => ended(frame).await?,
        }
    }
    Ok(())
}

fn quiet(gate: Gate) -> Traits {
    Traits { quiet: true, ..Traits::of(gate) }
}

async fn event(frame: &Frame) -> Flow {
    Ok(watch(frame, "set event", quiet(Gate::Open), frame.world.always.set.wait()).await?)
}

/// Takes an item and puts it back at the end.
async fn item(frame: &Frame) -> Flow {
    let world = &frame.world;
    let Guarded { real, model } = &world.always.stock;
    let traits = quiet(Gate::Permits(model.clone(), 1));
    let item = watch(frame, "item", traits, real.get()).await?;
    let fresh = world.always.out.borrow_mut().insert(item);
    world.check(fresh, || format!("Y3: item {item} is given twice"));
    world.always.out.borrow_mut().remove(&item);
    world.check(real.try_put(item).is_ok(), || "Y4: a put without a bound waits".to_owned());
    model.release(1);
    Ok(())
}

async fn permit(frame: &Frame) -> Flow {
    let Guarded { real, model } = &frame.world.always.permits;
    let traits = quiet(Gate::Permits(model.clone(), 1));
    let permit = watch(frame, "permit", traits, real.acquire()).await?;
    drop((permit, Held::new(model, 1)));
    Ok(())
}

/// A lock for which other tasks queue. It may be available at once.
async fn lock(frame: &Frame) -> Flow {
    let Guarded { real, model } = &frame.world.locks[0];
    let traits = quiet(Gate::Permits(model.clone(), 1));
    let guard = watch(frame, "short lock", traits, real.acquire()).await?;
    drop((guard, Held::new(model, 1)));
    Ok(())
}

/// Waits for a task that has ended, if there is one.
async fn ended(frame: &Frame) -> Flow {
    let tasks = frame.world.tasks.borrow().clone();
    let over = tasks.into_iter().find(|task| !task.live.get() && task.handle.borrow().is_some());
    let Some(over) = over else { return event(frame).await };
    let handle = over.handle.borrow().clone().expect("it has one");
    Ok(watch(frame, "wait for the ended", quiet(Gate::End(over)), handle.wait()).await?)
}
