//! Children whose scope is polled inside other scopes (S2).

use curium::prelude::*;
use curium::{Scope, TaskInfo, tasks, testing};

use crate::support::time::secs;

/// S2: a timeout that is around one poll of a scope, and polled itself for the first time, is no
/// timeout of the child that is polled in it.
#[test]
fn a_timeout_around_a_scope_is_not_around_its_children() {
    testing::run(async || {
        let mut running = std::pin::pin!(scope(async |s: Scope<'_, TaskCancelled>| {
            let child = s.spawn(async {
                yield_now().await?;
                sleep(secs(9)).await
            });
            yield_now().await?;
            Ok(child.id())
        }));
        assert!(futures::poll!(running.as_mut()).is_pending());
        let within = timeout_after(secs(5), async {
            assert!(futures::poll!(running.as_mut()).is_pending());
            let child = tasks().pop().unwrap();
            assert_eq!((child.parked.len(), child.deadline), (1, None));
            Ok::<_, TaskCancelled>(child.id)
        });
        let child = within.await.unwrap().unwrap();
        let all = tasks();
        let sleeps = |task: &TaskInfo| task.parked.iter().any(|leaf| leaf.kind == "SLEEP");
        assert_eq!(all.iter().map(sleeps).collect::<Vec<_>>(), [false, true]);
        assert_eq!(running.await, Ok(child));
        assert_eq!(tasks().len(), 1);
    });
}
