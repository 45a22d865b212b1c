//! The steps that run bodies side by side, or repeatedly.

use futures::StreamExt;
use futures::future::{Either, join_all, select};
use futures::stream::FuturesUnordered;

use super::program::Body;
use super::run::{Flow, Frame, exec};

/// Runs all to their end, and then returns the first error.
pub(crate) async fn all(frame: &Frame, bodies: &[Body]) -> Flow {
    join_all(bodies.iter().map(|body| exec(frame, body))).await.into_iter().collect()
}

/// Runs until the first error. The others are then dropped.
pub(crate) async fn unordered(frame: &Frame, bodies: &[Body]) -> Flow {
    let mut running: FuturesUnordered<_> = bodies.iter().map(|body| exec(frame, body)).collect();
    let mut result = Ok(());
    while let Some(ended) = running.next().await {
        if ended.is_err() {
            result = ended;
            break;
        }
    }
    drop(running);
    frame.world.check_dropped();
    result
}

pub(crate) async fn race(frame: &Frame, one: &Body, other: &Body) -> Flow {
    let (result, loser) = match select(exec(frame, one), exec(frame, other)).await {
        Either::Left((result, loser)) | Either::Right((result, loser)) => (result, loser),
    };
    drop(loser);
    frame.world.check_dropped();
    result
}

pub(crate) async fn repeat(frame: &Frame, times: u32, body: &Body) -> Flow {
    for _ in 0..times {
        exec(frame, body).await?;
    }
    Ok(())
}
