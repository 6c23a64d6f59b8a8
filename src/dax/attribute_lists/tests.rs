//! Ids over time: in one process, over restarts, and after crashes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

fn names(list: &AttributeList) -> Vec<&str> {
    list.names().collect()
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn path(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("attribute-lists")
}

fn open(path: &Path) -> AttributeLists {
    AttributeLists::open(path, Limits::default()).unwrap()
}

#[test]
fn a_list_has_one_id_and_an_id_one_list_in_its_order() {
    let lists = AttributeLists::in_memory(Limits::default());
    let id = lists.define(&["n", "x"]).unwrap();
    assert_eq!(lists.define(&["n", "x"]).unwrap(), id);
    let other = lists.define(&["x", "n"]).unwrap();
    let joined = lists.define(&["nx"]).unwrap();
    assert!(id != other && id != joined && other != joined);
    assert!([id, other, joined].iter().all(|id| (ID_MIN..ID_END).contains(id)));
    assert_eq!(names(&lists.list(other).unwrap()), ["x", "n"]);
    assert_eq!(lists.find(["x", "n"].into_iter()).unwrap().id(), other);
    assert!(lists.find(["x"].into_iter()).is_none());
    assert!(lists.list(0).is_none() && lists.list(2).is_none() && lists.list(id + 1).is_none());
}

#[test]
fn the_empty_list_is_1_from_the_beginning() {
    let lists = AttributeLists::in_memory(Limits::default());
    assert!(lists.list(1).unwrap().is_empty());
    assert_eq!(lists.define(&[""; 0]).unwrap(), EMPTY_LIST_ID);
    assert_eq!(lists.find([].into_iter()).unwrap().id(), EMPTY_LIST_ID);
    assert_eq!(lists.count(), 1);
}

#[test]
fn a_list_that_cannot_be_kept_is_lent_under_its_own_id_until_others_take_its_room() {
    let lists = AttributeLists::in_memory(Limits { lists: 1, ..Limits::default() });
    assert!(matches!(lists.define(&["n", "x"]), Err(DefineError::Full)));
    lists.lend(&[["n", "x"]]).unwrap();
    let lent = lists.find(["n", "x"].into_iter()).unwrap();
    assert_eq!((lent.id(), names(&lent)), (id_of(&["n", "x"], 0), vec!["n", "x"]));
    assert_eq!(names(&lists.list(lent.id()).unwrap()), ["n", "x"]);
    assert!(lists.find_kept(["n", "x"].into_iter()).is_none() && lists.find(["x"].into_iter()).is_none());
    assert!(matches!(lists.define(&["n", "x"]), Err(DefineError::Full)), "it is not kept");
    assert_eq!(lists.count(), 1);
    assert!(matches!(lists.lend(&[["a", "a"]]), Err(DefineError::Invalid(_))));
    for number in 0..1000 {
        assert!(lists.list(lent.id()).is_some());
        lists.lend(&[["n", &format!("{number}")]]).unwrap();
    }
    assert!(lists.list(lent.id()).is_none(), "the oldest is gone");
    assert!(lists.find(["n", "999"].into_iter()).is_some());
    let long = "x".repeat(60_000);
    for number in 0..200 {
        lists.lend(&[["n", &format!("{number}{long}")]]).unwrap();
    }
    assert!(lists.find(["n", "999"].into_iter()).is_none(), "they have taken too much memory");
}

#[cfg(unix)]
#[test]
fn a_file_is_for_its_user_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    open(&path(&folder)).define(&["n"]).unwrap();
    assert_eq!(fs::metadata(path(&folder)).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn ids_are_the_same_in_every_version() {
    const GOLDEN_ID: u64 = 2_712_972_215_532_316;
    // Of SHA-256 over 00000001 6e 00000001 78 00000000, as `sha256sum` computes it.
    assert_eq!(id_of(&["n", "x"], 0), GOLDEN_ID);
    assert_ne!(id_of(&["n", "x"], 1), GOLDEN_ID);
}

#[test]
fn a_member_in_json_is_escaped_and_a_name_is_not() {
    let list = AttributeList::new(7, &["a", "b\"\\", "é", "\n"]);
    assert_eq!(names(&list), ["a", "b\"\\", "é", "\n"]);
    let members: Vec<_> = (0..4).filter_map(|place| list.member(place)).collect();
    assert_eq!(members, ["\"a\":", "\"b\\\"\\\\\":", "\"é\":", "\"\\n\":"]);
    assert_eq!((list.len(), list.name(4), list.member(4)), (4, None, None));
}

#[test]
fn names_that_no_item_has_are_rejected() {
    let lists = AttributeLists::in_memory(Limits::default());
    let long = "x".repeat(65_535);
    for bad in [vec![""], vec!["a", "a"], vec![&format!("{long}x")[..]]] {
        assert!(matches!(lists.define(&bad), Err(DefineError::Invalid(_))), "{}", bad.len());
    }
    assert!(lists.define(&[&long]).is_ok());
    let many: Vec<String> = (0..100_000).map(|n| format!("{n}")).collect();
    assert!(matches!(lists.define(&many), Err(DefineError::Invalid(_))));
    assert!(lists.define(&many[..50_000]).is_ok());
    let error = ApiError::from(lists.define(&["a", "b", "a"]).unwrap_err());
    assert_eq!(error.code, ErrorCode::Validation);
}

#[test]
fn a_full_table_rejects_new_lists_and_keeps_the_old() {
    for limits in [Limits { lists: 3, bytes: usize::MAX }, Limits { lists: 9, bytes: 800 }] {
        let lists = AttributeLists::in_memory(limits);
        let first = lists.define(&["a"]).unwrap();
        let second = lists.define(&["b"]).unwrap();
        assert!(lists.bytes() <= limits.bytes);
        let error = (0..4).find_map(|n| lists.define(&[format!("c{n}")]).err()).unwrap();
        assert!(matches!(error, DefineError::Full));
        assert_eq!(ApiError::from(error).code, ErrorCode::LimitExceeded);
        assert_eq!((lists.define(&["a"]).unwrap(), lists.define(&["b"]).unwrap()), (first, second));
        assert_eq!(names(&lists.list(first).unwrap()), ["a"]);
    }
}

#[test]
fn a_list_whose_id_is_taken_gets_that_of_the_next_attempt() {
    let taken = id_of(&["a"], 0);
    let lists = AttributeLists::with_ids([(taken, vec!["other".to_owned()])]);
    let id = lists.define(&["a"]).unwrap();
    assert_eq!(id, id_of(&["a"], 1));
    assert_eq!(names(&lists.list(taken).unwrap()), ["other"]);
    assert_eq!(names(&lists.list(id).unwrap()), ["a"]);
}

#[test]
fn ids_outlive_the_process() {
    let folder = folder();
    let lists = open(&path(&folder));
    let id = lists.define(&["n", "x"]).unwrap();
    lists.define_all(&[vec!["é"], vec!["n", "x"], vec!["b", "\u{1F600}"]]).unwrap();
    let bytes = lists.bytes();
    drop(lists);
    let lists = open(&path(&folder));
    assert_eq!((lists.count(), lists.bytes(), lists.lost_bytes()), (4, bytes, 0));
    assert_eq!(names(&lists.list(id).unwrap()), ["n", "x"]);
    // As many as there are, though the limits are lower by now.
    drop(lists);
    let lists = AttributeLists::open(&path(&folder), Limits { lists: 1, bytes: 1 }).unwrap();
    assert_eq!(lists.define(&["n", "x"]).unwrap(), id);
    assert!(matches!(lists.define(&["new"]), Err(DefineError::Full)));
    // And a lost file gives the same ids again.
    assert_eq!(AttributeLists::in_memory(Limits::default()).define(&["n", "x"]).unwrap(), id);
}

#[test]
fn a_record_that_a_crash_has_cut_off_is_dropped_and_all_before_it_are_kept() {
    let folder = folder();
    let lists = open(&path(&folder));
    let first = lists.define(&["a"]).unwrap();
    let whole = fs::metadata(path(&folder)).unwrap().len() as usize;
    let second = lists.define(&["b", "c"]).unwrap();
    drop(lists);
    let bytes = fs::read(path(&folder)).unwrap();
    let zeros = [&bytes[..whole], &[0; 64]].concat();
    let flipped = {
        let mut bytes = bytes.clone();
        *bytes.last_mut().unwrap() ^= 1;
        bytes
    };
    let cuts = (0..bytes.len()).map(|length| bytes[..length].to_vec());
    for torn in cuts.chain([zeros, flipped]) {
        fs::write(path(&folder), &torn).unwrap();
        let lists = open(&path(&folder));
        let kept = lists.list(first).is_some();
        assert_eq!(kept, torn.len() >= whole);
        assert!(lists.list(second).is_none());
        if kept {
            assert_eq!(lists.lost_bytes(), (torn.len() - whole) as u64);
        }
        // What follows is written where the rest was.
        let third = lists.define(&["d"]).unwrap();
        drop(lists);
        let lists = open(&path(&folder));
        assert_eq!((lists.lost_bytes(), lists.count()), (0, if kept { 3 } else { 2 }));
        assert_eq!(names(&lists.list(third).unwrap()), ["d"]);
    }
}

#[test]
fn a_damaged_record_is_passed_over_and_all_others_are_kept() {
    let folder = folder();
    let lists = open(&path(&folder));
    let mut ends = vec![fs::metadata(path(&folder)).unwrap().len() as usize];
    let mut ids = Vec::new();
    for list in [&["first"][..], &["b", "c"], &["d", "an attribute with a long name"], &["e"]] {
        ids.push(lists.define(list).unwrap());
        ends.push(fs::metadata(path(&folder)).unwrap().len() as usize);
    }
    drop(lists);
    let bytes = fs::read(path(&folder)).unwrap();
    let kept = |damaged: &[u8]| {
        fs::write(path(&folder), damaged).unwrap();
        let lists = open(&path(&folder));
        // What is defined now stands behind all, and the damage is still passed over.
        let new = lists.define(&["new"]).unwrap();
        drop(lists);
        let lists = open(&path(&folder));
        assert_eq!((lists.lost_bytes(), names(&lists.list(new).unwrap())), (0, vec!["new"]));
        let kept: Vec<bool> = ids.iter().map(|id| lists.list(*id).is_some()).collect();
        (kept, lists.damaged_bytes() as usize)
    };
    for record in 0..3 {
        let (begin, end) = (ends[record], ends[record + 1]);
        let others: Vec<bool> = (0..4).map(|other| other != record).collect();
        for place in begin..end {
            let mut damaged = bytes.clone();
            damaged[place] ^= 0xFF;
            assert_eq!(kept(&damaged), (others.clone(), end - begin), "byte {place}");
        }
        // Bytes that are gone, and bytes too many.
        let cut = [&bytes[..begin + 5], &bytes[end..]].concat();
        assert_eq!(kept(&cut), (others, 5));
    }
    let two = [&bytes[..ends[1]], &vec![0; ends[3] - ends[1]], &bytes[ends[3]..]].concat();
    assert_eq!(kept(&two), (vec![true, false, false, true], ends[3] - ends[1]));
    // A record of nobody's list, whole by its checksum, is not found behind a damage.
    let list = Arc::new(AttributeList::new(ID_MIN + 7, &["x"]));
    let mut foreign = bytes.clone();
    foreign[ends[0]] ^= 1;
    foreign.truncate(ends[1]);
    file::write_record(&list, &mut foreign);
    assert_eq!(kept(&[&foreign, &bytes[ends[1]..]].concat()).0, [false, true, true, true]);
    assert!(open(&path(&folder)).list(ID_MIN + 7).is_none());
}

#[test]
fn another_file_is_left_alone() {
    let folder = folder();
    for (content, version) in [
        ("something else", None),
        ("nearside dax attribute lists \n", None),
        ("nearside dax attribute lists x\n", None),
        ("nearside dax attribute lists 2\nanything", Some("2")),
        ("nearside dax attribute lists 10\n", Some("10")),
    ] {
        fs::write(path(&folder), content).unwrap();
        match (AttributeLists::open(&path(&folder), Limits::default()).unwrap_err(), version) {
            (OpenError::Foreign, None) => {}
            (OpenError::Version(found), Some(version)) => assert_eq!(found, version),
            (error, _) => panic!("{content}: {error}"),
        }
        assert_eq!(fs::read_to_string(path(&folder)).unwrap(), content);
    }
}

#[test]
fn one_process_has_the_file() {
    let folder = folder();
    let lists = open(&path(&folder));
    let second = AttributeLists::open(&path(&folder), Limits::default());
    assert!(matches!(second, Err(OpenError::InUse)));
    drop(lists);
    open(&path(&folder));
    let missing = folder.path().join("no").join("folder");
    assert!(matches!(AttributeLists::open(&missing, Limits::default()), Err(OpenError::Io(_))));
}

#[test]
fn many_threads_that_define_the_same_lists_agree() {
    let folder = folder();
    let lists = open(&path(&folder));
    let defined = AtomicUsize::new(0);
    let ids: Vec<Vec<u64>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let define = |n: u32| {
                        let id = lists.define(&[format!("a{n}"), "b".to_owned()]).unwrap();
                        defined.fetch_add(1, Ordering::Relaxed);
                        assert_eq!(lists.list(id).unwrap().name(0), Some(&*format!("a{n}")));
                        id
                    };
                    (0..20).map(define).collect()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(defined.into_inner(), 80);
    assert!(ids.iter().all(|of_thread| *of_thread == ids[0]));
    assert_eq!(lists.count(), 21);
    drop(lists);
    assert_eq!(open(&path(&folder)).count(), 21);
}
