//! Errors of calls on files: what they say, and what is left after them.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::Command;

use curium::fs::{self, File, OpenOptions, PathError, WriteAllError};
use curium::kernel::{cancelled, testing};
use rustix::process::{Resource, Rlimit, setrlimit};

use super::fs_files::run;
use crate::support::children;
use crate::support::dirs::TempDir;
use crate::support::reports;

/// Fails unless the error says this, and has the kind and the number of the system's error.
#[track_caller]
fn assert_error(error: &io::Error, text: &str, kind: ErrorKind, number: i32) {
    assert!(error.to_string().starts_with(text), "{error}");
    assert!(format!("{error:?}").contains(text), "{error:?}");
    assert_eq!(error.kind(), kind);
    let inner = PathError::of(error).unwrap();
    assert_eq!(inner.source.raw_os_error(), Some(number));
    assert!(cancelled(error).is_none());
}

/// O3: an error names the operation and the path, and has the system's kind and number.
#[test]
fn an_error_names_the_operation_and_the_path() {
    run(async |dir| {
        let missing = dir.of("missing");
        let shown = missing.display();
        let error = File::open(&missing).await.unwrap_err();
        assert_error(&error, &format!("cannot open {shown}: No such"), ErrorKind::NotFound, 2);
        assert_eq!(PathError::of(&error).unwrap().path, missing);
        let calls: [(&str, io::Result<()>); 11] = [
            ("read", fs::read(&missing).await.map(drop)),
            ("read", fs::read_to_string(&missing).await.map(drop)),
            ("write", fs::write(missing.join("x"), "").await),
            ("look at", fs::metadata(&missing).await.map(drop)),
            ("look at", fs::symlink_metadata(&missing).await.map(drop)),
            ("read the directory", fs::read_dir(&missing).await.map(drop)),
            ("read the link", fs::read_link(&missing).await.map(drop)),
            ("resolve", fs::canonicalize(&missing).await.map(drop)),
            ("remove", fs::remove_file(&missing).await),
            ("remove the directory", fs::remove_dir(&missing).await),
            ("create the directory", fs::create_dir(missing.join("x")).await),
        ];
        for (operation, result) in calls {
            let text = format!("cannot {operation} {shown}");
            assert_error(&result.unwrap_err(), &text, ErrorKind::NotFound, 2);
        }
        let to = dir.of("to");
        let error = fs::rename(&missing, &to).await.unwrap_err();
        let text = format!("cannot rename {shown} to {}: ", to.display());
        assert_error(&error, &text, ErrorKind::NotFound, 2);
        assert_eq!(PathError::of(&error).unwrap().to, Some(to));
        Ok(())
    });
}

/// O3: an error whose text is hard to understand also says what to do.
#[test]
fn an_error_says_what_to_do() {
    run(async |dir| {
        let path = dir.file("file", "0123");
        let mut file = File::open(&path).await?;
        let error = file.write(b"x").await.unwrap_err();
        assert!(error.to_string().contains("see `OpenOptions`"), "{error}");
        let error = File::create(&path).await?.read(&mut [0; 4]).await.unwrap_err();
        assert!(error.to_string().starts_with("cannot read "), "{error}");
        assert!(error.to_string().contains("see `OpenOptions`"), "{error}");
        let text = fs::write(&path, [0xff]).await.and(fs::read_to_string(&path).await);
        let error = text.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(error.to_string().contains("file: stream did not contain valid UTF-8"), "{error}");
        Ok(())
    });
}

/// O3: a write to a full device says so, how much was written, and on which file.
#[test]
fn a_full_device_is_an_error_of_the_write() {
    run(async |_| {
        let mut file = OpenOptions::new().write(true).open("/dev/full").await?;
        let text = "cannot write /dev/full: No space left on device";
        let error = file.write(b"0123").await.unwrap_err();
        assert_error(&error, text, ErrorKind::StorageFull, 28);
        let error = file.write_at(b"0123", 7).await.unwrap_err();
        assert_error(&error, text, ErrorKind::StorageFull, 28);
        let error = fs::write("/dev/full", "0123").await.unwrap_err();
        assert_error(&error, text, ErrorKind::StorageFull, 28);
        let WriteAllError { written, len, source, .. } = file.write_all(b"0123").await.unwrap_err();
        assert_eq!((written, len), (0, 4));
        assert_error(&source, text, ErrorKind::StorageFull, 28);
        let error = io::Error::from(file.write_all(b"0123").await.unwrap_err());
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        assert!(error.to_string().starts_with("0 of 4 bytes were written: "), "{error}");
        Ok(())
    });
}

fn mount(options: &str, on: &Path) {
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", options, "none"]).arg(on);
    assert!(mount.status().unwrap().success(), "{mount:?}");
}

/// O3: on a file system that is full, a write gives the bytes that had room, and the next call says
/// why. When there is room again, the file goes on. An error that no call returned is reported.
#[test]
fn a_full_file_system_takes_what_has_room() {
    let name = children::this_test!();
    if children::role().is_none() {
        return drop(children::with_mounts(name, children::ALONE));
    }
    const PAGE: usize = 4096;
    let dir = TempDir::new();
    mount("size=16k", dir.path());
    let path = dir.of("file");
    let (result, texts) = reports::texts(async || -> io::Result<()> {
        let mut file = File::create_new(&path).await?;
        file.write_all(&[1; PAGE]).await?;
        assert_eq!(file.write(&[2; 4 * PAGE]).await?, 3 * PAGE);
        let error = file.write(&[3; PAGE]).await.unwrap_err();
        let text = format!("cannot write {}: No space", path.display());
        assert_error(&error, &text, ErrorKind::StorageFull, 28);
        assert_eq!(file.stream_position().await?, 4 * PAGE as u64);
        let error = file.write_all(&[3; PAGE]).await.unwrap_err();
        assert_eq!((error.written, error.source.kind()), (0, ErrorKind::StorageFull));
        file.seek(io::SeekFrom::Start(PAGE as u64)).await?;
        file.set_len(PAGE as u64).await?;
        let WriteAllError { written, source, .. } =
            file.write_all(&[4; 4 * PAGE]).await.unwrap_err();
        assert_eq!((written, source.kind()), (3 * PAGE, ErrorKind::StorageFull));
        file.set_len(PAGE as u64).await?;
        file.seek(io::SeekFrom::Start(PAGE as u64)).await?;
        file.write_all(&[5; PAGE]).await?;
        let read = fs::read(&path).await?;
        assert_eq!(read, [[1; PAGE], [5; PAGE]].concat());
        assert_eq!(file.write(&[6; 4 * PAGE]).await?, 2 * PAGE);
        // Dropped with the error of the rest.
        Ok(())
    });
    result.unwrap();
    let [text] = texts.as_slice() else { panic!("{texts:?}") };
    assert!(text.contains("the last write to") && text.contains("No space left"), "{text}");
    assert!(Command::new("umount").arg(dir.path()).status().unwrap().success());
}

/// O3: on a file system that may only be read, everything that changes it is an error, and the rest
/// works.
#[test]
fn a_read_only_file_system_is_read() {
    let name = children::this_test!();
    if children::role().is_none() {
        return drop(children::with_mounts(name, children::ALONE));
    }
    let dir = TempDir::new();
    mount("size=64k", dir.path());
    let path = dir.file("file", "0123");
    mount("remount,ro", dir.path());
    testing::run(async || -> io::Result<()> {
        assert_eq!(fs::read(&path).await?, b"0123");
        let new: PathBuf = dir.of("new");
        let permissions = fs::metadata(&path).await?.permissions();
        let calls = [
            OpenOptions::new().write(true).open(&path).await.map(drop),
            File::create(&new).await.map(drop),
            fs::write(&new, "").await,
            fs::create_dir(&new).await,
            fs::create_dir_all(&new).await,
            fs::remove_file(&path).await,
            fs::rename(&path, &new).await,
            fs::hard_link(&path, &new).await,
            fs::symlink(&path, &new).await,
            fs::copy(&path, &new).await.map(drop),
            fs::set_permissions(&path, permissions).await,
        ];
        for result in calls {
            let error = result.unwrap_err();
            assert_error(&error, "cannot ", ErrorKind::ReadOnlyFilesystem, 30);
            assert!(error.to_string().contains("Read-only file system"), "{error}");
        }
        Ok(())
    })
    .unwrap();
    assert!(Command::new("umount").arg(dir.path()).status().unwrap().success());
}

/// O3: without a free descriptor, the error says what to do, and nothing is left behind.
#[test]
fn that_there_is_no_descriptor_is_said() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    testing::run(async || -> io::Result<()> {
        let mut open = Vec::new();
        let limit = Rlimit { current: Some(64), maximum: Some(64) };
        setrlimit(Resource::Nofile, limit).unwrap();
        let error = loop {
            match File::open("/dev/null").await {
                Ok(file) => open.push(file),
                Err(error) => break error,
            }
        };
        assert_error(&error, "cannot open /dev/null: Too many open files", error.kind(), 24);
        assert!(error.to_string().contains("ulimit -n"), "{error}");
        open.clear();
        File::open("/dev/null").await.map(drop)
    })
    .unwrap();
}

/// O3, R1: while the system gives no thread, a read and a write wait for one.
#[test]
fn calls_of_a_file_wait_until_the_system_gives_a_thread() {
    let name = children::this_test!();
    if children::role().is_none() {
        // `when` counts for each thread that starts others. The harness is one, and needs none.
        let inject = "inject=clone,clone3:error=EAGAIN:when=1..3";
        let options = ["-e", "trace=clone,clone3", "-e", inject];
        if let Some(trace) = children::traced(name, "child", &options) {
            assert!(trace.injected("EAGAIN") >= 3, "{}", trace.text());
        }
        return;
    }
    let dir = TempDir::new();
    testing::run(async || -> io::Result<()> {
        // Files of `std`, because to open one takes a thread as well.
        let mut version = File::from_std(std::fs::File::open("/proc/version")?);
        assert!(version.read(&mut [0; 8]).await? > 0);
        let mut file = File::from_std(std::fs::File::create(dir.of("file"))?);
        file.write_all(b"0123").await?;
        assert_eq!(std::fs::read(dir.of("file"))?, b"0123");
        Ok(())
    })
    .unwrap();
}
