//! A server over the cores of `kernels`.

use curium::kernel::Core;
use curium::net::{Balance, CoreExt, Serve, ToSocketAddrs};
use hyper::body::{Body, Incoming};
use hyper::service::Service;
use hyper::{Request, Response};

use crate::connection::{Anything, serve_connection};

/// [`serve`](crate::serve()) over the cores of [`kernels`](curium::kernel::kernels): every core
/// that calls this with the same address and balance takes part, as with
/// [`core.serve`](CoreExt::serve). Each core has a service of its own.
///
/// A router of axum is a service in the
/// [`TowerToHyperService`](hyper_util::service::TowerToHyperService) of hyper-util.
///
/// ```no_run
/// use std::{convert::Infallible, time::Duration};
/// use curium::net::Balance;
/// use curium::signal::{SIGTERM, first_signal};
/// use curium::{Cores, kernels};
/// use curium_hyper::serve_on_cores;
/// use hyper::{Request, Response, body::Incoming, service::service_fn};
///
/// async fn hello(_: Request<Incoming>) -> Result<Response<String>, Infallible> {
///     Ok(Response::new("hello\n".into()))
/// }
///
/// let signal = first_signal([SIGTERM])?;
/// let cores = Cores::all().drain(Duration::from_secs(10)).stop_when(async || drop(signal.await));
/// kernels(cores, async |core| {
///     let server = serve_on_cores(&core, "127.0.0.1:0", Balance::Fewest, service_fn(hello));
///     server.on_listening(|address| println!("listening on {address}")).await
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// Those of [`core.serve`](CoreExt::serve); of connections, as [`serve`](crate::serve()).
///
/// # Cancellation
///
/// As [`serve`](crate::serve()). When the cores [stop](Core::stop), requests have the time that
/// [`Cores::drain`](curium::kernel::Cores::drain) gives.
#[track_caller]
pub fn serve_on_cores<S, B>(
    core: &Core,
    address: impl ToSocketAddrs,
    balance: Balance,
    service: S,
) -> Serve
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + 'static,
    S::Future: 'static,
    S::Error: Into<Anything>,
    B: Body + 'static,
    B::Error: Into<Anything>,
{
    core.serve(address, balance, async move |stream, _peer| {
        // The answer is one write, and waits for no other.
        let _ = stream.set_nodelay(true);
        serve_connection(stream, service.clone(), |_| ()).await
    })
}
