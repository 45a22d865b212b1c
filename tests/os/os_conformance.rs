//! The suite for streams of every kind, over the pipes of a child, files and the standard streams.

use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use curium::fs::File;
use curium::io::stdio::{Stdin, Stdout};
use curium::io::{AsyncRead, AsyncWrite, ReadExt, stdin, stdout};
use curium::process::{Command, Stdio};
use rustix::pipe::pipe;
use rustix::stdio::{dup2_stdin, dup2_stdout};

use crate::conformance::{Kind, ThroughHyper, ThroughTokio, conform, one_way, plain_one_way};
use crate::support::children;

/// I1, I2, O2: the input and the output of a child that copies one to the other pass the suite.
#[test]
fn the_pipes_of_a_child_conform() {
    let kinds = one_way(async || {
        let mut cat = Command::new("cat");
        let mut cat = cat.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().await?;
        let ends = (cat.stdin.take().expect("a pipe"), cat.stdout.take().expect("a pipe"));
        // It ends when its input does, or when nothing reads its output.
        cat.detach();
        Ok(ends)
    });
    conform(kinds.into_iter().map(Kind::not_swept));
}

/// I1, I2, O3: so do files, of which one writes into a pipe and the other one reads from it.
#[test]
fn files_conform() {
    let kinds = one_way(async || {
        let (reads, writes) = pipe()?;
        let file = |end: OwnedFd| File::from_std(end.into());
        Ok((file(writes), file(reads)))
    });
    conform(kinds.into_iter().map(Kind::ends_when_dropped).map(Kind::in_real_time));
}

/// A handle of a standard stream, and what is done after its drop.
struct Standard<S>(S, Closes);

/// Takes the pipe away from a standard stream, which then is `/dev/null`.
struct Closes(fn(OwnedFd) -> rustix::io::Result<()>);

impl Drop for Closes {
    fn drop(&mut self) {
        self.0(null()).expect("the descriptor can be replaced");
    }
}

fn null() -> OwnedFd {
    std::fs::File::options().read(true).write(true).open("/dev/null").expect("it exists").into()
}

impl<S: AsyncRead + Unpin> AsyncRead for Standard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Standard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}

/// The standard output and the standard input of this process, joined by a pipe.
async fn standard_streams() -> io::Result<(Standard<Stdout>, Standard<Stdin>)> {
    // What the last handle has read ahead.
    dup2_stdin(null())?;
    stdin().read_to_end(&mut Vec::new()).await?;
    let (reads, writes) = pipe()?;
    dup2_stdin(reads)?;
    dup2_stdout(writes)?;
    let input = Closes(dup2_stdin);
    Ok((Standard(stdout(), Closes(dup2_stdout)), Standard(stdin(), input)))
}

/// I1, I2, I5: so do the standard input and the standard output.
#[test]
fn the_standard_streams_conform() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    let before = rustix::io::dup(io::stdout()).unwrap();
    let kinds = [
        plain_one_way("futures-io", standard_streams),
        plain_one_way("tokio", async || {
            let (Standard(out, a), Standard(input, b)) = standard_streams().await?;
            Ok((Standard(ThroughTokio(out), a), Standard(ThroughTokio(input), b)))
        }),
        plain_one_way("hyper", async || {
            let (Standard(out, a), Standard(input, b)) = standard_streams().await?;
            Ok((Standard(ThroughHyper(out), a), Standard(ThroughHyper(input), b)))
        }),
    ];
    conform(kinds.map(Kind::ends_when_dropped));
    // The test kit writes to it.
    dup2_stdout(before).unwrap();
}
