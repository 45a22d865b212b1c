//! `top`: the live tree of a program.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::address::Address;
use crate::document::Document;
use crate::talk::Events;
use crate::text::clean_line;
use crate::{Failure, Outcome, cancel};

mod draw;
mod keys;
mod rows;
#[cfg(test)]
mod top_screens;
mod view;

use crate::top::keys::Act;
use crate::top::view::View;

/// How long keys are waited for before the documents are looked at.
const PAUSE: Duration = Duration::from_millis(50);

/// What the other threads send.
enum News {
    Document(Box<Document>),
    /// The connection has ended.
    End(Failure),
    /// What became of a cancellation.
    Cancelled(String),
}

/// The terminal, restored when this is dropped. A panic restores it before it is reported.
struct Screen(DefaultTerminal);

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

pub(crate) fn check_terminal() -> Result<(), Failure> {
    if io::stdin().is_terminal() && io::stdout().is_terminal() {
        return Ok(());
    }
    Err(Failure::Usage("`top` needs a terminal; `curium tree` and --json print once".into()))
}

pub(crate) fn run(address: &Address) -> Result<Outcome, Failure> {
    // What is wrong with the program is said before the screen changes.
    let events = Events::open(address)?;
    let failed = |error: io::Error| Failure::Program(format!("the terminal: {error}"));
    let signal = Arc::new(AtomicUsize::new(0));
    for number in [SIGINT, SIGTERM, SIGHUP] {
        let value = usize::try_from(number).unwrap_or(0);
        signal_hook::flag::register_usize(number, signal.clone(), value).map_err(failed)?;
    }
    thread::spawn(end_with_terminal);
    // It restores what it has changed if it fails half-way.
    let screen = Screen(ratatui::try_init().inspect_err(|_| ratatui::restore()).map_err(failed)?);
    let done = watch(screen, events, address, &signal);
    // By now the terminal is restored.
    if let Ok(number @ 1..) = i32::try_from(signal.load(Ordering::Relaxed)) {
        signal_hook::low_level::emulate_default_handler(number).map_err(failed)?;
    }
    done.map(|()| Outcome::Fine)
}

/// Ends the process when the terminal is gone, as SIGHUP does if it is sent: it goes only to those
/// that the terminal controls. Then nothing is left to restore, and crossterm reads the end of the
/// input again and again, so that no other thread gets to look.
fn end_with_terminal() {
    let stdin = io::stdin();
    // Without events to wait for it returns only if the terminal is gone.
    while let Err(Errno::INTR) = poll(&mut [PollFd::new(&stdin, PollFlags::empty())], None) {}
    let _ = signal_hook::low_level::emulate_default_handler(SIGHUP);
}

/// Draws until the user leaves, the connection ends, or a signal comes.
fn watch(
    mut screen: Screen,
    events: Events,
    address: &Address,
    signal: &AtomicUsize,
) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::Program(format!("the terminal: {error}"));
    // A program that sends faster than this draws waits.
    let (sender, receiver) = sync_channel(1);
    let reader = sender.clone();
    thread::spawn(move || read(events, &reader));
    let mut view = View::new(address.to_string());
    loop {
        hear(&receiver, &mut view)?;
        screen.0.draw(|frame| draw::draw(frame, &mut view)).map_err(failed)?;
        let pressed = match event::poll(PAUSE) {
            Ok(true) => match event::read().map_err(failed)? {
                Event::Key(key) => view.press(key),
                _ => Act::None,
            },
            Ok(false) => Act::None,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Act::None,
            Err(error) => return Err(failed(error)),
        };
        match pressed {
            _ if signal.load(Ordering::Relaxed) != 0 => return Ok(()),
            Act::None => {}
            Act::Quit => return Ok(()),
            Act::Cancel(id) => {
                view.status = Some(format!("cancelling task {id} ..."));
                let (address, sender) = (address.clone(), sender.clone());
                thread::spawn(move || sender.send(News::Cancelled(cancelled(&address, &id))));
            }
        }
    }
}

/// Takes all that has come.
fn hear(receiver: &Receiver<News>, view: &mut View) -> Result<(), Failure> {
    loop {
        match receiver.try_recv() {
            Ok(News::Document(document)) => view.update(*document),
            Ok(News::Cancelled(text)) => view.status = Some(text),
            Ok(News::End(failure)) => return Err(failure),
            Err(TryRecvError::Empty) => return Ok(()),
            Err(TryRecvError::Disconnected) => {
                return Err(Failure::Program("the connection is no longer read".into()));
            }
        }
    }
}

fn read(mut events: Events, sender: &SyncSender<News>) {
    loop {
        let text = events.next();
        let document = text.and_then(|text| Document::parse(&text).map_err(Failure::Program));
        let (news, is_last) = match document {
            Ok(document) => (News::Document(Box::new(document)), false),
            Err(failure) => (News::End(failure), true),
        };
        if sender.send(news).is_err() || is_last {
            return;
        }
    }
}

fn cancelled(address: &Address, id: &str) -> String {
    match cancel::cancel(address, id) {
        Ok(text) => clean_line(text.trim_end()),
        Err(Failure::Program(text) | Failure::Usage(text)) => clean_line(text.trim_end()),
    }
}
