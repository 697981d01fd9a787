//! What is on the disk: everything that was acknowledged, after any end.

use std::fs;
use std::path::{Path, PathBuf};

use splay_etcd::disk::{Disk, DiskError};
use splay_etcd::service::{Entry, Outcome, Service};
use splay_etcd::{Member, Request};

const NOW: i64 = 1_600_000_000_000_000_000;

fn open_every(folder: &Path, every: u64) -> Result<(Disk, Service), DiskError> {
    Disk::open(folder, Member::new("a", vec![], vec![]), NOW, every)
}

fn open(folder: &Path) -> Result<(Disk, Service), DiskError> {
    open_every(folder, u64::MAX)
}

/// A change and what comes of it.
fn change(disk: &mut Disk, service: &mut Service, method: &str, target: &str, body: &str) -> u16 {
    let content_type = Some(&b"application/x-www-form-urlencoded"[..]);
    let request = Request { method, target: target.as_bytes(), content_type, body: body.as_bytes() };
    let call = splay_etcd::Call::read(&request, NOW + service.applied() as i64);
    let Outcome::Write { entry, brief } = service.call(call, NOW) else { panic!("{method} {target}") };
    disk.append(std::slice::from_ref(&entry)).unwrap();
    service.apply(entry, brief).status
}

/// All there is, in a form that can be compared.
fn everything(service: &Service) -> String {
    format!("{:?}", service.save())
}

fn fill(disk: &mut Disk, service: &mut Service, from: u32, to: u32) {
    for n in from..to {
        change(
            disk,
            service,
            "PUT",
            &format!("/v2/keys/d{}/k{n}", n % 7),
            &format!("value={n}&ttl={}", n % 5),
        );
        change(disk, service, "POST", "/v2/keys/queue", "value=%FF");
        if n % 3 == 0 {
            change(disk, service, "DELETE", &format!("/v2/keys/d{}?recursive=true", n % 7), "");
        }
        let entry = Entry { now: NOW + i64::from(n) * 100_000_000, write: splay_etcd::Write::Expire };
        disk.append(std::slice::from_ref(&entry)).unwrap();
        service.apply(entry, true);
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| !path.ends_with("lock"));
    files.sort();
    files
}

#[test]
fn what_was_written_is_there_again() {
    let folder = tempfile::tempdir().unwrap();
    let (mut disk, mut service) = open(folder.path()).unwrap();
    assert!(matches!(open(folder.path()), Err(DiskError::Taken(_))));
    fill(&mut disk, &mut service, 0, 50);
    assert_eq!(change(&mut disk, &mut service, "PUT", "/v2/admin/config", r#"{"activeSize":5}"#), 200);
    let before = everything(&service);
    drop(disk);
    let (mut disk, mut again) = open(folder.path()).unwrap();
    assert_eq!(everything(&again), before);
    // And it goes on.
    fill(&mut disk, &mut again, 50, 60);
    let before = everything(&again);
    drop(disk);
    assert_eq!(everything(&open(folder.path()).unwrap().1), before);
}

#[test]
fn a_snapshot_takes_the_place_of_older_files() {
    let folder = tempfile::tempdir().unwrap();
    let (mut disk, mut service) = open_every(folder.path(), 20).unwrap();
    for round in 0..5 {
        fill(&mut disk, &mut service, round * 10, round * 10 + 10);
        assert!(disk.wants_snapshot());
        let snapshot = disk.begin_snapshot(service.save()).unwrap();
        // Between the two the machine may end: both logs are needed then.
        let copy = tempfile::tempdir().unwrap();
        for file in files(folder.path()) {
            fs::copy(&file, copy.path().join(file.file_name().unwrap())).unwrap();
        }
        assert_eq!(everything(&open(copy.path()).unwrap().1), everything(&service));
        snapshot.keep().unwrap();
        assert!(!disk.wants_snapshot());
        assert_eq!(files(folder.path()).len(), 2);
    }
    fill(&mut disk, &mut service, 50, 55);
    drop(disk);
    assert_eq!(everything(&open(folder.path()).unwrap().1), everything(&service));

    let snapshot = files(folder.path()).pop().unwrap();
    let mut bytes = fs::read(&snapshot).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&snapshot, bytes).unwrap();
    let error = open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("is damaged at byte 16: its checksum is another"), "{error}");

    fs::remove_file(snapshot).unwrap();
    let error = open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("has no log of the changes after number 0"), "{error}");
}

#[test]
fn a_torn_end_is_cut_off_wherever_it_is_torn() {
    let folder = tempfile::tempdir().unwrap();
    let (mut disk, mut service) = open(folder.path()).unwrap();
    let log = files(folder.path()).pop().unwrap();
    fill(&mut disk, &mut service, 0, 5);
    let (whole, before) = (fs::read(&log).unwrap().len(), everything(&service));
    change(&mut disk, &mut service, "PUT", "/v2/keys/last", "value=torn");
    let bytes = fs::read(&log).unwrap();
    drop(disk);
    for length in whole..bytes.len() {
        // Cut, or what was to come is zeros, as after the end of some file systems.
        for zeros in [0, bytes.len() - length] {
            let torn = [&bytes[..length], &vec![0; zeros]].concat();
            if torn == bytes {
                continue;
            }
            fs::write(&log, torn).unwrap();
            let (mut disk, mut service) = open(folder.path()).unwrap();
            assert_eq!(everything(&service), before, "{length} {zeros}");
            assert_eq!(change(&mut disk, &mut service, "PUT", "/v2/keys/last", "value=again"), 201);
            let after = everything(&service);
            drop(disk);
            assert_eq!(everything(&open(folder.path()).unwrap().1), after);
        }
    }
    // A log that was not even begun.
    for length in 0..16 {
        fs::write(&log, &bytes[..length]).unwrap();
        let (mut disk, mut service) = open(folder.path()).unwrap();
        assert_eq!(service.applied(), 0);
        change(&mut disk, &mut service, "PUT", "/v2/keys/k", "value=1");
        drop(disk);
        assert_eq!(open(folder.path()).unwrap().1.applied(), 1);
    }
}

#[test]
fn damage_in_the_middle_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (mut disk, mut service) = open(folder.path()).unwrap();
    let log = files(folder.path()).pop().unwrap();
    change(&mut disk, &mut service, "PUT", "/v2/keys/first", "value=1");
    let first = fs::read(&log).unwrap().len();
    fill(&mut disk, &mut service, 0, 5);
    let bytes = fs::read(&log).unwrap();
    drop(disk);
    for at in 16..first {
        for change in [1, 0x80] {
            let mut damaged = bytes.clone();
            damaged[at] ^= change;
            fs::write(&log, &damaged).unwrap();
            let error = open(folder.path()).unwrap_err().to_string();
            assert!(
                error.contains("is damaged at byte 16: a record is wrong, and whole ones follow it"),
                "{at}: {error}"
            );
            assert_eq!(fs::read(&log).unwrap(), damaged, "nothing is repaired");
        }
    }
    fs::write(&log, [b"something else".repeat(4), bytes].concat()).unwrap();
    let error = open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("does not begin as a log"), "{error}");
}
