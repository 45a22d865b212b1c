//! The pipes of children (O2).

use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::time::Duration;

use curium::io::{BufReader, ReadExt, WriteExt};
use curium::kernel::{self, cancelled, ignore_after, spawn, yield_now};
use curium::process::{Command, Stdio};

use crate::process_kit::{from_child, sh};

/// O2: the output of one child is the input of the next, which expects to wait in its reads.
#[test]
fn the_output_of_one_child_is_the_input_of_the_next() {
    kernel::run(async || {
        let mut first = sh("read line; echo b; echo a");
        let mut first = first.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().await?;
        let mut second = Command::new("sort");
        second.stdin(first.stdout.take().unwrap()).stdout(Stdio::piped());
        let mut second = second.spawn().await?;
        let third =
            spawn(Command::new("head").arg("-n1").stdin(second.stdout.take().unwrap()).output());
        yield_now().await?;
        first.stdin.take().unwrap().write_all(b"go\n").await?;
        assert_eq!(third.await?.stdout, b"a\n");
        assert!(first.wait().await?.success() && second.wait().await?.success());
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// O2, N1: a child talks through its pipes while it runs, and reads the end when its input is
/// closed.
#[test]
fn a_child_is_talked_to_while_it_runs() {
    kernel::run(async || {
        let mut command = Command::new("cat");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().await?;
        for text in [b"one", b"two"] {
            child.stdin.as_ref().unwrap().write_all(text).await?;
            let mut buf = [0; 8];
            assert_eq!(child.stdout.as_ref().unwrap().read(&mut buf).await?, 3);
            assert_eq!(&buf[..3], text);
        }
        assert_eq!(child.stdin.as_ref().unwrap().write(b"").await?, 0);
        assert_eq!(child.stdout.as_ref().unwrap().read(&mut []).await?, 0);
        let input = child.stdin.as_ref().unwrap();
        input.close();
        assert_eq!(input.write(b"x").await.unwrap_err().kind(), ErrorKind::NotConnected);
        let mut rest = Vec::new();
        child.stdout.as_mut().unwrap().read_to_end(&mut rest).await?;
        assert_eq!(rest, b"");
        assert!(child.wait().await?.success());
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// O2, I1, I2: the pipes are streams like any other: they have buffers and lines, and a close ends
/// the input.
#[test]
fn the_pipes_of_a_child_are_streams() {
    kernel::run(async || {
        let mut command = sh("while read line; do echo $line; echo -- $line >&2; done");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().await?;
        let mut input = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        for text in ["one\n", "two\n"] {
            input.write_all(text.as_bytes()).await?;
            let mut line = String::new();
            lines.read_line(&mut line).await?;
            assert_eq!(line, text);
        }
        WriteExt::write_all(&mut input, b"last\n").await?;
        WriteExt::close(&mut input).await?;
        assert_eq!(WriteExt::write_all(&mut input, b"x").await.unwrap_err().written, 0);
        let (mut rest, mut errors) = (String::new(), String::new());
        lines.read_to_string(&mut rest).await?;
        child.stderr.take().unwrap().read_to_string(&mut errors).await?;
        assert_eq!((&*rest, &*errors), ("last\n", "-- one\n-- two\n-- last\n"));
        assert!(child.wait().await?.success());
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// O2, C1, N4: a cancelled write says how much the child gets.
#[test]
fn a_cancelled_write_says_how_much_the_child_gets() {
    kernel::run(async || {
        let (go, waits) = std::os::unix::net::UnixStream::pair()?;
        // It does not read its input before it may. Its standard error is what it waits for.
        let mut command = sh("read go <&2; cat");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(OwnedFd::from(waits));
        let mut child = command.spawn().await?;
        let input = child.stdin.take().unwrap();
        let writes = spawn(async move { input.write_all(&[b'x'; 1 << 20]).await });
        yield_now().await?;
        assert_eq!(writes.state().to_string(), "WRITE");
        writes.request_cancel();
        let error = writes.await.unwrap_err();
        assert!(cancelled(&error).is_some());
        drop(go);
        let mut text = Vec::new();
        child.stdout.as_mut().unwrap().read_to_end(&mut text).await?;
        assert_eq!(text.len(), error.written);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// O2, N4: a cancelled read consumes nothing.
#[test]
fn a_cancelled_read_leaves_the_bytes_for_the_next_one() {
    kernel::run(async || {
        let mut command = sh("read line; printf word");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().await?;
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut buf = [0; 8];
        let read = ignore_after(Duration::from_millis(1), output.read(&mut buf)).await?;
        assert_eq!(read, None);
        input.write_all(b"go\n").await?;
        assert_eq!(output.read(&mut buf).await?, 4);
        assert_eq!(&buf[..4], b"word");
        assert_eq!(output.read(&mut buf).await?, 0);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// O2, N7: a child that has closed its input is an error of the write, and no signal.
#[test]
fn writing_to_a_child_that_has_closed_its_input_is_an_error() {
    kernel::run(async || {
        let mut child = sh("exec <&-; echo up; exec sleep 100");
        let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().await?;
        child.stdout.as_ref().unwrap().read(&mut [0; 3]).await?;
        // Other tests start processes, which have all descriptors for a moment, this pipe's too.
        let error = loop {
            match child.stdin.as_ref().unwrap().write_all(b"word").await {
                Ok(()) => yield_now().await?,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        child.kill()?;
        child.wait().await?;
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// O2: a write that is parked in a full pipe ends when the child does.
#[test]
fn a_parked_write_ends_with_its_child() {
    kernel::run(async || {
        let mut command = Command::new("sleep");
        let mut child = command.arg("100").stdin(Stdio::piped()).spawn().await?;
        let input = child.stdin.take().unwrap();
        let writes = spawn(async move { input.write_all(&vec![b'x'; 1 << 20]).await });
        yield_now().await?;
        assert_eq!(writes.state().to_string(), "WRITE");
        child.kill()?;
        assert_eq!(writes.await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// O2: a child that prints into a closed pipe ends by itself.
#[test]
fn a_flood_ends_when_its_pipe_is_closed() {
    kernel::run(async || {
        let mut child = Command::new("yes").stdout(Stdio::piped()).spawn().await?;
        child.stdout.as_ref().unwrap().read(&mut [0; 8]).await?;
        child.stdout = None;
        assert!(!child.wait().await?.success());
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// O2: the streams of a child can be files. `output` closes a pipe that it writes nothing to.
#[test]
fn the_streams_of_a_child_can_be_files() {
    kernel::run(async || {
        let mut command = sh("cat; echo done >&2");
        command.stdin(std::fs::File::open("/proc/self/comm")?);
        let null = std::fs::File::options().write(true).open("/dev/null")?;
        let output = command.stderr(null).output().await?.check()?;
        assert!(!output.stdout.is_empty() && output.stderr.is_empty());
        let mut command = Command::new("cat");
        assert_eq!(command.stdin(Stdio::piped()).output().await?.stdout, b"");
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// O2: a child has its three standard streams, and no other descriptor of the runtime: the same as
/// one that `std` starts before there is any.
#[test]
fn no_descriptor_leaks_into_a_child() {
    const LIST: &str = "ls /proc/$$/fd";
    let expected = std::process::Command::new("sh").args(["-c", LIST]).output().unwrap().stdout;
    kernel::run(async || {
        let mut others = Vec::new();
        for _ in 0..4 {
            let mut other = Command::new("cat");
            others.push(other.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().await?);
        }
        let (_reader, writer) = from_child();
        let listed = sh(LIST).stderr(writer).output().await?.check()?;
        assert_eq!(String::from_utf8_lossy(&listed.stdout), String::from_utf8_lossy(&expected));
        Ok::<(), io::Error>(())
    })
    .unwrap();
}
