//! What happens when there is too much of something.

use super::*;

#[test]
fn connections_beyond_the_limit_wait_until_others_end() {
    let bed = Bed::new("max-connections 2\ncheck 1h\n");
    let mut first = bed.ask("");
    let mut second = bed.ask("");
    first.expect(bed.status('O', "log") + "\x07");
    second.expect(bed.status('O', "log") + "\x07");
    let mut third = bed.ask("");
    third.0.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert_eq!(third.0.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    third.0.set_read_timeout(Some(PATIENCE)).unwrap();
    drop(first);
    third.expect(bed.status('O', "log") + "\x07");
}

#[test]
fn a_flood_that_uses_up_all_descriptors_passes() {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 24; exec \"$0\" \"$1\"", SERVE_LOGS]);
    let dir = Dir::new();
    dir.write("log", "content\n");
    let bed = Bed::start(dir, "check 1h\nrequest-timeout 1m\n", command);
    let mut before = bed.ask("");
    before.expect(bed.status('O', "log") + "content\n\x07");
    let flood: Vec<Peer> = (0..40).map(|_| bed.connect()).collect();
    bed.program.complained("cannot accept connections for now: Too many open files");
    bed.dir.append("log", "more\n");
    before.expect("more\n");
    drop(flood);
    let mut after = bed.ask("");
    after.expect(bed.status('O', "log") + "content\nmore\n\x07");
}

#[test]
fn for_want_of_descriptors_no_file_is_taken_for_renamed_or_gone() {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 24; exec \"$0\" \"$1\"", SERVE_LOGS]);
    let dir = Dir::new();
    dir.write("log", "content\n");
    let settings = "check 50ms\nlinger 0s\nheartbeat 1s\nrequest-timeout 1m\n";
    let bed = Bed::start(dir, settings, command);
    let mut before = bed.ask("");
    before.expect(bed.status('O', "log") + "content\n\x07");
    let mut list = bed.connect();
    list.send(format!("LIST {} +2\n", bed.dir.path("*").display()));
    let mut listed = [0; 2];
    while !listed.ends_with(b"\n.") {
        listed[0] = listed[1];
        list.0.read_exact(&mut listed[1..]).unwrap();
    }
    let flood: Vec<Peer> = (0..40).map(|_| bed.connect()).collect();
    bed.program.complained("cannot accept connections for now: Too many open files");
    bed.dir.append("log", "more\n");
    before.expect("more\n\x07\x07");
    list.0.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut heard = Vec::new();
    let _ = list.0.read_to_end(&mut heard);
    assert!(!heard.contains(&b'X'), "{}", heard.escape_ascii());
    drop(flood);
    bed.dir.append("log", "end\n");
    before.expect("end\n");
}
