//! What the monitor says of tasks that can never go on.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use curium::kernel::{Kernel, Task, TaskCancelled, cancellable, spawn_named};

use crate::monitor_kit::{Client, id_of, with_client};

/// Two tasks that join each other, and one that nothing wakes.
fn stuck() -> Vec<Task<(), TaskCancelled>> {
    let other: Rc<RefCell<Option<Task<(), TaskCancelled>>>> = Rc::default();
    let theirs = other.clone();
    let one = spawn_named("one", async move {
        let other = theirs.take().expect("it was spawned");
        other.await
    });
    *other.borrow_mut() = Some(spawn_named("two", async move { one.await }));
    vec![spawn_named("lost", cancellable(poll_fn(|_| Poll::Pending)))]
}

/// M5: what is stuck is shown before everything else, in text and in the document.
#[test]
fn verdicts_come_first_in_each_view() {
    let client = |client: Client| {
        let (mut terminal, _) = client.terminal();
        let ps = terminal.ask_until("ps", "(!) deadlock");
        let ids = ["one", "two", "lost"].map(|name| id_of(&ps, name));
        let [one, two, lost] = &ids;
        let circle = format!("(!) deadlock: #{one} one, JOIN at tests/os/monitor_verdicts.rs:");
        let orphan = format!("\n(!) lost: no clone of its waker exists, so nothing wakes #{lost} ");
        for (view, at) in [("ps", 0), ("graph", 0), ("tree", 1)] {
            let text = terminal.ask(view);
            let lines: Vec<&str> = text.lines().skip(at).collect();
            assert!(lines[0].starts_with(&circle), "{text}");
            assert!(lines[1].starts_with(orphan.trim_start()), "{text}");
            assert!(
                lines[2]
                    .starts_with("(!) every task waits for something outside the kernel: 4 tasks"),
                "{text}"
            );
            assert_eq!(text.matches("(!)").count(), 3, "{text}");
        }
        assert!(!terminal.ask("graph dot").contains("(!)"));
        let (_, greeting) = client.terminal();
        assert!(greeting.contains(&format!(" tasks running\n{circle}")), "{greeting}");
        assert!(greeting.contains(&orphan), "{greeting}");
        let json = client.http("GET /json", "");
        let first = "\"verdicts\":[{\"kind\":\"cycle\",\"text\":\"deadlock: ";
        assert!(json.contains(first), "{json}");
        assert!(json.contains(&format!("\"tasks\":[\"{one}\",\"{two}\"]}}")), "{json}");
        assert!(json.contains("{\"kind\":\"orphan\","), "{json}");
    };
    with_client(
        Kernel::builder(),
        |it| it,
        client,
        async |ended| {
            let tasks = stuck();
            ended.wait().await?;
            tasks.iter().for_each(Task::request_cancel);
            Ok(())
        },
    );
}

/// M5: a task that can go on again is in no verdict.
#[test]
fn a_verdict_ends_with_the_wait() {
    let client = |client: Client| {
        let (mut terminal, _) = client.terminal();
        let ps = terminal.ask_until("ps", "(!) deadlock");
        terminal.ask(&format!("cancel {}", id_of(&ps, "one")));
        while terminal.ask("ps").contains("(!) deadlock") {}
        assert!(!client.http("GET /json", "").contains("\"cycle\""));
    };
    with_client(
        Kernel::builder(),
        |it| it.allow_cancel(),
        client,
        async |ended| {
            let tasks = stuck();
            ended.wait().await?;
            tasks.iter().for_each(Task::request_cancel);
            Ok(())
        },
    );
}
