//! What becomes of a store whose file fails, is damaged, or is another user's.

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use redb::StorageBackend;
use redb::backends::FileBackend;

use super::super::Space;

use super::*;

/// A file whose writes or syncs fail as long as it is told so.
#[derive(Debug)]
struct FailingFile {
    file: FileBackend,
    faults: Arc<Faults>,
}

#[derive(Debug, Default)]
struct Faults {
    syncs: AtomicBool,
    writes: AtomicBool,
}

fn check(fails: &AtomicBool) -> io::Result<()> {
    if fails.load(Ordering::Relaxed) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
}

impl StorageBackend for FailingFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        check(&self.faults.syncs)?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        check(&self.faults.writes)?;
        self.file.write(offset, data)
    }
}

/// A store on a file with faults to be turned on.
fn failing(directory: &Path) -> (DiskStore, Arc<Faults>) {
    drop(DiskStore::open(directory, Durability::Fsync).unwrap());
    let (faults, path) = (Arc::<Faults>::default(), directory.join(DATA_FILE));
    let given = Arc::clone(&faults);
    let backend = move || {
        let file = FileBackend::new(OpenOptions::new().read(true).write(true).open(&path)?).unwrap();
        let file = FailingFile { file, faults: Arc::clone(&given) };
        Ok(Backend { file: Box::new(file), state: Arc::default(), durability: Durability::Fsync })
    };
    let retry = Duration::from_millis(1);
    let opening = Opening { backend: Box::new(backend), cache_bytes_max: CACHE_BYTES_MAX, retry };
    let store = DiskStore::start(directory, lock(directory).unwrap(), opening).unwrap();
    (store, faults)
}

fn has(store: &DiskStore, key: &[u8]) -> bool {
    store.snapshot().unwrap().get(Space(7), key).unwrap().is_some()
}

fn put(key: &'static [u8]) -> Job {
    Box::new(move |writes| writes.put(Space(7), key, b"value"))
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[test]
fn after_a_failed_sync_nothing_is_written_and_what_was_acknowledged_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let (store, faults) = failing(directory.path());
    wait(store.submit(put(b"acknowledged"))).unwrap();
    assert!(store.failure().is_none());
    faults.syncs.store(true, Ordering::Relaxed);
    assert!(wait(store.submit(put(b"lost"))).is_err());
    faults.syncs.store(false, Ordering::Relaxed);
    assert!(wait(store.submit(put(b"later"))).is_err());
    assert!(store.failure().is_some());
    assert!(has(&store, b"acknowledged") && !has(&store, b"lost"));
    drop(store);
    let store = DiskStore::open(directory.path(), Durability::Fsync).unwrap();
    assert!(has(&store, b"acknowledged") && !has(&store, b"later"));
    wait(store.submit(put(b"again"))).unwrap();
}

#[test]
fn after_a_write_without_room_the_store_goes_on_by_itself_when_there_is_some() {
    let directory = tempfile::tempdir().unwrap();
    let (store, faults) = failing(directory.path());
    wait(store.submit(put(b"acknowledged"))).unwrap();
    let (restores, seen) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(true)));
    let (counted, all) = (Arc::clone(&restores), Arc::clone(&seen));
    store.on_rollback(Box::new(move |reads| {
        counted.fetch_add(1, Ordering::Relaxed);
        all.fetch_and(reads.get(Space(7), b"acknowledged").unwrap().is_some(), Ordering::Relaxed);
    }));
    faults.writes.store(true, Ordering::Relaxed);
    let error = wait(store.submit(put(b"lost"))).unwrap_err();
    assert!(error.0.contains("there is no room"), "{error}");
    // As long as there is none, it is tried again and again, and readers are shown what was acknowledged.
    let before = store.snapshot().unwrap();
    for _ in 0..20 {
        assert!(wait(store.submit(put(b"lost"))).is_err());
        assert!(has(&store, b"acknowledged") && !has(&store, b"lost"));
    }
    drop(before);
    faults.writes.store(false, Ordering::Relaxed);
    let begun = Instant::now();
    while wait(store.submit(put(b"later"))).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it takes no writes: {:?}", store.failure());
        std::thread::yield_now();
    }
    assert!(store.failure().is_none());
    assert!(has(&store, b"acknowledged") && has(&store, b"later") && !has(&store, b"lost"));
    assert!(restores.load(Ordering::Relaxed) >= 2 && seen.load(Ordering::Relaxed));
    drop(store);
    let store = DiskStore::open(directory.path(), Durability::Fsync).unwrap();
    assert!(has(&store, b"acknowledged") && has(&store, b"later") && !has(&store, b"lost"));
}

#[test]
fn a_reader_keeps_its_state_while_the_store_would_open_its_file_again() {
    let directory = tempfile::tempdir().unwrap();
    let (store, faults) = failing(directory.path());
    wait(store.submit(put(b"acknowledged"))).unwrap();
    let (old, opened) = (store.snapshot().unwrap(), store.shared.opened.load_full());
    faults.writes.store(true, Ordering::Relaxed);
    assert!(wait(store.submit(put(b"lost"))).is_err());
    let pinned = store.snapshot().unwrap();
    faults.writes.store(false, Ordering::Relaxed);
    // The writer's thread, which tries the same, stands behind this.
    assert!(!store.shared.reopen().unwrap());
    assert!(Arc::ptr_eq(&opened.unwrap(), &store.shared.opened().unwrap()));
    assert!(pinned.get(Space(7), b"acknowledged").unwrap().is_some());
    assert!(old.get(Space(7), b"acknowledged").unwrap().is_some());
}

#[test]
fn what_is_made_is_for_its_user_alone() {
    use std::os::unix::fs::PermissionsExt;
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("new/data");
    let _store = DiskStore::open(&directory, Durability::Process).unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!([mode(&root.path().join("new")), mode(&directory)], [0o700, 0o700]);
    for entry in directory.read_dir().unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
}

#[test]
fn an_empty_or_a_damaged_file_is_not_opened_and_stays_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(DATA_FILE);
    let store = DiskStore::open(directory.path(), Durability::Process).unwrap();
    for key in 0..2000_u32 {
        let job: Job = Box::new(move |writes| writes.put(Space(7), &key.to_be_bytes(), &[7; 100]));
        wait(store.submit(job)).unwrap();
    }
    wait(store.close());
    drop(store);
    let whole = std::fs::read(&path).unwrap();
    // A run of values can only be in a page of them.
    let at = whole.windows(90).rposition(|window| window == [7; 90]).unwrap();
    let flipped: Vec<u8> = whole.iter().enumerate().map(|(i, b)| if i == at { b ^ 1 } else { *b }).collect();
    for damaged in [Vec::new(), flipped, whole[..whole.len() / 2].to_vec()] {
        std::fs::write(&path, &damaged).unwrap();
        let error = DiskStore::open(directory.path(), Durability::Process).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
        assert!(std::fs::read(&path).unwrap() == damaged, "the file was changed");
    }
    std::fs::write(&path, &whole).unwrap();
    let store = DiskStore::open(directory.path(), Durability::Process).unwrap();
    assert!(has(&store, &1999_u32.to_be_bytes()));
}
