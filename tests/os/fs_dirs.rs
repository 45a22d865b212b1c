//! Directories, and the functions that work on names.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};

use curium::fs::{self, DirEntry};
use curium::kernel::{TaskCancelled, cancelled, spawn, yield_now};
use futures::stream::{StreamExt, TryStreamExt};

use super::fs_files::run;
use crate::support::dirs::TempDir;
use crate::support::pool::Occupied;

/// A directory with this many entries, and their names.
fn filled(dir: &TempDir, count: usize) -> BTreeSet<String> {
    let names: BTreeSet<String> = (0..count).map(|n| n.to_string()).collect();
    names.iter().for_each(|name| drop(dir.file(name, "")));
    names
}

fn name(entry: &DirEntry) -> String {
    entry.file_name().into_string().unwrap()
}

/// O3: a directory of ten thousand entries gives each of them once, and other tasks run meanwhile.
#[test]
fn ten_thousand_entries_come_once_each() {
    run(async |dir| {
        let names = filled(dir, 10_000);
        let ticks = spawn(async {
            let mut ticks = 0_u64;
            loop {
                ticks += 1;
                if let Err(error) = yield_now().await {
                    // The task is cancelled at the end.
                    assert!(cancelled(&error).is_some());
                    return Ok::<_, TaskCancelled>(ticks);
                }
            }
        });
        let mut entries = fs::read_dir(dir.path()).await?;
        let mut found = BTreeSet::new();
        while let Some(entry) = entries.next().await? {
            assert!(found.insert(name(&entry)), "{entry:?} comes twice");
        }
        assert_eq!(found, names);
        assert!(entries.next().await?.is_none());
        ticks.cancel().await?;
        assert!(ticks.join().await?.unwrap() > 0);
        Ok(())
    });
}

/// O3: the entries are also a stream, with the paths, kinds and sizes of what they are.
#[test]
fn the_entries_are_a_stream() {
    run(async |dir| {
        dir.file("file", "0123");
        std::fs::create_dir(dir.of("directory"))?;
        std::os::unix::fs::symlink("file", dir.of("link"))?;
        let entries: Vec<DirEntry> = fs::read_dir(dir.path()).await?.try_collect().await?;
        assert_eq!(entries.len(), 3);
        for entry in entries {
            assert_eq!(entry.path(), dir.of(&name(&entry)));
            let (kind, metadata) = (entry.file_type()?, entry.metadata().await?);
            assert_eq!(kind, metadata.file_type());
            let is = (kind.is_file(), kind.is_dir(), kind.is_symlink());
            match name(&entry).as_str() {
                "file" => assert_eq!((is, metadata.len()), ((true, false, false), 4)),
                "directory" => assert_eq!(is, (false, true, false)),
                _ => assert_eq!(is, (false, false, true)),
            }
        }
        Ok(())
    });
}

/// O3, C9: a cancellation comes out of the stream as an item, and then it goes on. None is lost.
#[test]
fn a_stream_of_entries_goes_on_after_a_cancellation() {
    run(async |dir| {
        let names = filled(dir, 600);
        let mut entries = fs::read_dir(dir.path()).await?;
        let occupied = Occupied::new().await;
        let task = spawn(async move {
            let (mut found, mut cancellations) = (BTreeSet::new(), 0);
            while let Some(entry) = StreamExt::next(&mut entries).await {
                match entry {
                    Ok(entry) => assert!(found.insert(name(&entry))),
                    Err(error) => {
                        assert!(cancelled(&error).is_some(), "{error}");
                        cancellations += 1;
                    }
                }
            }
            io::Result::Ok((found, cancellations))
        });
        while task.state().to_string() != "FILE_READ" {
            yield_now().await?;
        }
        task.request_cancel();
        yield_now().await?;
        occupied.release().await;
        assert_eq!(task.await?, (names, 1));
        Ok(())
    });
}

/// O3: the functions do what those of `std` do.
#[test]
fn the_functions_do_what_those_of_std_do() {
    run(async |dir| {
        let (one, two) = (dir.of("one"), dir.of("two"));
        fs::write(&one, "0123").await?;
        fs::write(&one, b"012").await?;
        assert_eq!(fs::read(&one).await?, b"012");
        assert_eq!(fs::read_to_string(&one).await?, "012");
        let mut permissions = fs::metadata(&one).await?.permissions();
        permissions.set_readonly(true);
        fs::set_permissions(&one, permissions).await?;
        assert_eq!(fs::copy(&one, &two).await?, 3);
        assert!(fs::metadata(&two).await?.permissions().readonly());
        fs::rename(&two, dir.of("three")).await?;
        assert_eq!(
            (fs::try_exists(&two).await?, fs::try_exists(dir.of("three")).await?),
            (false, true)
        );
        fs::hard_link(&one, &two).await?;
        fs::remove_file(&one).await?;
        assert_eq!(fs::read(&two).await?, b"012");
        fs::symlink("two", &one).await?;
        assert_eq!(fs::read_link(&one).await?, std::path::Path::new("two"));
        assert!(fs::symlink_metadata(&one).await?.is_symlink());
        assert!(fs::metadata(&one).await?.is_file());
        assert_eq!(fs::canonicalize(&one).await?, std::fs::canonicalize(&two)?);
        Ok(())
    });
}

/// O3: directories are made and removed, alone and with what is in them.
#[test]
fn directories_are_made_and_removed() {
    run(async |dir| {
        let (outer, inner) = (dir.of("outer"), dir.of("outer/inner"));
        let error = fs::create_dir(&inner).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        fs::create_dir(&outer).await?;
        assert_eq!(fs::create_dir(&outer).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
        fs::create_dir_all(inner.join("deep")).await?;
        fs::create_dir_all(inner.join("deep")).await?;
        let error = fs::remove_dir(&inner).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DirectoryNotEmpty);
        fs::remove_dir(inner.join("deep")).await?;
        fs::write(inner.join("file"), "").await?;
        fs::remove_dir_all(&outer).await?;
        assert!(!fs::try_exists(&outer).await?);
        Ok(())
    });
}
