//! Cancels a task, and looks what becomes of it.

use std::thread;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::address::Address;
use crate::document::{Document, Task};
use crate::talk;
use crate::text::{clean_line, time};

/// How long a task is watched.
const WATCHED: Duration = Duration::from_secs(1);

const PAUSE: Duration = Duration::from_millis(50);

/// Cancels the task. Gives what happened, in lines.
pub(crate) fn cancel(address: &Address, id: &str) -> Result<String, Failure> {
    let short = id.trim_start_matches('#');
    let answer = talk::ask(address, &format!("cancel {short}"))?;
    let until = Instant::now() + WATCHED;
    loop {
        thread::sleep(PAUSE);
        let document = match talk::document(address) {
            Ok(text) => Document::parse(&text).map_err(Failure::Program)?,
            // Of main, nothing else is to be expected.
            Err(_) => return Ok(format!("task {short} is cancelled; the program has ended\n")),
        };
        let is_over = Instant::now() >= until;
        let Some(task) = document.tasks.iter().find(|task| task.id == short) else {
            return Ok(format!("task {short} was cancelled, and has ended\n"));
        };
        if let Some(held) = document.held.iter().find(|held| is_over && held.is_of(short)) {
            let (answer, held) = (clean_line(answer.trim_end()), held.text());
            return Ok(format!("{answer}: not yet, because {held}\n"));
        }
        if is_over {
            return Ok(format!("{}\n", what_holds(task)));
        }
    }
}

/// Why a cancelled task has not ended.
fn what_holds(task: &Task) -> String {
    let (id, name) = (&task.id, &task.name);
    let place = task.parked.first().map_or_else(String::new, |leaf| {
        let site = leaf.site.as_deref().unwrap_or("an unknown line");
        format!(", in {} at {site}", leaf.kind)
    });
    match &task.cancel {
        None => format!("task {id} {name} goes on: it has handled the cancellation{place}"),
        Some(cancel) if cancel.delivered => {
            let since = cancel.since_ms.map_or_else(String::new, |ms| format!(" for {}", time(ms)));
            format!("task {id} {name} was cancelled, and has been cleaning up{since}{place}")
        }
        Some(_) if task.shields > 0 => {
            format!("task {id} {name} is cancelled as soon as its shield ends{place}")
        }
        Some(_) => format!("task {id} {name} is to be cancelled, and has not noticed yet{place}"),
    }
}
