//! Runs one program in one order, and reports the faults.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use kernel::{Kernel, Report, TaskCancelled, shield, sleep, testing};

use super::model::PlannedPanic;
use super::program::Program;
use super::run::TaskRun;
use super::world::{Here, World};

/// The result of a run.
pub(crate) struct Outcome {
    pub(crate) faults: Vec<String>,
    pub(crate) trace: String,
    /// The program deadlocked.
    pub(crate) deadlock: bool,
    /// The bytes in use when all tasks had ended and nothing held them, if that was in time, and
    /// the number of tasks.
    pub(crate) kept: usize,
    pub(crate) tasks: usize,
}

/// Runs a program in an order, where 0 is first come, first served. At the end, tasks that wait for
/// ever are cancelled, and then aborted.
pub(crate) fn run(program: &Program, order: u64) -> Outcome {
    run_with(program, order, true)
}

/// Runs a program whose tasks may all wait for ever.
pub(crate) fn run_to_deadlock(program: &Program, order: u64) -> Outcome {
    run_with(program, order, false)
}

fn run_with(program: &Program, order: u64, reaped: bool) -> Outcome {
    let world = World::new();
    let _here = Here::new(&world);
    let faults = world.clone();
    world.plain.set(program.plain);
    world.turns.in_order.set(order == 0);
    let builder = match order {
        0 => Kernel::builder(),
        seed => Kernel::builder().seed(seed),
    };
    let builder = builder.on_report(move |report| {
        if matches!(report, Report::PanicOutsideTask { .. }) {
            faults.fault(&format!("K9: {report}"));
        }
    });
    let main = async || {
        world.began.set(Some(kernel::now()));
        if reaped {
            kernel::spawn(reap(world.clone()));
        }
        let (_, run) = TaskRun::new(&world, None, None, &program.main);
        // The program may return an error from main.
        run.await.is_ok()
    };
    let ended = catch_unwind(AssertUnwindSafe(|| testing::run_with(builder, main)));
    let mut deadlock = false;
    if let Err(payload) = ended {
        if !payload.is::<PlannedPanic>() {
            let text = match payload.downcast_ref::<String>() {
                Some(text) => text.clone(),
                None => "the kernel panicked".to_owned(),
            };
            deadlock = text.starts_with("deadlock") && !reaped;
            if deadlock {
                check_deadlock(&world, &text);
            } else {
                world.fault(&text);
            }
        }
    }
    world.check_end();
    let faults = world.faults.borrow().clone();
    let tasks = world.tasks.borrow().len() + world.mail.posted();
    let (trace, kept) = (world.trace(), world.kept.get());
    let outcome = Outcome { faults, trace, deadlock, kept, tasks };
    world.clear();
    outcome
}

/// Ends the tasks that do not end by themselves.
async fn reap(world: Rc<World>) -> Result<(), TaskCancelled> {
    shield(async {
        for round in 0..200 {
            sleep(Duration::from_millis(500)).await?;
            let living = world.living();
            if living.is_empty() {
                drop(living);
                world.let_go();
                // Idle time, in which the kernel frees what it can.
                sleep(Duration::from_millis(1)).await?;
                world.kept.set(crate::bytes_in_use());
                return Ok(());
            }
            world.running.set(usize::MAX);
            for task in living.into_iter().filter(|task| task.live.get()) {
                let Some(handle) = task.handle.borrow().clone() else { continue };
                if round > 5 {
                    world.say(&format!("{} is aborted", task.name()));
                    handle.abort();
                    let live = task.live.get();
                    world.check(!live, || format!("G4: {} was aborted and lives", task.name()));
                    world.check_dropped();
                } else if round > 2 {
                    world.say(&format!("{} is requested to end", task.name()));
                    world.asks(&task);
                    handle.request_cancel();
                }
            }
        }
        world.fault("the program does not end");
        Ok(())
    })
    .await
}

/// K8: every task that is parked for ever is named.
fn check_deadlock(world: &World, text: &str) {
    let stuck: Vec<_> = world.stuck.borrow_mut().drain(..).collect();
    let named = text.lines().skip(1).take_while(|line| line.starts_with("  #")).count();
    world.check(named == stuck.len(), || format!("K8: {named} of {} named", stuck.len()));
    for (task, id) in stuck {
        let line = format!("  {id} ");
        let found = text.lines().any(|named| named.starts_with(&line) && named.contains(" at "));
        world.check(found, || format!("K8: t{task} is not named in {text}"));
    }
}
