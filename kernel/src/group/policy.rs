//! Which members the end of a group waits for, and how a member has ended.

use crate::id::TaskId;
use crate::task::cell::TaskEnd;

/// Which members the end of a group waits for. After that, the remaining members are cancelled.
///
/// A race of three members, with [`scope_with`](crate::TaskGroup::scope_with): when the first has
/// succeeded, the others are cancelled and awaited.
///
/// ```
/// use curium::prelude::*;
/// use curium::{TaskCancelled, WaitPolicy};
///
/// async fn mirror(name: &'static str, millis: u64) -> Result<&'static str> {
///     sleep(Duration::from_millis(millis)).await?;
///     Ok(name)
/// }
///
/// async fn fastest() -> Result<&'static str> {
///     let mirrors = TaskGroup::scope_with(WaitPolicy::FirstOk, async |g| {
///         Ok([("far", 30), ("near", 1), ("away", 20)].map(|(name, ms)| g.spawn(mirror(name, ms))))
///     })
///     .await?;
///     for mirror in mirrors {
///         // `join`, since a member that failed has no outcome any more: the group took it.
///         if let Ok(name) = mirror.join().await? {
///             return Ok(name);
///         }
///     }
///     unreachable!("if all members fail, so does the group")
/// }
///
/// curium::testing::run(async || {
///     assert_eq!(fastest().await?, "near");
///     Ok::<_, TaskCancelled>(())
/// })?;
/// # Ok::<_, TaskCancelled>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WaitPolicy {
    /// Waits for all members. The default.
    #[default]
    All,
    /// Waits for the first member to end, with success or not.
    Any,
    /// Waits for the first member that succeeds. Failures are kept; if all members fail, the first
    /// failure is returned.
    FirstOk,
    /// Does not wait.
    None,
}

/// Which member ended, and how. Take its value through its handle, by [`join`](crate::Task::join),
/// which returns at once. The group may already have taken the error of a member that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberEnd {
    /// The member.
    pub id: TaskId,
    /// How it ended.
    pub end: TaskEnd,
}
