//! What the error of a timed-out body becomes, for every kind of error type (T2, T3).

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use kernel::bounds::HoldsCancellation;
use kernel::{TaskCancelled, TaskTimeout, cancelled, sleep, testing, timeout_after};

use crate::support::time::secs;

type Boxed = Box<dyn Error>;
type BoxedSend = Box<dyn Error + Send + Sync>;

/// An error of a program's own, that the kernel cannot look into.
#[derive(Debug, thiserror::Error)]
enum Own {
    #[error("interrupted")]
    Interrupted(#[from] TaskCancelled),
    #[error("timed out inside")]
    Timeout(#[from] TaskTimeout),
    #[error("the disk is full")]
    DiskFull,
}

/// An error of a program's own that knows a cancellation by name, and does not keep it.
#[derive(Debug, PartialEq)]
enum Bare {
    Cancelled,
    DiskFull,
}

impl From<TaskCancelled> for Bare {
    fn from(_: TaskCancelled) -> Self {
        Bare::Cancelled
    }
}

/// An error that hides its cause.
#[derive(Debug)]
struct Opaque(Option<TaskCancelled>);

impl From<TaskCancelled> for Opaque {
    fn from(cancelled: TaskCancelled) -> Self {
        Opaque(Some(cancelled))
    }
}

/// An error with a cancellation at the end of its chain of sources.
#[derive(Debug)]
struct Wrapped(io::Error);

impl fmt::Display for Wrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("wrapped")
    }
}

impl Error for Wrapped {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

/// A timeout of one second round a body that is parked, and then ends in the result of `cleanup`.
async fn expired<E: HoldsCancellation>(
    cleanup: impl FnOnce(TaskCancelled) -> E,
) -> Result<Result<(), E>, TaskTimeout> {
    let body = async {
        let cancelled = sleep(Duration::MAX).await.unwrap_err();
        sleep(secs(1)).await.expect("cleanup may await");
        Err(cleanup(cancelled))
    };
    timeout_after(secs(1), body).await
}

/// T2: the cancellation, passed on in any kind of error, becomes this call's timeout.
#[test]
fn the_cancellation_passed_on_becomes_the_timeout_whatever_holds_it() {
    testing::run(async || {
        let limits = [
            expired(|cancelled| cancelled).await.unwrap_err(),
            expired(io::Error::from).await.unwrap_err(),
            expired(|cancelled| io::Error::other(io::Error::from(cancelled))).await.unwrap_err(),
            expired(Boxed::from).await.unwrap_err(),
            expired(BoxedSend::from).await.unwrap_err(),
            expired(|cancelled| Boxed::from(Wrapped(cancelled.into()))).await.unwrap_err(),
            expired(|cancelled| io::Error::other(Own::from(cancelled))).await.unwrap_err(),
        ];
        assert_eq!(limits.map(|timeout| timeout.limit()), [secs(1); 7]);
    });
}

/// T2: a failure of the cleanup that the kernel can look into is returned as it is.
#[test]
fn a_real_failure_of_the_cleanup_is_returned_as_it_is() {
    testing::run(async || {
        let failed = expired(|_| io::Error::other("the disk is full")).await;
        assert_eq!(failed.unwrap().unwrap_err().to_string(), "the disk is full");
        let failed = expired(|_| io::Error::from(io::ErrorKind::StorageFull)).await;
        assert_eq!(failed.unwrap().unwrap_err().kind(), io::ErrorKind::StorageFull);
        let failed = expired(|_| Boxed::from("the disk is full")).await;
        assert_eq!(failed.unwrap().unwrap_err().to_string(), "the disk is full");
        let failed = expired(|_| BoxedSend::from(Own::DiskFull)).await;
        assert_eq!(failed.unwrap().unwrap_err().to_string(), "the disk is full");
    });
}

/// C16, T2: an error that the kernel cannot look into becomes the timeout if it has the
/// cancellation, or is what the program makes of any cancellation.
#[test]
fn an_error_that_passes_the_cancellation_on_becomes_the_timeout() {
    testing::run(async || {
        assert!(expired(Own::from).await.is_err());
        assert!(expired(|cancelled| Opaque(Some(cancelled))).await.is_err());
        assert!(expired(|_| Bare::Cancelled).await.is_err());
        assert!(expired(anyhow::Error::from).await.is_err());
        let wrapped = |cancelled| anyhow::Error::from(Own::from(cancelled)).context("while saving");
        assert!(expired(wrapped).await.is_err());
    });
}

/// C16, T2: any other error is the body's own, whatever its type.
#[test]
fn an_error_without_the_cancellation_is_returned_as_it_is() {
    testing::run(async || {
        assert!(matches!(expired(|_| Own::DiskFull).await, Ok(Err(Own::DiskFull))));
        assert!(matches!(expired(|_| Opaque(None)).await, Ok(Err(Opaque(None)))));
        assert!(matches!(expired(|_| Bare::DiskFull).await, Ok(Err(Bare::DiskFull))));
        let failed = expired(|_| anyhow::anyhow!("the disk is full")).await;
        assert_eq!(failed.unwrap().unwrap_err().to_string(), "the disk is full");
    });
}

/// C16: a copy that is kept elsewhere makes an opaque error an echo; its reason does not.
#[test]
fn a_copy_kept_elsewhere_counts_and_its_reason_does_not() {
    testing::run(async || {
        let mut log = Vec::new();
        let kept = expired(|cancelled| {
            log.push(cancelled);
            Own::DiskFull
        });
        assert!(kept.await.is_err());
        let mut reasons = Vec::new();
        let real = expired(|cancelled| {
            reasons.push(cancelled.reason());
            Own::DiskFull
        });
        assert!(matches!(real.await, Ok(Err(Own::DiskFull))));
    });
}

/// T2: without a delivery any error is the body's own.
#[test]
fn without_a_delivery_an_opaque_error_is_the_bodys_own() {
    testing::run(async || {
        let body = async {
            sleep(secs(1)).await.unwrap();
            Err::<(), _>(Bare::Cancelled)
        };
        assert_eq!(timeout_after(secs(2), body).await, Ok(Err(Bare::Cancelled)));
    });
}

/// T3: an inner timeout is an ordinary error to the outer call, in any error type.
#[test]
fn an_inner_timeout_in_an_error_of_ones_own_is_not_the_outers() {
    testing::run(async || {
        let body = async {
            timeout_after(secs(1), sleep(Duration::MAX)).await??;
            Ok::<_, Own>(())
        };
        let outer = timeout_after(secs(5), body).await.expect("not the outer one's time");
        assert!(matches!(outer, Err(Own::Timeout(timeout)) if timeout.limit() == secs(1)));
    });
}

/// T3: an outer expiry passes an inner call in the body's own error type.
#[test]
fn an_outer_expiry_passes_in_the_bodys_error_type() {
    testing::run(async || {
        let body = async {
            let inner = timeout_after(secs(5), async {
                sleep(Duration::MAX).await?;
                Ok::<_, Own>(())
            });
            let inner = inner.await.expect("not the inner one's time");
            assert!(matches!(inner, Err(Own::Interrupted(_))));
            inner
        };
        assert!(timeout_after(secs(1), body).await.is_err());
    });
}

/// T2, T3: `??` in a function of `io::Result`: a timeout has kind `TimedOut`, a cancel `Other`.
#[test]
fn two_question_marks_keep_timeout_and_cancel_apart() {
    async fn read(limit: Duration) -> io::Result<()> {
        Ok(timeout_after(limit, sleep(Duration::MAX)).await??)
    }
    testing::run(async || {
        let own = read(secs(1)).await.unwrap_err();
        assert_eq!(own.kind(), io::ErrorKind::TimedOut);
        assert!(cancelled(&own).is_none());
        let task = kernel::spawn(async {
            let error = read(secs(50)).await.unwrap_err();
            Ok::<_, TaskCancelled>((error.kind(), cancelled(&error).is_some()))
        });
        testing::settle().await.unwrap();
        task.cancel().await.unwrap();
        let seen = task.join().await.unwrap().unwrap();
        assert_eq!(seen, (io::ErrorKind::Other, true));
    });
}
