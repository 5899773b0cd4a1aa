//! The program: its command line, signals, configuration.

use fetchlogs::config::parse_serve;
use fetchlogs::serve::Responder;

use super::*;

#[test]
fn it_ends_with_zero_when_it_is_told_to() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut bed = Bed::new(HINTS_ONLY);
        let mut peer = bed.ask("");
        peer.expect(bed.status('O', "log") + "\x07");
        bed.program.signal(signal);
        assert_eq!(bed.program.ended().code(), Some(0));
        peer.expect_close();
    }
}

#[test]
fn a_good_configuration_is_taken_over_without_disturbing_those_who_stay() {
    let both = "file BASE/log\nfile BASE/other\n";
    let bed = Bed::with(both, &[("log", b"content\n"), ("other", b"other\n")]);
    let mut stays = bed.ask("");
    stays.expect(bed.status('O', "log") + "content\n\x07");
    let mut goes = bed.connect();
    goes.send(format!("{}\n", bed.dir.path("other").display()));
    goes.expect(bed.status('O', "other") + "other\n\x07");
    let port = SocketAddr::from(([127, 0, 0, 1], common::lasting_port()));
    bed.reload(&format!("file BASE/new\nfile BASE/log\nlisten 127.0.0.1:0\nlisten {port}\n"));
    goes.expect_close();
    bed.dir.append("log", "more\n");
    stays.expect("more\n");
    bed.dir.write("new", "new\n");
    let mut new = Peer::connect(port);
    new.send(format!("{}\n", bed.dir.path("new").display()));
    new.expect(bed.status('O', "new") + "new\n\x07");
    bed.ask("").expect(bed.status('O', "log") + "content\nmore\n\x07");
    bed.reload(&format!("allow 192.0.2.1\nlisten {port}\n"));
    stays.expect_close();
    new.expect_close();
    wait_until("the first listener is closed", || TcpStream::connect(bed.address).is_err());
}

#[test]
fn a_broken_configuration_is_reported_and_the_old_one_stays() {
    let bed = Bed::with("check 50ms\n", &[("log", b"content\n")]);
    let mut peer = bed.ask("");
    peer.expect(bed.status('O', "log") + "content\n\x07");
    bed.reload("nonsense\n");
    bed.program.complained("the old configuration stays");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    bed.reload(&format!("listen {}\nfile BASE/other\n", taken.local_addr().unwrap()));
    bed.program.complained("cannot listen at");
    bed.dir.append("log", "more\n");
    peer.expect("more\n");
    bed.ask("").expect(bed.status('O', "log") + "content\nmore\n\x07");
}

#[test]
fn a_request_that_gets_no_answer_is_told_to_the_operator_with_its_reason() {
    for (path, why) in [
        ("/etc/passwd", "it is not in the configuration".to_owned()),
        ("BASE/missing", "there is no such file".to_owned()),
        ("BASE/dir", "not a regular file".to_owned()),
    ] {
        let bed = Bed::new("file BASE/missing\nfile BASE/dir\nfile BASE/log\n");
        std::fs::create_dir(bed.dir.path("dir")).unwrap();
        let path = path.replace("BASE", &bed.dir.path("").display().to_string());
        let path = path.replace("//", "/");
        let mut peer = bed.connect();
        peer.send(format!("{path} 0 0\n"));
        peer.expect_close();
        bed.program.complained(&format!("cannot serve {path} to 127.0.0.1:"));
        bed.program.complained(&why);
    }
}

#[test]
fn what_will_be_refused_is_told_at_the_start() {
    let bed = Bed::new("allow 127.0.0.1\nfile BASE/later\nfile BASE/log\n");
    bed.program.complained("/later: it is served when it is there");
    let dir = Dir::new();
    let log = dir.write("log", "");
    let conf = dir.config("conf", &format!("listen 127.0.0.1:0\nfile {}\n", log.display()));
    let program = Program::start(SERVE_LOGS, &[conf.as_os_str()]);
    program.complained("cannot answer anybody: the configuration has no allow");
}

/// Runs `serve_logs` to its end: exit code, standard output, standard error.
fn run(args: &[&str]) -> (Option<i32>, String, String) {
    let done = Command::new(SERVE_LOGS).args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (done.status.code(), text(done.stdout), text(done.stderr))
}

#[test]
fn check_prints_the_configuration_as_it_was_understood() {
    let dir = Dir::new();
    let conf = dir.config("conf", "listen 127.0.0.1:0\nallow 10.0.0.0/8\nfile /var/log/messages\n");
    let (code, stdout, stderr) = run(&["--check", conf.to_str().unwrap()]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    for line in ["listen 127.0.0.1:0\n", "allow 10.0.0.0/8\n", "file /var/log/messages"] {
        assert!(stdout.contains(line), "{stdout}");
    }
}

#[test]
fn a_bad_configuration_or_command_line_ends_with_two_before_anything_is_done() {
    let dir = Dir::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let text = format!("listen {}\nnonsense\n", taken.local_addr().unwrap());
    let conf = dir.config("conf", &text);
    let conf = conf.to_str().unwrap();
    for args in [&[conf][..], &["--check", conf]] {
        let (code, stdout, stderr) = run(args);
        assert_eq!((code, stdout.as_str()), (Some(2), ""));
        assert!(stderr.contains("conf:2"), "{stderr}");
    }
    let (code, _, stderr) = run(&["/nowhere/conf"]);
    assert_eq!(
        (code, stderr.as_str()),
        (Some(2), "cannot read /nowhere/conf: No such file or directory\n")
    );
    assert_eq!(run(&[]).0, Some(2));
    assert_eq!(run(&["--nonsense"]).0, Some(2));
    assert_eq!(run(&["--help"]).0, Some(0));
    assert_eq!(run(&["--version"]).0, Some(0));
}

#[test]
fn an_address_that_is_taken_ends_with_one() {
    let dir = Dir::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let conf = dir.config("conf", &config(&format!("listen {address}\n")));
    let (code, stdout, stderr) = run(&[conf.to_str().unwrap()]);
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(
        stderr.ends_with(&format!("cannot listen at {address}: Address already in use\n")),
        "{stderr}"
    );
}

#[test]
fn a_responder_runs_in_a_thread_of_another_program_and_stops_when_told() {
    let dir = Dir::new();
    dir.write("log", "content\n");
    let conf = fs::read(dir.config("conf", &config(HINTS_ONLY))).unwrap();
    let responder = Responder::bind(parse_serve("conf", &conf).unwrap()).unwrap();
    let (address, stopper) = (responder.local_addrs()[0], responder.stopper());
    let running = std::thread::spawn(|| responder.run());
    let mut peer = Peer::connect(address);
    peer.send(format!("{}\n", dir.path("log").display()));
    peer.expect(format!("O {}\ncontent\n\x07", dir.inode("log")));
    stopper.stop().unwrap();
    running.join().unwrap().unwrap();
    peer.expect_close();
}
