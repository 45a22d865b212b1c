//! An event that is sent to another thread.
//~ contains: pub struct Event
//~ contains: stays on its thread: use `UniversalEvent` between threads

use curium::prelude::*;

async fn parent() -> Result<()> {
    let event = Event::new();
    std::thread::spawn(move || event.set());
    Ok(())
}

fn main() -> Result<()> {
    run(parent)
}
