//! Groups of tasks: spawned together, and left when all have ended.

use super::{Outcome, block_on};
use crate::load::{Load, Meter, Sample, Workload};

/// Runs the workload, if it is one of these.
pub(super) fn run(workload: Workload, load: Load) -> Option<Sample> {
    Some(match workload {
        Workload::GroupMember => block_on(move || group_member(load)),
        Workload::GroupEmpty | Workload::GroupOne | Workload::GroupTen => {
            block_on(move || groups(load))
        }
        _ => return None,
    })
}

/// Spawn `size` members, leave the group; again until `ops` members have ended.
async fn group_member(load: Load) -> Outcome<Sample> {
    let meter = Meter::start();
    for _ in 0..load.ops / load.size {
        group!(load.size);
    }
    done!(meter.stop(load.ops))
}

/// `ops` groups of `size` members, one after the other.
async fn groups(load: Load) -> Outcome<Sample> {
    let meter = Meter::start();
    for _ in 0..load.ops {
        group!(load.size);
    }
    done!(meter.stop(load.ops))
}
