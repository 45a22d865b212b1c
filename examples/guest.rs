//! A kernel in a loop that is not its own: here one that polls two descriptors, that of the kernel
//! and a pipe with lines, as a program with a window system has it.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::rc::Rc;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use curium::kernel::{Guest, Kernel, TaskCancelled, sleep};
use curium::sync::Queue;
use rustix::event::{PollFd, PollFlags, poll};

/// Takes words until the last one, as a task of any kernel does.
async fn repeat(words: &Queue<String>) -> Result<usize, TaskCancelled> {
    let mut taken = 0;
    while let Some(word) = words.next().await? {
        sleep(Duration::from_millis(1)).await?;
        println!("{word}");
        taken += 1;
    }
    Ok(taken)
}

/// Waits until the kernel or the pipe has something. Returns whether it is the pipe.
fn wait<T>(guest: &Guest<'_, T>, pipe: &File) -> std::io::Result<bool> {
    let mut both = [PollFd::new(guest, PollFlags::IN), PollFd::new(pipe, PollFlags::IN)];
    poll(&mut both, None)?;
    Ok(!both[1].revents().is_empty())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (read, write) = rustix::pipe::pipe()?;
    let (mut lines, mut typist) = (BufReader::new(File::from(read)), File::from(write));
    let typing = thread::spawn(move || typist.write_all(b"ready\nsteady\ngo\n"));

    let words = Rc::new(Queue::unbounded());
    let mut guest = Kernel::new()?.guest(async || repeat(&words).await)?;
    let taken = loop {
        // It never sleeps, and polls a hundred tasks at most.
        if let Poll::Ready(ended) = guest.turn(100) {
            break ended?;
        }
        if !wait(&guest, lines.get_ref())? || words.is_closed() {
            continue;
        }
        // The loop and the kernel share a thread, so they may share a queue.
        let mut line = String::new();
        while lines.read_line(&mut line)? > 0 {
            words.try_put(std::mem::take(&mut line).trim().to_owned())?;
        }
        words.close();
    };
    println!("the kernel has taken {taken} words");
    typing.join().expect("it does not panic")?;
    Ok(())
}
