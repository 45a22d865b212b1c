//! Ten requests, as in `fetch10`, in three ways: one after another with blocking calls, at once
//! with callbacks on a bare reactor, and at once with tasks.
//!
//! The server takes 100 ms for each page. The times go to standard error.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use curium::io::ReadExt;
use curium::kernel::{self, TaskGroup, run_in_thread, sleep};
use curium::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};

const PAGES: u8 = 10;

type Pages = io::Result<Vec<String>>;

async fn answer(stream: TcpStream, _peer: SocketAddr) -> io::Result<()> {
    let mut number = [0];
    stream.read_exact(&mut number).await?;
    sleep(Duration::from_millis(100)).await?;
    Ok(stream.write_all(format!("page {}", number[0]).as_bytes()).await?)
}

fn blocking(address: SocketAddr) -> Pages {
    let fetch = |number| {
        let mut stream = std::net::TcpStream::connect(address)?;
        stream.write_all(&[number])?;
        let mut page = String::new();
        stream.read_to_string(&mut page)?;
        Ok(page)
    };
    (0..PAGES).map(fetch).collect()
}

async fn fetch(address: SocketAddr, number: u8) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(&[number]).await?;
    let mut page = String::new();
    stream.read_to_string(&mut page).await?;
    Ok(page)
}

async fn tasks(address: SocketAddr) -> Pages {
    TaskGroup::scope(async |g| {
        let fetches: Vec<_> = (0..PAGES).map(|number| g.spawn(fetch(address, number))).collect();
        let mut pages = Vec::new();
        for fetch in fetches {
            pages.push(fetch.await?);
        }
        Ok(pages)
    })
    .await
}

/// What to do when a socket is ready.
struct Callback(Box<dyn FnOnce(&Registry) -> Next>);

/// What to do the next time, if there is one.
type Next = io::Result<Option<Callback>>;

/// A request, and what its callbacks have in common.
struct Request {
    stream: mio::net::TcpStream,
    number: u8,
    page: Vec<u8>,
    pages: Rc<RefCell<Vec<String>>>,
}

impl Request {
    fn on_connected(mut self) -> Callback {
        Callback(Box::new(move |registry| {
            if let Some(error) = self.stream.take_error()? {
                return Err(error);
            }
            match self.stream.write(&[self.number]) {
                Ok(_) => {
                    let token = Token(self.number.into());
                    registry.reregister(&mut self.stream, token, Interest::READABLE)?;
                    Ok(Some(self.on_readable()))
                }
                Err(error) if is_not_yet(&error) => Ok(Some(self.on_connected())),
                Err(error) => Err(error),
            }
        }))
    }

    fn on_readable(mut self) -> Callback {
        Callback(Box::new(move |_registry| {
            match self.stream.read_to_end(&mut self.page) {
                Ok(_) => {
                    let page = String::from_utf8_lossy(&self.page).into_owned();
                    self.pages.borrow_mut().push(page);
                    Ok(None)
                }
                // What has arrived is in `page`.
                Err(error) if is_not_yet(&error) => Ok(Some(self.on_readable())),
                Err(error) => Err(error),
            }
        }))
    }
}

fn is_not_yet(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected)
}

fn callbacks(address: SocketAddr) -> Pages {
    let mut poll = Poll::new()?;
    let pages = Rc::new(RefCell::new(Vec::new()));
    let mut callbacks = HashMap::new();
    for number in 0..PAGES {
        let mut stream = mio::net::TcpStream::connect(address)?;
        let token = Token(number.into());
        poll.registry().register(&mut stream, token, Interest::WRITABLE)?;
        let request = Request { stream, number, page: Vec::new(), pages: pages.clone() };
        callbacks.insert(token, request.on_connected());
    }
    let mut events = Events::with_capacity(64);
    while !callbacks.is_empty() {
        poll.poll(&mut events, None)?;
        for event in &events {
            let Some(Callback(callback)) = callbacks.remove(&event.token()) else { continue };
            // An error ends all of them. What else is a `?` in a task would be code here.
            if let Some(next) = callback(poll.registry())? {
                callbacks.insert(event.token(), next);
            }
        }
    }
    Ok(pages.take())
}

fn show(how: &str, started: Instant, mut pages: Vec<String>) {
    eprintln!("{how} took {:?}", started.elapsed());
    pages.sort();
    println!("{how}: {}", pages.join(", "));
}

fn main() -> io::Result<()> {
    kernel::run(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let server = kernel::spawn(listener.serve(answer));
        let started = Instant::now();
        show("blocking", started, run_in_thread(move || blocking(address)).await??);
        let started = Instant::now();
        show("callbacks", started, run_in_thread(move || callbacks(address)).await??);
        let started = Instant::now();
        show("tasks", started, tasks(address).await?);
        server.cancel().await?;
        Ok(())
    })
}
