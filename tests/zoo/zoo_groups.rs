//! Groups: a cancellation from outside that meets a failure inside.

use std::io;
use std::time::Duration;

use curium::TaskEnd;
use curium::kernel::testing::{self, Injection, Moment, Run};
use curium::kernel::{TaskGroup, cancelled, sleep};

use crate::hunt::cannot_happen;

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Runs a group of which a member fails, deals with that failure, and goes on.
async fn deal_with_a_failing_member() -> io::Result<()> {
    let group = TaskGroup::<io::Error>::scope(async |g| {
        g.spawn(async {
            sleep(MS).await?;
            Err::<(), _>(io::Error::other("a member"))
        });
        g.spawn(async {
            let ended = sleep(HOUR).await;
            sleep(MS).await?; // The cleanup takes a while.
            Ok(ended?)
        });
        Ok(sleep(HOUR).await?)
    });
    if let Err(error) = group.await {
        // A cancellation is passed on.
        cancelled(&error).cloned().map_or(Ok(()), Err)?;
    }
    Ok(sleep(MS).await?)
}

/// The cancellation is lost if the failure of the member is all that the program gets to see.
async fn the_cancellation_arrives(run: &Run) {
    let too_late = run.injected.iter().any(|i| i.moment == Moment::Woken && i.suspension == 3);
    if !run.injected.is_empty() && !too_late {
        assert_eq!(run.end, TaskEnd::Cancelled, "the cancellation was lost");
    }
}

/// V4, C3, G2: cpython#116720: the member of an inner group fails in the moment in which an outer
/// group cancels the task around it. The inner group takes the cancellation for its own, and the
/// task goes on. Here the cancellation arrives, whichever comes first.
#[test]
fn a_cancellation_from_outside_is_not_lost_in_a_failing_group() {
    let requests = [Injection::Cancel, Injection::Timeout, Injection::GroupFailed];
    cannot_happen("cpython#116720", || {
        testing::sweep().inject(&requests).run(
            async || (),
            |_| deal_with_a_failing_member(),
            async |(), run| the_cancellation_arrives(run).await,
        )
    });
}
