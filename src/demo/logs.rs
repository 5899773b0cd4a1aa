//! The logs that are shown: those of this machine, and one of our own.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::sys::clock;

/// Where a machine's logs are.
const LOG_DIR: &str = "/var/log";

/// So many of them are shown at most, so many bytes in all, and so deep below [`LOG_DIR`].
const LOGS_MAX: usize = 64;
const BYTES_MAX: u64 = 1 << 30;
const DEPTH_MAX: usize = 3;

/// Lines written between two rotations, and the pause between two lines.
const LINES: usize = 40;
const PAUSE: Duration = Duration::from_millis(50);

/// The files of this machine that have something to show and may be read, in order of their names.
pub fn find_logs() -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(Path::new(LOG_DIR), DEPTH_MAX, &mut found);
    found.sort();
    let mut bytes = 0;
    found.retain(|(_, size)| {
        bytes += size;
        bytes <= BYTES_MAX
    });
    found.into_iter().map(|(path, _)| path).take(LOGS_MAX).collect()
}

/// A directory or file that can't be looked at is not shown.
fn collect(dir: &Path, depth: usize, found: &mut Vec<(PathBuf, u64)>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
        if kind.is_dir() && depth > 1 {
            collect(&path, depth - 1, found);
        }
        if !kind.is_file() || !can_be_asked_for(&path) || File::open(&path).is_err() {
            continue;
        }
        match entry.metadata() {
            Ok(metadata) if metadata.len() > 0 => found.push((path, metadata.len())),
            _ => {}
        }
    }
}

/// Protocol 1 has no way to name other files; and what is compressed is a rotated file.
fn can_be_asked_for(path: &Path) -> bool {
    let plain = path.to_str().is_some_and(|text| text.bytes().all(|b| b.is_ascii_graphic()));
    let compressed = ["gz", "xz", "bz2", "zst"];
    plain && !path.extension().is_some_and(|end| compressed.iter().any(|c| end == *c))
}

/// A log that grows by itself and is rotated by renaming, until it is stopped.
#[derive(Debug)]
pub struct OwnLog {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    rotations: Arc<AtomicUsize>,
    writer: JoinHandle<io::Result<()>>,
}

impl OwnLog {
    /// Begins to write `dir/demo.log`. If `once`, it ends after one rotation.
    pub fn start(dir: &Path, once: bool) -> io::Result<OwnLog> {
        std::fs::create_dir_all(dir)?;
        let path = dir.join("demo.log");
        let (stop, rotations) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let mut log = OpenOptions::new().create_new(true).append(true).open(&path)?;
        let (shared_path, shared_stop, counted) =
            (path.clone(), Arc::clone(&stop), Arc::clone(&rotations));
        let writer = std::thread::Builder::new().name("demo log".to_owned()).spawn(move || {
            for generation in 1.. {
                for line in 1..=LINES {
                    if shared_stop.load(Ordering::Relaxed) {
                        return Ok(());
                    }
                    let time = clock::wall().format("%Y-%m-%dT%H:%M:%S%.3f");
                    writeln!(log, "{time} demo: line {line} of generation {generation}")?;
                    std::thread::sleep(PAUSE);
                }
                if once && generation == 2 {
                    break;
                }
                std::fs::rename(&shared_path, rotated_path(&shared_path, generation))?;
                log = OpenOptions::new().create_new(true).append(true).open(&shared_path)?;
                counted.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        })?;
        Ok(OwnLog { path, stop, rotations, writer })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How often it was rotated.
    pub fn rotations(&self) -> usize {
        self.rotations.load(Ordering::Relaxed)
    }

    /// Whether nothing more will be written.
    pub fn finished(&self) -> bool {
        self.writer.is_finished()
    }

    /// Ends the writing.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        match self.writer.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => println!("demo: cannot write {}: {error}", self.path.display()),
            Err(_) => println!("demo: the thread that writes {} failed", self.path.display()),
        }
    }
}

/// The name of generation `generation` after its rotation: the higher is the newer, as in a date.
pub fn rotated_path(path: &Path, generation: usize) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!("-{generation:08}"));
    name.into()
}
