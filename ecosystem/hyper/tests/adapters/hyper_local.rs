//! `local`: a future that is `Send` for one that is not.

use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use curium::kernel::{
    self, GroupRef, TaskCancelled, TaskGroup, cancellable, now, select, sleep, spawn, testing,
};
use curium::sync::Lock;
use curium_hyper::{Local, LocalEnded, local, serve_router};

use crate::kit::{Counts, bound, head, quiet, rest, run, secs, sent};

fn send<T: Send>(value: T) -> T {
    value
}

/// E1: a body that is not `Send` gives its value through a future that is.
#[test]
fn a_body_that_is_not_send_gives_its_value() {
    quiet(async || {
        TaskGroup::<TaskCancelled>::scope(async |group| {
            let lock = Rc::new(Lock::new(7));
            let value = send(local(group, async move {
                sleep(secs(1)).await?;
                Ok::<_, TaskCancelled>(*lock.acquire().await?)
            }));
            assert_eq!(value.await, Ok(Ok(7)));
            Ok(())
        })
        .await
        .unwrap();
    });
}

/// E1: if the future is dropped, its body is cancelled and cleans up, and the group awaits that.
#[test]
fn a_body_is_cancelled_when_its_future_is_dropped() {
    quiet(async || {
        let counts = Rc::new(Counts::default());
        let begun = now();
        TaskGroup::<TaskCancelled>::scope(async |group| {
            // Dropped before its body was polled, and while that waits.
            drop(local(group, counts.clone().work("/1000".to_owned())));
            let mut value = local(group, counts.clone().work("/1000".to_owned()));
            select! {
                value = &mut value => panic!("{value:?}"),
                slept = sleep(secs(5)) => slept?,
            }
            drop(value);
            assert_eq!(counts.alive.get(), 1);
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!((counts.cleaned.get(), counts.alive.get()), (2, 0));
        assert_eq!(now() - begun, secs(6));
    });
}

/// E1: a body gets the cancellation of its group, and its value is what it makes of it.
#[test]
fn a_body_ends_with_its_group() {
    quiet(async || {
        let counts = Rc::new(Counts::default());
        let mut values: Vec<Local<_>> = Vec::new();
        TaskGroup::<TaskCancelled>::scope(async |group| {
            values.push(local(group, counts.clone().work("/1000".to_owned())));
            testing::settle().await
        })
        .await
        .unwrap();
        assert_eq!((counts.cleaned.get(), kernel::tasks().len()), (1, 1));
        assert!(matches!(values.pop().unwrap().await, Ok(Err(_))));
    });
}

/// E1: without a value the future says so: in a group that has ended, after a panic, which is
/// reported and fails no group, and after an abort.
#[test]
fn a_body_without_a_value_is_an_error() {
    let (ended, reports) = run(async || {
        let group = TaskGroup::<TaskCancelled>::scope(async |group| {
            let value = local(group, async { panic!("the body panics") });
            assert_eq!(cancellable(value).await?.map(|(): ()| ()), Err(LocalEnded));
            Ok(group)
        })
        .await?;
        assert_eq!(local(group, async { 1 }).await, Err(LocalEnded));
        let mut values = Vec::new();
        TaskGroup::<TaskCancelled>::scope_within(secs(1), async |group| {
            values.push(local(group, async {
                let _ = sleep(secs(1000)).await;
                let _ = sleep(secs(1000)).await;
            }));
            testing::settle().await
        })
        .await?;
        assert_eq!(values.pop().expect("one").await, Err(LocalEnded));
        Ok::<_, TaskCancelled>(())
    });
    ended.unwrap();
    assert_eq!(reports.len(), 2, "{reports:?}");
    assert!(reports[0].contains("the body panics"), "{reports:?}");
    assert!(!LocalEnded.to_string().is_empty());
}

struct Unwoken;

impl Wake for Unwoken {
    fn wake(self: Arc<Self>) {}
}

/// E1: the future may be dropped on another thread, which cancels the body in its kernel.
#[test]
fn a_future_that_is_dropped_on_another_thread_cancels_its_body() {
    quiet(async || {
        TaskGroup::<TaskCancelled>::scope(async |group| {
            let value = local(group, async { sleep(secs(1000)).await.is_err() });
            testing::settle().await?;
            std::thread::spawn(move || {
                let waker = Waker::from(Arc::new(Unwoken));
                let polled = pin!(value).poll(&mut Context::from_waker(&waker));
                assert_eq!(polled, Poll::Pending);
            })
            .join()
            .unwrap();
            while kernel::tasks().len() > 1 {
                curium::yield_now().await?;
            }
            Ok(())
        })
        .await
        .unwrap();
    });
}

fn router(group: GroupRef<io::Error>, counts: &Rc<Counts>) -> Router {
    // What is kept outside the tasks is `Send`, as axum demands: here the key of a table.
    thread_local!(static COUNTS: std::cell::RefCell<Option<Rc<Counts>>> = const {
        std::cell::RefCell::new(None)
    });
    COUNTS.set(Some(counts.clone()));
    let work = async move |Path(path): Path<String>| {
        let counts = COUNTS.with_borrow(|counts| counts.clone().expect("it is set"));
        let text = async move { counts.work(path).await.map_err(|error| error.to_string()) };
        local(group, text).await
    };
    Router::new().route("/{seconds}", get(work))
}

/// E1, E2: a handler of axum cleans up when its client is gone, over HTTP/1; one that is in flight
/// when the server stops is answered, and those that take too long are cancelled.
#[test]
fn a_handler_of_axum_cleans_up_when_its_client_is_gone() {
    quiet(async || {
        let (listener, address) = bound().await?;
        let counts = Rc::new(Counts::default());
        let theirs = counts.clone();
        let server = spawn(TaskGroup::scope(async move |group| {
            serve_router(listener, router(group, &theirs)).drain(secs(10)).await
        }));
        let gone = sent(address, &head("/1000")).await?;
        let busy = sent(address, &head("/3")).await?;
        let slow = sent(address, &head("/2000")).await?;
        sleep(secs(1)).await?;
        gone.close();
        sleep(secs(1)).await?;
        assert_eq!((counts.alive.get(), counts.cleaned.get()), (3, 0), "it cleans up");
        sleep(secs(1)).await?;
        assert_eq!((counts.alive.get(), counts.cleaned.get()), (1, 1), "and one has answered");
        let begun = now();
        server.cancel().await?;
        assert_eq!(now() - begun, secs(11), "the time to drain, the cleanup");
        assert_eq!((counts.alive.get(), counts.cleaned.get()), (0, 2));
        let text = rest(&busy).await?;
        assert!(text.ends_with("worked 3 s"), "{text}");
        assert_eq!(rest(&slow).await?, "");
        Ok::<_, io::Error>(())
    })
    .unwrap();
}
