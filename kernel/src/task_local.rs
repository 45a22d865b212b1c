//! Values that a task inherits: `task_local!`, and the scope of a value (K10).
//!
//! The names are those of tokio's `task_local!`. Unlike there, a task that is spawned in the scope
//! sees the value as well.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::core::current;
use crate::parts::values::Values;

/// Declares keys of values that tasks inherit: `static` items of the type
/// [`TaskLocal`](crate::TaskLocal).
///
/// ```
/// use curium::{TaskCancelled, run, spawn, task_local};
///
/// task_local! {
///     /// The request that a task works for.
///     static REQUEST: u64;
///     static USER: String;
/// }
///
/// /// Shows the request, in whatever task it runs.
/// fn log(text: &str) -> String {
///     format!("request {}: {text}", REQUEST.get())
/// }
///
/// run(async || {
///     let handler = async {
///         let helper = spawn(async { Ok(log("looked up")) });
///         helper.await
///     };
///     assert_eq!(REQUEST.scope(17, handler).await?, "request 17: looked up");
///     Ok::<_, TaskCancelled>(())
/// })?;
/// # Ok::<_, TaskCancelled>(())
/// ```
#[macro_export]
macro_rules! task_local {
    () => {};
    ($(#[$attribute:meta])* $visible:vis static $name:ident: $value:ty; $($rest:tt)*) => {
        $crate::task_local!($(#[$attribute])* $visible static $name: $value);
        $crate::task_local!($($rest)*);
    };
    ($(#[$attribute:meta])* $visible:vis static $name:ident: $value:ty) => {
        $(#[$attribute])*
        $visible static $name: $crate::TaskLocal<$value> = $crate::TaskLocal::new();
    };
}

/// A key of a value that tasks inherit. Declared by [`task_local!`](crate::task_local).
///
/// [`scope`](TaskLocal::scope) gives the key a value for the time of a future. Every task that is
/// spawned meanwhile by this code sees the value too, for its whole life, and so do the tasks that
/// it spawns: in a group, by `spawn`, or as a daemon. A later scope of the spawner does not change
/// what they see. To share changes, let the value be a `Rc<Cell<_>>`.
///
/// A task that another thread spawns through a [`Handle`](crate::Handle) inherits nothing, and a
/// job of [`run_in_thread`](crate::run_in_thread) sees no values.
pub struct TaskLocal<T: 'static> {
    /// 0 until the key is first used.
    key: AtomicUsize,
    value: PhantomData<fn() -> T>,
}

impl<T: 'static> TaskLocal<T> {
    #[doc(hidden)]
    pub const fn new() -> Self {
        TaskLocal { key: AtomicUsize::new(0), value: PhantomData }
    }

    /// Distinguishes the keys of the process.
    fn key(&self) -> usize {
        static KEYS: AtomicUsize = AtomicUsize::new(1);
        match self.key.load(Ordering::Relaxed) {
            0 => {
                let new = KEYS.fetch_add(1, Ordering::Relaxed);
                let set = self.key.compare_exchange(0, new, Ordering::Relaxed, Ordering::Relaxed);
                set.map_or_else(|other| other, |_| new)
            }
            key => key,
        }
    }

    /// Runs `future` with a value for this key. Inside, other keys keep the values that they have
    /// around the first poll.
    ///
    /// # Cancellation
    ///
    /// That of `future`: this adds no await point.
    ///
    /// # Panics
    ///
    /// When polled outside a kernel.
    #[track_caller]
    pub fn scope<F: IntoFuture>(
        &'static self,
        value: T,
        future: F,
    ) -> TaskLocalFuture<F::IntoFuture> {
        TaskLocalFuture {
            future: Some(future.into_future()),
            set: Some((self.key(), Rc::new(value))),
            values: None,
            site: Location::caller(),
        }
    }

    /// Runs `look` with the value. `None` if the code that runs sees none.
    pub fn try_with<R>(&'static self, look: impl FnOnce(&T) -> R) -> Option<R> {
        let values = current::try_with(|core| core.values()).flatten()?;
        let value = values.get(self.key())?.clone();
        value.downcast_ref().map(look)
    }

    /// Runs `look` with the value.
    ///
    /// # Panics
    ///
    /// If the code that runs sees none: it is not inside a [`scope`](TaskLocal::scope), and its
    /// task was not spawned inside one.
    #[track_caller]
    pub fn with<R>(&'static self, look: impl FnOnce(&T) -> R) -> R {
        match self.try_with(look) {
            Some(result) => result,
            None => panic!(
                "a task-local value of the type `{}` is not set here; set it by `scope` round this \
                 code, or round the spawn of its task",
                std::any::type_name::<T>()
            ),
        }
    }

    /// A copy of the value.
    ///
    /// # Panics
    ///
    /// As [`with`](TaskLocal::with).
    #[track_caller]
    pub fn get(&'static self) -> T
    where
        T: Clone,
    {
        self.with(T::clone)
    }
}

impl<T> fmt::Debug for TaskLocal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskLocal").finish_non_exhaustive()
    }
}

pin_project! {
    /// The future of [`TaskLocal::scope`].
    #[must_use = "futures do nothing unless you `.await` or poll them"]
    pub struct TaskLocalFuture<F> {
        #[pin]
        future: Option<F>,
        // The value to set, until the first poll.
        set: Option<(usize, Rc<dyn Any>)>,
        values: Option<Rc<Values>>,
        site: &'static Location<'static>,
    }

    impl<F> PinnedDrop for TaskLocalFuture<F> {
        fn drop(this: Pin<&mut Self>) {
            // The destructors of the future see the values, too.
            let mut this = this.project();
            if this.future.is_some() {
                if let Some(core) = current::try_with(Rc::clone).filter(|_| this.values.is_some()) {
                    let _entered = core.enter_values(this.values.clone());
                    this.future.set(None);
                }
            }
        }
    }
}

impl<F: Future> Future for TaskLocalFuture<F> {
    type Output = F::Output;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        let core = current::try_with(|core| core.running_id().map(|_| Rc::clone(core))).flatten();
        let Some(core) = core else { current::outside_at("the scope of a task-local", this.site) };
        if let Some((key, value)) = this.set.take() {
            *this.values = Some(Rc::new(Values::with(core.values().as_deref(), key, value)));
        }
        let _entered = core.enter_values(this.values.clone());
        let Some(future) = this.future.as_mut().as_pin_mut() else {
            panic!("a future was polled after it had ended");
        };
        let polled = future.poll(cx);
        if polled.is_ready() {
            this.future.set(None);
        }
        polled
    }
}

impl<F> fmt::Debug for TaskLocalFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskLocalFuture").finish_non_exhaustive()
    }
}
