//! What is told of which changes, on a real file system.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::config::parse_serve;
use crate::sys::logs::DiskLogs;

struct Bed {
    _dir: tempfile::TempDir,
    base: PathBuf,
    logs: DiskLogs,
    files: Arc<Files>,
}

impl Bed {
    fn new(names: &[&str]) -> Bed {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        let files = Bed::table(&base, names);
        Bed { _dir: dir, base, logs: DiskLogs::new().unwrap(), files }
    }

    fn table(base: &std::path::Path, names: &[&str]) -> Arc<Files> {
        let line = |name: &&str| format!("file {}/{name}\n", base.display());
        let text: String = names.iter().map(line).collect();
        let config = parse_serve("test", format!("allow 127.0.0.1\n{text}").as_bytes()).unwrap();
        Arc::new(Files::new(config.files, DiskLogs::resolve))
    }

    fn listing(&self, glob: &str) -> Listing {
        let glob = format!("{}/{glob}", self.base.display());
        Listing::new(PathGlob::parse(glob.as_bytes()).unwrap())
    }

    /// What a look tells: a letter and a name each.
    fn news(&self, listing: &mut Listing, look: Look) -> Vec<String> {
        listing.begin(look, &self.files);
        let mut news = Vec::new();
        while listing.is_looking() {
            news.extend(listing.look(&self.logs));
        }
        let base = format!("{}/", self.base.display());
        String::from_utf8(news)
            .unwrap()
            .lines()
            .map(|line| format!("{} {}", &line[..1], line.rsplit(&base).next().unwrap()))
            .collect()
    }

    fn write(&self, name: &str) {
        fs::write(self.base.join(name), "content").unwrap();
    }
}

#[test]
fn what_appears_is_replaced_or_goes_is_told_once_and_what_grows_is_not() {
    let bed = Bed::new(&["a.log", "b.log", "other"]);
    bed.write("a.log");
    bed.write("other");
    let mut listing = bed.listing("*.log");
    assert_eq!(bed.news(&mut listing, Look::All), ["F a.log"]);
    assert_eq!(bed.news(&mut listing, Look::All), [""; 0]);
    bed.write("a.log");
    bed.write("b.log");
    assert_eq!(bed.news(&mut listing, Look::Some([0].into())), [""; 0]);
    assert_eq!(bed.news(&mut listing, Look::Some([1, 2].into())), ["F b.log"]);
    bed.write("new");
    fs::rename(bed.base.join("new"), bed.base.join("a.log")).unwrap();
    fs::remove_file(bed.base.join("b.log")).unwrap();
    assert_eq!(bed.news(&mut listing, Look::Some([0, 1].into())), ["F a.log", "X b.log"]);
    assert_eq!(bed.news(&mut listing, Look::All), [""; 0]);
    fs::remove_file(bed.base.join("a.log")).unwrap();
    fs::create_dir(bed.base.join("a.log")).unwrap();
    assert_eq!(bed.news(&mut listing, Look::All), ["X a.log"], "a directory is no log");
}

#[test]
fn what_the_configuration_serves_no_longer_is_gone() {
    let mut bed = Bed::new(&["a.log", "b.log"]);
    bed.write("a.log");
    bed.write("b.log");
    let mut listing = bed.listing("*");
    assert_eq!(bed.news(&mut listing, Look::All), ["F a.log", "F b.log"]);
    bed.files = Bed::table(&bed.base, &["b.log", "c.log"]);
    bed.write("c.log");
    assert_eq!(bed.news(&mut listing, Look::All), ["F c.log", "X a.log"]);
}

#[test]
fn a_long_list_is_told_in_parts() {
    let names: Vec<String> = (0..3000).map(|number| format!("{number:03}.log")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let bed = Bed::new(&names);
    names.iter().for_each(|name| bed.write(name));
    let mut listing = bed.listing("*");
    listing.begin(Look::All, &bed.files);
    let mut parts = Vec::new();
    while listing.is_looking() {
        parts.push(listing.look(&bed.logs));
    }
    assert!(parts.len() > 1 && parts.iter().all(|part| part.len() < NEWS_BYTES + 4096));
    let lines = parts.concat().iter().filter(|&&byte| byte == b'\n').count();
    assert_eq!(lines, names.len());
}

#[test]
fn looks_add_up() {
    let mut look = Look::Nothing;
    look.add(Look::Some([1].into()));
    look.add(Look::Some([2].into()));
    look.add(Look::Nothing);
    assert_eq!(look, Look::Some([1, 2].into()));
    look.add(Look::All);
    look.add(Look::Some([3].into()));
    assert_eq!((look.take(), look), (Look::All, Look::Nothing));
}
