//! What an exploration finds, what it refuses, and what it says (V2).

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use curium::kernel::testing::{self, Explore};
use curium::kernel::{TaskCancelled, TaskGroup, sleep, spawn, spawn_named, yield_now};
use curium::sync::{Event, Lock};

use crate::{assert_says, panic_of};

const MS: Duration = Duration::from_millis(1);

async fn add_one(value: Rc<Lock<u32>>) -> Result<(), TaskCancelled> {
    let read = *value.acquire().await?;
    yield_now().await?; // computes something; the lock is free meanwhile
    *value.acquire().await? = read + 1;
    Ok(())
}

/// The second addition comes late enough, if tasks are polled in the order of the queue.
async fn two_additions() -> Result<(), TaskCancelled> {
    let value = Rc::new(Lock::new(0));
    let (first, second) = (value.clone(), value.clone());
    TaskGroup::<TaskCancelled>::scope(async |g| {
        g.spawn(add_one(first));
        g.spawn(async move {
            yield_now().await?;
            yield_now().await?;
            add_one(second).await
        });
        Ok(())
    })
    .await?;
    assert_eq!(*value.acquire().await?, 2, "an addition is lost");
    Ok(())
}

/// The schedule in the message of a failure.
fn schedule_of(failure: &str) -> &str {
    let (_, rest) = failure.split_once(".replay(\"").expect("a schedule");
    rest.split_once('"').expect("a string").0
}

/// V2: a lock that is released between reading and writing.
#[test]
#[should_panic(expected = ".replay(\"0.0.1.1\")")]
fn a_gap_between_two_locks_is_found() {
    testing::explore().run(two_additions);
}

/// V2: one delay is enough, and none is not.
#[test]
fn a_gap_between_two_locks_needs_a_delay() {
    let explored = testing::explore().delays(0).run(two_additions);
    assert_eq!((explored.schedules, explored.complete), (1, false));
    let text = panic_of(|| testing::explore().delays(2).run(two_additions));
    assert_says(&text, &["an addition is lost"]);
}

/// V2: random priorities find it in the same schedule each time.
#[test]
fn random_priorities_find_the_gap_and_find_it_again() {
    let find = || panic_of(|| testing::explore().pct(2, 200).run(two_additions));
    let text = find();
    assert_says(&text, &["an addition is lost"]);
    assert_eq!(find(), text);
    let replayed = panic_of(|| testing::explore().replay(schedule_of(&text)).run(two_additions));
    assert_says(&replayed, &["schedule 1 of the exploration failed: ", "an addition is lost"]);
}

/// The table and all that follows.
fn table_of(failure: &str) -> &str {
    failure.split_once("\n\n").expect("a table").1
}

/// V2: a printed schedule, replayed alone, fails in the same way and prints the same.
#[test]
fn a_replay_fails_in_the_same_way() {
    let found = panic_of(|| testing::explore().run(two_additions));
    let runs = Cell::new(0);
    let replayed = panic_of(|| {
        testing::explore().replay(schedule_of(&found)).run(async || {
            runs.set(runs.get() + 1);
            two_additions().await
        })
    });
    assert_eq!(runs.get(), 1);
    assert_says(&replayed, &["schedule 1 of the exploration failed: ", "an addition is lost"]);
    assert_eq!(table_of(&replayed), table_of(&found));
}

/// V2: a schedule that does not fail is one run, and proves nothing.
#[test]
fn a_replay_is_one_schedule() {
    let explored = testing::explore().replay("0").run(two_additions);
    assert_eq!((explored.schedules, explored.complete), (1, false));
}

/// V2: a schedule of another program is refused, without a table.
#[test]
fn a_replay_of_a_schedule_that_does_not_fit_is_refused() {
    let replay =
        |schedule: &str| panic_of(|| testing::explore().replay(schedule).run(two_additions));
    let unfit = "the schedule does not fit the program: ";
    let too_high = format!("{unfit}step 1 is 2, and there are 2 options");
    assert_eq!(replay("0.2"), too_high);
    let long = "0.0.0.0.0.0.0.0.0.0.0.1";
    assert_says(&replay(long), &[unfit, "the run has ended at step "]);
    assert_eq!(replay("0.x"), "`0.x` is not a schedule: `x` is not a number");
}

/// Explores the same program with another value of a counter each time.
fn counting<F>(program: impl Fn(u32) -> F) -> String
where
    F: Future<Output = Result<(), TaskCancelled>>,
{
    let runs = Cell::new(0);
    panic_of(|| {
        testing::explore().run(async || {
            runs.set(runs.get() + 1);
            program(runs.get()).await
        })
    })
}

/// V2: a program that has other options in the same schedule is refused.
#[test]
fn a_program_with_another_number_of_tasks_is_refused() {
    let text = counting(async |run| {
        (0..1 + run).for_each(|_| drop(spawn(yield_now())));
        sleep(MS).await
    });
    let what = "the program is not deterministic: step 0 of the schedule had 2 options, and now it \
                has 3";
    assert_eq!(text, what);
}

/// V2: so is one that wakes its tasks in another order, as one that follows a `HashMap` does.
#[test]
fn a_program_that_wakes_in_another_order_is_refused() {
    let text = counting(async |run| {
        let events = [(); 3].map(|()| Rc::new(Event::new()));
        for event in &events {
            let event = event.clone();
            spawn(async move { event.wait().await });
        }
        sleep(MS).await?;
        let first = run as usize % 3;
        (0..3).for_each(|at| events[(first + at) % 3].set());
        sleep(MS).await
    });
    assert_says(
        &text,
        &["the program is not deterministic: at step ", " of the schedule other tasks are ready"],
    );
}

/// V2: and one that ends earlier.
#[test]
fn a_program_that_ends_earlier_is_refused() {
    let text = counting(async |run| {
        if run == 1 {
            (0..2).for_each(|_| drop(spawn(yield_now())));
        }
        sleep(MS).await
    });
    assert_says(
        &text,
        &["the program is not deterministic: the run has ended at step 0 of the schedule, earlier"],
    );
}

/// V2: two locks that are taken in two orders, in a program that works as long as the second task
/// begins late.
#[test]
fn a_deadlock_in_one_schedule_is_found() {
    async fn both(one: Rc<Lock<()>>, other: Rc<Lock<()>>, delay: u32) -> Result<(), TaskCancelled> {
        for _ in 0..delay {
            yield_now().await?;
        }
        let _one = one.acquire().await?;
        yield_now().await?;
        let _other = other.acquire().await?;
        Ok(())
    }
    let program = async || {
        let (one, other) = (Rc::new(Lock::new(())), Rc::new(Lock::new(())));
        let first = spawn(both(one.clone(), other.clone(), 0));
        let second = spawn(both(other, one, 2));
        first.await?;
        second.await
    };
    assert_eq!(testing::explore().delays(0).run(program).schedules, 1);
    let text = panic_of(|| testing::explore().run(program));
    assert_says(&text, &["deadlock: every task is parked", "LOCK_ACQUIRE", "JOIN", ".replay(\""]);
}

/// V2, C2: a task that leaves a mark if it is cancelled at one moment of four.
#[test]
fn a_cancel_at_the_one_wrong_moment_is_found() {
    let program = async || {
        let marked = Rc::new(Cell::new(false));
        let mark = marked.clone();
        let task = spawn(async move {
            yield_now().await?;
            mark.set(true);
            sleep(MS).await?; // a cancellation here leaves the mark
            mark.set(false);
            yield_now().await
        });
        let _ = task.join().await?;
        assert!(!marked.get(), "the mark is left");
        Ok::<_, TaskCancelled>(())
    };
    assert!(testing::explore().run(program).complete);
    let explore = || testing::explore().cancels(1);
    let text = panic_of(|| explore().run(program));
    assert_says(&text, &["the mark is left", "  is cancelled\n", "SLEEP explore_failures.rs:"]);
    let replayed = panic_of(|| explore().replay(schedule_of(&text)).run(program));
    assert_eq!(table_of(&replayed), table_of(&text));
}

/// V2: an error that main returns is a failure.
#[test]
fn an_error_of_main_is_a_failure() {
    let text = panic_of(|| testing::explore().run(async || Err::<(), _>("no luck")));
    assert_says(
        &text,
        &["schedule 1 of the exploration failed: main returned the error \"no luck\""],
    );
}

/// V2: so is a panic of a task without a handle, and what is left behind.
#[test]
fn a_panic_of_a_task_is_a_failure() {
    let text = panic_of(|| {
        testing::explore().run(async || {
            spawn::<_, ()>(async { panic!("in another task") });
            sleep(MS).await
        })
    });
    assert_says(&text, &["a panic outside main was not taken", "in another task", "  panics\n"]);
}

/// V2: a program that never ends is given up.
#[test]
fn a_program_that_never_ends_is_a_failure() {
    let text = panic_of(|| {
        testing::explore().run(async || -> Result<(), TaskCancelled> {
            loop {
                yield_now().await?;
            }
        })
    });
    assert_says(&text, &["the run did not end after 100000 polls", "\n99999  YIELD\n"]);
}

/// V2: the table has a column for each task, under its name if it has one, and a row for each poll:
/// the kind of the leaf, its file and line, and the tasks that were woken.
#[test]
fn the_table_shows_names_kinds_lines_and_wakes() {
    let first = line!();
    let text = panic_of(|| {
        testing::explore().run(async || {
            let event = Rc::new(Event::new());
            let (waits, sets) = (event.clone(), event);
            let reader = spawn_named("reader", async move { waits.wait().await });
            spawn_named("setter", async move { sets.set() });
            reader.await?;
            spawn(yield_now()).await?;
            Err::<(), _>(curium::Error::from(std::io::Error::other("the end")))
        })
    });
    let place = |line: u32| format!("explore_failures.rs:{}", first + line);
    let mains =
        [format!("JOIN {}, wakes reader and setter", place(7)), format!("JOIN {}", place(8))];
    let wait = format!("EVENT_WAIT {}", place(5));
    // The columns are as wide as their widest cell.
    let row = |number: &str, main: &str, reader: &str, setter: &str, last: &str| {
        let (first, second) = (mains[0].len(), wait.len());
        let row = format!("{number:>5}  {main:first$}  {reader:second$}  {setter:18}  {last}");
        row.trim_end().to_owned() + "\n"
    };
    let table = [
        row("poll", "main", "reader", "setter", "task 4"),
        row("1", &mains[0], "", "", ""),
        row("2", "", &wait, "", ""),
        row("3", "", "", "ends, wakes reader", ""),
        row("4", "", "ends, wakes main", "", ""),
        row("5", &format!("{}, wakes task 4", mains[1]), "", "", ""),
        row("6", "", "", "", "YIELD"),
        row("7", "", "", "", "ends, wakes main"),
        row("8", "ends", "", "", ""),
        "\nrun it alone with `.replay(\"0\")`".to_owned(),
    ];
    assert_eq!(table_of(&text), table.concat());
}

/// V2, K4: an exploration runs kernels, so it cannot be inside one.
#[test]
fn an_exploration_inside_a_kernel_is_refused() {
    let explore: Explore = testing::explore();
    let text = panic_of(|| {
        testing::run(async || explore.run(async || sleep(MS).await));
    });
    assert_says(&text, &["testing::explore was called inside a running kernel of this thread"]);
}
