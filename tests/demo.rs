//! The demonstration does what it says.

use std::process::Command;

#[test]
fn the_demonstration_fetches_everything_and_shows_a_rotation() {
    let dir = tempfile::tempdir().unwrap();
    let shown = Command::new(env!("CARGO_BIN_EXE_fetch_logs"))
        .args(["--demo", "--once"])
        .env("TMPDIR", dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.status.success(), "{text}{}", String::from_utf8_lossy(&shown.stderr));
    assert!(text.contains("demo.log rotated to "), "{text}");
    assert!(text.contains("copies equal"), "{text}");
    let folder = text.split_once("demo: the copies are in ").unwrap().1.trim();
    let folder = std::path::Path::new(folder);
    assert!(folder.starts_with(dir.path().canonicalize().unwrap()), "{text}");
    let own = folder.join(dir.path().canonicalize().unwrap().strip_prefix("/").unwrap());
    assert!(own.is_dir(), "{text}");
}
