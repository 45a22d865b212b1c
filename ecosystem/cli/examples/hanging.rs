//! A program with a monitor on a socket that hangs, for `curium`: `hanging SOCKET HOW`.
//!
//! HOW is `joins`: two tasks wait for each other's end; `locks`: two tasks take two locks in
//! opposite orders; `spin`: a task does not give the thread back; `calm`: nothing hangs, and tasks
//! can be cancelled; `cores`: the same on two cores; `spinning_core`: of two cores, one does not
//! give the thread back.

use std::cell::Cell;
use std::env;
use std::rc::Rc;
use std::thread;

use curium::Kernel;
use curium::kernel::{Cores, kernels, spawn_named};
use curium::monitor::{Monitor, MonitorExt};
use curium::prelude::*;

async fn transfer(from: Rc<Lock<u32>>, to: Rc<Lock<u32>>) -> Result<(), TaskCancelled> {
    let mut from = from.acquire().await?;
    // The other task takes its first lock meanwhile.
    sleep(Duration::from_millis(10)).await?;
    let mut to = to.acquire().await?;
    *from -= 1;
    *to += 1;
    Ok(())
}

async fn locks() -> Result<(), TaskCancelled> {
    let (alice, bob) = (Rc::new(Lock::new(10)), Rc::new(Lock::new(10)));
    let first = spawn_named("alice to bob", transfer(alice.clone(), bob.clone()));
    let second = spawn_named("bob to alice\u{1b}[2J", transfer(bob, alice));
    // A deadlock of all tasks would end the program.
    let _clock = spawn_named("clock", ticking());
    first.await?;
    second.await
}

/// The handle of the task to wait for.
type Other = Rc<Cell<Option<Task<(), TaskCancelled>>>>;

async fn wait_for(other: Other) -> Result<(), TaskCancelled> {
    let other = other.take().expect("the tasks begin after both are spawned");
    other.await
}

async fn joins() -> Result<(), TaskCancelled> {
    let (of_reader, of_writer) = (Other::default(), Other::default());
    of_writer.set(Some(spawn_named("reader", wait_for(of_reader.clone()))));
    of_reader.set(Some(spawn_named("writer\u{1b}[2J", wait_for(of_writer))));
    spawn_named("clock", ticking()).await
}

async fn ticking() -> Result<(), TaskCancelled> {
    loop {
        sleep(Duration::from_millis(100)).await?;
    }
}

async fn calm() -> Result<(), TaskCancelled> {
    let kid = spawn_named("kid", ticking());
    let _clock = spawn_named("clock", ticking());
    let _ = kid.join().await?;
    ticking().await
}

async fn spin() -> Result<(), TaskCancelled> {
    let _clock = spawn_named("clock", ticking());
    sleep(Duration::from_millis(10)).await?;
    loop {
        thread::sleep(Duration::from_secs(1));
    }
}

fn on_cores(monitor: Monitor, one_spins: bool) {
    let recorded = |_| Kernel::builder().flight_recorder(1 << 20);
    let cores = Cores::count(2).builder(recorded).monitor(monitor.allow_cancel());
    let _ = kernels(cores, async |core| match core.index() {
        1 if one_spins => spin().await,
        _ => calm().await,
    });
}

fn main() {
    let mut arguments = env::args().skip(1);
    let path = arguments.next().expect("the path of a socket");
    let how = arguments.next().expect("how it hangs");
    let announce = |at: &curium::monitor::Listening| println!("listening on {at}");
    let monitor = Monitor::new().unix_at(path).announce(announce);
    let mut kernel = Kernel::builder();
    if how == "calm" {
        kernel = kernel.flight_recorder(1 << 20);
    }
    if how.contains("core") {
        return on_cores(monitor, how == "spinning_core");
    }
    let _ = match &*how {
        "joins" => kernel.monitor(monitor).run(joins),
        "locks" => kernel.monitor(monitor).run(locks),
        "spin" => kernel.monitor(monitor).run(spin),
        _ => kernel.monitor(monitor.allow_cancel()).run(calm),
    };
}
