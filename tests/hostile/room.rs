//! Logs without end, and disks that are nearly full.

use super::*;

/// A file system in memory; gone when dropped.
struct Mounted {
    dir: tempfile::TempDir,
}

impl Mounted {
    /// Of so many mebibytes. `None`, which is told, where nothing can be mounted.
    fn of(mebibytes: u64) -> Option<Mounted> {
        if left_out(FILE, &["mount"]) {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let size = format!("size={mebibytes}m,mode=755");
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(dir.path())
            .stderr(std::process::Stdio::null())
            .status();
        if !mounted.is_ok_and(|status| status.success()) {
            tell(FILE, "disks that are nearly full: nothing can be mounted");
            return None;
        }
        Some(Mounted { dir })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn free(&self) -> u64 {
        let told = nix::sys::statvfs::statvfs(self.dir.path()).unwrap();
        told.blocks_available() * told.fragment_size()
    }

    fn remount(&self, option: &str) {
        let mut command = std::process::Command::new("mount");
        command.args(["-o", &format!("remount,{option}")]).arg(self.dir.path());
        assert!(command.status().unwrap().success());
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.dir.path()).status();
    }
}

const MIB: u64 = 1 << 20;

#[test]
fn logs_without_end_stop_at_the_floor_and_go_on_by_themselves_when_there_is_room() {
    let Some(disk) = Mounted::of(64) else { return };
    let (good, endless) = (
        Truth::new(),
        Hostile::new(|_, asked| {
            let from = asked.from() as u64;
            asked.send(answer(relation(asked, 1001), 1001, from, from));
            asked.send(b"D 4611686018427387904\n");
            while asked.try_send([b'x'; 64 * 1024]) {}
        }),
    );
    let site = Site::new().option("--keep-free", "16M").option("--sync", "200ms");
    let mut lines = vec![site.line("localhost", good.port(), "good")];
    for number in 0..10 {
        let copy = disk.path(&format!("log{number}")).display().to_string();
        lines.push(format!("127.0.0.1 {} /var/log/log{number} {copy} {copy}.ptr", endless.port));
    }
    site.configure(&lines);
    fs::write(disk.path("ballast"), vec![1; 12 << 20]).unwrap();
    let fetcher = site.start();
    let told = |count: usize| {
        wait_until(&format!("it was told {count} times"), || {
            fetcher.said("ERR no room: less than 16M is left for ") >= count
        });
    };
    told(10);
    stays_current(&good, &site);
    let (asked, free) = (endless.count(), disk.free());
    // What comes between two looks, and the pointers.
    assert!((12 * MIB..16 * MIB).contains(&free), "{free} bytes are left");
    holds_for(Duration::from_millis(1500), "nothing more is read", || disk.free() == free);
    assert_eq!((endless.count(), fetcher.said("no room")), (asked, 10));
    let status = site.status("127.0.0.1").unwrap();
    assert!(status.starts_with("ERR 10 of 10 sources: /var/log/log0: ERR no room: "), "{status}");
    // What came is durable all the same.
    let pointer = fs::read_to_string(disk.path("log0.ptr")).unwrap();
    let size = fs::metadata(disk.path("log0")).unwrap().len();
    assert!(pointer.split(' ').nth(1) == Some(&*size.to_string()), "{pointer}: {size}");
    fs::remove_file(disk.path("ballast")).unwrap();
    // Some have no turn before it is full again, and have nothing to tell.
    told(11);
    wait_until("it is full again", || disk.free() < 16 * MIB);
    stays_current(&good, &site);
    assert!((12 * MIB..16 * MIB).contains(&disk.free()), "{} bytes are left", disk.free());
    assert!(endless.count() > asked);
    assert!(resident_kib(fetcher.pid()) < RESIDENT_KIB_MAX);
    let copy = fs::read(disk.path("log3")).unwrap();
    assert!(copy.iter().all(|byte| *byte == b'x'));
    tally("attacks: logs without end, stopped by the room that is kept", 20);
}

#[test]
fn fetched_once_a_log_without_end_is_given_up_for_want_of_room() {
    let Some(disk) = Mounted::of(16) else { return };
    let endless = Hostile::new(|_, asked| {
        asked.send(b"O 1001\n");
        while asked.try_send([b'x'; 64 * 1024]) {}
    });
    let site = Site::new().option("--keep-free", "8M");
    let copy = disk.path("log").display().to_string();
    site.configure(&[format!("127.0.0.1 {} /log {copy} {copy}.ptr", endless.port)]);
    let mut fetcher = Program::spawn(site.arguments(site.command(FETCH_LOGS).arg("--once")));
    assert_eq!(fetcher.ended().code(), Some(1));
    let told = fetcher.stderr();
    assert!(
        told.contains("cannot complete 127.0.0.1 /log: no room: less than 8M is left"),
        "{told}"
    );
}

/// Found by reading: who made room by rotating copies away made none. A source that waited for room let its
/// copy open until there was some, whatever SIGUSR1 said, and what is open keeps its bytes when it is removed.
#[test]
fn copies_that_are_rotated_and_removed_make_the_room_that_is_waited_for() {
    let Some(disk) = Mounted::of(16) else { return };
    let truth = Truth::new();
    truth.grow(12 << 20);
    let site = Site::new().option("--keep-free", "8M").option("--sync", "200ms");
    let (copy, renamed) = (disk.path("log"), disk.path("log.old"));
    let line = copy.display().to_string();
    site.configure(&[format!("127.0.0.1 {} /var/log/log {line} {line}.ptr", truth.port())]);
    let fetcher = site.start();
    fetcher.wait_said("ERR no room: ");
    fs::rename(&copy, &renamed).unwrap();
    fetcher.signal(Signal::SIGUSR1);
    wait_until("it goes on in a new copy", || copy.exists());
    let mut whole = fs::read(&renamed).unwrap();
    fs::remove_file(&renamed).unwrap();
    wait_until("the rest has come", || {
        fs::metadata(&copy).unwrap().len() == ((12 << 20) - whole.len()) as u64
    });
    whole.extend(fs::read(&copy).unwrap());
    assert!(whole == truth.current());
    tally("attacks: mistakes of operators, each told and made good", 1);
}

#[test]
fn a_disk_that_becomes_read_only_is_told_and_goes_on_when_it_is_writable_again() {
    let Some(disk) = Mounted::of(16) else { return };
    let truth = Truth::new();
    truth.grow(1000);
    let site = Site::new();
    let copy = disk.path("log").display().to_string();
    let arrived = || fs::read(&copy).is_ok_and(|copy| copy == truth.current());
    site.configure(&[format!("127.0.0.1 {} /log {copy} {copy}.ptr", truth.port())]);
    let mut fetcher = site.start();
    wait_until("there is the copy", arrived);
    // A file that is open for writing forbids it: as after an error of the disk, it is done by force.
    fetcher.kill();
    disk.remount("ro");
    fetcher = site.start();
    fetcher.wait_said("Read-only file system");
    truth.rotate();
    truth.grow(500);
    disk.remount("rw");
    wait_until("there is the next generation", arrived);
    site.wait_status("127.0.0.1", "OK\n");
    assert_eq!(fetcher.said("Read-only"), 1, "{:?}", fetcher.lines());
    tally("attacks: mistakes of operators, each told and made good", 1);
}
