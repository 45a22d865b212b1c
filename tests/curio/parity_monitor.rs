//! The dialogue with the monitor, beside curio's.
//!
//! `docs/curio-parity.md` says to which command of curio's monitor each of them corresponds.

use std::io::{Read, Write};

use curium::kernel::{Kernel, sleep, spawn_named, timeout_after};
use curium::monitor::Monitor;
use curium::sync::UniversalEvent;

use crate::monitor_kit::{Client, asked, id_of, with_client};
use crate::support::time::secs;

/// The cells of a row of `ps`, which stand where curio has them.
fn cells(ps: &str, name: &str) -> [String; 6] {
    let id = id_of(ps, name);
    let row = ps.lines().find(|row| row.starts_with(&format!("{id} "))).expect("a row");
    [0..6, 7..19, 20..30, 31..38, 39..46, 47..row.len()].map(|at| row[at].trim_end().to_owned())
}

/// M4: the table has curio's columns; its times are those that are left, cut to seven characters.
#[test]
fn the_table_of_the_monitor_is_that_of_curio() {
    let client = |client: Client| {
        let (mut terminal, greeting) = client.terminal();
        assert!(greeting.ends_with(" 3 tasks running\nType help for commands\n"), "{greeting}");
        let ps = terminal.ask("ps");
        let mut head = ps.lines();
        assert_eq!(head.next(), Some("Task   State        Cycles     Timeout Sleep   Task"));
        let dashes = [6, 12, 10, 7, 7, 50].map(|width| "-".repeat(width)).join(" ");
        assert_eq!(head.next(), Some(&*dashes));
        let [_, state, cycles, timeout, slept, name] = cells(&ps, "kid");
        assert_eq!([&*state, &*cycles, &*name], ["SLEEP", "1", "kid"]);
        for (left, whole) in [(timeout, 2000.0), (slept, 1000.0)] {
            assert_eq!(left.len(), 7, "{ps}");
            let left: f64 = left.parse().unwrap();
            assert!(0.0 < left && left <= whole, "{ps}");
        }
        let [_, state, _, timeout, slept, _] = cells(&ps, "parent");
        assert_eq!([&*state, &*timeout, &*slept], ["JOIN", "None", "None"]);
        let (kid, parent) = (id_of(&ps, "kid"), id_of(&ps, "parent"));
        let parents = terminal.ask(&format!("parents {kid}"));
        let ancestors = format!("{kid:<6}        SLEEP kid\n{parent:<6}         JOIN parent\n");
        assert!(parents.starts_with(&ancestors), "{parents}");
    };
    with_client(
        Kernel::builder(),
        |it| it,
        client,
        async |ended| {
            let parent = spawn_named("parent", async {
                let kid = async { timeout_after(secs(2000), sleep(secs(1000))).await.unwrap() };
                spawn_named("kid", kid).await
            });
            ended.wait().await?;
            parent.cancel().await
        },
    );
}

/// M4: a command may be shortened, as far as curio allows it; mistakes get curio's answers.
#[test]
fn commands_are_shortened_and_mistakes_answered_as_in_curio() {
    asked(|client| {
        for last in ["q", "quit", "exit"] {
            let (mut terminal, _) = client.terminal();
            assert!(terminal.ask("h").contains("parents taskid"));
            assert!(terminal.ask("w 0").starts_with("0 "));
            assert!(terminal.ask("pa 0").ends_with(" main\n"));
            assert_eq!(terminal.ask("w 77"), "No task 77\n");
            assert_eq!(terminal.ask("dance"), "Unknown command. Type help.\n");
            assert!(terminal.ask("w").starts_with("Bad command. "));
            writeln!(terminal.0, "{last}").unwrap();
            let mut rest = String::new();
            terminal.0.read_to_string(&mut rest).unwrap();
            assert_eq!(rest, "Leaving monitor.\n");
        }
    });
}

/// M3, C10: curio's monitor cancels one task after the other, so a task that does not end holds up
/// all later cancellations. Here each is only requested.
#[test]
fn a_task_that_does_not_end_holds_up_no_later_cancel() {
    let client = |client: Client| {
        let (mut terminal, _) = client.terminal();
        let ps = terminal.ask("ps");
        let (stubborn, other) = (id_of(&ps, "stubborn"), id_of(&ps, "other"));
        for id in [&stubborn, &other] {
            assert_eq!(terminal.ask(&format!("cancel {id}")), format!("Cancelling task {id}\n"));
        }
        // The other ends.
        while terminal.ask("ps").contains(" other\n") {}
        assert!(terminal.ask(&format!("w {stubborn}")).contains("cleaning up"));
    };
    with_client(Kernel::builder(), Monitor::allow_cancel, client, async |ended| {
        let saved = std::sync::Arc::new(UniversalEvent::new());
        let theirs = saved.clone();
        let stubborn = spawn_named("stubborn", async move {
            let _ = sleep(secs(1000)).await;
            theirs.wait().await
        });
        let other = spawn_named("other", sleep(secs(1000)));
        other.wait().await?;
        ended.wait().await?;
        saved.set();
        stubborn.await
    });
}
