//! What a disk holds after a loss of power, worked out from the journal that `bad_disk.c` kept of a process.
//!
//! The rules are those POSIX gives, and no more: what was written to a file is durable when an fsync of that file
//! returns, and names are when an fsync of the directory does. Of everything else the disk may hold all, nothing, what
//! came first, or any sectors of 512 bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::chance::Chance;

const SECTOR: u64 = 512;
/// No system gives such high numbers to files.
const LATER: Inode = 1 << 63;
/// Before the bytes of a record.
const HEAD: usize = 24;

/// A file's number, as long as it has one: the inode's.
type Inode = u64;

/// Files, and the names of them in one directory.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Files {
    names: BTreeMap<String, Inode>,
    contents: BTreeMap<Inode, Vec<u8>>,
}

impl Files {
    /// The files of a directory, none below it.
    pub fn read(directory: &Path) -> Files {
        let mut files = Files::default();
        for entry in std::fs::read_dir(directory).expect("the directory can be read") {
            let entry = entry.expect("the directory can be read");
            let about = entry.metadata().expect("a file can be looked at");
            if about.is_file() {
                let name = entry.file_name().into_string().expect("names are UTF-8");
                files.contents.insert(about.ino(), std::fs::read(entry.path()).expect("a file can be read"));
                files.names.insert(name, about.ino());
            }
        }
        files
    }

    /// Lays them down in an empty directory.
    pub fn write(&self, directory: &Path) {
        for (name, inode) in &self.names {
            let contents = self.contents.get(inode).map(Vec::as_slice).unwrap_or_default();
            std::fs::write(directory.join(name), contents).expect("a file can be written");
        }
    }
}

/// One thing a process did.
#[derive(Debug, Clone, PartialEq)]
enum Deed {
    Write { inode: Inode, at: u64, bytes: Vec<u8> },
    Truncate { inode: Inode, length: u64 },
    Sync { inode: Inode },
    FailedSync { inode: Inode },
    Name(Naming),
    SyncNames,
}

/// A change of names.
#[derive(Debug, Clone, PartialEq)]
enum Naming {
    Create { inode: Inode, name: String },
    Unlink { name: String },
    Rename { from: String, to: String },
}

/// Whether the disk keeps its word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// What was synced is there.
    Kept,
    /// fsync did nothing: as with SQLite's `synchronous=OFF`, or a disk that lies. For tests of the tests.
    Broken,
}

/// Which part of what was not synced is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// All of it: the process was killed, the machine went on.
    All,
    /// None of it.
    Nothing,
    /// The first so many in a hundred, in the order of the calls, the last of it torn.
    First(u64),
    /// Whatever sectors chance chooses.
    Any,
}

impl Rest {
    /// Any of them.
    pub fn chosen(chance: &mut Chance) -> Rest {
        match chance.below(5) {
            0 => Rest::All,
            1 => Rest::Nothing,
            2 => Rest::First(chance.below(100)),
            _ => Rest::Any,
        }
    }
}

/// What a process did to the files of a directory, and what these were before.
#[derive(Debug, Clone)]
pub struct Journal {
    before: Files,
    deeds: Vec<Deed>,
    /// The call at which the chosen moment came: what, which file, and what became of it.
    pub struck: Option<String>,
    /// How many bytes of the journal are whole records.
    length: u64,
    /// Numbers that were given once more, when a process had ended that knew a removed file by them; what stands for them.
    later: BTreeMap<Inode, Inode>,
}

impl Journal {
    /// Reads it. The last record may be cut short: the process died amid telling it.
    pub(super) fn read(before: Files, path: &Path) -> Journal {
        let bytes = std::fs::read(path).unwrap_or_default();
        let mut journal =
            Journal { before, deeds: Vec::new(), struck: None, length: 0, later: BTreeMap::new() };
        let mut rest = bytes.as_slice();
        while let Some((head, after)) = rest.split_at_checked(HEAD) {
            let number = |range: std::ops::Range<usize>| {
                let mut bytes = [0; 8];
                bytes[..range.len()].copy_from_slice(&head[range]);
                u64::from_ne_bytes(bytes)
            };
            let Some((text, after)) = after.split_at_checked(number(4..8) as usize) else { break };
            journal.enter(number(0..4), number(8..16), number(16..24), text);
            rest = after;
        }
        journal.length = (bytes.len() - rest.len()) as u64;
        journal
    }

    /// Makes the journal one that another process can go on with: what the last one did and was killed before telling, one
    /// call at the most, is seen in the directory and told now.
    pub(super) fn complete(&self, directory: &Path, path: &Path) {
        let mut journal =
            OpenOptions::new().create(true).append(true).open(path).expect("the journal is there");
        journal.set_len(self.length).expect("the journal can be cut");
        let mut tell = |kind: u32, inode: Inode, at: u64, bytes: &[u8]| {
            let mut record = Vec::from(kind.to_ne_bytes());
            record.extend((bytes.len() as u32).to_ne_bytes());
            record.extend(inode.to_ne_bytes());
            record.extend(at.to_ne_bytes());
            record.extend(bytes);
            journal.write_all(&record).expect("the journal can be written");
        };
        let (told, real) = (self.seen(), Files::read(directory));
        for name in told.names.keys().filter(|name| !real.names.contains_key(*name)) {
            tell(5, 0, 0, name.as_bytes());
        }
        for (name, inode) in &real.names {
            let number = self.number_of(*inode);
            let is_told = told.names.get(name) == Some(&number);
            if !is_told {
                tell(4, *inode, 0, name.as_bytes());
            }
            let contents = &real.contents[inode];
            let is_same = is_told && told.contents.get(&number) == Some(contents);
            // What is mapped into memory is written without a call.
            if !is_same && !name.ends_with("-shm") {
                tell(2, *inode, contents.len() as u64, &[]);
                tell(1, *inode, 0, contents);
            }
        }
    }

    /// What the processes saw, whatever was synced.
    fn seen(&self) -> Files {
        let mut files = self.before.clone();
        for deed in &self.deeds {
            match deed {
                Deed::Write { inode, at, bytes } => {
                    put(files.contents.entry(*inode).or_default(), *at, bytes)
                }
                Deed::Truncate { inode, length } => {
                    files.contents.entry(*inode).or_default().resize(*length as usize, 0);
                }
                Deed::Name(Naming::Create { inode, name }) => {
                    files.contents.entry(*inode).or_default();
                    files.names.insert(name.clone(), *inode);
                }
                Deed::Name(Naming::Unlink { name }) => drop(files.names.remove(name)),
                Deed::Name(Naming::Rename { from, to }) => {
                    if let Some(inode) = files.names.remove(from) {
                        files.names.insert(to.clone(), inode);
                    }
                }
                Deed::Sync { .. } | Deed::FailedSync { .. } | Deed::SyncNames => {}
            }
        }
        files
    }

    fn enter(&mut self, kind: u64, inode: Inode, at: u64, bytes: &[u8]) {
        let text = || String::from_utf8_lossy(bytes).into_owned();
        let is_known =
            |deed: &Deed| matches!(deed, Deed::Name(Naming::Create { inode: of, .. }) if *of == inode);
        if kind == 4 && (self.before.contents.contains_key(&inode) || self.deeds.iter().any(is_known)) {
            self.later.insert(inode, LATER + self.deeds.len() as u64);
        }
        let inode = self.number_of(inode);
        self.deeds.push(match kind {
            1 => Deed::Write { inode, at, bytes: bytes.to_vec() },
            2 => Deed::Truncate { inode, length: at },
            3 => Deed::Sync { inode },
            4 => Deed::Name(Naming::Create { inode, name: text() }),
            5 => Deed::Name(Naming::Unlink { name: text() }),
            6 => {
                let names = text();
                let (from, to) = names.split_once('/').expect("a renaming has two names");
                Deed::Name(Naming::Rename { from: from.to_owned(), to: to.to_owned() })
            }
            7 => Deed::SyncNames,
            8 => return self.struck = Some(text()),
            9 => Deed::FailedSync { inode },
            kind => panic!("nothing is told with kind {kind}"),
        });
    }

    /// What stands for a number that the system gave.
    fn number_of(&self, inode: Inode) -> Inode {
        self.later.get(&inode).copied().unwrap_or(inode)
    }

    /// How many calls there were.
    pub fn calls(&self) -> u64 {
        self.deeds.len() as u64
    }

    /// Which of the calls, from 1, are others than writes: each is a border between two states of the disk.
    pub fn borders(&self) -> Vec<u64> {
        let numbered = (1..).zip(&self.deeds);
        numbered.filter(|(_, deed)| !matches!(deed, Deed::Write { .. })).map(|(number, _)| number).collect()
    }

    /// What the disk holds when the power fails at the end of the journal.
    pub fn after_power_loss(&self, word: Word, rest: Rest, chance: &mut Chance) -> Files {
        let mut disk = Disk { durable: self.before.clone(), ..Disk::default() };
        for deed in &self.deeds {
            match deed {
                Deed::Sync { .. } | Deed::SyncNames if word == Word::Broken => {}
                deed => disk.take(deed, chance),
            }
        }
        disk.end(rest, chance)
    }
}

/// A disk and what waits to be written to it.
#[derive(Default)]
struct Disk {
    durable: Files,
    waiting: BTreeMap<Inode, Vec<Deed>>,
    naming: Vec<Naming>,
}

impl Disk {
    fn take(&mut self, deed: &Deed, chance: &mut Chance) {
        match deed {
            Deed::Write { inode, .. } | Deed::Truncate { inode, .. } => {
                self.waiting.entry(*inode).or_default().push(deed.clone());
            }
            Deed::Sync { inode } => self.settle(*inode, Rest::All, chance),
            Deed::FailedSync { inode } => self.settle(*inode, Rest::Any, chance),
            Deed::Name(naming) => self.naming.push(naming.clone()),
            Deed::SyncNames => self.settle_names(Rest::All, chance),
        }
    }

    /// The power fails. Each file has its own fate, and so have the names, unless all share one.
    fn end(mut self, rest: Rest, chance: &mut Chance) -> Files {
        let inodes: BTreeSet<Inode> = self.waiting.keys().copied().collect();
        for inode in inodes {
            let own = if rest == Rest::Any { Rest::chosen(chance) } else { rest };
            self.settle(inode, own, chance);
        }
        let own = if rest == Rest::Any { Rest::chosen(chance) } else { rest };
        self.settle_names(own, chance);
        self.durable
    }

    /// Brings a part of what waits for a file to the disk; the rest will never come there.
    fn settle(&mut self, inode: Inode, rest: Rest, chance: &mut Chance) {
        let waiting = self.waiting.remove(&inode).unwrap_or_default();
        let contents = self.durable.contents.entry(inode).or_default();
        let (whole, torn) = first(waiting.len(), rest);
        for (number, deed) in waiting.iter().enumerate() {
            match deed {
                Deed::Write { at, bytes, .. } => match rest {
                    Rest::Any => put_sectors(contents, *at, bytes, |_| chance.percent(50)),
                    _ if number < whole => put(contents, *at, bytes),
                    _ if number == whole && torn => {
                        let sectors = chance.below(bytes.len() as u64 / SECTOR + 1);
                        put_sectors(contents, *at, bytes, |sector| sector < sectors);
                    }
                    _ => {}
                },
                Deed::Truncate { length, .. }
                    if number < whole || (rest == Rest::Any && chance.percent(50)) =>
                {
                    contents.resize(*length as usize, 0);
                }
                _ => {}
            }
        }
    }

    fn settle_names(&mut self, rest: Rest, chance: &mut Chance) {
        let (whole, _) = first(self.naming.len(), rest);
        // Where a file is now, whether the disk has heard of it or not.
        let mut now = self.durable.names.clone();
        let durable = &mut self.durable.names;
        for (number, naming) in std::mem::take(&mut self.naming).into_iter().enumerate() {
            let is_kept = number < whole || (rest == Rest::Any && chance.percent(50));
            match naming {
                Naming::Create { inode, name } => {
                    now.insert(name.clone(), inode);
                    if is_kept {
                        durable.insert(name, inode);
                    }
                }
                Naming::Unlink { name } => {
                    now.remove(&name);
                    if is_kept {
                        durable.remove(&name);
                    }
                }
                Naming::Rename { from, to } => {
                    let inode = now.remove(&from).expect("what is renamed has a name");
                    now.insert(to.clone(), inode);
                    if is_kept {
                        durable.remove(&from);
                        durable.insert(to, inode);
                    }
                }
            }
        }
    }
}

/// How many of so many come to the disk whole, the first of all, and whether the next comes torn.
fn first(count: usize, rest: Rest) -> (usize, bool) {
    match rest {
        Rest::All => (count, false),
        Rest::First(percent) => (count * percent as usize / 100, true),
        Rest::Nothing | Rest::Any => (0, false),
    }
}

fn put(contents: &mut Vec<u8>, at: u64, bytes: &[u8]) {
    let (begin, end) = (at as usize, at as usize + bytes.len());
    if contents.len() < end {
        contents.resize(end, 0);
    }
    contents[begin..end].copy_from_slice(bytes);
}

/// Puts those sectors of a write that are chosen by their number within it.
fn put_sectors(contents: &mut Vec<u8>, at: u64, bytes: &[u8], mut is_chosen: impl FnMut(u64) -> bool) {
    let mut begin = 0;
    let mut number = 0;
    while begin < bytes.len() {
        let to_border = SECTOR - (at + begin as u64) % SECTOR;
        let end = bytes.len().min(begin + to_border as usize);
        if is_chosen(number) {
            put(contents, at + begin as u64, &bytes[begin..end]);
        }
        (begin, number) = (end, number + 1);
    }
}
