//! Tests of the search for foreign wakers in the tree of scopes.

use super::*;

/// A chain of nested scopes, the outermost first, and a leaf with a foreign waker in the last.
fn chain(kinds: &[ScopeKind]) -> (Scopes, Vec<u32>) {
    let (mut scopes, heads) = (Scopes::default(), (Cell::new(NONE), Cell::new(NONE)));
    let root = RootHeads { record: &heads.0, child: &heads.1 };
    let (task, mut parent, mut keys) = (TaskId::new(0, 0), NONE, Vec::new());
    for kind in kinds {
        let key = scopes.scopes.insert(Scope::new(task, *kind, 1, u64::MAX)) as u32;
        scopes.attach(key, parent, &root);
        keys.push(key);
        parent = key;
    }
    park(&mut scopes, parent, &root);
    (scopes, keys)
}

fn park(scopes: &mut Scopes, scope: u32, root: &RootHeads<'_>) -> u32 {
    let waker = Some(Waker::noop().clone());
    let leaf = Parked { kind: "TEST", site: Location::caller(), since: 0, object: 0 };
    let record = Record::new(TaskId::new(0, 0), scope, waker, leaf);
    let key = scopes.records.insert(record) as u32;
    scopes.park(key, root);
    key
}

#[test]
fn nested_scopes_that_are_cancelled_in_turn_are_walked_once() {
    let (mut scopes, keys) = chain(&[ScopeKind::Timeout; 50]);
    assert_eq!(scopes.take_wakers_in(keys[0]).len(), 1);
    for key in &keys {
        assert!(!scopes.scopes[*key as usize].may_have_wakers, "it would be walked again");
        assert!(scopes.take_wakers_in(*key).is_empty());
    }
}

#[test]
fn a_leaf_that_parks_again_is_found_from_every_scope_around_it() {
    let heads = (Cell::new(NONE), Cell::new(NONE));
    let root = RootHeads { record: &heads.0, child: &heads.1 };
    for from in 0..5 {
        let (mut scopes, keys) = chain(&[ScopeKind::Timeout; 5]);
        scopes.take_wakers_in(keys[0]);
        park(&mut scopes, keys[4], &root);
        assert_eq!(scopes.take_wakers_in(keys[from]).len(), 1, "from {from}");
    }
}

#[test]
fn a_leaf_behind_a_shield_is_found_when_the_shield_has_ended() {
    use ScopeKind::{Shield, Timeout};
    let (mut scopes, keys) = chain(&[Timeout, Timeout, Shield, Timeout]);
    assert!(scopes.take_wakers_in(keys[0]).is_empty());
    scopes.end_shield(keys[2]);
    assert_eq!(scopes.take_wakers_in(keys[1]).len(), 1);
}

#[test]
fn a_leaf_whose_scope_is_removed_is_found_from_the_one_around_it() {
    let heads = (Cell::new(NONE), Cell::new(NONE));
    let root = RootHeads { record: &heads.0, child: &heads.1 };
    let (mut scopes, keys) = chain(&[ScopeKind::Timeout; 4]);
    scopes.take_wakers_in(keys[0]);
    park(&mut scopes, keys[3], &root);
    scopes.remove(keys[2], Some(&root));
    assert_eq!(scopes.take_wakers_in(keys[1]).len(), 1);
}
