//! Disks that are full, and calls that fail.

use super::*;

#[test]
fn a_full_disk_stops_its_source_alone_and_nothing_is_lost() {
    let mounted = tempfile::tempdir().unwrap();
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"])
        .arg(mounted.path())
        .status();
    if !is_root() || !mount.is_ok_and(|status| status.success()) {
        tell(FILE, "a full disk: nothing can be mounted");
        return;
    }
    struct Unmount(PathBuf);
    impl Drop for Unmount {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        }
    }
    let unmount = Unmount(mounted.path().to_path_buf());
    let (full, other) = (Truth::new(), Truth::new());
    // To the last byte.
    let site = Site::new().option("--keep-free", "0");
    let copy = mounted.path().join("log").display().to_string();
    site.configure(&[
        format!("127.0.0.1 {} /var/log/full {copy} {copy}.ptr", full.port()),
        site.line("localhost", other.port(), "log"),
    ]);
    let truths = [&full, &other];
    truths.iter().for_each(|truth| truth.grow(1000));
    let running = site.start();
    site.wait_all(&other);
    wait_until("there is the copy", || fs::read(&copy).is_ok_and(|copy| copy == full.current()));
    fs::write(mounted.path().join("ballast"), vec![1; 150_000]).unwrap();
    truths.iter().for_each(|truth| truth.grow(200_000));
    running.wait_said("/var/log/full ERR write data file: No space left on device");
    site.wait_all(&other);
    truths.iter().for_each(|truth| truth.rotate());
    truths.iter().for_each(|truth| truth.grow(100));
    site.wait_all(&other);
    wait_until("there is the error in the status", || {
        site.status("127.0.0.1").is_some_and(|status| status.contains("No space left"))
    });
    site.wait_status("localhost", "OK\n");
    fs::remove_file(mounted.path().join("ballast")).unwrap();
    wait_until("there is the rest", || fs::read(&copy).is_ok_and(|copy| copy == full.current()));
    let archive = fs::read_dir(mounted.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.file_name().unwrap().to_string_lossy().starts_with("log.2"))
        .unwrap();
    assert!(fs::read(archive).unwrap() == full.generations()[0]);
    site.wait_status("127.0.0.1", "OK\n");
    drop(running);
    drop(unmount);
}

/// A script of two rotations, under which things happen.
pub fn rotate_twice(truth: &Truth, site: &Site, patience: Duration) {
    let until = Instant::now() + patience;
    let arrived = |len: usize| {
        while Instant::now() < until && site.copy("log").is_none_or(|copy| copy.len() != len) {
            std::thread::sleep(Duration::from_millis(2));
        }
    };
    truth.grow(1000);
    arrived(1000);
    truth.rotate();
    truth.grow(500);
    arrived(500);
    truth.rotate();
    truth.grow(700);
    arrived(700);
}

#[test]
fn calls_that_fail_are_made_good_by_themselves() {
    if !can_trace("calls that fail") {
        return;
    }
    let failures = [
        "fdatasync:error=EIO:when=1",
        "fdatasync:error=EIO:when=2",
        "fsync:error=EIO:when=1",
        "fsync:error=EIO:when=3",
        "pwrite64:error=ENOSPC:when=1",
        "pwrite64:error=EIO:when=2",
        "pwrite64:error=EINTR:when=1..2",
        "renameat2:error=EINVAL",
        "renameat2:error=EIO:when=1",
        "rename:error=EIO:when=1",
        "openat:error=EMFILE:when=12..13",
        "socket:error=EMFILE:when=1..2",
        "linkat,link:error=EIO:when=1",
        "unlink:error=EIO:when=1",
        "pread64:error=EIO:when=3",
        "epoll_ctl:error=ENOSPC:when=3",
        "recvfrom:error=ECONNRESET:when=2",
    ];
    for failure in failures {
        let truth = Truth::new();
        let site = Site::of(truth.port());
        let calls = failure.split(':').next().unwrap();
        let running = site.start_traced(&[
            "-e",
            &format!("trace={calls}"),
            "-e",
            &format!("inject={failure}"),
        ]);
        rotate_twice(&truth, &site, Duration::from_secs(20));
        site.wait_all(&truth);
        assert_eq!(running.said("lost"), 0, "{failure}: {:?}", running.lines());
        assert!(running.lines().iter().all(|line| !line.contains("kept as")), "{failure}");
    }
}
