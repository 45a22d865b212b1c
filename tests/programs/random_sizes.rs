//! Random programs with futures of every size, compared with the same programs with small ones.

use crate::random::generate;
use crate::random::harness;
use crate::random::program::Program;
use crate::random_programs::{ORDERS, seeds};
use crate::support::children;

/// Up to this size, overhead included, an ended task may leave its box to the next one.
const KEPT: usize = 1_100;

fn plain(seed: u64) -> Program {
    Program { plain: true, ..generate::program(seed) }
}

/// K1, K8: a program runs in the same way, whatever the size of its futures.
#[test]
fn the_sizes_of_futures_change_nothing() {
    for seed in seeds(50) {
        for order in 0..ORDERS {
            let sized = harness::run(&generate::program(seed), order);
            let plain = harness::run(&plain(seed), order);
            assert_eq!(sized.trace, plain.trace, "seed {seed}, order {order}");
        }
    }
}

/// The bytes that the kernel kept when the tasks of a program had ended, and the number of tasks.
struct Kept {
    bytes: usize,
    tasks: usize,
}

/// Runs a program, after which as much memory must be in use as before. If it is not, runs it
/// again, because the process itself allocates some memory once.
fn gives_all_back(program: &Program, order: u64) -> Result<Kept, isize> {
    let mut more = 0;
    for _ in 0..4 {
        let before = crate::bytes_in_use();
        let outcome = harness::run(program, order);
        let kept = Kept { bytes: outcome.kept.saturating_sub(before), tasks: outcome.tasks };
        drop(outcome);
        more = crate::bytes_in_use() as isize - before as isize;
        if more == 0 {
            return Ok(kept);
        }
    }
    Err(more)
}

/// K5, K14: a program frees all its memory. When all tasks have ended, its kernel keeps only small
/// boxes, whatever the size of the futures.
#[test]
fn a_random_program_leaves_no_memory_behind() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    // Few enough that the child process does not reach its deadline.
    for seed in seeds(50).into_iter().take(100) {
        for order in 0..ORDERS {
            let all_back = |program| {
                gives_all_back(&program, order).unwrap_or_else(|more| {
                    panic!("seed {seed}, order {order}: each run leaves {more} bytes behind")
                })
            };
            let (small, large) = (all_back(plain(seed)), all_back(generate::program(seed)));
            assert!(
                large.bytes <= small.bytes + KEPT * large.tasks,
                "seed {seed}, order {order}: of {} tasks {} bytes are kept, of small ones {}",
                large.tasks,
                large.bytes,
                small.bytes
            );
        }
    }
}
