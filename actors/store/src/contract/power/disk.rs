//! The content of a disk when the power goes: everything synced for sure, and of the rest as much as chance has left.

use std::collections::BTreeMap;
use std::path::Path;

/// A disk writes this many bytes whole or not at all.
const SECTOR: usize = 512;

/// One thing done to a file, as `recorder.c` wrote it down.
#[derive(Clone, Debug)]
pub struct FileAct {
    pub file: String,
    pub what: FileActKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileActKind {
    Write { place: usize, bytes: Vec<u8> },
    Truncate(usize),
    Sync,
    Unlink,
}

/// The fate of writes that were not synced.
#[derive(Clone, Copy, Debug)]
pub enum Unsynced {
    Gone,
    Kept,
    /// Each sector is there or is not, by this chance.
    Torn(u64),
}

/// The recorded steps.
pub fn acts(record: &[u8]) -> Vec<FileAct> {
    let mut acts = Vec::new();
    let mut rest = record;
    let mut take = |length: usize| {
        let (taken, after) = rest.split_at_checked(length)?;
        rest = after;
        Some(taken)
    };
    while let Some(&[kind, name]) = take(2) {
        let file = String::from_utf8(take(name.into()).unwrap().to_vec()).unwrap();
        let [place, length] = [(); 2]
            .map(|()| usize::try_from(u64::from_ne_bytes(take(8).unwrap().try_into().unwrap())).unwrap());
        let what = match kind {
            b'w' => FileActKind::Write { place, bytes: take(length).unwrap().to_vec() },
            b't' => FileActKind::Truncate(length),
            b's' => FileActKind::Sync,
            b'u' => FileActKind::Unlink,
            other => panic!("{other} is nothing that was done"),
        };
        acts.push(FileAct { file, what });
    }
    acts
}

/// Files of a disk.
#[derive(Default)]
pub struct Disk(BTreeMap<String, DiskFile>);

#[derive(Default)]
struct DiskFile {
    synced: Vec<u8>,
    since: Vec<FileActKind>,
}

impl Disk {
    pub fn take(&mut self, act: &FileAct) {
        if act.what == FileActKind::Unlink {
            self.0.remove(&act.file);
            return;
        }
        let DiskFile { synced, since } = self.0.entry(act.file.clone()).or_default();
        match &act.what {
            FileActKind::Sync => since.drain(..).for_each(|what| apply(synced, &what, |_| true)),
            what => since.push(what.clone()),
        }
    }

    /// Writes the files as they are found after the power was gone into `folder`.
    pub fn lay_out(&self, folder: &Path, unsynced: Unsynced) {
        let mut chance = Chance(if let Unsynced::Torn(seed) = unsynced { seed } else { 0 });
        for (name, DiskFile { synced, since }) in &self.0 {
            let mut bytes = synced.clone();
            for what in since {
                match unsynced {
                    Unsynced::Gone => {}
                    Unsynced::Kept => apply(&mut bytes, what, |_| true),
                    Unsynced::Torn(_) => apply(&mut bytes, what, |_| chance.flips()),
                }
            }
            std::fs::write(folder.join(name), bytes).unwrap();
        }
    }
}

/// Applies a step to a file, as far as it has reached the disk, asked sector by sector.
fn apply(file: &mut Vec<u8>, what: &FileActKind, mut reached: impl FnMut(usize) -> bool) {
    match what {
        FileActKind::Write { place, bytes } => {
            let mut at = *place;
            while at < place + bytes.len() {
                let end = ((at / SECTOR + 1) * SECTOR).min(place + bytes.len());
                if reached(at) {
                    file.resize(file.len().max(end), 0);
                    file[at..end].copy_from_slice(&bytes[at - place..end - place]);
                }
                at = end;
            }
        }
        FileActKind::Truncate(length) if reached(0) => file.resize(*length, 0),
        FileActKind::Truncate(_) | FileActKind::Sync | FileActKind::Unlink => {}
    }
}

/// The same each time: a failure can be looked at again.
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        usize::try_from((mixed ^ (mixed >> 31)) >> 33).unwrap() % below
    }

    fn flips(&mut self) -> bool {
        self.next(2) == 0
    }
}

#[test]
fn what_was_synced_is_there_and_the_rest_by_chance() {
    let write = |place, bytes: &[u8]| FileActKind::Write { place, bytes: bytes.to_vec() };
    let mut disk = Disk::default();
    let folder = tempfile::tempdir().unwrap();
    for what in
        [write(0, &[1; 2_000]), FileActKind::Sync, write(1_000, &[2; 3_000]), FileActKind::Truncate(3_900)]
    {
        disk.take(&FileAct { file: "a".into(), what });
    }
    let found = |unsynced| {
        disk.lay_out(folder.path(), unsynced);
        std::fs::read(folder.path().join("a")).unwrap()
    };
    assert_eq!(found(Unsynced::Gone), [1; 2_000]);
    assert_eq!(found(Unsynced::Kept), [vec![1; 1_000], vec![2; 2_900]].concat());
    let torn: Vec<_> = (0..20).map(|seed| found(Unsynced::Torn(seed))).collect();
    assert!(torn.iter().all(|bytes| bytes[..1_000] == [1; 1_000]));
    let halves = |bytes: &Vec<u8>| bytes[1_000..1_024] == [2; 24] && bytes[1_024..1_536] == [1; 512];
    assert!(torn.iter().any(halves) && !torn.iter().all(halves), "a write is torn where a sector ends");
}
