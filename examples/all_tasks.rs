//! Lists all tasks of the running kernel from inside the program: what each does, and what it waits
//! for. `ps` of the monitor shows the same to another process.

use std::rc::Rc;

use curium::insight::WaitsFor;
use curium::prelude::*;
use curium::{WaitPolicy, snapshot, spawn_named};

const LONG: Duration = Duration::from_secs(1000);

async fn worker() -> Result<()> {
    sleep(LONG).await
}

/// Two workers, which go home with the first order that comes.
async fn workshop(orders: Rc<Queue<u32>>) -> Result<()> {
    TaskGroup::scope_with(WaitPolicy::None, async |workers| {
        // A member has the name of its function.
        workers.spawn(worker());
        workers.spawn(worker());
        orders.get().await?;
        Ok(())
    })
    .await
}

/// Sweeps until it is cancelled, and then waits for the last one to leave.
async fn sweeper(last: Task<(), TaskCancelled>) -> Result<()> {
    finally(sleep(LONG), async |_| last.wait().await).await
}

/// Prints a row for each task.
fn list() {
    let seen = snapshot();
    let name = |id| seen.task(id).map_or("?", |task| &task.info.name);
    println!("{:2}  {:17}  {:9}  {:8}  waits", "id", "name", "state", "parent");
    for task in &seen.tasks {
        let info = &task.info;
        let parent = info.parent.map_or("", name);
        let mut waits = info.site().map_or_else(String::new, |site| format!("at {site}"));
        for edge in seen.edges.iter().filter(|edge| edge.from == info.id) {
            match &edge.on {
                WaitsFor::Task(other) => waits += &format!(" for the end of {}", name(*other)),
                WaitsFor::Time(_) => waits += " for a time",
                _ => {}
            }
        }
        if task.is_cleaning_up() {
            waits += ", cancelled";
        }
        let (id, state) = (info.id.to_string(), info.state.to_string());
        let row = format!("{id:2}  {:17}  {state:9}  {parent:8}  {waits}", info.name);
        println!("{}", row.trim_end());
    }
    println!("{} tasks, {} groups", seen.tasks.len(), seen.scopes.len());
}

fn main() -> Result<()> {
    run(async || {
        let orders = Rc::new(Queue::bounded(1));
        let workshop = spawn_named("workshop", workshop(orders.clone()));
        let owner = spawn_named("owner", worker());
        let sweeper = spawn_named("sweeper", sweeper(owner));
        // Until the workshop has workers, and until they work.
        for _ in 0..2 {
            yield_now().await?;
        }
        list();
        sweeper.request_cancel();
        orders.put(1).await?;
        workshop.await?;
        println!();
        list();
        sweeper.abort();
        Ok(())
    })
}
