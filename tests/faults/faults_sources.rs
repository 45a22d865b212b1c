//! Sources that the poll cannot watch, and descriptors that are closed or replaced without the
//! reactor: an error at once, or a wait that can be cancelled, and no busy loop.

#![cfg(target_os = "linux")]

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use kernel::io::{Direction, Registration};
use kernel::{Task, TaskError, TaskState, sleep, spawn, testing, timeout_after};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

use crate::support::children;
use crate::support::tasks::cycles;

/// A descriptor that the test can close without the reactor.
#[derive(Clone)]
struct Loose(Rc<RefCell<Option<OwnedFd>>>);

impl Loose {
    fn new(fd: impl Into<OwnedFd>) -> Self {
        Loose(Rc::new(RefCell::new(Some(fd.into()))))
    }

    fn raw(&self) -> io::Result<i32> {
        let fd = self.0.borrow();
        fd.as_ref().map(AsRawFd::as_raw_fd).ok_or_else(|| io::Error::other("it is gone"))
    }

    /// Reads through a duplicate, as a socket does, so that nothing of the source is borrowed.
    fn read(&self) -> io::Result<Vec<u8>> {
        let fd = self.0.borrow();
        let fd = fd.as_ref().ok_or_else(|| io::Error::other("it is gone"))?;
        let mut file = File::from(fd.as_fd().try_clone_to_owned()?);
        let mut buf = [0; 16];
        let n = file.read(&mut buf)?;
        Ok(buf[..n].to_vec())
    }
}

impl mio::event::Source for Loose {
    fn register(&mut self, registry: &Registry, token: Token, how: Interest) -> io::Result<()> {
        SourceFd(&self.raw()?).register(registry, token, how)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, how: Interest) -> io::Result<()> {
        SourceFd(&self.raw()?).reregister(registry, token, how)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        SourceFd(&self.raw()?).deregister(registry)
    }
}

/// Two non-blocking ends.
fn ends() -> (UnixStream, UnixStream) {
    let (here, there) = UnixStream::pair().unwrap();
    here.set_nonblocking(true).unwrap();
    there.set_nonblocking(true).unwrap();
    (here, there)
}

/// A task parked in a read of that descriptor.
fn reader(loose: &Loose) -> Task<Vec<u8>, io::Error> {
    let registration = Registration::new(loose.clone());
    spawn(async move { registration.io(Direction::Read, "READ", Loose::read).await })
}

/// N1: a source that the poll cannot watch is refused at once, in both directions, and again. No
/// task waits.
#[test]
fn what_cannot_be_waited_for_is_an_error_at_once() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    let plain = std::env::current_exe().unwrap();
    let folder = plain.parent().unwrap().to_owned();
    testing::run(async || {
        for path in [plain.clone(), folder.clone(), "/dev/null".into(), "/proc/self/stat".into()] {
            let opened = Registration::new(Loose::new(File::open(&path).unwrap()));
            for direction in [Direction::Read, Direction::Write, Direction::Read] {
                // The operation itself returns that it must wait.
                let waiting = opened
                    .io(direction, "WAIT", |_| Err::<(), _>(io::ErrorKind::WouldBlock.into()));
                let refused = timeout_after(Duration::from_secs(3600), waiting).await;
                let refused = refused.expect("it waits").unwrap_err();
                assert_eq!(refused.raw_os_error(), Some(1), "{}: {refused}", path.display());
            }
            // It can still be used while it does not have to wait.
            let used = opened.io(Direction::Read, "LOOK", |file| file.raw()).await;
            assert!(used.is_ok(), "{}: {used:?}", path.display());
        }
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N4, C5: if a descriptor is closed without the reactor, its reader stays parked, without a busy
/// loop. The reader can be cancelled, and the number serves another source.
#[test]
fn a_descriptor_closed_behind_our_back_leaves_the_wait_cancellable() {
    // So that no other code takes the number.
    if children::ran_alone(children::this_test!()) {
        return;
    }
    testing::run(async || {
        let (here, mut there) = ends();
        let loose = Loose::new(here);
        let reader = reader(&loose);
        testing::settle().await?;
        let before = cycles(&reader);
        let number = loose.raw()?;
        drop(loose.0.take());
        // Its next occupant is watched like any other.
        let (next, mut next_end) = ends();
        let next = Loose::new(next);
        assert_eq!(next.raw()?, number, "the number was free");
        let next_reader = self::reader(&next);
        testing::settle().await?;
        assert!(there.write_all(b"too late").is_err());
        next_end.write_all(b"in time")?;
        assert_eq!(next_reader.join().await?.unwrap(), b"in time");
        testing::advance(Duration::from_secs(3600)).await?;
        assert_eq!(reader.state(), TaskState::Parked("READ"));
        assert_eq!(cycles(&reader), before);
        reader.cancel().await?;
        assert!(matches!(reader.join().await?, Err(TaskError::Cancelled(_))));
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N4, C5: the same if another file takes its number.
#[test]
fn a_descriptor_replaced_behind_our_back_leaves_the_wait_cancellable() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    testing::run(async || {
        let (here, mut there) = ends();
        let loose = Loose::new(here);
        let reader = reader(&loose);
        testing::settle().await?;
        let before = cycles(&reader);
        let (other, mut other_end) = ends();
        rustix::io::dup2(&other, loose.0.borrow_mut().as_mut().unwrap())?;
        assert!(there.write_all(b"nobody is there").is_err());
        other_end.write_all(b"nobody watches this")?;
        testing::advance(Duration::from_secs(3600)).await?;
        assert_eq!(reader.state(), TaskState::Parked("READ"));
        assert_eq!(cycles(&reader), before);
        reader.cancel().await?;
        assert!(matches!(reader.join().await?, Err(TaskError::Cancelled(_))));
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N5, K2: if a descriptor is closed without the reactor while a duplicate keeps the file and its
/// events alive, the first event wakes the reader, which gets what it finds. Later events wake no
/// task.
#[test]
fn a_descriptor_closed_behind_our_back_with_a_duplicate_is_no_busy_loop() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    testing::run(async || {
        let (here, mut there) = ends();
        let duplicate = here.try_clone()?;
        let loose = Loose::new(here);
        let reader = reader(&loose);
        testing::settle().await?;
        drop(loose.0.take());
        there.write_all(b"for the duplicate")?;
        match reader.join().await? {
            Err(TaskError::Failed(error)) => assert_eq!(error.to_string(), "it is gone"),
            other => panic!("{other:?}"),
        }
        let (next, mut next_end) = ends();
        let next_reader = self::reader(&Loose::new(next));
        testing::settle().await?;
        let before = cycles(&next_reader);
        for _ in 0..10 {
            there.write_all(b"for the duplicate")?;
            testing::settle().await?;
        }
        assert_eq!(cycles(&next_reader), before);
        next_end.write_all(b"mine")?;
        assert_eq!(next_reader.join().await?.unwrap(), b"mine");
        drop(duplicate);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// K2: a file that stays readable under a descriptor that was closed without the reactor makes the
/// kernel neither poll nor wait in a loop.
#[test]
fn a_stale_readable_file_is_no_busy_loop() {
    let name = children::this_test!();
    if children::role().is_some() {
        kernel::run(async || {
            let (here, mut there) = ends();
            let duplicate = here.try_clone()?;
            let loose = Loose::new(here);
            let reader = reader(&loose);
            sleep(Duration::from_millis(1)).await?;
            drop(loose.0.take());
            reader.cancel().await?;
            // Never read, so it stays readable.
            there.write_all(b"for the duplicate")?;
            for _ in 0..20 {
                sleep(Duration::from_millis(5)).await?;
            }
            drop(duplicate);
            Ok::<(), io::Error>(())
        })
        .unwrap();
        return;
    }
    let options = ["-e", "trace=?epoll_wait,?epoll_pwait,?epoll_pwait2"];
    let Some(trace) = children::traced(name, "child", &options) else { return };
    // One or two for each of the 21 sleeps, and a few others.
    assert!(trace.lines().count() < 100, "{}", trace.text());
}
