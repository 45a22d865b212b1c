//! Ten ways to hang or to stall. In each of them the rest of the service goes on, so that no
//! deadlock of the whole kernel ends the program.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::{io, thread};

use curium::io::ReadExt;
use curium::prelude::*;
use curium::process::{Command, Stdio};
use curium::spawn_named;
use futures::future::{Either, select};

use crate::cast::Cast;

const LONG: Duration = Duration::from_secs(1000);

/// This file, as the places of waits name it.
pub(crate) const FILE: &str = file!();

/// A way to hang, and what must be shown of it.
pub(crate) struct Way {
    pub(crate) name: &'static str,
    /// For each line that must be there, what must be in it.
    pub(crate) shown: &'static [&'static [&'static str]],
}

pub(crate) const WAYS: [Way; 10] = [
    Way {
        name: "lock_cycle",
        shown: &[&[
            "(!) deadlock: ",
            "{anna to bert}, LOCK_ACQUIRE at <second lock>",
            "{bert to anna}, LOCK_ACQUIRE at <second lock>",
        ]],
    },
    Way {
        name: "join_cycle",
        shown: &[&[
            "(!) deadlock: ",
            "{parent}, JOIN at <join of the child>",
            "{child}, WAIT at <wait>",
        ]],
    },
    Way {
        name: "permit_never_released",
        shown: &[
            &["{second query}", "SEMAPHORE_ACQUIRE", "<acquire>", "→ held by", "{first query}"],
            &["{first query}", "EVENT_WAIT", "<client>"],
        ],
    },
    Way {
        name: "futurelock",
        shown: &[&[
            "(!) futurelock: ",
            "{impatient}, LOCK_ACQUIRE at <second try>",
            "was handed to its wait at <first try>",
        ]],
    },
    Way { name: "lost_waker", shown: &[&["(!) lost: ", "nothing wakes", "{device}, FOREIGN"]] },
    Way { name: "full_queue", shown: &[&["{writer}", "QUEUE_PUT", "<put>", "has ended"]] },
    Way {
        name: "blocked_thread",
        shown: &[
            &["{report} holds the kernel"],
            &["It was last seen parked in ", "<last wait before the call>"],
        ],
    },
    Way {
        name: "unbounded_cleanup",
        shown: &[&[
            "{session}",
            "EVENT_WAIT",
            "<cleanup>",
            "cancelled",
            "cleaning up since <cancelled wait>",
        ]],
    },
    Way {
        name: "endless_shield",
        shown: &[&["{log}", "EVENT_WAIT", "<shield>", "cancelled", "held back by a shield"]],
    },
    Way {
        name: "endless_process",
        shown: &[&["{convert}", "PROCESS_WAIT", "<process>", "→ the end of a process"]],
    },
];

/// Hangs in the way of that name, beside the rest of the service.
pub(crate) async fn hang(name: &str, cast: Cast) -> Result<()> {
    for _ in 0..cast.neighbours() {
        spawn_named("server", server());
    }
    match name {
        "lock_cycle" => lock_cycle(cast).await,
        "join_cycle" => join_cycle(cast).await,
        "permit_never_released" => permit_never_released(cast).await,
        "futurelock" => futurelock(cast).await,
        "lost_waker" => lost_waker(cast).await,
        "full_queue" => full_queue(cast).await,
        "blocked_thread" => blocked_thread(cast).await,
        "unbounded_cleanup" => unbounded_cleanup(cast).await,
        "endless_shield" => endless_shield(cast).await,
        _ => endless_process(cast).await,
    }
}

/// The rest of the service, which waits for clients.
async fn server() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    loop {
        listener.accept().await?;
    }
}

/// Two transfers between two accounts, each with the lock that the other one wants.
async fn lock_cycle(cast: Cast) -> Result<()> {
    async fn transfer(from: Rc<Lock<i64>>, to: Rc<Lock<i64>>) -> Result<()> {
        let mut from = from.acquire().await?;
        yield_now().await?;
        let mut to = to.acquire().await?; // at: second lock
        *from -= 100;
        *to += 100;
        Ok(())
    }
    let (anna, bert) = (Rc::new(Lock::new(500)), Rc::new(Lock::new(500)));
    let mut transfers = [("anna to bert", &anna, &bert), ("bert to anna", &bert, &anna)];
    if cast.flips() {
        transfers.reverse();
    }
    let [there, back] = transfers
        .map(|(role, from, to)| spawn_named(cast.name(role), transfer(from.clone(), to.clone())));
    there.await?;
    back.await
}

/// A parent that waits for its child, which waits for its parent.
async fn join_cycle(cast: Cast) -> Result<()> {
    let family: Rc<RefCell<Option<Task<(), TaskCancelled>>>> = Rc::default();
    let parent_of_child = family.clone();
    let child = spawn_named(cast.name("child"), async move {
        yield_now().await?;
        let end = parent_of_child.borrow().as_ref().expect("a parent").wait(); // at: wait
        end.await?;
        Ok::<_, TaskCancelled>(())
    });
    let parent = spawn_named(cast.name("parent"), async move {
        child.await // at: join of the child
    });
    let end = parent.wait();
    *family.borrow_mut() = Some(parent);
    end.await?;
    Ok(())
}

/// A connection that keeps its permit while it waits for a client that never speaks.
async fn permit_never_released(cast: Cast) -> Result<()> {
    async fn query(pool: Rc<Semaphore>, client: Rc<Event>) -> Result<()> {
        let _connection = pool.acquire().await?; // at: acquire
        client.wait().await // at: client
    }
    let (pool, client) = (Rc::new(Semaphore::new(1)), Rc::new(Event::new()));
    let first = spawn_named(cast.name("first query"), query(pool.clone(), client.clone()));
    let second = spawn_named(cast.name("second query"), query(pool, client));
    second.await?;
    first.await
}

/// A task that gives up the wait for a lock after a while, but keeps the future of the wait. The
/// lock is then granted to that future, which nothing polls.
async fn futurelock(cast: Cast) -> Result<()> {
    async fn impatient(lock: Rc<Lock<()>>) -> Result<()> {
        let first = pin!(lock.acquire()); // at: first try
        let late = pin!(sleep(Duration::from_millis(5)));
        match select(first, late).await {
            Either::Left((held, _)) => drop(held?),
            Either::Right((_, _kept)) => {
                let _held = lock.acquire().await?; // at: second try
            }
        }
        Ok(())
    }
    async fn slow(lock: Rc<Lock<()>>) -> Result<()> {
        let _held = lock.acquire().await?;
        sleep(Duration::from_millis(10)).await
    }
    let lock = Rc::new(Lock::new(()));
    let slow = spawn_named(cast.name("slow"), slow(lock.clone()));
    let impatient = spawn_named(cast.name("impatient"), impatient(lock));
    slow.await?;
    impatient.await
}

/// A future of the program's own, which forgets to keep the waker.
async fn lost_waker(cast: Cast) -> Result<()> {
    let device = spawn_named(cast.name("device"), async {
        poll_fn(|_| Poll::<()>::Pending).await;
        Ok::<_, TaskCancelled>(())
    });
    device.await
}

/// A writer that goes on after the only reader of its queue has ended.
async fn full_queue(cast: Cast) -> Result<()> {
    let queue = Rc::new(Queue::bounded(2));
    let requests = queue.clone();
    let reader = spawn_named(cast.name("reader"), async move {
        let first: u32 = requests.get().await?;
        Ok::<_, TaskCancelled>(first)
    });
    let writer = spawn_named(cast.name("writer"), async move {
        for request in 0.. {
            queue.put(request).await?; // at: put
        }
        Ok::<_, TaskCancelled>(())
    });
    reader.await?;
    writer.await
}

/// A task that calls what blocks its thread, and with it every other task.
async fn blocked_thread(cast: Cast) -> Result<()> {
    let report = spawn_named(cast.name("report"), async {
        let mut order = [0];
        let read = curium::io::stdin().read(&mut order).await; // at: last wait before the call
        thread::sleep(LONG);
        read
    });
    report.wait().await?;
    Ok(())
}

/// A cleanup that waits for what does not come.
async fn unbounded_cleanup(cast: Cast) -> Result<()> {
    let acknowledged = Event::new();
    let session = spawn_named(cast.name("session"), async move {
        let Err(cancelled) = sleep(LONG).await else { return Ok(()) }; // at: cancelled wait
        acknowledged.wait().await?; // at: cleanup
        Err(cancelled)
    });
    yield_now().await?;
    session.cancel().await
}

/// A shield round what has no end.
async fn endless_shield(cast: Cast) -> Result<()> {
    let flushed = Event::new();
    let log = spawn_named(cast.name("log"), async move {
        shield(flushed.wait()).await // at: shield
    });
    yield_now().await?;
    log.cancel().await
}

/// A process that never ends, because its standard input stays open.
async fn endless_process(cast: Cast) -> Result<()> {
    let convert = spawn_named(cast.name("convert"), async {
        let mut convert = Command::new("cat").stdin(Stdio::piped()).spawn().await?;
        let _input = convert.stdin.take();
        convert.wait().await // at: process
    });
    convert.wait().await?;
    Ok(())
}
