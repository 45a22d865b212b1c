//! The wait for room that no event reports.

use std::io;
use std::time::Duration;

/// Pauses between attempts at a queue of another socket that is full. Its owner makes room, and no
/// event of this socket reports that.
pub(super) struct Pauses(Duration);

/// The longest of them.
const LONGEST: Duration = Duration::from_millis(64);

impl Pauses {
    pub(super) fn new() -> Pauses {
        Pauses(Duration::from_millis(1))
    }

    /// Each is twice as long as the one before.
    pub(super) async fn next(&mut self) -> io::Result<()> {
        kernel::sleep(self.0).await?;
        self.0 = LONGEST.min(self.0 * 2);
        Ok(())
    }
}
