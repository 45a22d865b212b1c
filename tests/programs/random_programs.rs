//! Random programs on the virtual clock, checked against a model of the rules.
//!
//! `CURIUM_SEEDS=<count>` sets the number of programs, `CURIUM_FROM=<n>` the first seed.
//! `CURIUM_SEED=<n>` runs one program and prints it. `.ci/soak` runs many.

use std::env;

use crate::random::generate;
use crate::random::harness::{self, Outcome};
use crate::random::program::Program;

/// Orders in which each program is run: first come, first served, and shuffled by seeds.
pub(crate) const ORDERS: u64 = 2;

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

/// The seeds to run: the requested one, or the first ones.
pub(crate) fn seeds(default: u64) -> Vec<u64> {
    match number("CURIUM_SEED") {
        Some(seed) => vec![seed],
        None => {
            let from = number("CURIUM_FROM").unwrap_or(0);
            (from..from + number("CURIUM_SEEDS").unwrap_or(default)).collect()
        }
    }
}

/// Runs programs in some orders, and prints those that broke a rule.
fn check(
    seeds: &[u64],
    make: impl Fn(u64) -> Program,
    run: impl Fn(&Program, u64) -> Outcome,
    test: &str,
) {
    let mut failed = Vec::new();
    for &seed in seeds {
        let program = make(seed);
        for order in 0..ORDERS {
            let outcome = run(&program, order);
            if seeds.len() == 1 {
                println!("{program}\norder {order}\n{}", outcome.trace);
            }
            if outcome.faults.is_empty() {
                continue;
            }
            let faults = outcome.faults.join("\n");
            if failed.is_empty() {
                println!("{program}\norder {order}\n{}\n\n{faults}", outcome.trace);
            }
            failed.push(format!("seed {seed}, order {order}: {}", outcome.faults[0]));
            break;
        }
    }
    let (count, first) = (failed.len(), failed.first());
    if let Some(first) = first {
        let seed = first.split([' ', ',']).nth(1).unwrap_or_default();
        let list = failed.join("\n");
        panic!(
            "{count} of {} programs broke a rule:\n{list}\nto see one again:\n    \
             CURIUM_SEED={seed} cargo test --test programs {test} -- --nocapture",
            seeds.len()
        );
    }
}

/// C1, C2, C3, C4, C5, C6, C7, C11, C13, C16, C18, C19, T2, T3, T4, T5, T7, G1, G2, G3, G4, G7, K1,
/// K2, K5, K7, Y2, Y3: whatever tasks do to each other, they see only what the rules allow.
#[test]
fn random_programs_keep_the_rules() {
    check(&seeds(300), generate::program, harness::run, "random_programs_keep_the_rules");
}

/// K8: with the same seed for the order, a program runs the same way.
#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in seeds(100) {
        let program = generate::program(seed);
        let (one, other) = (harness::run(&program, seed), harness::run(&program, seed));
        assert_eq!(one.trace, other.trace, "seed {seed}:\n{program}");
    }
}

/// K8: a deadlock is reported, and names every task with the place where it is parked.
#[test]
fn a_random_deadlock_names_every_task() {
    let mut deadlocks = 0;
    let seeds = seeds(50);
    for &seed in &seeds {
        let outcome = harness::run_to_deadlock(&generate::deadlocking(seed), 0);
        deadlocks += u32::from(outcome.deadlock);
    }
    check(
        &seeds,
        generate::deadlocking,
        harness::run_to_deadlock,
        "a_random_deadlock_names_every_task",
    );
    assert!(deadlocks > 0 || seeds.len() == 1, "none of these programs deadlocks");
}
