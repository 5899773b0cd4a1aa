//! `--list` and `--verify` against responders that do not end, or speak to the terminal.

use super::*;

fn list(hostile: &Hostile) -> Program {
    let place = format!("127.0.0.1:{}", hostile.port);
    let mut command = std::process::Command::new(FETCH_LOGS);
    Program::spawn(command.args(["--reply-timeout", "500ms", "--list", &place]))
}

#[test]
fn a_list_without_end_has_one() {
    let hostile = Hostile::new(|_, asked| {
        let news = b"X /a/file/that/is/gone\n".repeat(1000);
        while asked.try_send(&news) {}
    });
    let mut fetcher = list(&hostile);
    assert_eq!(fetcher.ended().code(), Some(1));
    assert!(fetcher.stderr().ends_with(": the list has no end within 1000000 lines\n"));
    assert_eq!(fetcher.stdout(), "");
    tally("attacks: lies of responders, each told and without effect", 1);
}

#[test]
fn what_a_list_says_can_not_speak_to_a_terminal() {
    let rows: [(&[u8], &str); 4] = [
        (b"F 7 1 0 /a%1b[2J%0a%00b\n.\n", "bad line of a list"),
        (b"F 7 1 0 /a%1b[2J%0ab%c2%9b%e2%80%ae%ff\n.\n", ""),
        (b"F 7 1 0 /\x1b[2J\n.\n", r#"/\x1b[2J"#),
        (b"E other +2 \x1b[2J \xe2\x80\xae\n", "refused: other"),
    ];
    for (row, told) in rows {
        let hostile = Hostile::new(move |_, asked| {
            asked.send(row);
            asked.wait_gone();
        });
        let mut fetcher = list(&hostile);
        let code = fetcher.ended().code();
        let (stdout, stderr) = (fetcher.stdout(), fetcher.stderr());
        assert_eq!(code, Some(i32::from(!told.is_empty())), "{stdout}{stderr}");
        assert!(stderr.contains(told), "{stderr}");
        let harmless = |byte: u8| byte == b'\n' || (b' '..=b'~').contains(&byte);
        assert!(stdout.bytes().chain(stderr.bytes()).all(harmless), "{stdout}{stderr}");
        assert_eq!(stdout.lines().count(), usize::from(told.is_empty()));
    }
    tally("attacks: lies of responders, each told and without effect", 4);
}

#[test]
fn what_answers_a_proof_says_can_not_speak_to_a_terminal() {
    let truth = Truth::new();
    truth.grow(100);
    let site = Site::of(truth.port());
    let fetcher = site.start();
    site.wait_all(&truth);
    fetcher.stop();
    let replies: [&[u8]; 3] = [
        b"E other +2 \x1b[2J\xe2\x80\xae\n",
        b"\x1b[2J\r\x07\xc2\x9b\n",
        b"O 1001 +2 name=/\x1b[2J\n",
    ];
    for reply in replies {
        let hostile = Hostile::new(move |_, asked| {
            asked.send(reply);
            asked.wait_gone();
        });
        site.configure(&[site.line("127.0.0.1", hostile.port, "log")]);
        let mut proof = Program::spawn(site.arguments(site.command(FETCH_LOGS).arg("--verify")));
        assert_eq!(proof.ended().code(), Some(1));
        let told = proof.stdout() + &proof.stderr();
        let harmless = |byte: u8| byte == b'\n' || (b' '..=b'~').contains(&byte);
        assert!(told.bytes().all(harmless), "{told:?}");
    }
    tally("attacks: lies of responders, each told and without effect", 3);
}
