//! Error types of programs serve as the errors of tasks, timeouts and groups (G3, C6, T2).

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt;
use kernel::{
    Kernel, Task, TaskCancelled, TaskEnd, TaskError, TaskGroup, TaskTimeout, WaitPolicy, cancelled,
    ignore_after, sleep, spawn, testing, timeout_after,
};

use crate::support::time::secs;

/// An error type of the program.
#[derive(Debug, thiserror::Error)]
enum Own {
    #[error("cancelled")]
    Cancelled(#[from] TaskCancelled),
    #[error("timed out")]
    TimedOut(#[from] TaskTimeout),
    #[error("{0}")]
    Broken(String),
}

/// What the tests below need from an error type.
trait Usable: From<TaskCancelled> + From<TaskTimeout> + fmt::Debug + 'static {
    fn broken(text: &str) -> Self;
    fn text(&self) -> String;
    /// The cancellation that the error passes on.
    fn cancelled(&self) -> Option<TaskCancelled>;
}

impl Usable for Own {
    fn broken(text: &str) -> Self {
        Own::Broken(text.to_owned())
    }

    fn text(&self) -> String {
        self.to_string()
    }

    fn cancelled(&self) -> Option<TaskCancelled> {
        cancelled(self).cloned()
    }
}

impl Usable for io::Error {
    fn broken(text: &str) -> Self {
        io::Error::other(text.to_owned())
    }

    fn text(&self) -> String {
        self.to_string()
    }

    fn cancelled(&self) -> Option<TaskCancelled> {
        cancelled(self).cloned()
    }
}

impl Usable for anyhow::Error {
    fn broken(text: &str) -> Self {
        anyhow::anyhow!("{text}")
    }

    fn text(&self) -> String {
        self.to_string()
    }

    fn cancelled(&self) -> Option<TaskCancelled> {
        cancelled(&**self).cloned()
    }
}

impl Usable for Box<dyn Error> {
    fn broken(text: &str) -> Self {
        text.into()
    }

    fn text(&self) -> String {
        self.to_string()
    }

    fn cancelled(&self) -> Option<TaskCancelled> {
        cancelled(&**self).cloned()
    }
}

impl Usable for Box<dyn Error + Send + Sync> {
    fn broken(text: &str) -> Self {
        text.into()
    }

    fn text(&self) -> String {
        self.to_string()
    }

    fn cancelled(&self) -> Option<TaskCancelled> {
        cancelled(&**self).cloned()
    }
}

async fn breaks<E: Usable>(after: u64, text: &'static str) -> Result<u64, E> {
    sleep(secs(after)).await?;
    Err(E::broken(text))
}

async fn wins<E: Usable>(after: u64) -> Result<u64, E> {
    sleep(secs(after)).await?;
    Ok(after)
}

async fn tasks<E: Usable>() {
    let broken: Task<u64, E> = spawn(breaks(1, "broken"));
    match broken.join().await.unwrap() {
        Err(TaskError::Failed(error)) => assert_eq!(error.text(), "broken"),
        other => panic!("{other:?}"),
    }
    let parked: Task<u64, E> = spawn(wins(9));
    testing::settle().await.unwrap();
    parked.cancel().await.unwrap();
    match parked.join().await.unwrap() {
        Err(TaskError::Cancelled(error)) => assert!(error.cancelled().is_some(), "{error:?}"),
        other => panic!("{other:?}"),
    }
    let flat: Task<u64, E> = spawn(async { spawn(wins::<E>(1)).await });
    assert_eq!(flat.await.unwrap(), 1);
    let aborted: Task<u64, E> = spawn(wins(9));
    aborted.abort();
    assert!(aborted.await.unwrap_err().cancelled().is_some());
}

async fn timeouts<E: Usable>() {
    let late = timeout_after(secs(1), wins::<E>(9)).await;
    assert!(late.is_err());
    let broken = timeout_after(secs(9), breaks::<E>(1, "broken")).await.unwrap();
    assert_eq!(broken.unwrap_err().text(), "broken");
    assert_eq!(timeout_after(secs(9), wins::<E>(1)).await.unwrap().unwrap(), 1);
    assert_eq!(ignore_after(secs(1), wins::<E>(9)).await.unwrap(), None);
    assert_eq!(ignore_after(secs(9), wins::<E>(1)).await.unwrap(), Some(1));
    // `?` passes both errors of a call on, and an inner timeout is an ordinary error outside.
    let question_marks = async || Ok::<u64, E>(timeout_after(secs(1), wins::<E>(9)).await??);
    let outer = timeout_after(secs(9), question_marks()).await.unwrap();
    assert!(outer.unwrap_err().text().contains("timed out"));
    // An outer timeout passes an inner call as the error of its body.
    let inner = async || match timeout_after(secs(9), wins::<E>(9)).await {
        Ok(Err(error)) if error.cancelled().is_some() => Err(error),
        other => panic!("not the outer one's: {other:?}"),
    };
    assert!(timeout_after(secs(1), async { inner().await.map(|_: u64| ()) }).await.is_err());
}

async fn groups<E: Usable>() {
    let value = TaskGroup::<E>::scope(async |g| {
        let one = g.spawn(wins(1));
        g.spawn(async {});
        one.await
    });
    assert_eq!(value.await.unwrap(), 1);

    let mut sibling = None;
    let ended: Result<(), E> = TaskGroup::<E>::scope(async |g| {
        sibling = Some(g.spawn(wins(9)));
        g.spawn(breaks(1, "broken"));
        Ok(sleep(Duration::MAX).await?)
    })
    .await;
    assert_eq!(ended.unwrap_err().text(), "broken");
    assert_eq!(sibling.unwrap().end(), Some(TaskEnd::Cancelled));

    let all = TaskGroup::<E>::scope_all(async |g| {
        g.spawn(breaks(1, "one"));
        g.spawn(breaks(1, "two"));
        g.spawn(wins(9));
        Ok(())
    })
    .await
    .unwrap_err();
    let others: Vec<String> = all.others.iter().map(E::text).collect();
    assert_eq!((all.first.text(), others), ("one".to_owned(), vec!["two".to_owned()]));

    let first_ok = TaskGroup::<E>::with(WaitPolicy::FirstOk);
    first_ok.spawn(breaks(1, "overlooked"));
    first_ok.spawn(wins(2));
    first_ok.spawn(wins(3));
    assert!(first_ok.join().await.is_ok());

    let by_hand = TaskGroup::<E>::new();
    let parked = by_hand.spawn(wins(9));
    testing::settle().await.unwrap();
    parked.cancel().await.unwrap();
    assert!(by_hand.join().await.is_ok());
}

/// A group that is cancelled with its owner passes the owner's cancellation on in `E`.
async fn owners<E: Usable>() {
    let owner: Task<(), E> = spawn(TaskGroup::<E>::scope(async |g| {
        g.spawn(wins(9));
        Ok(())
    }));
    testing::settle().await.unwrap();
    owner.cancel().await.unwrap();
    match owner.join().await.unwrap() {
        Err(TaskError::Cancelled(error)) => assert!(error.cancelled().is_some(), "{error:?}"),
        other => panic!("{other:?}"),
    }
    let timed_out = timeout_after(
        secs(1),
        TaskGroup::<E>::scope(async |g| {
            g.spawn(wins(9));
            Ok(())
        }),
    );
    assert!(timed_out.await.is_err());
}

fn serves<E: Usable>() {
    testing::run(async || {
        tasks::<E>().await;
        timeouts::<E>().await;
        groups::<E>().await;
        owners::<E>().await;
    });
}

/// G2, G3, T2, C6: `anyhow::Error` as the error of tasks, timeouts and groups.
#[test]
fn anyhow_serves_as_an_error() {
    serves::<anyhow::Error>();
}

/// G2, G3, T2, C6: so does `Box<dyn Error>`.
#[test]
fn a_boxed_error_serves_as_an_error() {
    serves::<Box<dyn Error>>();
}

/// G2, G3, T2, C6: so does a boxed error that is `Send` and `Sync`.
#[test]
fn a_boxed_error_that_is_send_serves_as_an_error() {
    serves::<Box<dyn Error + Send + Sync>>();
}

/// G2, G3, T2, C6: so does `io::Error`.
#[test]
fn an_io_error_serves_as_an_error() {
    serves::<io::Error>();
}

/// G2, G3, T2, C6: so does an error type of the program.
#[test]
fn an_error_of_ones_own_serves_as_an_error() {
    serves::<Own>();
}

/// G3: a task's error converts into `anyhow::Error`, its panic and its source included.
#[test]
fn what_a_join_gives_passes_into_anyhow() {
    testing::run(async || {
        let attempt = async {
            let task = spawn::<_, Result<(), Own>>(async {
                sleep(secs(1)).await?;
                panic!("of the task")
            });
            task.join().await??;
            Ok::<(), anyhow::Error>(())
        };
        assert_eq!(attempt.await.unwrap_err().to_string(), "the task panicked: of the task");
        let attempt = async {
            let task: Task<u64, Own> = spawn(breaks(1, "broken"));
            task.join().await??;
            Ok::<(), anyhow::Error>(())
        };
        let error = attempt.await.unwrap_err();
        let chain: Vec<String> = error.chain().map(ToString::to_string).collect();
        assert_eq!(chain, ["the task failed", "broken"]);
    });
}

/// G3: so do all errors of a group.
#[test]
fn what_a_group_gives_passes_into_anyhow() {
    testing::run(async || {
        let attempt = async {
            TaskGroup::<Own>::scope_all(async |g| {
                g.spawn(breaks(1, "broken"));
                Ok(())
            })
            .await?;
            Ok::<(), anyhow::Error>(())
        };
        let error = attempt.await.unwrap_err();
        let chain: Vec<String> = error.chain().map(ToString::to_string).collect();
        assert_eq!(chain, ["one member of a group failed", "broken"]);
    });
}

/// G3, T2: an error that can be looked into and holds no cancellation is a real error, also after a
/// cancel. Boxed errors can be looked into.
#[test]
fn a_failed_cleanup_is_told_from_an_echo_in_boxed_errors() {
    async fn fails<E: Usable>() -> Result<(), E> {
        sleep(Duration::MAX).await.unwrap_err();
        Err(E::broken("the cleanup"))
    }
    async fn both<E: Usable>() {
        let late = timeout_after(secs(1), fails::<E>()).await;
        assert_eq!(late.unwrap().unwrap_err().text(), "the cleanup");
        let all = TaskGroup::<E>::scope_all(async |g| {
            g.spawn(fails());
            g.spawn(wins(9));
            g.spawn(breaks(1, "first"));
            Ok(())
        });
        let all = all.await.unwrap_err();
        let others: Vec<String> = all.others.iter().map(E::text).collect();
        assert_eq!(
            (all.first.text(), others),
            ("first".to_owned(), vec!["the cleanup".to_owned()])
        );
    }
    testing::run(async || {
        both::<io::Error>().await;
        both::<Box<dyn Error>>().await;
        both::<Box<dyn Error + Send + Sync>>().await;
    });
}

/// An error that joins its own task when it is shown, and counts how many of them are dropped.
struct Sly {
    task: Rc<RefCell<Option<Task<(), Sly>>>>,
    drops: Rc<Cell<u32>>,
}

impl fmt::Debug for Sly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(task) = self.task.borrow().as_ref() {
            assert!(task.join().now_or_never().is_some());
        }
        f.write_str("Sly")
    }
}

impl From<TaskCancelled> for Sly {
    fn from(_: TaskCancelled) -> Self {
        Sly { task: Rc::default(), drops: Rc::default() }
    }
}

impl Drop for Sly {
    fn drop(&mut self) {
        self.drops.set(self.drops.get() + 1);
    }
}

/// K9: an error that joins its own task while it is reported is dropped with that task.
#[test]
fn an_error_that_joins_its_task_is_dropped_with_it() {
    testing::run_with(Kernel::builder().on_report(|_| ()), async || {
        let (task, drops) = (Rc::new(RefCell::new(None)), Rc::new(Cell::new(0)));
        let ended = TaskGroup::<Sly>::scope(async |g| {
            g.spawn(async { Err::<(), _>(Sly { task: Rc::default(), drops: Rc::default() }) });
            let sly = Sly { task: task.clone(), drops: drops.clone() };
            *task.borrow_mut() = Some(g.spawn(async move { Err::<(), _>(sly) }));
            sleep(Duration::MAX).await?;
            Ok(())
        })
        .await;
        drop(ended);
        let task = task.take();
        assert_eq!(drops.get(), 0);
        drop(task);
        assert_eq!(drops.get(), 1);
    });
}
