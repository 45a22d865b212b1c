//! The borrowing scope: a group whose members may borrow (S1).
//!
//! The bookkeeping is that of a group (`group/state.rs`), and so are the wait for the members, the
//! tear-down and the errors (`group/end.rs`). What differs is where the futures are: in a set of
//! the scope (`set.rs`), not in the cells of the table, which live longer than what is borrowed.
//!
//! Sources: moro for the shape of the borrow, trio's nursery for the rest.

use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::time::Duration;

use crate::children::bounds::{ChildOutput, ChildrenBody};
use crate::children::child::Child;
use crate::children::hosting::Hosting;
use crate::children::set::ChildSet;
use crate::core::current;
use crate::error::{GroupError, TaskCancelled};
use crate::group::body::GroupBody;
use crate::group::policy::WaitPolicy;
use crate::group::task_group::TaskGroup;
use crate::wait::in_kernel::InKernel;

/// Runs `body` with a scope whose children may borrow, and waits until all of them have ended.
///
/// It is [`TaskGroup::scope`](crate::TaskGroup::scope) for code that works on borrowed values:
/// children borrow whatever outlives the call, without `Rc` and without moving it in. They follow
/// the rules of a group. The first child that fails cancels its siblings and the body. An error of
/// the body, or a cancellation of this task, cancels the children. In every case, all children have
/// ended when this returns.
///
/// ```
/// use curium::prelude::*;
/// use curium::{Scope, scope};
///
/// async fn count(text: &str) -> Result<usize> {
///     yield_now().await?;
///     Ok(text.len())
/// }
///
/// async fn total(words: &[String]) -> Result<usize> {
///     scope(async |s| {
///         let children: Vec<_> = words.iter().map(|word| s.spawn(count(word))).collect();
///         let mut total = 0;
///         for child in children {
///             total += child.await?;
///         }
///         Ok(total)
///     })
///     .await
/// }
///
/// # curium::run(async || {
/// assert_eq!(total(&["one".into(), "three".into()]).await?, 8);
/// # Ok::<_, TaskCancelled>(())
/// # }).unwrap();
/// ```
///
/// A child is a task of its own: it has an id, is listed by [`tasks`](crate::tasks), is cancelled
/// and joined by its handle, and has timeouts and shields of its own. But its future stays inside
/// the future of this call, which polls it when the child was woken, and only then. So children run
/// while this task polls the scope, and share its budget of operations in one poll.
///
/// # A scope or a group
///
/// A `TaskGroup` is for members that live long, or that outlast the function that starts them: its
/// members are tasks of the kernel. A `scope` is for a piece of work inside one function, such as
/// the parts of one request.
///
/// # What children may borrow
///
/// Whatever outlives the call. Not the locals of the body, because the children may outlive it:
///
/// ```compile_fail,E0373
/// # use curium::prelude::*;
/// # use curium::scope;
/// # async fn work() -> Result<()> {
/// scope(async |s| {
///     let local = String::from("ends with the body");
///     s.spawn(async { println!("{local}"); Ok(()) });
///     Ok(())
/// })
/// .await
/// # }
/// ```
///
/// Move such a value into the child (`async move`), or declare it before the call. And not what
/// another child or the body may change:
///
/// ```compile_fail,E0499
/// # use curium::prelude::*;
/// # use curium::scope;
/// # async fn work() -> Result<()> {
/// let mut count = 0;
/// scope(async |s| {
///     s.spawn(async { count += 1; Ok(()) });
///     s.spawn(async { count += 1; Ok(()) });
///     Ok(())
/// })
/// .await
/// # }
/// ```
///
/// # Where the error type goes
///
/// As the last expression of a function, this call takes the error type of the function. Elsewhere,
/// for example before a `?`, write it as the type of `s`: `async |s: Scope<'_, io::Error>| ..`.
///
/// # Errors
///
/// The first error, of a child or of the body. Further errors are reported; see [`scope_all`].
///
/// # Cancellation
///
/// The children are cancelled together, the youngest first, and awaited under a shield. If the
/// future is dropped instead, the children are dropped with it, without awaiting their cleanup,
/// before the drop returns.
///
/// # Panics
///
/// When polled outside a kernel, or by another kernel than before. The panic of a child or of the
/// body is resumed after all children have ended.
#[track_caller]
pub fn scope<'env, T, E, B>(body: B) -> impl Future<Output = Result<T, E>>
where
    B: ChildrenBody<'env, T, E>,
    E: From<TaskCancelled> + fmt::Debug + 'static,
{
    first_error(WaitPolicy::All, Duration::MAX, body, Location::caller())
}

/// Like [`scope`], but waits for the children as `wait` specifies, and then cancels those that are
/// left. It fails and panics as `scope` does.
///
/// # Cancellation
///
/// As [`scope`].
#[track_caller]
pub fn scope_with<'env, T, E, B>(wait: WaitPolicy, body: B) -> impl Future<Output = Result<T, E>>
where
    B: ChildrenBody<'env, T, E>,
    E: From<TaskCancelled> + fmt::Debug + 'static,
{
    first_error(wait, Duration::MAX, body, Location::caller())
}

/// Like [`scope`], but the children have at most `grace` to end once they are cancelled together.
/// Those that are left are then aborted and reported, as in
/// [`TaskGroup::scope_within`](crate::TaskGroup::scope_within). It fails and panics as `scope`
/// does.
///
/// ```
/// use curium::prelude::*;
/// use curium::{now, scope_within};
///
/// #[derive(Debug, PartialEq)]
/// struct Failure(&'static str);
///
/// impl From<TaskCancelled> for Failure {
///     fn from(_: TaskCancelled) -> Self {
///         Failure("cancelled")
///     }
/// }
///
/// async fn stubborn() -> Result<(), Failure> {
///     loop {
///         sleep(Duration::from_secs(1)).await.ok(); // swallows its cancellation
///     }
/// }
///
/// # curium::testing::run(async || {
/// let started = now();
/// let ended = scope_within(Duration::from_secs(5), async |s| {
///     s.spawn(stubborn());
///     s.spawn(async { Err::<(), _>(Failure("failed")) });
///     Ok(())
/// });
/// assert_eq!(ended.await, Err(Failure("failed")));
/// assert_eq!(now() - started, Duration::from_secs(5));
/// # });
/// ```
///
/// # Cancellation
///
/// As [`scope`], and the children are awaited until the grace is over.
#[track_caller]
pub fn scope_within<'env, T, E, B>(grace: Duration, body: B) -> impl Future<Output = Result<T, E>>
where
    B: ChildrenBody<'env, T, E>,
    E: From<TaskCancelled> + fmt::Debug + 'static,
{
    first_error(WaitPolicy::All, grace, body, Location::caller())
}

/// Like [`scope`], but returns every error, in the order in which they occurred. It panics as
/// `scope` does.
///
/// # Errors
///
/// All errors of the children and the body. A body that only returns the cancellation that a
/// failing child caused adds no error.
///
/// # Cancellation
///
/// As [`scope`].
#[track_caller]
pub fn scope_all<'env, T, E, B>(body: B) -> impl Future<Output = Result<T, GroupError<E>>>
where
    B: ChildrenBody<'env, T, E>,
    E: From<TaskCancelled> + fmt::Debug + 'static,
{
    let site = Location::caller();
    InKernel::new("a scope", site, run(WaitPolicy::All, Duration::MAX, body, site, true))
}

fn first_error<'env, T, E, B>(
    wait: WaitPolicy,
    grace: Duration,
    body: B,
    site: &'static Location<'static>,
) -> impl Future<Output = Result<T, E>>
where
    B: AsyncFnOnce(Scope<'env, E>) -> Result<T, E>,
    E: From<TaskCancelled> + fmt::Debug + 'static,
{
    InKernel::new("a scope", site, async move {
        run(wait, grace, body, site, false).await.map_err(|errors| errors.first)
    })
}

/// Opens a scope, runs the body and ends the scope.
pub(super) async fn run<'env, T, E, B>(
    wait: WaitPolicy,
    grace: Duration,
    body: B,
    site: &'static Location<'static>,
    all: bool,
) -> Result<T, GroupError<E>>
where
    B: AsyncFnOnce(Scope<'env, E>) -> Result<T, E>,
    E: From<TaskCancelled> + fmt::Debug + 'static,
{
    let core = current::with("a scope", Rc::clone);
    let group = TaskGroup::<E>::open(core.clone(), wait, false, site);
    group.set_grace(grace);
    // Declared after the group: if the scope is dropped, its children are dropped before the group
    // is closed, and its body before them.
    let children = Rc::new(ChildSet::new(core.clone(), group.state.clone()));
    let handle = Scope { children: Rc::downgrade(&children), error: PhantomData };
    let work = async {
        let ended = {
            let mut running = pin!(GroupBody::new(body(handle), &group.state));
            poll_fn(|cx| running.as_mut().poll_body(&core, cx)).await
        };
        group.conclude(ended, site, all).await
    };
    Hosting::new(work, &*children, &core, children.queue(), site).await
}

/// A reference to a scope, for the body of [`scope`] and for the children. A child that starts
/// children takes a clone of it:
///
/// ```
/// use curium::prelude::*;
/// use curium::{Scope, scope};
///
/// struct Tree(Vec<Tree>);
///
/// /// Visits a tree, each node in a child of its own.
/// fn visit<'env>(s: &Scope<'env, TaskCancelled>, tree: &'env Tree, leave: &'env dyn Fn()) {
///     let own = s.clone();
///     s.spawn(async move {
///         yield_now().await?;
///         tree.0.iter().for_each(|below| visit(&own, below, leave));
///         leave();
///         Ok(())
///     });
/// }
///
/// # curium::run(async || {
/// let tree = Tree(vec![Tree(vec![]), Tree(vec![Tree(vec![])])]);
/// let seen = std::cell::Cell::new(0);
/// let leave = || seen.set(seen.get() + 1);
/// scope(async |s| Ok::<_, TaskCancelled>(visit(&s, &tree, &leave))).await?;
/// assert_eq!(seen.get(), 4);
/// # Ok::<_, TaskCancelled>(())
/// # }).unwrap();
/// ```
pub struct Scope<'env, E> {
    children: Weak<ChildSet<'env>>,
    error: PhantomData<fn() -> E>,
}

impl<'env, E> Scope<'env, E>
where
    E: From<TaskCancelled> + fmt::Debug + 'static,
{
    /// Starts a child. It is polled after the caller parks, beside the body.
    ///
    /// A child that is started while the scope is being left, or after a child has failed, starts
    /// cancelled.
    ///
    /// # Panics
    ///
    /// If the scope has ended.
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> Child<<F::Output as ChildOutput<E>>::Value, E>
    where
        F: Future + 'env,
        F::Output: ChildOutput<E>,
    {
        let Some(children) = self.children.upgrade() else { ended() };
        let (task, value) = children.start::<F, E>(future);
        Child::of(task, value)
    }
}

#[cold]
#[track_caller]
fn ended() -> ! {
    panic!("the scope has ended; a child must be spawned before that")
}

impl<E> Clone for Scope<'_, E> {
    fn clone(&self) -> Self {
        Scope { children: self.children.clone(), error: PhantomData }
    }
}

impl<E> fmt::Debug for Scope<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").finish_non_exhaustive()
    }
}
