//! Lists of files, as a fetcher sees them.

use fetchlogs::proto::list::{Listing, parse_listing};

use super::*;

/// Somebody who is told a list.
struct Lister(Peer);

impl Lister {
    fn new(bed: &Bed, pattern: &str) -> Lister {
        let mut peer = bed.connect();
        peer.send(format!("LIST {} +2\n", bed.dir.path(pattern).display()));
        Lister(peer)
    }

    /// The next line: its letter, and the inode or 0 and the last part of the path.
    fn line(&mut self) -> (char, u64, String) {
        let mut line = Vec::new();
        loop {
            let mut byte = [0];
            self.0.0.read_exact(&mut byte).unwrap();
            if byte == *b"\n" {
                break;
            }
            line.push(byte[0]);
        }
        let name =
            |path: Vec<u8>| String::from_utf8(path).unwrap().rsplit('/').next().unwrap().to_owned();
        match parse_listing(&line).unwrap() {
            Listing::File { inode, path, .. } => ('F', inode.number(), name(path)),
            Listing::Gone { path } => ('X', 0, name(path)),
            Listing::Complete => ('.', 0, String::new()),
            Listing::Refused(refusal) => panic!("{refusal:?}"),
        }
    }

    fn expect(&mut self, letter: char, inode: u64, name: &str) {
        assert_eq!(self.line(), (letter, inode, name.to_owned()));
    }
}

const SERVED: &str = "file BASE/log\nfile BASE/a.log\nfile BASE/b.log\nfile BASE/other\n";

fn bed(settings: &str) -> Bed {
    let files: [(&str, &[u8]); 4] = [("log", b""), ("a.log", b"x"), ("other", b""), ("c.log", b"")];
    Bed::with(&format!("{settings}{SERVED}"), &files)
}

#[test]
fn what_is_served_and_there_is_listed_and_news_are_told_at_once() {
    let bed = bed(HINTS_ONLY);
    let mut list = Lister::new(&bed, "*.log");
    list.expect('F', bed.dir.inode("a.log"), "a.log");
    list.expect('.', 0, "");
    bed.dir.write("b.log", "y");
    list.expect('F', bed.dir.inode("b.log"), "b.log");
    bed.dir.rename("a.log", "a.log.1");
    bed.dir.write("a.log", "z");
    let replaced = bed.dir.inode("a.log");
    let line = list.line();
    if line.0 == 'X' {
        list.expect('F', replaced, "a.log");
    } else {
        assert_eq!(line, ('F', replaced, "a.log".to_owned()));
    }
    bed.dir.append("a.log", "more");
    fs::remove_file(bed.dir.path("b.log")).unwrap();
    list.expect('X', 0, "b.log");
}

#[test]
fn a_list_goes_on_when_the_configuration_is_read_again() {
    let bed = bed(HINTS_ONLY);
    let mut list = Lister::new(&bed, "*.log");
    list.expect('F', bed.dir.inode("a.log"), "a.log");
    list.expect('.', 0, "");
    bed.reload(&format!("{HINTS_ONLY}file BASE/c.log\n"));
    list.expect('F', bed.dir.inode("c.log"), "c.log");
    list.expect('X', 0, "a.log");
}

#[test]
fn what_no_hint_told_is_found_by_the_check() {
    let bed = bed("check 1s\nheartbeat 1h\nlinger 1h\nfile BASE/later/x.log\n");
    let mut list = Lister::new(&bed, "*/*.log");
    list.expect('.', 0, "");
    fs::create_dir(bed.dir.path("later")).unwrap();
    bed.dir.write("later/x.log", "");
    list.expect('F', bed.dir.inode("later/x.log"), "x.log");
}

#[test]
fn a_list_of_nothing_is_complete_and_who_speaks_after_it_is_closed() {
    let bed = bed(HINTS_ONLY);
    let mut list = Lister::new(&bed, "nothing-*");
    list.expect('.', 0, "");
    list.0.send("more\n");
    assert_eq!(list.0.rest(), b"");
}
