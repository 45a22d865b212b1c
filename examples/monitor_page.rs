//! The page of the monitor: two tellers wait for each other's end, and a kid plays until it is
//! cancelled. With `--open` the program prints the address of the page and waits until the kid is
//! cancelled there. Without it, the program is the browser itself: it reads the page, and cancels
//! the kid as the button on the page does. With `--cores`, all of them are on the second of two
//! cores.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::{env, io};

use curium::io::ReadExt;
use curium::kernel::{Core, Cores, kernels};
use curium::monitor::{Listening, Monitor, MonitorExt};
use curium::prelude::*;
use curium::{Kernel, Task, spawn_named};

type Teller = Task<(), TaskCancelled>;

/// Starts two tellers of whom each waits for the end of the other.
fn tellers() -> Rc<RefCell<Vec<Teller>>> {
    let tellers: Rc<RefCell<Vec<Teller>>> = Rc::default();
    for (name, other) in [("<img src=x> teller", 1), ("other teller", 0)] {
        let all = tellers.clone();
        let teller = spawn_named(name, async move {
            let end = all.borrow()[other].wait();
            end.await.map(|_| ())
        });
        tellers.borrow_mut().push(teller);
    }
    tellers
}

/// Plays, and saves its work if it is cancelled.
async fn kid() -> Result<()> {
    finally(sleep(Duration::from_secs(3600)), async |_| {
        println!("the kid saves its work");
    })
    .await
}

/// Makes one request, and returns the answer.
async fn request(address: &str, text: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("{text}\r\nHost: {address}\r\n\r\n").as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Does what a browser does.
async fn browse(monitor: &Listening, kid: &Task<(), TaskCancelled>) -> io::Result<()> {
    let page = request(monitor.at(), "GET / HTTP/1.1").await?;
    let has_all = ["tree", "graph", "time"].iter().all(|id| page.contains(&format!("id=\"{id}\"")));
    println!("{}, with all its parts: {has_all}", page.lines().next().unwrap_or_default());

    let core = Core::current().map_or_else(String::new, |core| format!("{}:", core.index()));
    let cancel = format!("POST /cancel?task={core}{} HTTP/1.1", kid.id());
    let answer = request(monitor.at(), &cancel).await?;
    println!("without the token: {}", answer.lines().next().unwrap_or_default());
    let with_token = format!("{cancel}\r\nX-Curium-Token: {}", monitor.token());
    let answer = request(monitor.at(), &with_token).await?;
    kid.wait().await?;
    println!("with the token: {}", answer.lines().next().unwrap_or_default());
    Ok(())
}

async fn program(listening: &OnceLock<Listening>, open: bool) -> io::Result<()> {
    let monitor = listening.get().ok_or(io::ErrorKind::AddrInUse)?;
    let tellers = tellers();
    let kid = spawn_named("kid", kid());
    yield_now().await?;
    if open {
        println!("{}", monitor.page().unwrap_or_default());
    } else {
        browse(monitor, &kid).await?;
    }
    kid.wait().await?;
    let tellers = tellers.take();
    tellers.iter().for_each(Task::request_cancel);
    for teller in &tellers {
        teller.wait().await?;
    }
    Ok(())
}

fn main() -> io::Result<()> {
    let open = env::args().any(|argument| argument == "--open");
    let listening = Arc::new(OnceLock::new());
    let monitor = Monitor::new().address(([127, 0, 0, 1], 0)).allow_cancel().announce({
        let listening = listening.clone();
        move |it| drop(listening.set(it.clone()))
    });
    if !env::args().any(|argument| argument == "--cores") {
        return Kernel::builder().monitor(monitor).run(async || program(&listening, open).await);
    }
    let ended = kernels(Cores::count(2).monitor(monitor), async |core| match core.index() {
        0 => Ok(()), // it is shown, too
        _ => program(&listening, open).await,
    });
    ended.map(drop).map_err(io::Error::other)
}
