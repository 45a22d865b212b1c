//! Tests of the timers against a sorted list, and of the memory that they take.

use super::*;

fn fire_all(timers: &mut Timers, now: u64) -> Vec<u32> {
    let mut fired = Vec::new();
    while let Some((action, _)) = timers.pop_due(now) {
        let Action::Scope(name) = action else { unreachable!() };
        fired.push(name);
    }
    fired
}

#[test]
fn timers_fire_by_deadline_and_then_by_order_of_arming() {
    let mut timers = Timers::new();
    for (name, deadline) in [(0, 30), (1, 10), (2, 20), (3, 10), (4, 31)] {
        timers.arm(deadline, Action::Scope(name));
    }
    assert_eq!(fire_all(&mut timers, 30), [1, 3, 2, 0]);
    assert_eq!(timers.next_deadline(), Some(31));
}

#[test]
fn timers_agree_with_a_sorted_list_whatever_is_disarmed() {
    let mut timers = Timers::new();
    let mut expected = Vec::new();
    let mut seed = 7_u64;
    let mut keys = Vec::new();
    for name in 0..2000_u32 {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let deadline = (seed >> 33) % 500;
        keys.push((timers.arm(deadline, Action::Scope(name)), deadline, name));
        if seed >> 60 == 8 {
            // The kernel checks. This puts the timers that were armed before in order.
            timers.next_deadline();
        }
        if seed >> 60 < 7 {
            let at = (seed >> 40) as usize % keys.len();
            let (key, ..) = keys.swap_remove(at);
            timers.disarm(key);
        }
    }
    expected.extend(keys.iter().map(|(_, deadline, name)| (*deadline, *name)));
    expected.sort_unstable();
    let expected: Vec<u32> = expected.into_iter().map(|(_, name)| name).collect();
    assert_eq!(fire_all(&mut timers, 500), expected);
    assert!(timers.is_empty());
    for (key, ..) in keys {
        timers.disarm(key);
    }
    assert!(timers.is_empty());
}

#[test]
fn disarmed_timers_take_no_room_for_long() {
    let mut timers = Timers::new();
    let kept: Vec<_> = (0..100).map(|name| timers.arm(10, Action::Scope(name))).collect();
    for name in 0..10_000 {
        let two = [timers.arm(20, Action::Scope(name)), timers.arm(5, Action::Scope(name))];
        if name % 2 == 0 {
            timers.next_deadline();
        }
        for key in two {
            timers.disarm(key);
        }
    }
    assert!(timers.entries.len() <= 2 * kept.len() + SLACK);
    assert!(timers.slots.len() <= kept.len() + 3);
    assert_eq!(fire_all(&mut timers, 30), Vec::from_iter(0..100));
}

/// The kernel checks again and again while time passes, and most checks find nothing due.
#[test]
fn each_timer_fires_at_the_first_check_after_its_deadline() {
    let (mut timers, mut seed) = (Timers::new(), 11);
    let mut expected = std::collections::BTreeMap::new();
    let mut armed = Vec::new();
    for now in 0..6000_u64 {
        // More at first, so that the list of fresh entries exceeds its limit.
        for _ in 0..if now < 100 { 40 } else { any(&mut seed, 3) } {
            let name = armed.len() as u32;
            let deadline = now + 1 + any(&mut seed, 3000) as u64;
            armed.push(Some((timers.arm(deadline, Action::Scope(name)), deadline)));
            expected.insert((deadline, name), ());
        }
        let name = any(&mut seed, armed.len());
        if let Some((key, deadline)) = armed[name].take_if(|_| now % 2 == 0) {
            timers.disarm(key);
            expected.remove(&(deadline, name as u32));
        }
        let mut due = Vec::new();
        while let Some(first) = expected.first_entry().filter(|first| first.key().0 <= now) {
            due.push(first.remove_entry().0.1);
        }
        assert_eq!(fire_all(&mut timers, now), due, "at {now}");
        assert_eq!(timers.len(), expected.len());
    }
}

/// A pseudo-random number below `end`; advances the seed.
fn any(seed: &mut u64, end: usize) -> usize {
    *seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
    (*seed >> 33) as usize % end
}

#[test]
fn what_is_left_when_most_were_disarmed_fires_in_order() {
    for kept in [300, 30, 3] {
        let (mut timers, mut seed) = (Timers::new(), kept as u64);
        let mut armed: Vec<_> = (0..1000_u32)
            .map(|name| {
                let deadline = any(&mut seed, 10_000) as u64;
                (timers.arm(deadline, Action::Scope(name)), deadline, name)
            })
            .collect();
        // All timers are in order, so removing the dead ones leaves holes everywhere.
        timers.next_deadline();
        while armed.len() > kept {
            let (key, ..) = armed.swap_remove(any(&mut seed, armed.len()));
            timers.disarm(key);
        }
        assert!(timers.entries.len() <= 2 * kept + SLACK, "the dead were not swept out");
        armed.sort_unstable_by_key(|(_, deadline, name)| (*deadline, *name));
        let expected: Vec<u32> = armed.into_iter().map(|(.., name)| name).collect();
        assert_eq!(fire_all(&mut timers, 10_000), expected, "{kept} kept");
    }
}

#[test]
fn after_a_burst_the_slots_are_given_back_and_keys_stay_good() {
    let mut timers = Timers::new();
    let early = timers.arm(7, Action::Scope(7));
    let burst: Vec<_> = (0..100_000).map(|name| timers.arm(5, Action::Scope(name))).collect();
    assert_eq!(fire_all(&mut timers, 5).len(), burst.len());
    for key in burst {
        timers.disarm(key);
    }
    timers.shrink();
    assert!(
        timers.slots.len() <= KEEP
            && timers.entries.heap.capacity() + timers.entries.line.capacity() <= 4 * KEEP
    );
    let again: Vec<_> = (0..2000).map(|name| timers.arm(6, Action::Scope(name))).collect();
    assert_eq!(timers.slots.len(), 2002, "a slot is used twice, or not at all");
    assert_eq!(fire_all(&mut timers, 6), Vec::from_iter(0..2000));
    assert_eq!(fire_all(&mut timers, 7), [7]);
    for key in again.into_iter().chain([early]) {
        timers.disarm(key);
    }
    assert_eq!(timers.next_deadline(), None);
    assert!(timers.slots.len() <= KEEP, "the last one to go gives the room back");
}

#[test]
fn a_redirected_timer_keeps_its_place_and_one_that_has_fired_stays_so() {
    let mut timers = Timers::new();
    let wake = Action::Wake(TaskId::NONE);
    let (fired, in_heap) = (timers.arm(5, wake), timers.arm(20, wake));
    assert_eq!(timers.pop_due(5).map(|(action, _)| action), Some(wake));
    let fresh = timers.arm(10, wake);
    timers.redirect(fired, Action::Scope(0));
    timers.redirect(in_heap, Action::Scope(1));
    timers.redirect(fresh, Action::Scope(2));
    assert_eq!(timers.len(), 2);
    assert_eq!(fire_all(&mut timers, 20), [2, 1]);
    for key in [fired, in_heap, fresh] {
        assert!(timers.disarm(key).is_none());
    }
    assert!(timers.is_empty());
}

#[test]
fn timers_of_one_limit_need_no_heap_though_others_are_later() {
    let mut timers = Timers::new();
    let hours = [timers.arm(3_600_000, Action::Scope(0)), timers.arm(3_700_000, Action::Scope(1))];
    timers.next_deadline();
    let mut armed = std::collections::VecDeque::new();
    for now in 0..1000 {
        armed.push_back(timers.arm(now + 500, Action::Scope(2)));
        assert_eq!(timers.next_deadline(), Some(now.max(9) + 491));
        if armed.len() == 10 {
            timers.disarm(armed.pop_front().expect("there are ten"));
        }
    }
    assert_eq!(timers.entries.heap.len(), hours.len(), "only those of hours are in the heap");
    assert_eq!(fire_all(&mut timers, 3_700_000), [[2; 9].as_slice(), &[0, 1]].concat());
}

#[test]
fn a_dead_entry_whose_slot_is_gone_is_no_sleeper() {
    let (mut timers, wake) = (Timers::new(), Action::Wake(TaskId::NONE));
    let fired: Vec<_> = (0..KEEP as u64 + 16).map(|at| timers.arm(at, wake)).collect();
    let later: Vec<_> = (0..60).map(|at| timers.arm(5000 + at, wake)).collect();
    while timers.pop_due(4000).is_some() {}
    // Not the first of the line, so that their entries stay.
    for key in later.into_iter().rev().chain(fired) {
        timers.disarm(key);
    }
    assert!(timers.slots.len() <= KEEP, "the slots are given back");
    assert_eq!(timers.sleepers(), []);
}

#[test]
fn after_a_burst_that_is_disarmed_in_order_the_memory_is_given_back() {
    let mut timers = Timers::new();
    let mut keys: std::collections::VecDeque<_> =
        (0..100_000).map(|at| timers.arm(at, Action::Scope(0))).collect();
    timers.next_deadline();
    while keys.len() > 10 {
        timers.disarm(keys.pop_front().expect("there are ten"));
    }
    assert!(timers.entries.line.capacity() <= 4 * KEEP);
    assert_eq!(timers.next_deadline(), Some(99_990));
    keys.into_iter().for_each(|key| drop(timers.disarm(key)));
    assert_eq!(timers.next_deadline(), None);
    assert!(timers.slots.len() <= KEEP);
}

/// A mix of few limits, as of reads, writes and requests, and some that nothing else has.
#[test]
fn timers_of_few_limits_fire_in_order() {
    let (mut timers, mut seed) = (Timers::new(), 3);
    let mut expected = std::collections::BTreeSet::new();
    let mut armed = Vec::new();
    for now in 0..20_000_u64 {
        let limit = match any(&mut seed, 40) {
            0 => any(&mut seed, 5000) as u64,
            n => [10, 300, 1000][n % 3],
        };
        let name = now as u32;
        armed.push((timers.arm(now + limit, Action::Scope(name)), (now + limit, name)));
        expected.insert((now + limit, name));
        for _ in 0..any(&mut seed, 3) {
            if let Some(at) = armed.len().checked_sub(1 + any(&mut seed, 20)) {
                let (key, entry) = armed.swap_remove(at);
                timers.disarm(key);
                expected.remove(&entry);
            }
        }
        if any(&mut seed, 4) == 0 {
            assert_eq!(timers.next_deadline(), expected.first().map(|first| first.0));
        }
        let due: Vec<_> = expected.iter().take_while(|it| it.0 <= now).copied().collect();
        let fired: Vec<_> = due.iter().map(|it| it.1).collect();
        assert_eq!(fire_all(&mut timers, now), fired, "at {now}");
        expected = expected.split_off(&(now + 1, 0));
    }
}
