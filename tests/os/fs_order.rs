//! Calls on files come after what was begun before, also if that was given up.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;

use curium::fs::{File, OpenOptions};
use curium::kernel::{spawn, yield_now};
use futures::FutureExt;
use futures::io::{AsyncRead, AsyncWriteExt};

use super::fs_cancelled::{cancel, is_cancelled};
use super::fs_files::run;
use crate::support::pool::{Occupied, hold_up};
use crate::support::reports;

/// A file with `0123`, at whose beginning `ab` is being written by a call that was given up. The
/// pool is occupied, so it is not written yet.
async fn given_up(path: &Path) -> io::Result<(File, Occupied)> {
    std::fs::write(path, "0123")?;
    let file = OpenOptions::new().read(true).write(true).open(path).await?;
    let occupied = Occupied::new().await;
    let ((file, wrote), pending) = cancel(async move {
        let wrote = file.write_at(b"ab", 0).await;
        (file, wrote)
    })
    .await;
    assert_eq!((wrote?, pending), (2, true));
    Ok((file, occupied))
}

/// O3: a read comes after a write at an offset that was begun and given up, also if the system has
/// the bytes in memory.
#[test]
fn a_read_comes_after_a_write_at_an_offset_that_was_given_up() {
    run(async |dir| {
        for at_offset in [false, true] {
            let (mut file, occupied) = given_up(&dir.of("file")).await?;
            let read = spawn(async move {
                let mut buf = [0; 4];
                match at_offset {
                    true => file.read_at(&mut buf, 0).await?,
                    false => file.read(&mut buf).await?,
                };
                io::Result::Ok(buf)
            });
            yield_now().await?;
            assert!(!read.is_done());
            occupied.release().await;
            assert_eq!(&read.await?, b"ab23");
        }
        Ok(())
    });
}

/// O3: every call that changes a file comes after such a write. So it has not begun while that is
/// not finished, and does nothing if it is cancelled then.
#[test]
fn a_change_comes_after_a_write_at_an_offset_that_was_given_up() {
    run(async |dir| {
        let path = dir.of("file");
        let (file, occupied) = given_up(&path).await?;
        let ((mut file, wrote), _) = cancel(async move {
            let wrote = file.write_at(b"cd", 0).await;
            (file, wrote)
        })
        .await;
        assert!(is_cancelled(&wrote), "{wrote:?}");
        let ended = cancel(file.set_permissions(std::fs::metadata("/dev/null")?.permissions()));
        let (ended, _) = ended.await;
        assert!(is_cancelled(&ended), "{ended:?}");
        for change in 0..3 {
            let ((given, ended), _) = cancel(async move {
                let ended = match change {
                    0 => file.write(b"ef").await.map(drop),
                    1 => file.set_len(1).await,
                    _ => file.sync_all().await,
                };
                (file, ended)
            })
            .await;
            assert!(is_cancelled(&ended), "{ended:?}");
            file = given;
        }
        occupied.release().await;
        file.flush().await?;
        assert_eq!(std::fs::read(&path)?, b"ab23");
        file.set_len(3).await?;
        assert_eq!(std::fs::read(&path)?, b"ab2");
        Ok(())
    });
}

/// O3: a file that is dropped waits for such a write as for any other, and reports its error.
#[test]
fn a_dropped_file_finishes_a_write_at_an_offset() {
    let (result, texts) = reports::texts(async || -> io::Result<()> {
        let file = OpenOptions::new().write(true).open("/dev/full").await?;
        let occupied = Occupied::new().await;
        assert!(file.write_at(b"0123", 0).now_or_never().is_none());
        drop(file);
        occupied.release().await;
        Ok(())
    });
    result.unwrap();
    let of_write = |text: &&String| text.contains("the last write to /dev/full failed");
    assert_eq!(texts.iter().filter(of_write).count(), 1, "{texts:?}");
}

/// O3: what a poll has read before a write at an offset is not returned after it.
#[test]
fn a_write_at_an_offset_makes_what_was_read_before_it_old() {
    run(async |dir| {
        let path = dir.of("file");
        let mut file = File::options().read(true).write(true).create(true).open(&path).await?;
        let mut buf = [0; 4];
        // A thread shall look for the end of the file.
        let gate = hold_up();
        let pending = poll_fn(|cx| {
            std::task::Poll::Ready(Pin::new(&mut file).poll_read(cx, &mut buf).is_pending())
        });
        assert!(pending.await);
        gate.open();
        file.write_at(b"ab", 0).await?;
        assert_eq!(file.read(&mut buf).await?, 2);
        assert_eq!(&buf[..2], b"ab");
        Ok(())
    });
}

/// O3: a duplicate begins behind a write that was begun, and the position is not shown before that
/// has ended.
#[test]
fn a_duplicate_begins_behind_a_write_that_was_begun() {
    run(async |dir| {
        let mut file = File::create_new(dir.of("file")).await?;
        assert!(format!("{file:?}").contains("position: Some(0)"), "{file:?}");
        let occupied = Occupied::new().await;
        AsyncWriteExt::write_all(&mut file, b"0123").await?;
        assert!(format!("{file:?}").contains("position: None"), "{file:?}");
        let other = spawn(async move { file.try_clone().await });
        yield_now().await?;
        assert!(!other.is_done());
        occupied.release().await;
        assert_eq!(other.await?.stream_position().await?, 4);
        Ok(())
    });
}

/// O3: calls at offsets that wait side by side do not wait for each other, and an error goes to the
/// call that has made it.
#[test]
fn calls_at_offsets_that_wait_get_their_own_errors() {
    run(async |_| {
        let file = Rc::new(OpenOptions::new().write(true).open("/dev/full").await?);
        let occupied = Occupied::new().await;
        let write = || {
            let file = file.clone();
            spawn(async move { file.write_at(b"0", 0).await })
        };
        let writes = [write(), write()];
        yield_now().await?;
        occupied.release().await;
        for write in writes {
            let error = write.await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
        }
        Rc::into_inner(file).unwrap().flush().await
    });
}
