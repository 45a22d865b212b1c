//! `select!`: wait at several await points, and go on with the first that is ready (S6).

use crate::core::current;

/// Waits at several await points until one is ready, and runs its code.
///
/// Each arm is `pattern = future => code`, as in a `match`. The other futures are dropped before
/// the code runs. By the rules of Curium's leaves a dropped wait loses nothing: an item that was
/// handed to it goes to the next waiter, bytes stay in the socket. There are up to sixteen arms.
///
/// ```
/// use curium::prelude::*;
/// use curium::select;
///
/// /// Gives the items of a queue until it is stopped.
/// async fn drain(queue: &Queue<u32>, stop: &Event) -> Result<Vec<u32>> {
///     let mut items = Vec::new();
///     loop {
///         select! {
///             item = queue.get() => items.push(item?),
///             stopped = stop.wait() => {
///                 stopped?;
///                 return Ok(items);
///             }
///         }
///     }
/// }
///
/// # curium::testing::run(async || {
/// let (queue, stop) = (Queue::unbounded(), Event::new());
/// let (drained, ()) = curium::gather((drain(&queue, &stop), async {
///     queue.put(1).await?;
///     queue.put(2).await?;
///     sleep(Duration::from_secs(1)).await?;
///     stop.set();
///     Ok(())
/// }))
/// .await?;
/// assert_eq!(drained, [1, 2]);
/// # Ok::<_, TaskCancelled>(())
/// # }).unwrap();
/// ```
///
/// The futures are polled in turns that begin with another arm each time, so that an arm that is
/// always ready holds up no other. The seed of the kernel decides where the first begins. With
/// `biased;` at the beginning they are polled in the order in which they are written.
///
/// With `default => code` as the last arm it does not wait: if no future is ready at its first
/// poll, that code runs.
///
/// ```
/// # use curium::prelude::*;
/// # use curium::select;
/// # curium::testing::run(async || {
/// # let (urgent, queue) = (Queue::<u32>::unbounded(), Queue::<u32>::unbounded());
/// let next = select! {
///     biased;
///     item = urgent.get() => Some(item?),
///     item = queue.get() => Some(item?),
///     default => None,
/// };
/// assert_eq!(next, None);
/// # Ok::<_, TaskCancelled>(())
/// # }).unwrap();
/// ```
///
/// # Single await points
///
/// The arms should be single await points: a receive, a sleep, an accept, a lock. A future of
/// several steps that is dropped between two of them loses what it has done so far. For longer work
/// use [`race`](crate::race), which cancels and awaits the losers.
///
/// The `select!` of `futures` and of `tokio` work as well.
///
/// # Cancellation
///
/// Reaches the futures that are parked: the arm whose future returns the error runs.
#[macro_export]
macro_rules! select {
    (biased; $($arms:tt)+) => {
        $crate::__select!(@arms biased () (
            (a 0) (b 1) (c 2) (d 3) (e 4) (f 5) (g 6) (h 7)
            (i 8) (j 9) (k 10) (l 11) (m 12) (n 13) (o 14) (p 15)
        ) $($arms)+)
    };
    ($($arms:tt)+) => {
        $crate::__select!(@arms turns () (
            (a 0) (b 1) (c 2) (d 3) (e 4) (f 5) (g 6) (h 7)
            (i 8) (j 9) (k 10) (l 11) (m 12) (n 13) (o 14) (p 15)
        ) $($arms)+)
    };
    () => { $crate::__select!(@wrong) };
}

/// Takes the arms apart. Each arm gets a name and a number.
#[doc(hidden)]
#[macro_export]
macro_rules! __select {
    (@arms $order:ident ($($done:tt)+) $names:tt) => {
        $crate::__select!(@run $order ($($done)+) ())
    };
    (@arms $order:ident ($($done:tt)+) $names:tt default => $code:expr $(,)?) => {
        $crate::__select!(@run $order ($($done)+) ($code))
    };
    (@arms $order:ident ($($done:tt)*) (($name:ident $at:tt) $($names:tt)*)
        $pattern:pat = $future:expr => $code:block, $($rest:tt)*) => {
        $crate::__select!(@arms $order ($($done)* ($name $at ($pattern) ($future) ($code)))
            ($($names)*) $($rest)*)
    };
    (@arms $order:ident ($($done:tt)*) (($name:ident $at:tt) $($names:tt)*)
        $pattern:pat = $future:expr => $code:block $($rest:tt)*) => {
        $crate::__select!(@arms $order ($($done)* ($name $at ($pattern) ($future) ($code)))
            ($($names)*) $($rest)*)
    };
    (@arms $order:ident ($($done:tt)*) (($name:ident $at:tt) $($names:tt)*)
        $pattern:pat = $future:expr => $code:expr, $($rest:tt)*) => {
        $crate::__select!(@arms $order ($($done)* ($name $at ($pattern) ($future) ($code)))
            ($($names)*) $($rest)*)
    };
    (@arms $order:ident ($($done:tt)*) (($name:ident $at:tt) $($names:tt)*)
        $pattern:pat = $future:expr => $code:expr) => {
        $crate::__select!(@arms $order ($($done)* ($name $at ($pattern) ($future) ($code)))
            ($($names)*))
    };
    (@arms $order:ident $done:tt () $($wrong:tt)*) => {
        ::core::compile_error!("a `select!` has up to sixteen arms")
    };
    (@arms $($wrong:tt)*) => { $crate::__select!(@wrong) };
    (@wrong) => {
        ::core::compile_error!(
            "an arm of `select!` is `pattern = future => code`, with a comma after code that is no \
             block; the last one may be `default => code`"
        )
    };
    (@run $order:ident ($(($name:ident $at:tt ($pattern:pat) ($future:expr) ($code:expr)))+)
        ($($default:expr)?)) => {{
        $(let mut $name = ::core::option::Option::None;)+
        let arms = [$($at),+].len();
        let waits = $crate::__select!(@waits $($default)?);
        let start = $crate::__select!(@start $order arms);
        let ready = {
            // The futures are dropped at the end of this block.
            let mut futures = ($(
                ::core::pin::pin!(::core::future::IntoFuture::into_future($future)),
            )+);
            $(let $name = &mut $name;)+
            ::core::future::poll_fn(|cx| {
                for turn in 0..arms {
                    match (start + turn) % arms {
                        $($at => {
                            let future = $crate::__select!(@field futures $at);
                            if let ::core::task::Poll::Ready(value) =
                                ::core::future::Future::poll(future.as_mut(), cx)
                            {
                                *$name = ::core::option::Option::Some(value);
                                return ::core::task::Poll::Ready($at);
                            }
                        })+
                        _ => {}
                    }
                }
                if waits { ::core::task::Poll::Pending } else { ::core::task::Poll::Ready(arms) }
            })
            .await
        };
        match ready {
            $($at => match $name.expect("the arm that is ready has its value") {
                $pattern => $code,
            },)+
            _ => $crate::__select!(@default $($default)?),
        }
    }};
    (@field $futures:ident $at:tt) => { &mut $futures.$at };
    (@start biased $arms:ident) => { 0 };
    (@start turns $arms:ident) => { $crate::__select_start($arms) };
    (@waits) => { true };
    (@waits $default:expr) => { false };
    (@default) => { ::core::unreachable!("it waits until an arm is ready") };
    (@default $default:expr) => { $default };
}

/// The arm with which a `select!` begins.
#[doc(hidden)]
pub fn __select_start(arms: usize) -> usize {
    current::try_with(|core| core.next_turn() as usize % arms).unwrap_or(0)
}
