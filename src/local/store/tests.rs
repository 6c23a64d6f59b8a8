//! What both stores promise, and what only the one on disk does.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use proptest::prelude::*;

use super::*;
use crate::model::key_attribute::{KeyAttribute, ScalarType};
use crate::model::{AttributeValue, Cause, KeySchema, TableSchema};

const SPACE: Space = Space(7);

fn disk(directory: &std::path::Path) -> DiskStore {
    DiskStore::open(directory, Durability::Process).unwrap()
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn put(key: &'static [u8], value: &'static [u8]) -> Job {
    Box::new(move |writes| writes.put(SPACE, key, value))
}

fn read(store: &dyn Store, key: &[u8]) -> Option<Bytes> {
    store.snapshot().unwrap().get(SPACE, key).unwrap()
}

/// Every store, each in its own state.
fn with_each_store(check: impl Fn(&dyn Store)) {
    check(&MemoryStore::new());
    let directory = tempfile::tempdir().unwrap();
    check(&disk(directory.path()));
}

#[test]
fn a_snapshot_does_not_see_later_commits() {
    with_each_store(|store| {
        wait(store.submit(put(b"a", b"1"))).unwrap();
        let before = store.snapshot().unwrap();
        wait(store.submit(put(b"a", b"2"))).unwrap();
        assert_eq!(before.get(SPACE, b"a").unwrap().unwrap(), "1");
        assert_eq!(read(store, b"a").unwrap(), "2");
    });
}

#[test]
fn a_job_that_fails_or_panics_writes_nothing_and_stops_nobody() {
    with_each_store(|store| {
        let rolled_back = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&rolled_back);
        store.on_rollback(Box::new(move |reads| {
            assert_eq!(reads.get(SPACE, b"a").unwrap(), None);
            counter.fetch_add(1, Ordering::Relaxed);
        }));
        let failing: Job = Box::new(|writes| {
            writes.put(SPACE, b"a", b"1")?;
            Err(StoreError("refused".to_owned()))
        });
        assert_eq!(wait(store.submit(failing)).unwrap_err().0, "refused");
        let panicking: Job = Box::new(|writes| {
            writes.put(SPACE, b"a", b"1")?;
            panic!("on purpose")
        });
        assert_eq!(wait(store.submit(panicking)).unwrap_err().0, "a write panicked: on purpose");
        assert_eq!(read(store, b"a"), None);
        wait(store.submit(put(b"b", b"2"))).unwrap();
        assert_eq!(read(store, b"b").unwrap(), "2");
        assert_eq!(rolled_back.load(Ordering::Relaxed), 2);
    });
}

/// Puts 500 keys, removes every third one, and reads each. `counts` keys on its way, too.
fn many_keys(counts: bool) -> Job {
    Box::new(move |writes| {
        for number in 0u16..500 {
            let key = number.to_be_bytes();
            writes.put(SPACE, &key, &key)?;
            assert_eq!(writes.get(SPACE, &key)?.unwrap(), key.as_slice());
            if number % 3 == 0 {
                writes.remove(SPACE, &key)?;
                assert_eq!(writes.get(SPACE, &key)?, None);
            }
            if counts && number == 20 {
                assert_eq!(writes.len(SPACE)?, 1 + 14);
            }
        }
        Ok(())
    })
}

#[test]
fn a_job_reads_all_that_it_wrote_however_much_that_is() {
    for counts in [false, true] {
        with_each_store(|store| {
            wait(store.submit(put(b"0", b"before"))).unwrap();
            let held = store.snapshot().unwrap();
            wait(store.submit(many_keys(counts))).unwrap();
            assert_eq!(held.len(SPACE).unwrap(), 1);
            let after = store.snapshot().unwrap();
            assert_eq!(after.len(SPACE).unwrap(), 1 + 333);
            assert_eq!(after.get(SPACE, &3u16.to_be_bytes()).unwrap(), None);
            let last = 499u16.to_be_bytes();
            assert_eq!(after.get(SPACE, &last).unwrap().unwrap(), last.as_slice());
        });
    }
}

fn change() -> Change {
    let id = KeyAttribute { name: "id".to_owned(), scalar_type: ScalarType::S };
    let key = KeySchema { partition: vec![id], sort: Vec::new() };
    let item = [("id".to_owned(), AttributeValue::S("a".to_owned()))].into();
    let table =
        TableSchema { name: "t".to_owned(), id: String::new(), key: key.clone(), indexes: Vec::new() };
    let key = key.key_of(&item).unwrap();
    Change { table: Arc::new(table), key, moves: Vec::new(), cause: Cause::Keyed }
}

fn is_watched(store: Arc<dyn Store>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (watched, log) = (Arc::downgrade(&store), Arc::clone(&seen));
    store.on_commit(Box::new(move |moment, changes| {
        let store = watched.upgrade().unwrap();
        log.lock().unwrap().push((moment, changes.len(), read(&*store, b"a").is_some()));
    }));
    let failing: Job = Box::new(|writes| {
        writes.note(change());
        Err(StoreError("refused".to_owned()))
    });
    wait(store.submit(failing)).unwrap_err();
    wait(store.submit(put(b"b", b"1"))).unwrap();
    assert!(seen.lock().unwrap().is_empty(), "nothing was changed that anybody noted");
    let noting: Job = Box::new(|writes| {
        writes.put(SPACE, b"a", b"1")?;
        writes.note(change());
        Ok(())
    });
    wait(store.submit(noting)).unwrap();
    let expected = [(Moment::Before, 1, false), (Moment::After, 1, true)];
    assert_eq!(*seen.lock().unwrap(), expected, "when the write is acknowledged");
}

#[test]
fn a_commit_is_watched_before_readers_see_it_and_before_it_is_acknowledged() {
    is_watched(Arc::new(MemoryStore::new()));
    let directory = tempfile::tempdir().unwrap();
    is_watched(Arc::new(disk(directory.path())));
}

#[test]
fn a_job_runs_even_when_nobody_waits_for_it() {
    with_each_store(|store| {
        drop(store.submit(put(b"a", b"1")));
        wait(store.submit(put(b"b", b"1"))).unwrap();
        assert_eq!(read(store, b"a").unwrap(), "1");
    });
}

#[test]
fn a_closed_store_refuses_everything_but_has_done_what_waited() {
    let directory = tempfile::tempdir().unwrap();
    let store = disk(directory.path());
    let waiting: Vec<Committed> = (0..50).map(|_| store.submit(put(b"a", b"1"))).collect();
    wait(store.close());
    waiting.into_iter().for_each(|committed| wait(committed).unwrap());
    assert!(wait(store.submit(put(b"a", b"2"))).is_err());
    assert!(store.snapshot().is_err());
    assert_eq!(read(&disk(directory.path()), b"a").unwrap(), "1");

    let store = MemoryStore::new();
    wait(store.close());
    assert!(wait(store.submit(put(b"a", b"2"))).is_err());
}

#[test]
fn jobs_that_wait_together_share_a_commit_and_those_behind_a_broken_one_still_run() {
    let directory = tempfile::tempdir().unwrap();
    let store = disk(directory.path());
    let (go, gate) = mpsc::channel::<()>();
    let (begin, begun) = mpsc::channel::<()>();
    // The writer is held inside the first commit until all the others wait.
    let first = store.submit(Box::new(move |_| {
        drop(begin);
        let _ = gate.recv();
        Ok(())
    }));
    let _ = begun.recv();
    let beside = store.submit(put(b"a", b"1"));
    let broken = store.submit(Box::new(|_| Err(StoreError("refused".to_owned()))));
    let behind = store.submit(put(b"b", b"1"));
    drop(go);
    wait(first).unwrap();
    assert!(wait(beside).is_err());
    assert!(wait(broken).is_err());
    wait(behind).unwrap();
    assert_eq!(read(&store, b"a"), None);
    assert_eq!(read(&store, b"b").unwrap(), "1");
}

#[test]
fn what_was_written_is_there_after_a_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let store = DiskStore::open(directory.path(), Durability::Fsync).unwrap();
    wait(store.submit(put(b"a", b"1"))).unwrap();
    drop(store);
    assert_eq!(read(&disk(directory.path()), b"a").unwrap(), "1");
}

#[test]
fn a_file_whose_process_died_opens_with_every_acknowledged_write() {
    let directory = tempfile::tempdir().unwrap();
    let store = disk(directory.path());
    wait(store.submit(put(b"a", b"1"))).unwrap();
    // What the kernel has at this moment is what a killed process leaves.
    let left = tempfile::tempdir().unwrap();
    std::fs::copy(directory.path().join("nearside.redb"), left.path().join("nearside.redb")).unwrap();
    assert_eq!(read(&disk(left.path()), b"a").unwrap(), "1");
}

#[test]
fn a_directory_is_opened_by_one_process_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let store = disk(directory.path());
    let refused = DiskStore::open(directory.path(), Durability::Process).unwrap_err();
    assert!(matches!(refused, OpenError::InUse { .. }), "{refused}");
    wait(store.close());
    disk(directory.path());
}

#[test]
fn a_damaged_file_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("nearside.redb");
    drop(disk(directory.path()));
    let whole = std::fs::read(&path).unwrap();
    let cut_short = whole[..whole.len() / 2].to_vec();
    for bytes in [b"not a database".to_vec(), vec![0xFF; 8192], cut_short] {
        std::fs::write(&path, &bytes).unwrap();
        let refused = DiskStore::open(directory.path(), Durability::Process).unwrap_err();
        assert!(matches!(refused, OpenError::Damaged { .. }), "{refused}");
        assert!(!refused.to_string().contains('\n'));
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
}

#[test]
fn a_path_that_is_no_directory_is_unusable() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, "").unwrap();
    let refused = DiskStore::open(&path, Durability::Process).unwrap_err();
    assert!(matches!(refused, OpenError::Unusable { .. }), "{refused}");
}

#[derive(Clone, Debug)]
enum Step {
    Put(u64, Vec<u8>, Vec<u8>),
    Remove(u64, Vec<u8>),
    Clear(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let space = 1u64..4;
    let key = proptest::collection::vec(0u8..3, 0..4);
    let value = proptest::collection::vec(any::<u8>(), 0..20);
    prop_oneof![
        8 => (space.clone(), key.clone(), value).prop_map(|(space, key, value)| Step::Put(space, key, value)),
        3 => (space.clone(), key).prop_map(|(space, key)| Step::Remove(space, key)),
        1 => space.prop_map(Step::Clear),
    ]
}

type Model = BTreeMap<u64, BTreeMap<Vec<u8>, Vec<u8>>>;

fn apply_to_model(step: &Step, model: &mut Model) {
    match step.clone() {
        Step::Put(space, key, value) => {
            model.entry(space).or_default().insert(key, value);
        }
        Step::Remove(space, key) => {
            model.entry(space).or_default().remove(&key);
        }
        Step::Clear(space) => {
            model.remove(&space);
        }
    }
}

fn apply(step: &Step, writes: &mut dyn Writes) -> Result<(), StoreError> {
    match step {
        Step::Put(space, key, value) => writes.put(Space(*space), key, value),
        Step::Remove(space, key) => writes.remove(Space(*space), key),
        Step::Clear(space) => writes.clear(Space(*space)),
    }
}

/// All that lies in the range, in the order in which it is shown.
fn collect(reads: &dyn Reads, space: u64, range: &KeyRange, direction: Direction) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    let mut visit = |key: &[u8], value: &[u8]| {
        found.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    };
    reads.range(Space(space), range, direction, &mut visit).unwrap();
    found
}

fn check_against_model(reads: &dyn Reads, model: &Model, range: &KeyRange) {
    for space in 1u64..4 {
        let empty = BTreeMap::new();
        let entries = model.get(&space).unwrap_or(&empty);
        assert_eq!(reads.len(Space(space)).unwrap(), entries.len() as u64);
        let is_inside =
            |key: &[u8]| key >= &range.start[..] && range.end.as_ref().is_none_or(|end| key < &end[..]);
        let mut expected: Vec<_> = entries.clone().into_iter().filter(|(key, _)| is_inside(key)).collect();
        assert_eq!(collect(reads, space, range, Direction::Forward), expected);
        expected.reverse();
        assert_eq!(collect(reads, space, range, Direction::Backward), expected);
        for (key, value) in entries {
            assert_eq!(&reads.get(Space(space), key).unwrap().unwrap()[..], &value[..]);
        }
    }
}

/// Runs each list of steps as one job that reads what it wrote, and every third one as a job that fails at its end.
fn follow_the_model(store: &dyn Store, jobs: &[Vec<Step>], range: &KeyRange) {
    let mut model = Model::new();
    for (number, steps) in jobs.iter().enumerate() {
        let fails = number % 3 == 2;
        let mut after = model.clone();
        steps.iter().for_each(|step| apply_to_model(step, &mut after));
        let (steps, expected, range_inside) = (steps.clone(), after.clone(), range.clone());
        let outcome = wait(store.submit(Box::new(move |writes| {
            for step in &steps {
                apply(step, writes)?;
            }
            check_against_model(&*writes, &expected, &range_inside);
            if fails { Err(StoreError("refused".to_owned())) } else { Ok(()) }
        })));
        assert_eq!(outcome.is_err(), fails, "{outcome:?}");
        if !fails {
            model = after;
        }
        check_against_model(&*store.snapshot().unwrap(), &model, range);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn both_stores_behave_as_ordered_maps_do(
        jobs in proptest::collection::vec(proptest::collection::vec(step(), 0..8), 1..8),
        start in proptest::collection::vec(0u8..3, 0..3),
        end in proptest::option::of(proptest::collection::vec(0u8..3, 0..3)),
    ) {
        let range = KeyRange { start, end };
        follow_the_model(&MemoryStore::new(), &jobs, &range);
        let directory = tempfile::tempdir().unwrap();
        follow_the_model(&disk(directory.path()), &jobs, &range);
    }
}
