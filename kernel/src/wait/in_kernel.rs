//! A panic with the location of the `await`, if a future that needs a kernel is awaited outside
//! one.

use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::core::current;

pin_project! {
    /// A future that only a task can poll. Elsewhere it panics with the location of the `await`. It
    /// wraps an async block, because `track_caller` has no effect on the poll of an async block.
    pub(crate) struct InKernel<F> {
        #[pin]
        future: F,
        what: &'static str,
        site: &'static Location<'static>,
    }
}

impl<F: Future> InKernel<F> {
    pub(crate) fn new(what: &'static str, site: &'static Location<'static>, future: F) -> Self {
        InKernel { future, what, site }
    }
}

impl<F: Future> Future for InKernel<F> {
    type Output = F::Output;

    #[track_caller]
    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        if current::try_with(|core| core.running_id()).flatten().is_none() {
            current::outside_at(this.what, this.site);
        }
        this.future.poll(cx)
    }
}
