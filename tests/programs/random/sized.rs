//! Futures of every size: the bytes that a task holds across an await have no other effect.

use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::task::{Context, Poll};

use kernel::{GroupEnded, GroupRef, Task};

use super::model::Fault;
use super::run::TaskRun;
use super::world::here;

/// Bytes that a future holds besides its own. The kernel reuses the box of an ended task for the
/// next one of its type, up to 1 KiB.
pub(crate) const SIZES: [usize; 9] = [0, 1, 64, 600, 960, 990, 1_024, 20_000, 102_400];

/// A future that holds `N` bytes, and checks that they do not change.
pub(crate) struct Padded<F, const N: usize> {
    inner: F,
    mark: u8,
    pad: [u8; N],
}

impl<F, const N: usize> Padded<F, N> {
    pub(crate) fn new(inner: F, mark: u8) -> Self {
        Padded { inner, mark, pad: [mark; N] }
    }

    fn look(&self) {
        let whole = black_box(&self.pad) == &[self.mark; N];
        here(|world| world.check(whole, || format!("{N} bytes of a future have changed")));
    }
}

impl<F: Future + Unpin, const N: usize> Future for Padded<F, N> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.look();
        Pin::new(&mut self.inner).poll(cx)
    }
}

impl<F, const N: usize> Drop for Padded<F, N> {
    fn drop(&mut self) {
        self.look();
    }
}

/// A way to make a task of a future.
pub(crate) trait Start {
    type Task;

    fn start<F>(self, future: F) -> Self::Task
    where
        F: Future<Output = Result<usize, Fault>> + 'static;
}

/// Makes a task of a future that holds so many bytes more.
pub(crate) fn start<S: Start>(how: S, size: usize, mark: usize, run: TaskRun) -> S::Task {
    match here(|world| world.size(size)) {
        0 => how.start(run),
        1 => padded::<S, 1>(how, mark, run),
        64 => padded::<S, 64>(how, mark, run),
        600 => padded::<S, 600>(how, mark, run),
        960 => padded::<S, 960>(how, mark, run),
        990 => padded::<S, 990>(how, mark, run),
        1_024 => padded::<S, 1_024>(how, mark, run),
        20_000 => padded::<S, 20_000>(how, mark, run),
        102_400 => padded::<S, 102_400>(how, mark, run),
        _ => unreachable!("{size} is none of the sizes"),
    }
}

/// A separate function, because an unoptimized function reserves stack for all its branches.
fn padded<S: Start, const N: usize>(how: S, mark: usize, run: TaskRun) -> S::Task {
    how.start(Padded::<_, N>::new(run, mark as u8))
}

/// `spawn`, or `spawn_named`.
pub(crate) struct Plain(pub(crate) Option<String>);

impl Start for Plain {
    type Task = Task<usize, Fault>;

    fn start<F>(self, future: F) -> Self::Task
    where
        F: Future<Output = Result<usize, Fault>> + 'static,
    {
        match self.0 {
            Some(name) => kernel::spawn_named(name, future),
            None => kernel::spawn(future),
        }
    }
}

/// A member of a group, or a daemon there.
pub(crate) struct Member<'a> {
    pub(crate) group: &'a GroupRef<Fault>,
    pub(crate) daemon: bool,
}

impl Start for Member<'_> {
    type Task = Result<Task<usize, Fault>, GroupEnded>;

    fn start<F>(self, future: F) -> Self::Task
    where
        F: Future<Output = Result<usize, Fault>> + 'static,
    {
        match self.daemon {
            true => Ok(self.group.spawn_daemon(future)),
            false => self.group.try_spawn(future),
        }
    }
}
