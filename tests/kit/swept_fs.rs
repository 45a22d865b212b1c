//! Files and directories, cancelled at every suspension (V4). A thread gets no job through before
//! another task opens a gate, so that every run has the same suspensions.

use std::cell::{Cell, RefCell};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::rc::Rc;

use curium::fs::{self, File, OpenOptions, ReadDir};
use curium::kernel::testing::{self, Run};
use curium::kernel::{cancelled, check_cancellation, yield_now};
use curium::sync::{Lock, Queue};
use futures::io::AsyncWriteExt;

use super::checks::{Among, aborts, assert_tried, undisturbed};
use crate::support::dirs::TempDir;
use crate::support::pool::{Gate, hold_up};

/// Opens its gate when it is dropped.
struct Opens(Gate);

impl Drop for Opens {
    fn drop(&mut self) {
        self.0.open();
    }
}

/// What a subject works on, and the gates that hold the pool up.
struct Held<T> {
    of: T,
    gates: Queue<Opens>,
    dir: TempDir,
}

impl<T> Held<T> {
    /// Occupies the pool until the subject has been parked for a while.
    fn hold(&self) {
        self.gates.try_put(Opens(hold_up())).expect("no bound");
    }

    /// The same before a call that is no leaf. One that began after a cancellation would wait for
    /// a gate that is not opened: the task that opens it may be cancelled, too.
    fn hold_for_a_poll(&self) -> io::Result<()> {
        match check_cancellation() {
            Some(pending) => Err(pending.into()),
            None => {
                self.hold();
                Ok(())
            }
        }
    }

    /// The end of a run: nothing is held up any longer.
    async fn let_go(&self) {
        self.gates.close();
        while self.gates.try_get().is_some() {}
    }
}

/// The setup: a state, and the task that opens the gates.
async fn held<T: 'static>(of: impl AsyncFnOnce(&TempDir) -> T) -> Among<Held<T>> {
    let dir = TempDir::new();
    let of = of(&dir).await;
    Among::new(Held { of, gates: Queue::unbounded(), dir }).and(async |held: Rc<Held<T>>| {
        while let Some(gate) = held.gates.next().await? {
            yield_now().await?;
            yield_now().await?;
            drop(gate);
        }
        Ok(())
    })
}

/// A file, and the bytes that its calls have said they wrote.
struct Writes {
    file: Lock<File>,
    written: RefCell<Vec<u8>>,
    /// Whether a call is under way.
    calling: Cell<bool>,
}

impl Held<Writes> {
    async fn write_all_ways(&self) -> io::Result<()> {
        let mut file = self.of.file.try_acquire().expect("the check comes later");
        let say = |bytes: &[u8]| self.of.written.borrow_mut().extend(bytes);
        let begin = || {
            self.of.calling.set(true);
            self.hold();
        };
        begin();
        let n = file.write(b"0123").await?;
        say(&b"0123"[..n]);
        begin();
        let wrote = file.write_all(b"4567").await;
        say(&b"4567"[..wrote.as_ref().map_or_else(|error| error.written, |()| 4)]);
        wrote?;
        begin();
        let n = file.write_at(b"89", 8).await?;
        say(&b"89"[..n]);
        self.of.calling.set(false);
        self.hold_for_a_poll()?;
        let again = AsyncWriteExt::write(&mut *file, b"89").await?;
        assert_eq!(again, 2);
        file.flush().await?;
        self.hold();
        assert_eq!(file.seek(SeekFrom::End(-3)).await?, 7);
        Ok(())
    }
}

/// V4, O3, C1: the file holds what its calls have said they wrote, and no more, however they ended.
/// A call that was aborted has written all or nothing. The position is behind it.
#[test]
fn a_file_holds_what_its_calls_say() {
    let setup = async || {
        held(async |dir: &TempDir| {
            let file = File::create_new(dir.of("file")).await.unwrap();
            Writes { file: Lock::new(file), written: RefCell::default(), calling: Cell::default() }
        })
        .await
    };
    let subject = |held: Rc<Among<Held<Writes>>>| async move { held.write_all_ways().await };
    let swept = testing::sweep().run(setup, subject, async |held, run: &Run| {
        held.let_go().await;
        held.others_end(run).await;
        let mut file = held.of.file.try_acquire().unwrap();
        // Waits for what was begun.
        let position = file.stream_position().await.unwrap();
        let (is, said) = (std::fs::read(held.dir.of("file")).unwrap(), held.of.written.take());
        let given_up = aborts(run) && held.of.calling.get();
        assert!(is == said || given_up && is.starts_with(&said), "{is:?} is not {said:?}");
        assert!(!undisturbed(run) || (said.as_slice(), position) == (b"0123456789", 7));
    });
    assert_tried(&swept, &["FILE_WRITE", "FILE_SEEK"], 5, 55);
}

/// A file, and what was read of it.
struct Reads {
    file: Lock<File>,
    read: RefCell<Vec<u8>>,
}

impl Held<Reads> {
    async fn read_thrice(&self) -> io::Result<()> {
        let mut file = self.of.file.try_acquire().expect("the check comes later");
        for _ in 0..3 {
            self.hold();
            let mut buf = [0; 3];
            let n = file.read(&mut buf).await?;
            self.of.read.borrow_mut().extend(&buf[..n]);
        }
        Ok(())
    }
}

fn sweep_reads(open: fn(&TempDir) -> std::fs::File, expected: &[u8]) {
    let setup = async || {
        held(async |dir: &TempDir| {
            let file = Lock::new(File::from_std(open(dir)));
            Reads { file, read: RefCell::default() }
        })
        .await
    };
    let subject = |held: Rc<Among<Held<Reads>>>| async move { held.read_thrice().await };
    let swept = testing::sweep().run(setup, subject, async |held, run: &Run| {
        held.let_go().await;
        held.others_end(run).await;
        let mut file = held.of.file.try_acquire().unwrap();
        let mut all = held.of.read.take();
        assert!(!undisturbed(run) || all.len() == 9);
        while all.len() < expected.len() {
            let mut buf = [0; 64];
            let n = file.read(&mut buf).await.unwrap();
            all.extend(&buf[..n]);
        }
        assert_eq!(all, expected);
    });
    assert_tried(&swept, &["FILE_READ"], 3, 35);
}

/// V4, O3: the reads of a file give each byte once, however one of them ended.
#[test]
fn reads_of_a_file_lose_no_byte() {
    // A file of the system is always read by a thread.
    let expected = std::fs::read("/proc/version").unwrap();
    sweep_reads(|_| std::fs::File::open("/proc/version").unwrap(), &expected);
}

/// V4, O3: the same for a pipe, whose bytes are gone when a thread has read them.
#[test]
fn reads_of_a_pipe_lose_no_byte() {
    let open = |dir: &TempDir| {
        let both = std::fs::OpenOptions::new().read(true).write(true).open(dir.fifo("pipe"));
        let mut pipe = both.unwrap();
        pipe.write_all(b"0123456789abcdef").unwrap();
        pipe
    };
    sweep_reads(open, b"0123456789abcdef");
}

/// V4, O3: a call with an offset that is given up leaves the file to the next call.
#[test]
fn calls_of_a_file_leave_it_to_the_next() {
    let setup = async || {
        held(async |_: &TempDir| Lock::new(File::open("/proc/version").await.unwrap())).await
    };
    let subject = |held: Rc<Among<Held<Lock<File>>>>| async move {
        let mut file = held.of.try_acquire().expect("the check comes later");
        held.hold();
        let mut byte = [0];
        assert_eq!(file.read_at(&mut byte, 1).await?, 1);
        held.hold();
        file.metadata().await?;
        held.hold();
        let mut sync = file.sync_all().await;
        if sync.as_ref().is_err_and(|error| cancelled(error).is_none()) {
            // The file of the system cannot be synced.
            sync = Ok(());
        }
        sync
    };
    let swept = testing::sweep().run(setup, subject, async |held, run: &Run| {
        held.let_go().await;
        held.others_end(run).await;
        let mut file = held.of.try_acquire().unwrap();
        let mut byte = [0];
        // The error of a sync that was begun and given up may come first.
        let read = match file.read(&mut byte).await {
            Err(_) => file.read(&mut byte).await,
            read => read,
        };
        assert_eq!((read.unwrap(), byte), (1, [b'L']));
        undisturbed(run);
    });
    assert_tried(&swept, &["FILE_READ", "THREAD_WAIT"], 3, 35);
}

/// V4, O3: a directory gives each entry once, however a call for one of them ended; also as a
/// stream.
#[test]
fn a_directory_gives_each_entry_once() {
    let entries = TempDir::new();
    (0..600).for_each(|name| drop(entries.file(&name.to_string(), "")));
    let setup = async || {
        let dir = fs::read_dir(entries.path()).await.unwrap();
        held(async |_: &TempDir| (Lock::new(dir), RefCell::<Vec<_>>::default())).await
    };
    type State = (Lock<ReadDir>, RefCell<Vec<std::ffi::OsString>>);
    let subject = |held: Rc<Among<Held<State>>>| async move {
        let mut dir = held.of.0.try_acquire().expect("the check comes later");
        let found = &held.of.1;
        while found.borrow().len() < 256 {
            let next = dir.next().await?;
            found.borrow_mut().extend(next.map(|entry| entry.file_name()));
        }
        held.hold();
        while found.borrow().len() < 512 {
            let next = dir.next().await?;
            found.borrow_mut().extend(next.map(|entry| entry.file_name()));
        }
        held.hold();
        let next = futures::StreamExt::next(&mut *dir).await.transpose()?;
        found.borrow_mut().extend(next.map(|entry| entry.file_name()));
        io::Result::Ok(())
    };
    let swept = testing::sweep().run(setup, subject, async |held, run: &Run| {
        held.let_go().await;
        held.others_end(run).await;
        let mut dir = held.of.0.try_acquire().unwrap();
        let mut found = held.of.1.take();
        assert!(!undisturbed(run) || found.len() == 513);
        while let Some(entry) = dir.next().await.unwrap() {
            found.push(entry.file_name());
        }
        assert_eq!(found.len(), 600);
        found.sort();
        found.dedup();
        assert_eq!(found.len(), 600);
    });
    assert_tried(&swept, &["FILE_READ"], 2, 25);
}

/// V4, O3: files are opened and changed by name; what is given up leaves nothing open.
#[test]
fn functions_that_are_given_up_leave_nothing() {
    let setup = async || held(async |_: &TempDir| ()).await;
    let subject = |held: Rc<Among<Held<()>>>| async move {
        let path = held.dir.of("file");
        held.hold();
        fs::write(&path, "0123").await?;
        held.hold();
        let mut file = OpenOptions::new().append(true).open(&path).await?;
        held.hold();
        file.set_len(2).await?;
        held.hold();
        fs::rename(&path, held.dir.of("other")).await
    };
    let swept = testing::sweep().run(setup, subject, async |held, run: &Run| {
        held.let_go().await;
        held.others_end(run).await;
        let ended = std::fs::File::open(held.dir.of("other")).map(|mut file| {
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            text
        });
        assert!(!undisturbed(run) || ended.unwrap() == "01");
    });
    assert_tried(&swept, &["THREAD_WAIT"], 4, 45);
}

impl Held<Lock<Option<File>>> {
    /// The calls that the other sweeps do not make.
    async fn other_calls(&self) -> io::Result<()> {
        let mut slot = self.of.try_acquire().expect("the check comes later");
        let (path, copy) = (self.dir.of("file"), self.dir.of("copy"));
        let mut file = slot.take().expect("the setup has opened it");
        self.hold();
        file.set_permissions(std::fs::metadata(&path)?.permissions()).await?;
        // A write that is begun here, and that the duplicate waits for.
        self.hold_for_a_poll()?;
        assert_eq!(AsyncWriteExt::write(&mut file, b"4567").await?, 4);
        let mut other = file.try_clone().await?;
        self.hold_for_a_poll()?;
        assert_eq!(AsyncWriteExt::write(&mut other, b"89").await?, 2);
        let plain = other.into_std().await?;
        assert_eq!((&plain).stream_position()?, 10);
        self.hold();
        assert_eq!(fs::copy(&path, &copy).await?, 10);
        self.hold();
        assert_eq!(fs::read_to_string(&copy).await?, "0123456789");
        self.hold();
        fs::read_dir(self.dir.path()).await?;
        self.hold();
        assert_eq!(fs::symlink_metadata(&copy).await?.len(), 10);
        *slot = Some(file);
        Ok(())
    }
}

/// V4, O3: the other calls on files; a file that is dropped with one of them has finished its write
/// when its task has ended.
#[test]
fn other_calls_on_files_leave_nothing() {
    let setup = async || {
        held(async |dir: &TempDir| {
            let path = dir.file("file", "0123");
            let file = OpenOptions::new().append(true).open(&path).await.unwrap();
            Lock::new(Some(file))
        })
        .await
    };
    let subject =
        |held: Rc<Among<Held<Lock<Option<File>>>>>| async move { held.other_calls().await };
    let swept = testing::sweep().run(setup, subject, async |held, run: &Run| {
        held.let_go().await;
        held.others_end(run).await;
        let is_open = held.of.try_acquire().unwrap().take().is_some();
        let text = std::fs::read_to_string(held.dir.of("file")).unwrap();
        assert!("0123456789".starts_with(&text) && text.len() >= 4, "{text}");
        assert!(!undisturbed(run) || (is_open && text.len() == 10));
    });
    assert_tried(&swept, &["FILE_WRITE", "THREAD_WAIT"], 7, 80);
}
