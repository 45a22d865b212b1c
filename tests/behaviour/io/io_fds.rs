//! Descriptors of any kind.

use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use curium::io::{AsyncFd, Direction};
use curium::kernel::testing;
use curium::kernel::{
    Result, TaskError, cancellable, cancellable_after, cancelled, gather, ignore_after, now, spawn,
};

use crate::support::time::SECOND;

/// I4: to wait for a descriptor is exact, also for one that blocks and with what other code has
/// read meanwhile.
#[test]
fn a_descriptor_is_readable_when_a_read_would_not_block() {
    testing::run(async || {
        let (ours, mut theirs) = UnixStream::pair()?;
        let fd = AsyncFd::new(&ours);
        for _ in 0..3 {
            assert!(ignore_after(SECOND, fd.readable()).await?.is_none());
            theirs.write_all(b"ab")?;
            fd.readable().await?;
            assert_eq!((&ours).read(&mut [0])?, 1);
            fd.readable().await?;
            assert_eq!((&ours).read(&mut [0; 2])?, 1);
        }
        fd.writable().await?;
        drop(theirs);
        fd.readable().await?;
        assert_eq!((&ours).read(&mut [0])?, 0);
        let file = AsyncFd::new(std::fs::File::open("/dev/null")?);
        file.readable().await?;
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// I4, N1: an operation is tried until it does not block, and waits in between. One attempt is
/// remembered.
#[test]
fn an_operation_waits_until_it_does_not_block() {
    testing::run(async || {
        let (ours, mut theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let fd = Rc::new(AsyncFd::new(ours));
        let tried = fd.try_io(Direction::Read, |mut fd| fd.read(&mut [0]));
        assert_eq!(tried.unwrap_err().kind(), ErrorKind::WouldBlock);
        let reads = fd.clone();
        let reader =
            spawn(async move { reads.io(Direction::Read, |mut fd| fd.read(&mut [0; 8])).await });
        testing::settle().await?;
        assert_eq!(reader.state().to_string(), "READ");
        theirs.write_all(b"abc")?;
        assert_eq!(reader.await?, 3);
        let filled = loop {
            match fd.try_io(Direction::Write, |mut fd| fd.write(&[0; 4096])) {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(filled.kind(), ErrorKind::WouldBlock);
        assert!(ignore_after(SECOND, fd.writable()).await?.is_none());
        std::thread::spawn(move || theirs.read_exact(&mut vec![0; 100_000]).unwrap());
        fd.writable().await?;
        fd.with(|fd| fd.set_nonblocking(false))?;
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// I1, I4: the poll function waits for the same events, and is no leaf: a leaf around it is
/// cancelled.
#[test]
fn a_poll_of_a_descriptor_waits_until_it_does_not_block() {
    testing::run(async || {
        let (ours, mut theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let fd = AsyncFd::new(ours);
        let read = || poll_fn(|cx| fd.poll_io(Direction::Read, cx, |mut fd| fd.read(&mut [0; 8])));
        let begun = now();
        assert!(cancellable_after(SECOND, read()).await.is_err());
        assert_eq!(now() - begun, SECOND);
        let write = async {
            theirs.write_all(b"abc").unwrap();
            Ok(())
        };
        let (read, ()) = gather((cancellable(read()), write)).await?;
        assert_eq!(read?, 3);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// I4, N3: a second task that waits for the same direction is refused, and the first is unharmed
/// and can be cancelled.
#[test]
fn one_task_waits_for_a_direction_of_a_descriptor() {
    testing::run(async || {
        let (ours, _theirs) = UnixStream::pair()?;
        let fd = Rc::new(AsyncFd::new(ours));
        let waits = fd.clone();
        let waiter = spawn(async move { waits.readable().await });
        testing::settle().await?;
        let busy = fd.readable().await.unwrap_err();
        assert_eq!(busy.kind(), ErrorKind::ResourceBusy);
        fd.writable().await?;
        waiter.cancel().await?;
        let Err(TaskError::Cancelled(error)) = waiter.join().await? else { panic!("it has ended") };
        assert!(cancelled(&error).is_some());
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// I4: a borrowed descriptor is not waited for any more when the `AsyncFd` is dropped, nor is one
/// that was taken out. So it can be in another one.
#[test]
fn a_descriptor_is_given_back() -> Result<(), io::Error> {
    let (ours, mut theirs) = UnixStream::pair()?;
    testing::run(async || {
        for _ in 0..2 {
            let fd = AsyncFd::new(&ours);
            assert!(ignore_after(SECOND, fd.readable()).await?.is_none());
        }
        let fd = AsyncFd::new(ours);
        assert!(ignore_after(SECOND, fd.readable()).await?.is_none());
        let fd = AsyncFd::new(fd.into_inner());
        theirs.write_all(b"x")?;
        fd.readable().await
    })
}
