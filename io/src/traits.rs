//! The stream traits of tokio and of hyper, for every stream.
//!
//! Their traits are implemented where a stream is defined, by one macro that calls the poll
//! functions of `futures-io`. It expands to nothing for what is not a feature of this crate.

#[cfg(feature = "hyper")]
pub use hyper::rt as hyper;
#[cfg(feature = "tokio-io")]
pub use tokio::io as tokio;

/// The items, if the feature `tokio-io` is on.
#[cfg(feature = "tokio-io")]
#[doc(hidden)]
#[macro_export]
macro_rules! if_tokio_io {
    ($($item:item)*) => { $($item)* };
}

#[cfg(not(feature = "tokio-io"))]
#[doc(hidden)]
#[macro_export]
macro_rules! if_tokio_io {
    ($($item:item)*) => {};
}

/// The items, if the feature `hyper` is on.
#[cfg(feature = "hyper")]
#[doc(hidden)]
#[macro_export]
macro_rules! if_hyper {
    ($($item:item)*) => { $($item)* };
}

#[cfg(not(feature = "hyper"))]
#[doc(hidden)]
#[macro_export]
macro_rules! if_hyper {
    ($($item:item)*) => {};
}

/// Implements the traits of the other crates for a type that implements those of `futures-io`:
/// `read`, `buffered` (a `read` with a buffer), or `write`, which says whether a vectored write is
/// one system call. `read_by` is the `read` of a source with a function that reads from it: what a
/// read into uninitialized memory needs is then done only where the source is tried.
#[doc(hidden)]
#[macro_export]
macro_rules! other_traits {
    (read [$($of:tt)*] $type:ty $(where $($bounds:tt)*)?) => {
        $crate::if_tokio_io! {
            impl<$($of)*> $crate::traits::tokio::AsyncRead for $type $(where $($bounds)*)? {
                fn poll_read(
                    self: ::std::pin::Pin<&mut Self>,
                    cx: &mut ::std::task::Context<'_>,
                    buf: &mut $crate::traits::tokio::ReadBuf<'_>,
                ) -> ::std::task::Poll<::std::io::Result<()>> {
                    let read = |room: &mut [u8]| $crate::AsyncRead::poll_read(self, cx, room);
                    if buf.initialized().len() == buf.capacity() {
                        let room = buf.initialize_unfilled();
                        return read(room).map_ok(|read| buf.advance(read));
                    }
                    // To initialize all of a large buffer costs more than to copy what is read.
                    $crate::traits::fill(buf.remaining(), read, |bytes| buf.put_slice(bytes))
                }
            }
        }
        $crate::if_hyper! {
            impl<$($of)*> $crate::traits::hyper::Read for $type $(where $($bounds)*)? {
                fn poll_read(
                    self: ::std::pin::Pin<&mut Self>,
                    cx: &mut ::std::task::Context<'_>,
                    mut cursor: $crate::traits::hyper::ReadBufCursor<'_>,
                ) -> ::std::task::Poll<::std::io::Result<()>> {
                    let read = |room: &mut [u8]| $crate::AsyncRead::poll_read(self, cx, room);
                    let room = cursor.remaining();
                    $crate::traits::fill(room, read, |bytes| cursor.put_slice(bytes))
                }
            }
        }
    };
    (read_by [$($of:tt)*] $type:ty, $stream:ident => $on:expr, $poll:path, $read:path) => {
        $crate::if_tokio_io! {
            impl<$($of)*> $crate::traits::tokio::AsyncRead for $type {
                fn poll_read(
                    self: ::std::pin::Pin<&mut Self>,
                    cx: &mut ::std::task::Context<'_>,
                    buf: &mut $crate::traits::tokio::ReadBuf<'_>,
                ) -> ::std::task::Poll<::std::io::Result<()>> {
                    let $stream = &*self;
                    if buf.initialized().len() == buf.capacity() {
                        let room = buf.remaining();
                        let read = |source: &_| $read(source, buf.initialize_unfilled());
                        return $poll($on, cx, room, read).map_ok(|read| buf.advance(read));
                    }
                    let room = $crate::traits::room(buf.remaining());
                    $poll($on, cx, room, |source| {
                        let read = |room: &mut [u8]| $read(source, room);
                        $crate::traits::copied(room, read, |bytes| buf.put_slice(bytes))
                    })
                    .map_ok(drop)
                }
            }
        }
        $crate::if_hyper! {
            impl<$($of)*> $crate::traits::hyper::Read for $type {
                fn poll_read(
                    self: ::std::pin::Pin<&mut Self>,
                    cx: &mut ::std::task::Context<'_>,
                    mut cursor: $crate::traits::hyper::ReadBufCursor<'_>,
                ) -> ::std::task::Poll<::std::io::Result<()>> {
                    let $stream = &*self;
                    let room = $crate::traits::room(cursor.remaining());
                    $poll($on, cx, room, |source| {
                        let read = |room: &mut [u8]| $read(source, room);
                        $crate::traits::copied(room, read, |bytes| cursor.put_slice(bytes))
                    })
                    .map_ok(drop)
                }
            }
        }
    };
    (buffered [$($of:tt)*] $type:ty) => {
        $crate::other_traits!(read [$($of)*] $type);
        $crate::if_tokio_io! {
            impl<$($of)*> $crate::traits::tokio::AsyncBufRead for $type {
                fn poll_fill_buf(
                    self: ::std::pin::Pin<&mut Self>,
                    cx: &mut ::std::task::Context<'_>,
                ) -> ::std::task::Poll<::std::io::Result<&[u8]>> {
                    $crate::AsyncBufRead::poll_fill_buf(self, cx)
                }

                fn consume(self: ::std::pin::Pin<&mut Self>, amount: usize) {
                    $crate::AsyncBufRead::consume(self, amount);
                }
            }
        }
    };
    (write [$($of:tt)*] $type:ty, $vectored:literal $(where $($bounds:tt)*)?) => {
        $crate::if_tokio_io! {
            impl<$($of)*> $crate::traits::tokio::AsyncWrite for $type $(where $($bounds)*)? {
                $crate::write_functions!($vectored);
            }
        }
        $crate::if_hyper! {
            impl<$($of)*> $crate::traits::hyper::Write for $type $(where $($bounds)*)? {
                $crate::write_functions!($vectored);
            }
        }
    };
}

/// The functions of `AsyncWrite` of tokio, and of `Write` of hyper: they have the same names.
#[cfg(any(feature = "tokio-io", feature = "hyper"))]
#[doc(hidden)]
#[macro_export]
macro_rules! write_functions {
    ($vectored:literal) => {
        fn poll_write(
            self: ::std::pin::Pin<&mut Self>,
            cx: &mut ::std::task::Context<'_>,
            buf: &[u8],
        ) -> ::std::task::Poll<::std::io::Result<usize>> {
            $crate::AsyncWrite::poll_write(self, cx, buf)
        }

        fn poll_write_vectored(
            self: ::std::pin::Pin<&mut Self>,
            cx: &mut ::std::task::Context<'_>,
            bufs: &[::std::io::IoSlice<'_>],
        ) -> ::std::task::Poll<::std::io::Result<usize>> {
            $crate::AsyncWrite::poll_write_vectored(self, cx, bufs)
        }

        fn is_write_vectored(&self) -> bool {
            $vectored
        }

        fn poll_flush(
            self: ::std::pin::Pin<&mut Self>,
            cx: &mut ::std::task::Context<'_>,
        ) -> ::std::task::Poll<::std::io::Result<()>> {
            $crate::AsyncWrite::poll_flush(self, cx)
        }

        fn poll_shutdown(
            self: ::std::pin::Pin<&mut Self>,
            cx: &mut ::std::task::Context<'_>,
        ) -> ::std::task::Poll<::std::io::Result<()>> {
            $crate::AsyncWrite::poll_close(self, cx)
        }
    };
}

#[cfg(any(feature = "hyper", feature = "tokio-io"))]
thread_local! {
    static SCRATCH: std::cell::Cell<Vec<u8>> = const { std::cell::Cell::new(Vec::new()) };
}

/// The most bytes that are read at once into a buffer that is not initialized.
#[cfg(any(feature = "hyper", feature = "tokio-io"))]
const SIZE: usize = 64 * 1024;

/// How much of a buffer that is not initialized one read fills.
#[cfg(any(feature = "hyper", feature = "tokio-io"))]
#[inline]
pub fn room(of_buffer: usize) -> usize {
    of_buffer.min(SIZE)
}

/// Fills a buffer that is not initialized, which safe code can only copy into. `room` is that of
/// [`room`](room()). Returns the number of bytes.
#[cfg(any(feature = "hyper", feature = "tokio-io"))]
#[inline]
pub fn copied(
    room: usize,
    read: impl FnOnce(&mut [u8]) -> std::io::Result<usize>,
    put: impl FnOnce(&[u8]),
) -> std::io::Result<usize> {
    with_scratch(|scratch| {
        let read = read(&mut scratch[..room])?;
        put(&scratch[..read]);
        Ok(read)
    })
}

/// The same by a poll function, for a buffer with `room`.
#[cfg(any(feature = "hyper", feature = "tokio-io"))]
pub fn fill(
    room: usize,
    read: impl FnOnce(&mut [u8]) -> std::task::Poll<std::io::Result<usize>>,
    put: impl FnOnce(&[u8]),
) -> std::task::Poll<std::io::Result<()>> {
    with_scratch(|scratch| {
        let polled = read(&mut scratch[..room.min(SIZE)]);
        polled.map_ok(|read| put(&scratch[..read]))
    })
}

/// Calls `f` with [`SIZE`] bytes. They are taken out of the thread meanwhile, because a stream may
/// read another one inside.
#[cfg(any(feature = "hyper", feature = "tokio-io"))]
#[inline]
fn with_scratch<R>(f: impl FnOnce(&mut [u8]) -> R) -> R {
    SCRATCH.with(|kept| {
        let mut scratch = kept.take();
        if scratch.is_empty() {
            scratch = vec![0; SIZE];
        }
        let result = f(&mut scratch);
        kept.set(scratch);
        result
    })
}
