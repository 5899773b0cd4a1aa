//! Checkpoints of many sources in real directories.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::*;
use crate::fetch::pointer::{Held, read_pointer};
use crate::fetch::store::Locks;
use crate::pos::Inode;
use crate::sys::fs::DiskFs;

/// A source with a copy that has a byte more than its pointer knows of.
struct Shelf {
    store: Store<DiskFs>,
    copy: OpenCopy<DiskFs>,
    _locks: Locks<DiskFs>,
}

const GENERATION: u64 = 7;

impl Shelf {
    fn new(fs: &DiskFs, copy: PathBuf, pointer: PathBuf) -> Shelf {
        let store = Store::new(fs.clone(), copy, pointer, Arc::from("boot"));
        let locks = store.lock().unwrap();
        let generation = Generation::of(Inode::new(GENERATION));
        let standing = store.begin(None, generation, Place::default()).unwrap();
        let copy = standing.copy.unwrap();
        fs.write_at(&copy.file, b"x", 0).unwrap();
        Shelf { store, copy, _locks: locks }
    }

    fn checkpoint(&self) -> Checkpoint<DiskFs> {
        Checkpoint {
            store: self.store.clone(),
            copy: self.copy.clone(),
            generation: Generation::of(Inode::new(GENERATION)),
            place: Place { at: 1, size: 1, ..Place::default() },
        }
    }

    fn durable(&self) -> Offset {
        match read_pointer(&self.store.fs, &self.store.pointer).unwrap() {
            Some(Ok(Held::Pointer(pointer))) => pointer.durable,
            other => panic!("{other:?}"),
        }
    }
}

/// `count` sources with all pointers in `pointers`, or each in a directory of its own.
fn shelves(dir: &Path, count: usize, apart: bool) -> Vec<Shelf> {
    let fs = DiskFs::default();
    let shelf = |number: usize| {
        let pointers = if apart { dir.join(number.to_string()) } else { dir.to_path_buf() };
        Shelf::new(&fs, dir.join(format!("log{number}")), pointers.join(format!("ptr{number}")))
    };
    (0..count).map(shelf).collect()
}

fn together(shelves: &[Shelf]) -> Vec<Done<Offset>> {
    let all = shelves.iter().map(Shelf::checkpoint).enumerate().collect();
    let mut done = checkpoint_together(all);
    done.sort_by_key(|&(number, _)| number);
    assert_eq!(done.len(), shelves.len());
    done.into_iter().map(|(_, result)| result).collect()
}

#[test]
fn many_are_durable_together_and_their_pointers_say_so() {
    for apart in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let shelves = shelves(dir.path(), 20, apart);
        for result in together(&shelves) {
            assert_eq!(result.unwrap(), 1);
        }
        for shelf in &shelves {
            assert_eq!(shelf.durable(), 1);
            assert!(!scratch_path(&shelf.store.pointer).exists());
        }
    }
}

#[test]
fn one_that_fails_does_so_alone() {
    let dir = tempfile::tempdir().unwrap();
    let shelves = shelves(dir.path(), 4, true);
    // Somebody has cut a copy, taken a pointer's directory away, and put one where a pointer was.
    shelves[0].copy.file.set_len(0).unwrap();
    std::fs::remove_dir_all(dir.path().join("1")).unwrap();
    std::fs::remove_file(&shelves[2].store.pointer).unwrap();
    std::fs::create_dir(&shelves[2].store.pointer).unwrap();
    let results = together(&shelves);
    assert!(matches!(results[0], Err(StoreFault::Changed(_))));
    let fault = |number: usize| results[number].as_ref().unwrap_err().to_string();
    assert!(fault(1).ends_with("No such file or directory"), "{}", fault(1));
    assert!(fault(2).ends_with("Is a directory"), "{}", fault(2));
    assert!(!scratch_path(&shelves[2].store.pointer).exists());
    assert_eq!((results[3].as_ref().unwrap(), shelves[3].durable()), (&1, 1));
    assert_eq!(shelves[0].durable(), 0);
}

#[test]
fn what_cant_be_made_together_is_made_alone() {
    let dir = tempfile::tempdir().unwrap();
    let shelves = shelves(dir.path(), 3, false);
    let all = shelves.iter().map(Shelf::checkpoint).map(|mut checkpoint| {
        checkpoint.copy.device = None;
        ((), checkpoint)
    });
    assert!(checkpoint_together(all.collect()).iter().all(|(_, result)| result.is_ok()));
    assert!(shelves.iter().all(|shelf| shelf.durable() == 1));
}
