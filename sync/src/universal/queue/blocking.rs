//! The calls of a queue that block a plain thread.

use std::marker::PhantomData;
use std::panic::Location;
use std::time::Duration;

use super::requests::{Get, Join, Put};
use super::{UniversalQueue, get_from_ended};
use crate::queue::TryPutError;
use crate::universal::wait::{TimedOut, block};

impl<T> UniversalQueue<T> {
    /// [`put`](UniversalQueue::put) in a plain thread: blocks it, at most for the time limit.
    /// `Duration::MAX` is no limit; zero does not wait.
    ///
    /// # Errors
    ///
    /// [`TryPutError`] with the item: `Full` if the time is over, `Closed` if the queue is closed.
    ///
    /// # Panics
    ///
    /// In a thread that runs a kernel, which this would block.
    #[track_caller]
    pub fn put_blocking(&self, item: T, limit: Duration) -> Result<(), TryPutError<T>> {
        block("put_blocking", &self.state, Put::new(Some(item)), limit, Put::refused)
    }

    /// [`get`](UniversalQueue::get) in a plain thread: blocks it, at most for the time limit.
    /// `Duration::MAX` is no limit; zero does not wait.
    ///
    /// # Errors
    ///
    /// [`TimedOut`]; nothing was taken then.
    ///
    /// # Panics
    ///
    /// As [`get`](UniversalQueue::get), and in a thread that runs a kernel, which this would block.
    #[track_caller]
    pub fn get_blocking(&self, limit: Duration) -> Result<T, TimedOut> {
        let site = Location::caller();
        block("get_blocking", &self.state, Get(PhantomData), limit, |_, item| match item {
            Some(Some(item)) => Ok(item),
            Some(None) => get_from_ended(site),
            None => Err(TimedOut),
        })
    }

    /// [`next`](UniversalQueue::next) in a plain thread: blocks it, at most for the time limit.
    /// `Duration::MAX` is no limit; zero does not wait.
    ///
    /// # Errors
    ///
    /// [`TimedOut`]; nothing was taken then.
    ///
    /// # Panics
    ///
    /// In a thread that runs a kernel, which this would block.
    #[track_caller]
    pub fn next_blocking(&self, limit: Duration) -> Result<Option<T>, TimedOut> {
        block("next_blocking", &self.state, Get(PhantomData), limit, |_, item| item.ok_or(TimedOut))
    }

    /// [`join`](UniversalQueue::join) in a plain thread: blocks it, at most for the time limit.
    ///
    /// # Errors
    ///
    /// [`TimedOut`].
    ///
    /// # Panics
    ///
    /// In a thread that runs a kernel, which this would block.
    #[track_caller]
    pub fn join_blocking(&self, limit: Duration) -> Result<(), TimedOut> {
        block("join_blocking", &self.state, Join(PhantomData), limit, |_, done| {
            done.ok_or(TimedOut)
        })
    }
}
