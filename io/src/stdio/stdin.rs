//! The standard input.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncBufRead, AsyncRead};
use kernel::io::ToRead;

use super::gate::{Gate, Handle};
use crate::BufReader;

static GATE: Gate<io::Stdin> = Gate::new("the standard input", io::stdin);

/// A handle of the standard input of the process, with a buffer. See [`Stdin`].
pub fn stdin() -> Stdin {
    Stdin { reader: BufReader::new(Raw(Handle::new(&GATE))) }
}

/// A handle of the standard input of the process.
///
/// No cancellation takes anything from it: what is typed later goes to the next read. When a handle
/// is dropped, the next one begins with what it has read ahead. One handle is used at a time:
/// while one waits or holds bytes that it has read ahead, a read of another is an error of the kind
/// [`io::ErrorKind::ResourceBusy`].
///
/// ```no_run
/// use curium::io::stdin;
///
/// curium::run(async || {
///     let mut lines = stdin().lines();
///     while let Some(line) = lines.next().await? {
///         println!("{} bytes", line.len());
///     }
///     Ok::<(), std::io::Error>(())
/// })
/// .unwrap();
/// ```
///
/// Its limits are those of [the module](crate::stdio).
pub struct Stdin {
    reader: BufReader<Raw>,
}

/// The input without a buffer. Begins with what dropped handles have left.
struct Raw(Handle<io::Stdin>);

impl AsyncRead for Raw {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let gate = self.0.gate();
        let mut read = gate.read_unread(&self.0, buf)?;
        if read == 0 && !buf.is_empty() {
            let input = |fd: BorrowedFd<'_>| Ok(rustix::io::read(fd, &mut *buf)?);
            read = ready!(gate.poll(&self.0, ToRead, cx, input))?;
        }
        if read > 0 {
            self.0.keep();
        }
        Poll::Ready(Ok(read))
    }
}

impl Stdin {
    /// Appends the next line with its end to `line`. Gives the number of bytes; 0 is the end of the
    /// input. The last line may have no end.
    ///
    /// # Errors
    ///
    /// Those of the system; a cancellation; [`io::ErrorKind::ResourceBusy`] while another handle is
    /// in use; [`io::ErrorKind::InvalidData`] if the line is not UTF-8. That line is skipped. In
    /// all cases `line` is as it was.
    ///
    /// # Cancellation
    ///
    /// Nothing is lost: what was read of the line is read again.
    ///
    /// # Panics
    ///
    /// Outside a kernel.
    #[track_caller]
    pub fn read_line<'a>(
        &'a mut self,
        line: &'a mut String,
    ) -> impl Future<Output = io::Result<usize>> + 'a {
        self.read_line_at(line, Location::caller())
    }

    async fn read_line_at(
        &mut self,
        line: &mut String,
        site: &'static Location<'static>,
    ) -> io::Result<usize> {
        let used = Used(self);
        used.0.reader.read_line_at(line, site).await
    }

    /// The lines of the input.
    pub fn lines(self) -> StdinLines {
        StdinLines { stdin: self }
    }

    fn release_if_empty(&self) {
        if self.reader.buffer().is_empty() {
            self.reader.get_ref().0.release();
        }
    }
}

impl Drop for Stdin {
    fn drop(&mut self) {
        self.reader.get_ref().0.leave(self.reader.buffer());
    }
}

impl AsyncRead for Stdin {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.reader).poll_read(cx, buf);
        if polled.is_ready() {
            self.release_if_empty();
        }
        polled
    }
}

impl AsyncBufRead for Stdin {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        let filled = ready!(Pin::new(&mut this.reader).poll_fill_buf(cx)).map(drop);
        this.release_if_empty();
        filled?;
        Poll::Ready(Ok(this.reader.buffer()))
    }

    fn consume(mut self: Pin<&mut Self>, amount: usize) {
        Pin::new(&mut self.reader).consume(amount);
        self.release_if_empty();
    }
}

crate::other_traits!(buffered [] Stdin);

impl fmt::Debug for Stdin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stdin").field("buffered", &self.reader.buffer()).finish()
    }
}

/// The lines of the standard input: see [`Stdin::lines`].
#[derive(Debug)]
pub struct StdinLines {
    stdin: Stdin,
}

impl StdinLines {
    /// The next line without its end, which is `\n` or `\r\n`. `None` at the end of the input.
    ///
    /// # Errors
    ///
    /// As [`Stdin::read_line`].
    ///
    /// # Cancellation
    ///
    /// Nothing is lost. What was read of a line goes to the next call, also if that is of another
    /// handle.
    ///
    /// # Panics
    ///
    /// Outside a kernel.
    #[track_caller]
    #[expect(clippy::should_implement_trait, reason = "an iterator cannot wait")]
    pub fn next(&mut self) -> impl Future<Output = io::Result<Option<String>>> {
        let site = Location::caller();
        async move {
            let mut line = String::new();
            if self.stdin.read_line_at(&mut line, site).await? == 0 {
                return Ok(None);
            }
            let end = line.strip_suffix('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
            line.truncate(end.unwrap_or(&line).len());
            Ok(Some(line))
        }
    }
}

/// A handle while it reads a line. Other handles may read as soon as it neither waits nor holds
/// bytes.
struct Used<'a>(&'a mut Stdin);

impl Drop for Used<'_> {
    fn drop(&mut self) {
        self.0.release_if_empty();
    }
}
