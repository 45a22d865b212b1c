//! axum.

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use curium::net::{Serve, TcpListener};
use hyper_util::service::TowerToHyperService;

use crate::local::LocalEnded;
use crate::serve;

/// [`serve`] for a router of axum.
///
/// axum demands that handlers are `Send`, and what waits in Curium is not. So the body of a handler
/// is put into [`local`](crate::local()), in a group around the server:
///
/// ```
/// use axum::{Router, response::IntoResponse, routing::get};
/// use curium::net::TcpListener;
/// use curium::prelude::*;
/// use curium_hyper::{local, serve_router};
///
/// async fn server(listener: TcpListener) -> std::io::Result<()> {
///     TaskGroup::scope(async |group| {
///         let slow = async move || local(group, async {
///             sleep(Duration::from_secs(1)).await.map(|()| "done").map_err(|_| "cancelled")
///         }).await;
///         let router = Router::new().route("/slow", get(slow));
///         serve_router(listener, router).drain(Duration::from_secs(10)).await
///     })
///     .await
/// }
/// ```
///
/// # Errors
///
/// Those of [`serve`].
///
/// # Cancellation
///
/// As [`serve`].
#[track_caller]
pub fn serve_router(listener: TcpListener, router: Router) -> Serve {
    serve(listener, TowerToHyperService::new(router))
}

/// The status 500.
impl IntoResponse for LocalEnded {
    fn into_response(self) -> Response {
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}
