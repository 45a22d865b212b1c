//! `net::TcpStream` with several users: two tasks, another thread's kernel, a task that closes it,
//! and the next socket in the same slot.

use std::io::{self, ErrorKind, Write};
use std::rc::Rc;
use std::time::Duration;

use futures::future::join;
use kernel::{Task, TaskError, spawn, testing, timeout_after};
use net::TcpStream;

use crate::support::both;
use crate::support::connections;
use crate::support::tasks::cycles;
use crate::support::time::SECOND;

fn reader(stream: &Rc<TcpStream>) -> Task<Vec<u8>, io::Error> {
    let stream = stream.clone();
    spawn(async move {
        let mut buf = [0; 64];
        let n = stream.read(&mut buf).await?;
        Ok(buf[..n].to_vec())
    })
}

/// N2: a stream that was used here moves to another thread's kernel and is woken there.
#[test]
fn a_stream_moves_to_another_threads_kernel() {
    testing::run(async || {
        let (stream, peer) = connections::ours().await?;
        assert!(timeout_after(SECOND, stream.read(&mut [0; 9])).await.is_err());
        let elsewhere = spawn(kernel::run_in_thread(move || {
            kernel::run(async || {
                let mut buf = [0; 4];
                stream.read_exact(&mut buf).await?;
                stream.write_all(&buf).await?;
                Ok::<_, io::Error>((buf, stream))
            })
        }));
        kernel::yield_now().await?;
        peer.write_all(b"over").await?;
        let mut back = [0; 4];
        peer.read_exact(&mut back).await?;
        assert_eq!(&back, b"over");
        let (there, stream) = elsewhere.join().await?.unwrap()?;
        assert_eq!(&there, b"over");
        // And back again, after the other kernel is gone.
        peer.write_all(b"home").await?;
        stream.read_exact(&mut back).await?;
        assert_eq!(&back, b"home");
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N2: a stream outlives the kernel that it was registered with.
#[test]
fn a_stream_outlives_its_kernel_and_works_in_the_next() {
    let (stream, peer) = kernel::run(async || {
        let (stream, peer) = connections::ours().await?;
        let little = Duration::from_millis(1);
        assert!(timeout_after(little, stream.read(&mut [0; 9])).await.is_err());
        assert!(timeout_after(little, peer.read(&mut [0; 9])).await.is_err());
        Ok::<_, io::Error>((stream, peer))
    })
    .unwrap();
    kernel::run(async || {
        let mut buf = [0; 5];
        let (read, written) = join(stream.read_exact(&mut buf), peer.write_all(b"again")).await;
        read?;
        written?;
        assert_eq!(&buf, b"again");
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N2: while a task is parked on it in one kernel, another kernel gets a clear error.
#[test]
fn a_stream_with_somebody_parked_on_it_does_not_move() {
    let kernel = kernel::Kernel::new().unwrap();
    let moved = kernel.run(async || {
        let (stream, peer) = connections::ours().await?;
        let buf = Box::leak(Box::new([0; 9]));
        let mut parked = Box::pin(stream.read(buf));
        assert!(futures::poll!(parked.as_mut()).is_pending());
        // Leaked, so that it stays parked and no longer borrows the stream.
        Box::leak(Box::new(parked));
        drop(peer);
        Ok::<_, io::Error>(stream)
    });
    let moved = moved.unwrap();
    let error = std::thread::spawn(move || {
        let buf = &mut [0; 9];
        kernel::run(async || moved.read(buf).await).unwrap_err()
    });
    let error = error.join().unwrap();
    assert_eq!(error.kind(), ErrorKind::Other);
    assert!(error.to_string().contains("another kernel"), "{error}");
}

/// N3: a second reader gets a clear error, and the first one its bytes. A reader and a writer do
/// not conflict.
#[test]
fn a_second_reader_is_refused_and_the_first_is_unharmed() {
    both::run(async || {
        let (stream, peer) = connections::ours().await?;
        let stream = Rc::new(stream);
        let first = reader(&stream);
        testing::settle().await?;
        for _ in 0..2 {
            let intruder = stream.read(&mut [0; 9]).await.unwrap_err();
            assert_eq!(intruder.kind(), ErrorKind::ResourceBusy);
            assert!(intruder.to_string().contains("another task"), "{intruder}");
        }
        assert_eq!(stream.peek(&mut [0; 9]).await.unwrap_err().kind(), ErrorKind::ResourceBusy);
        stream.write_all(b"while one reads").await?;
        peer.write_all(b"for the first").await?;
        assert_eq!(first.join().await?.unwrap(), b"for the first");
        // A new reader is admitted again, also after a cancelled one.
        let third = reader(&stream);
        testing::settle().await?;
        third.cancel().await?;
        let fourth = reader(&stream);
        testing::settle().await?;
        peer.write_all(b"for the fourth").await?;
        assert_eq!(fourth.join().await?.unwrap(), b"for the fourth");
        assert!(matches!(third.join().await?, Err(TaskError::Cancelled(_))));
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N3: a second writer is refused while the first waits for room.
#[test]
fn a_second_writer_is_refused_and_the_first_is_unharmed() {
    both::run(async || {
        let (stream, peer) = connections::ours().await?;
        let stream = Rc::new(stream);
        let len = 32_000_000;
        let first = spawn({
            let stream = stream.clone();
            async move { stream.write_all(&vec![7; len]).await }
        });
        testing::settle().await?;
        assert_eq!(first.state().to_string(), "WRITE");
        assert_eq!(stream.write(b"me too").await.unwrap_err().kind(), ErrorKind::ResourceBusy);
        let mut got = vec![0; len];
        peer.read_exact(&mut got).await?;
        first.join().await?.unwrap();
        assert!(got.iter().all(|byte| *byte == 7));
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N3: one task reads while another writes, more than the system buffers, in both directions at
/// once.
#[test]
fn both_directions_carry_at_once() {
    both::run(async || {
        let (left, right) = connections::ours().await?;
        let len = 8_000_000;
        let talk = |mut stream: TcpStream, byte: u8| {
            spawn(async move {
                let (read, write) = stream.split();
                let (out, mut got) = (vec![byte; len], vec![0; len]);
                let (written, read) = join(write.write_all(&out), read.read_exact(&mut got)).await;
                written?;
                read?;
                Ok::<_, io::Error>(got)
            })
        };
        let (left, right) = (talk(left, 1), talk(right, 2));
        assert!(left.join().await?.unwrap().iter().all(|byte| *byte == 2));
        assert!(right.join().await?.unwrap().iter().all(|byte| *byte == 1));
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N5: a close wakes the tasks that are parked on the stream, and every later call says that it is
/// closed.
#[test]
fn close_wakes_the_parked_reader_and_writer() {
    both::run(async || {
        let (stream, peer) = connections::ours().await?;
        let stream = Rc::new(stream);
        let reader = reader(&stream);
        let writer = spawn({
            let stream = stream.clone();
            async move { Ok(stream.write_all(&vec![0; 32_000_000]).await?) }
        });
        testing::settle().await?;
        stream.close();
        stream.close();
        let Err(TaskError::Failed(error)) = reader.join().await? else { panic!("it was closed") };
        assert_eq!(error.kind(), ErrorKind::NotConnected);
        let Err(TaskError::<io::Error>::Failed(error)) = writer.join().await? else {
            panic!("it was closed")
        };
        assert_eq!(error.kind(), ErrorKind::NotConnected);
        assert_eq!(stream.read(&mut [0]).await.unwrap_err().kind(), ErrorKind::NotConnected);
        assert_eq!(stream.write(&[0]).await.unwrap_err().kind(), ErrorKind::NotConnected);
        assert_eq!(stream.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
        drop(peer);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N8: events for a descriptor whose handle is closed, but which has a duplicate, wake no task, nor
/// the next socket in the same slot.
#[test]
fn events_of_a_closed_streams_duplicate_wake_nobody() {
    testing::run(async || {
        let (old, old_peer) = connections::ours().await?;
        assert!(timeout_after(SECOND, old.read(&mut [0; 9])).await.is_err());
        let duplicate = old.as_fd(|fd| fd.try_clone_to_owned())?;
        old.close();
        let (new, new_peer) = connections::ours().await?;
        let reader = reader(&Rc::new(new));
        testing::settle().await?;
        let before = cycles(&reader);
        for _ in 0..3 {
            old_peer.write_all(b"to the duplicate").await?;
            testing::settle().await?;
        }
        assert_eq!(cycles(&reader), before);
        drop(duplicate);
        new_peer.write_all(b"to the new one").await?;
        assert_eq!(reader.join().await?.unwrap(), b"to the new one");
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N8: a task that an earlier event of the same batch woke closes a socket. The socket that is made
/// in the same slot is not affected.
#[test]
fn a_socket_made_in_the_place_of_one_closed_in_the_same_batch_is_left_alone() {
    testing::run(async || {
        let (first, first_peer) = connections::ours().await?;
        let (second, second_peer) = connections::ours().await?;
        let second = Rc::new(second);
        let killer = spawn({
            let second = second.clone();
            async move {
                first.read(&mut [0; 9]).await?;
                second.close();
                let (third, third_peer) = connections::ours().await?;
                Ok::<_, io::Error>((reader(&Rc::new(third)), third_peer))
            }
        });
        let victim = reader(&second);
        testing::settle().await?;
        for peer in [&first_peer, &second_peer] {
            peer.as_fd(|fd| {
                let mut peer = std::net::TcpStream::from(fd.try_clone_to_owned()?);
                peer.write_all(b"both at once")
            })?;
        }
        let (third, third_peer) = killer.join().await?.unwrap();
        let Err(TaskError::Failed(error)) = victim.join().await? else { panic!("it was closed") };
        assert_eq!(error.kind(), ErrorKind::NotConnected);
        testing::settle().await?;
        assert!(!third.is_done());
        let before = cycles(&third);
        testing::settle().await?;
        assert_eq!(cycles(&third), before);
        third_peer.write_all(b"mine").await?;
        assert_eq!(third.join().await?.unwrap(), b"mine");
        Ok::<(), io::Error>(())
    })
    .unwrap();
}
