//! A kernel on each of several cores: primes are counted by all of them, one core asks the others,
//! and a core fails.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use curium::kernel::{Core, CoreErrors, gather_all, kernels};
use curium::prelude::*;

const CORES: usize = 4;
const LIMIT: u32 = 100_000;

fn is_prime(number: u32) -> bool {
    number >= 2 && (2..).take_while(|by| by * by <= number).all(|by| number % by != 0)
}

fn count_primes(range: Range<u32>) -> usize {
    range.filter(|number| is_prime(*number)).count()
}

/// The numbers of which a core counts the primes.
fn share(core: usize) -> Range<u32> {
    let (core, each) = (core as u32, LIMIT / CORES as u32);
    core * each..(core + 1) * each
}

/// Every core counts its share. The main function borrows from the code around it.
fn all_count() -> Result<(), CoreErrors<TaskCancelled>> {
    let done = AtomicUsize::new(0);
    let counted = kernels(CORES, async |core| {
        let primes = count_primes(share(core.index()));
        done.fetch_add(1, Ordering::Relaxed);
        Ok(primes)
    })?;
    let sum: usize = counted.iter().sum();
    println!("{counted:?}: {sum} primes below {LIMIT}, by {} cores", done.into_inner());
    Ok(())
}

/// One core asks the others: each call runs on its core, and is awaited here.
async fn ask_the_others(core: &Core) -> Result<usize> {
    let calls = (0..core.count())
        .map(|other| core.call(other, move || async move { count_primes(share(other)) }));
    let counted = gather_all(calls).await?;
    Ok(counted.iter().sum())
}

/// Core 2 has no disk. The others are cancelled, and clean up; one of them cannot.
fn one_fails() {
    let failed = kernels(CORES, async |core| {
        if core.index() == 2 {
            return Err(io::Error::other("no disk"));
        }
        let Err(cancelled) = sleep(Duration::MAX).await else { return Ok(()) };
        sleep(Duration::from_millis(1)).await?; // saves what it has
        match core.index() {
            3 => Err(io::Error::other("the log could not be saved")),
            _ => Err(cancelled.into()), // no failure of its own
        }
    });
    match failed {
        Ok(_) => println!("no core has failed"),
        Err(failed) => println!("{failed}"),
    }
}

fn main() -> Result<(), CoreErrors<TaskCancelled>> {
    all_count()?;
    let asked = kernels(CORES, async |core| match core.index() {
        0 => ask_the_others(&core).await,
        _ => Ok(0), // serves the calls until all have ended
    })?;
    println!("core 0 was told of {} primes", asked[0]);
    one_fails();
    Ok(())
}
