//! The handlers, which are the same on both runtimes.

use std::io;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::future::BoxFuture;
use tokio_postgres::{Client, Error};

use crate::cache::Cache;
use crate::{LIMIT, REPORT_LIMIT, store};

/// What the handlers need of the runtime.
pub(crate) trait Runtime: Clone + Send + Sync + 'static {
    /// Runs `work` on a connection of the pool, for at most `limit`.
    fn query<T, W>(
        &self,
        limit: Duration,
        work: W,
    ) -> impl Future<Output = io::Result<T>> + Send + 'static
    where
        T: Send + 'static,
        W: Work<T>;

    /// The value of `future`, if it has one within [`LIMIT`].
    fn limited<F>(&self, future: F) -> impl Future<Output = Option<F::Output>> + Send + 'static
    where
        F: Future<Output: Send> + Send + 'static;

    fn cache(&self) -> &Cache;
}

/// A step of `store`, with its arguments.
pub(crate) trait Work<T>:
    for<'a> FnOnce(&'a mut Client) -> BoxFuture<'a, Result<T, Error>> + Send + 'static
{
}

impl<T, W> Work<T> for W where
    W: for<'a> FnOnce(&'a mut Client) -> BoxFuture<'a, Result<T, Error>> + Send + 'static
{
}

pub(crate) fn routes<R: Runtime>(runtime: R) -> Router {
    Router::new()
        .route("/jobs/{key}", get(state::<R>).post(submit::<R>))
        .route("/report/{milliseconds}", get(report::<R>))
        .with_state(runtime)
}

fn failed(error: &io::Error) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response()
}

/// The body has the lines of the job: numbers.
async fn submit<R: Runtime>(
    State(runtime): State<R>,
    Path(key): Path<String>,
    body: String,
) -> Response {
    let lines: Result<Vec<i64>, _> = body.split_whitespace().map(str::parse).collect();
    let Ok(lines) = lines else {
        return (StatusCode::BAD_REQUEST, "a line is no number\n").into_response();
    };
    let submit = runtime
        .query(LIMIT, |client| Box::pin(async move { store::submit(client, &key, &lines).await }));
    match submit.await {
        Ok(true) => StatusCode::CREATED.into_response(),
        Ok(false) => StatusCode::OK.into_response(),
        Err(error) => failed(&error),
    }
}

/// The state of a job, and its result.
async fn state<R: Runtime>(State(runtime): State<R>, Path(key): Path<String>) -> Response {
    if let Some(Some(sum)) = runtime.limited(runtime.cache().get(&key)).await {
        return format!("done {sum}\n").into_response();
    }
    let asked = key.clone();
    let state =
        runtime.query(LIMIT, |client| Box::pin(async move { store::state(client, &asked).await }));
    match state.await {
        Ok(Some((state, None))) => format!("{state}\n").into_response(),
        Ok(Some((state, Some(sum)))) => {
            runtime.limited(runtime.cache().set(&key, sum)).await;
            format!("{state} {sum}\n").into_response()
        }
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => failed(&error),
    }
}

async fn report<R: Runtime>(State(runtime): State<R>, Path(milliseconds): Path<u32>) -> Response {
    let seconds = f64::from(milliseconds) / 1000.0;
    let report =
        runtime.query(REPORT_LIMIT, move |client| Box::pin(store::report(client, seconds)));
    match report.await {
        Ok(report) => report.into_response(),
        Err(error) => failed(&error),
    }
}
