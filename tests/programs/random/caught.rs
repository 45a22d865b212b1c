//! What a program does with an error that it has caught.

use kernel::unless_cancelled;

use super::held::{Emptied, Held, Holds};
use super::model::{Bare, Fault, Opaque, Planned};
use super::program::{Body, Shape, Then};
use super::run::{Flow, Frame, exec};

pub(crate) async fn catch(frame: &Frame, body: &Body, cleanup: &Body, then: Then) -> Flow {
    let Err(error) = exec(frame, body).await else { return Ok(()) };
    if let Then::Forget = then {
        drop(error);
        return exec(frame, cleanup).await;
    }
    exec(frame, cleanup).await?;
    match then {
        Then::Swallow | Then::Forget => Ok(()),
        Then::Rethrow => Err(error),
        Then::Replace => Err(Box::new(Planned(frame.task.number))),
        Then::PutBack => {
            put_back(frame, error);
            Ok(())
        }
        Then::Ask(shape) => ask(frame, error, shape),
    }
}

fn put_back(frame: &Frame, error: Fault) {
    let Some(cancelled) = kernel::cancelled(&*error).cloned() else { return };
    drop(error);
    let held = Held::of(&cancelled);
    frame.world.say(&format!("{} puts back: {}", frame.task.name(), held.reason));
    frame.scope.put_back(held);
    cancelled.put_back();
}

/// `unless_cancelled` passes on what is the cancellation of the caller.
fn ask(frame: &Frame, mut error: Fault, shape: Shape) -> Flow {
    let world = &frame.world;
    if shape == Shape::Bare && kernel::cancelled(&*error).is_some() {
        error = Box::new(Emptied);
    }
    let holds = Holds::shaped(&error, shape);
    let expected = frame.scope.echoes_around(holds, world.now());
    let answer = match shape {
        Shape::Known => unless_cancelled::<(), Fault>(Err(error)),
        Shape::Opaque => {
            let answer = unless_cancelled::<(), Opaque>(Err(Opaque(error)));
            answer.map(|result| result.map_err(|Opaque(error)| error))
        }
        Shape::Bare => {
            let answer = unless_cancelled::<(), Bare>(Err(Bare::of(error)));
            answer.map(|result| result.map_err(Bare::into_fault))
        }
    };
    world.check(expected.is_none_or(|expected| expected == answer.is_err()), || {
        format!("C19: {} asks, {holds:?}: {answer:?}, not {expected:?}", frame.task.name())
    });
    answer.map_err(|cancelled| world.copies.carry(cancelled))?
}
