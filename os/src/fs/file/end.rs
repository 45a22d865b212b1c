//! A file is dropped.

use std::future::poll_fn;

use kernel::{CancelPoint, shield};

use super::File;
use super::at::in_turn;

impl Drop for File {
    /// A task waits for what was begun, and fails with its error, which is then reported
    /// (K6). Without a kernel both are left to the last reference to the descriptor.
    fn drop(&mut self) {
        if !kernel::is_running() || !(self.writing.is_some() || self.shared.has_news()) {
            return;
        }
        let mut writing = self.writing.take();
        let shared = self.shared.clone();
        let name = format!("the last write to {}", shared.path.display());
        let point = CancelPoint::new("FILE_WRITE");
        let end = async move {
            let mut point = point;
            if let Some(job) = &mut writing {
                // Its error is kept when it is dropped.
                drop(poll_fn(|cx| point.poll(cx, |cx| job.poll(cx))).await?);
            }
            in_turn(&shared, &mut point).await
        };
        kernel::spawn_named(name, shield(end));
    }
}
