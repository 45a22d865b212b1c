use std::cell::RefCell;
use std::net::TcpStream;
use std::rc::Rc;

use kernel::{Kernel, SnapshotParts, Task, TaskCancelled, TaskId, Watcher, spawn_named, yield_now};

use super::*;
use crate::listen::Place;

/// Keeps the link to its kernel.
#[derive(Clone, Default)]
struct Keeper(Rc<RefCell<Option<Link>>>);

impl Watcher for Keeper {
    fn begin(&self, link: Link) {
        *self.0.borrow_mut() = Some(link);
    }

    fn end(&self) {}
}

/// Two tasks that join each other.
async fn circle() -> Result<TaskId, TaskCancelled> {
    let other: Rc<RefCell<Option<Task<(), TaskCancelled>>>> = Rc::default();
    let theirs = other.clone();
    let one = spawn_named("one", async move {
        let other = theirs.take().expect("it was spawned");
        other.await
    });
    let id = one.id();
    *other.borrow_mut() = Some(spawn_named("two", async move { one.await }));
    yield_now().await?;
    yield_now().await?;
    Ok(id)
}

/// What is shown of a circle, of which a task is polled before the kernel is asked again if
/// `breaks`.
fn shown(breaks: bool) -> String {
    let keeper = Keeper::default();
    let kernel = Kernel::builder().watcher(keeper.clone()).build().expect("a kernel");
    let link = keeper.0.borrow().clone().expect("the kernel was made");
    let seen = kernel.run(async move || {
        let listener = Listener::bind(&Place::Port(([127, 0, 0, 1], 0).into())).expect("a port");
        let mut server =
            Server::new(listener, Rights::default(), String::new()).expect("descriptors");
        server.add(link);
        let one = circle().await?;
        let mut parts = SnapshotParts::begin();
        while !parts.take(100) {}
        if breaks {
            kernel::handle().request_cancel(one).expect("the kernel runs");
        }
        let known = server.world.kernels.get_mut(&0).expect("it was added");
        let watched = server.kernels.get_mut(&0).expect("it was added");
        watched.judge(parts.finish(), known, Instant::now());
        assert!(known.shot.is_none(), "the kernel has not confirmed it");
        while server.world.kernels[&0].shot.is_none() {
            yield_now().await?;
            server.receive();
        }
        kernel::handle().request_cancel(one).expect("the kernel runs");
        let shot = &server.world.kernels[&0].shot;
        Ok::<_, TaskCancelled>(shot.as_ref().map(|shot| shot.alarms() + &shot.tree()))
    });
    seen.expect("main is not cancelled").expect("a shot")
}

/// M5: a verdict of which a task has run before the kernel has confirmed it is not shown.
#[test]
fn only_a_verdict_that_the_kernel_confirms_is_shown() {
    let confirmed = shown(false);
    assert!(confirmed.starts_with("(!) deadlock: #1 one"), "{confirmed}");
    let refuted = shown(true);
    assert!(!refuted.contains("(!)") && refuted.contains("#1 one"), "{refuted}");
}

/// A client with a request.
fn client(listening: &str, request: &str) -> TcpStream {
    let mut client = TcpStream::connect(listening).expect("the listener has room");
    write!(client, "{request} HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it is connected");
    client
}

/// Has the kernel of this thread answer what the clients have asked.
async fn answered(server: &mut Server) -> Result<(), TaskCancelled> {
    server.accept();
    server.serve();
    server.look();
    let number = server.world.next - 1;
    while server.world.kernels[&0].shot.as_ref().is_none_or(|shot| shot.number < number) {
        yield_now().await?;
        server.receive();
    }
    Ok(())
}

/// What a client gets that asks for a trace while core 1 does not answer, and a page that comes
/// after it asks core 0 again.
fn traced_beside_a_page(builder: kernel::Builder) -> String {
    let (keeper, silent) = (Keeper::default(), Keeper::default());
    let kernel = builder.watcher(keeper.clone()).build().expect("a kernel");
    let _never_runs = Kernel::builder().watcher(silent.clone()).build().expect("a kernel");
    let (link, silent) = (keeper.0.take().expect("it"), silent.0.take().expect("it"));
    let answer = kernel.run(async move || {
        let listener = Listener::bind(&Place::Port(([127, 0, 0, 1], 0).into())).expect("a port");
        let at = listener.shown();
        let mut server =
            Server::new(listener, Rights::default(), String::new()).expect("descriptors");
        server.add(link);
        server.kernels.insert(1, Watched::new(silent, 1, server.way.clone()));
        server.world.kernels.insert(1, Known::of(Some(1)));
        let mut trace = client(&at, "GET /trace?secs=60");
        answered(&mut server).await?;
        let _page = client(&at, "GET /events");
        answered(&mut server).await?;
        assert_eq!(server.world.next, 3, "both have asked");
        server.world.now += Duration::from_secs(3);
        server.serve();
        let mut answer = Vec::new();
        trace.read_to_end(&mut answer).expect("it is answered");
        let is_kept = server.world.kernels[&0].record.is_some();
        assert!(!is_kept, "a record is kept for those who wait");
        Ok::<_, TaskCancelled>(String::from_utf8_lossy(&answer).into_owned())
    });
    answer.expect("main is not cancelled")
}

/// M6, P6: a trace has the records of all kernels that have answered, also if another client has
/// asked them for a shot since, and says which cores are left out.
#[test]
fn a_record_outlasts_the_shots_for_other_clients() {
    let answer = traced_beside_a_page(Kernel::builder().flight_recorder(1 << 16));
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("\r\nX-Curium-Left-Out: 1\r\n"), "{answer}");
    assert!(answer.contains("main"), "{answer}");
}

/// M6, P6: that a program has no flight recorder is said also if a core does not answer.
#[test]
fn a_program_without_a_recorder_is_told_from_one_that_is_silent() {
    let answer = traced_beside_a_page(Kernel::builder());
    assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n"), "{answer}");
    assert!(
        answer.ends_with("has no flight recorder; see Builder::flight_recorder.\n"),
        "{answer}"
    );
}
