//! What runs out or goes away, and comes back: while it lasts that is told, and nobody ends or panics; when it
//! is over everything is there.
//!
//! Memory is not among it: a program of Rust that can get none ends, as by kill -9.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::resource::{Resource, setrlimit};

use crate::FILE;
use crate::common::{Program, lasting_port, wait_seeing};
use crate::left_out::tell;
use crate::script::Which;
use crate::stage::Stage;
use crate::tally::tally;

/// A file system that is mounted for a test.
struct Mounted(PathBuf);

impl Mounted {
    /// `None`, and told, where that is not allowed.
    fn at(dir: &Path, args: &[&str]) -> Option<Mounted> {
        let done = Command::new("mount").args(args).arg(dir).status();
        let mounted = done.is_ok_and(|status| status.success());
        if !mounted {
            tell(FILE, "resources: nothing can be mounted");
        }
        mounted.then(|| Mounted(dir.to_path_buf()))
    }

    fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        let done = Command::new("mount").args(["-o", &options]).arg(&self.0).status().unwrap();
        assert!(done.success(), "{options}");
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A stage and both programs.
struct Scene {
    fetcher: Program,
    responder: Program,
    mounted: Option<Mounted>,
    stage: Stage,
}

fn quick(stage: &mut Stage) {
    stage.options.extend(["--sync", "50ms", "--recheck", "1s"].map(str::to_owned));
}

impl Scene {
    /// Both run, and all is well.
    fn of(mut stage: Stage, mounted: Option<Mounted>) -> Scene {
        quick(&mut stage);
        let responder = Program::spawn(&mut stage.serve_logs());
        let fetcher = Program::spawn(stage.fetch_logs().env("RUST_LOG", "info"));
        let scene = Scene { fetcher, responder, mounted, stage };
        scene.settle();
        scene
    }

    fn told(&self) -> String {
        let ends = [&self.fetcher, &self.responder];
        ends.map(|end| format!("{}{}", end.stdout(), end.stderr())).join("\n---\n")
    }

    fn settle(&self) {
        let settled = || self.stage.logs.iter().all(|log| log.is_settled());
        wait_seeing("all of it is on disk", settled, || self.told());
    }

    /// Waits until the fetcher has told of the trouble.
    fn wait_told(&self, words: &str) {
        let told = || self.fetcher.stdout().contains(words);
        wait_seeing(&format!("it tells {words:?}"), told, || self.told());
    }

    fn kill_fetcher(&mut self) {
        self.fetcher.kill();
        self.judge();
    }

    fn start_fetcher(&mut self) {
        self.fetcher = Program::spawn(self.stage.fetch_logs().env("RUST_LOG", "info"));
    }

    fn program(&mut self, which: Which) -> &mut Program {
        match which {
            Which::ServeLogs => &mut self.responder,
            Which::FetchLogs => &mut self.fetcher,
        }
    }

    fn judge(&self) {
        assert!(!self.told().contains("panicked"), "{}", self.told());
        assert_eq!(self.fetcher.said(" lost "), 0, "{}", self.told());
    }

    /// The trouble is over: all is here, once, and proved.
    fn end(mut self, what: &str) {
        self.stage.wait_exact(|| self.told());
        self.judge();
        assert!(self.fetcher.try_ended().is_none(), "{}", self.told());
        self.fetcher.kill();
        self.stage.prove(|| what.to_owned());
        tally(&format!("resources: {what}"), 1);
        drop(self.mounted);
    }
}

fn bytes(count: usize, word: &str) -> Vec<u8> {
    (0..count).flat_map(|number| format!("{word} {number}\n").into_bytes()).collect()
}

/// The log goes on, and is rotated twice, while there is trouble.
fn live_on(stage: &mut Stage) {
    for log in &mut stage.logs {
        log.append(&bytes(20_000, "more"));
        log.rotate(&bytes(1000, "rotated"));
        log.append(&bytes(100, "on"));
        log.rotate(&bytes(500, "rotated again"));
    }
}

#[test]
fn a_disk_that_is_full_is_told_and_when_it_has_room_everything_is_there() {
    let mut stage = Stage::of(2, lasting_port());
    // Else it would stop before.
    stage.options.push("--keep-free=0".to_owned());
    let size = ["-t", "tmpfs", "-o", "size=1m", "tmpfs"];
    let Some(mounted) = Mounted::at(&stage.path("centre"), &size) else { return };
    let mut scene = Scene::of(stage, Some(mounted));
    fs::write(scene.stage.path("centre/ballast"), vec![1; 900_000]).unwrap();
    live_on(&mut scene.stage);
    scene.wait_told("No space left on device");
    // And once more from the beginning, on a disk that is full.
    scene.kill_fetcher();
    scene.start_fetcher();
    scene.wait_told("No space left on device");
    scene.mounted.as_ref().unwrap().remount("size=16m");
    fs::remove_file(scene.stage.path("centre/ballast")).unwrap();
    scene.end("full disks");
}

#[test]
fn a_file_system_without_a_free_inode_is_told_and_when_it_has_some_everything_is_there() {
    let stage = Stage::of(1, lasting_port());
    let image = stage.path("image");
    fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
    let made = Command::new("mkfs.ext4").args(["-q", "-F", "-N", "64"]).arg(&image).status();
    if !made.is_ok_and(|status| status.success()) {
        return tell(FILE, "a file system without inodes: mkfs.ext4 can't be used");
    }
    let image = image.to_str().unwrap().to_owned();
    let args = ["-o", "loop", image.as_str()];
    let Some(mounted) = Mounted::at(&stage.path("centre"), &args) else { return };
    let mut scene = Scene::of(stage, Some(mounted));
    let taken = |number: u32| scene.stage.path(&format!("centre/taken{number}"));
    let count = (0..).find(|&number| fs::File::create(taken(number)).is_err()).unwrap();
    live_on(&mut scene.stage);
    scene.wait_told("No space left on device");
    scene.kill_fetcher();
    scene.start_fetcher();
    scene.wait_told("No space left on device");
    for number in 0..count {
        fs::remove_file(scene.stage.path(&format!("centre/taken{number}"))).unwrap();
    }
    scene.end("file systems without a free inode");
}

#[test]
fn a_directory_that_can_only_be_read_is_told_and_when_it_can_be_written_everything_is_there() {
    let stage = Stage::of(2, lasting_port());
    let Some(mounted) = Mounted::at(&stage.path("centre"), &["-t", "tmpfs", "tmpfs"]) else {
        return;
    };
    let mut scene = Scene::of(stage, Some(mounted));
    // The kernel refuses it while a file is open to be written.
    scene.kill_fetcher();
    scene.mounted.as_ref().unwrap().remount("ro");
    live_on(&mut scene.stage);
    scene.start_fetcher();
    scene.wait_told("Read-only file system");
    scene.mounted.as_ref().unwrap().remount("rw");
    scene.end("directories that can only be read");
}

#[test]
fn a_directory_of_copies_that_is_moved_away_and_back_has_everything() {
    let mut scene = Scene::of(Stage::of(2, lasting_port()), None);
    let (centre, away) = (scene.stage.path("centre"), scene.stage.path("away"));
    fs::rename(&centre, &away).unwrap();
    live_on(&mut scene.stage);
    scene.wait_told("No such file or directory");
    // It makes the directory if it is started meanwhile, so it is not.
    fs::rename(&away, &centre).unwrap();
    scene.end("directories of copies moved away");
}

#[test]
fn a_directory_of_copies_that_is_removed_and_made_again_gets_the_current_logs() {
    let mut scene = Scene::of(Stage::of(2, lasting_port()), None);
    let centre = scene.stage.path("centre");
    fs::remove_dir_all(&centre).unwrap();
    scene.stage.logs.iter_mut().for_each(|log| log.append(&bytes(1000, "more")));
    scene.wait_told("it was removed by somebody else");
    fs::create_dir(&centre).unwrap();
    // What was in it is gone; the current logs are not.
    scene.end("directories of copies removed");
}

/// A program that may have only so much of something tells that; without the limit everything is there.
fn limited(which: Which, resource: Resource, limit: u64, words: &str) {
    let mut scene = Scene::of(Stage::of(10, lasting_port()), None);
    let mut command = match which {
        Which::ServeLogs => scene.stage.serve_logs(),
        Which::FetchLogs => scene.stage.fetch_logs(),
    };
    // SAFETY: between fork and exec it makes this one system call.
    unsafe { command.pre_exec(move || Ok(setrlimit(resource, limit, limit)?)) };
    scene.program(which).kill();
    *scene.program(which) = Program::spawn(command.env("RUST_LOG", "info"));
    scene.stage.logs.iter_mut().for_each(|log| log.append(&bytes(20_000, "more")));
    let limited = scene.program(which);
    let said = |limited: &Program| format!("{}{}", limited.stdout(), limited.stderr());
    wait_seeing(&format!("it tells {words:?}"), || said(limited).contains(words), || said(limited));
    let told = said(limited);
    // Going on is as good as ending with these words.
    if let Some(ended) = limited.try_ended() {
        assert_eq!(ended.code(), Some(1), "{told}");
    }
    limited.kill();
    assert!(!told.contains("panicked") && !told.contains(" lost "), "{told}");
    live_on(&mut scene.stage);
    *scene.program(which) = Program::spawn(&mut match which {
        Which::ServeLogs => scene.stage.serve_logs(),
        Which::FetchLogs => scene.stage.fetch_logs(),
    });
    scene.end(&format!("limits of {} for {}", resource_name(resource), which.name()));
}

fn resource_name(resource: Resource) -> &'static str {
    match resource {
        Resource::RLIMIT_NOFILE => "descriptors",
        _ => "file size",
    }
}

#[test]
fn fetch_logs_with_sixteen_descriptors_tells_and_with_more_has_everything() {
    limited(Which::FetchLogs, Resource::RLIMIT_NOFILE, 16, "Too many open files");
}

#[test]
fn serve_logs_with_sixteen_descriptors_tells_and_with_more_serves_everything() {
    limited(Which::ServeLogs, Resource::RLIMIT_NOFILE, 16, "Too many open files");
}

#[test]
fn fetch_logs_with_small_files_only_tells_and_with_larger_ones_has_everything() {
    limited(Which::FetchLogs, Resource::RLIMIT_FSIZE, 64 << 10, "File too large");
}
