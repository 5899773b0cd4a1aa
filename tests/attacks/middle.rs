//! Somebody between both ends, who changes what goes through or cuts it off. Without a tunnel nobody can
//! keep him out; but what he changes is found by `--verify` over another path, and what he cuts costs time only.

use super::chance::Chance;
use super::*;
use std::net::TcpListener;
use std::sync::Arc;

use super::mirror::{Mirror, lines};
use socket2::SockRef;

/// What is done to the bytes of one connection that go to the fetcher.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Nothing,
    /// The byte at this place becomes another one.
    Alter(usize),
    /// A byte comes in there.
    Insert(usize),
    /// It is left out.
    Remove(usize),
    /// Both ends are told that the other has reset the connection.
    Reset(usize),
}

/// Passes on what both sides say; `deed` says what is done to the connection of that number.
struct Middle {
    address: SocketAddr,
}

impl Middle {
    fn before(
        responder: SocketAddr,
        deed: impl Fn(usize) -> Deed + Send + Sync + 'static,
    ) -> Middle {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let deed = Arc::new(deed);
        // It ends with the test's process.
        std::thread::spawn(move || {
            for (number, fetcher) in listener.incoming().enumerate() {
                let (Ok(fetcher), Ok(other)) = (fetcher, TcpStream::connect(responder)) else {
                    continue;
                };
                let deed = deed(number);
                let asking = [&fetcher, &other].map(|one| one.try_clone().unwrap());
                std::thread::spawn(move || {
                    let [mut from, mut to] = asking;
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Write);
                });
                std::thread::spawn(move || pass(other, fetcher, deed));
            }
        });
        Middle { address }
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, deed: Deed) {
    let (mut at, mut piece) = (0, vec![0; 16 << 10]);
    while let Ok(count @ 1..) = from.read(&mut piece) {
        let mut bytes = piece[..count].to_vec();
        let here = |place: usize| place.checked_sub(at).filter(|&place| place < count);
        match deed {
            Deed::Alter(place) => here(place).into_iter().for_each(|place| bytes[place] ^= 1),
            Deed::Insert(place) => {
                here(place).into_iter().for_each(|place| bytes.insert(place, b'x'))
            }
            Deed::Remove(place) => here(place).into_iter().for_each(|place| {
                bytes.remove(place);
            }),
            Deed::Reset(place) if here(place).is_some() => {
                let _ = to.write_all(&bytes[..place - at]);
                for stream in [&from, &to] {
                    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
                    let _ = stream.shutdown(Shutdown::Both);
                }
                return;
            }
            Deed::Reset(_) | Deed::Nothing => {}
        }
        at += count;
        if to.write_all(&bytes).is_err() {
            return;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

#[test]
fn whatever_is_altered_on_the_way_is_noticed_at_once_or_found_by_a_proof_over_another_path() {
    let content = lines("a line that somebody may alter", 3000);
    let mut chance = Chance::new(11);
    let (mut refetched, mut found) = (0, 0);
    let number = 18 * times_more();
    for count in 0..number {
        let mirror = Mirror::of(&content);
        let (responder, address) = mirror.serve();
        // A third of them in the first line, the others anywhere.
        let end = if count % 3 == 0 { 100 } else { content.len() as u64 };
        let place = chance.below(end) as usize;
        let deed = [Deed::Alter(place), Deed::Insert(place), Deed::Remove(place)][count / 3 % 3];
        let middle =
            Middle::before(address, move |number| if number == 0 { deed } else { Deed::Nothing });
        mirror.configure(middle.address, "");
        let mut once = mirror.fetch_logs_as(&["--once", "--idle-timeout", "2s"]);
        let fetched = once.ended();
        mirror.configure(address, "");
        let mut proof = mirror.fetch_logs_as(&["--verify"]);
        let proved = proof.ended().success();
        let exact = fs::read(&mirror.copy).unwrap_or_default() == content;
        let told = || format!("{deed:?} {fetched:?}\n{}\n{}", once.stdout(), proof.stdout());
        assert!(!proved || exact, "what differs was proved: {}", told());
        match exact {
            true => refetched += 1,
            false => found += 1,
        }
        assert!(!responder.stderr().contains("panicked") && !once.stderr().contains("panicked"));
    }
    assert!(found > 0 && refetched > 0, "{found} found, {refetched} fetched again");
    tally("attacks: alterations on the way", number as u64);
}

#[test]
fn resets_on_the_way_cost_time_and_no_byte() {
    let mut mirror = Mirror::of(&lines("generation 1", 20_000));
    let (responder, address) = mirror.serve();
    let middle = Middle::before(address, |number| {
        let place = Chance::new(number as u64 + 1).below(60_000) as usize;
        if number < 15 * times_more() { Deed::Reset(place) } else { Deed::Nothing }
    });
    let fetcher = mirror.fetch_logs(middle.address);
    mirror.wait_exact_by(&fetcher);
    mirror.rotate(&lines("generation 2", 20_000));
    mirror.wait_exact_by(&fetcher);
    mirror.append(b"the end\n");
    mirror.wait_exact_by(&fetcher);
    tally("attacks: resets on the way", 15 * times_more() as u64);
    assert!(!fetcher.stdout().contains("lost"), "{}", fetcher.stdout());
    fetcher.stop();
    responder.stop();
}
