//! How many may be there at once, in all and from one address, and how many of them without having
//! asked for anything.
//!
//! A fetcher asks as soon as it is connected and has its turn: one that comes back to a thousand files
//! connects for all of them before it asks for the first. Whoever does not is given time, but not a place
//! that another needs: where too many have not asked, one goes for each that comes, the one of the same
//! address that has waited longest, or else of all; but none that came just now, as long as there are
//! places. So a flood of silent peers costs themselves their places, and none to those who are served or
//! to another address that is about to ask.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Of so many places one may be held by somebody who has not asked.
const ASKING_SHARE: usize = 10;

/// So many may be without a request however few places there are.
const ASKING_MIN: usize = 64;

/// So long nobody goes who has not asked, as long as there are places.
const GRACE: Duration = Duration::from_secs(1);

/// Bits of an IPv6 address that tell one network from another: who has one address of it has all
/// (RFC 4291, 2.5.1).
const NETWORK_BITS: u32 = 64;

/// How many there may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// In all; those beyond wait, unless too many have not asked.
    pub connections: usize,
    /// From one IPv4 address or one IPv6 network of 64 bits; those beyond are closed, with the same exception.
    pub per_address: usize,
}

impl Limits {
    /// How many may be there for long that have not asked.
    pub fn asking(self) -> usize {
        (self.connections / ASKING_SHARE).max(ASKING_MIN)
    }
}

/// A place among those who are there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ticket {
    home: IpAddr,
    number: u64,
}

/// Those who are there, each by a name of type `N`.
#[derive(Debug)]
pub struct Crowd<N> {
    limits: Limits,
    count: usize,
    by_home: HashMap<IpAddr, usize>,
    /// Those who have not asked, the one that has waited longest first.
    asking: BTreeMap<u64, Waiting<N>>,
    /// The same by address.
    asking_at: BTreeSet<(IpAddr, u64)>,
    next: u64,
}

/// Somebody who has not asked.
#[derive(Clone, Copy, Debug)]
struct Waiting<N> {
    name: N,
    since: Instant,
}

impl<N: Copy> Crowd<N> {
    /// Nobody is there.
    pub fn new(limits: Limits) -> Crowd<N> {
        Crowd {
            limits,
            count: 0,
            by_home: HashMap::new(),
            asking: BTreeMap::new(),
            asking_at: BTreeSet::new(),
            next: 0,
        }
    }

    /// Other limits from now on; nobody goes because of them.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// The limits.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Whether there is room for anybody.
    pub fn has_room(&self) -> bool {
        self.count < self.limits.connections || self.is_crowded()
    }

    /// Whether there is room for somebody from this address.
    pub fn admits(&self, address: IpAddr) -> bool {
        let home = home_of(address);
        !self.is_full_at(home) || (self.is_crowded() && self.first_at(home).is_some())
    }

    /// Somebody comes in, and has not asked yet. Who has to go for it, if anybody has: he is there until
    /// he leaves.
    pub fn enter(&mut self, now: Instant, address: IpAddr, name: N) -> (Ticket, Option<N>) {
        let ticket = Ticket { home: home_of(address), number: self.next };
        let gone = self.who_has_to_go(now, ticket.home);
        self.next += 1;
        self.count += 1;
        *self.by_home.entry(ticket.home).or_default() += 1;
        self.asking.insert(ticket.number, Waiting { name, since: now });
        self.asking_at.insert((ticket.home, ticket.number));
        (ticket, gone)
    }

    fn is_full_at(&self, home: IpAddr) -> bool {
        self.by_home.get(&home).is_some_and(|&count| count >= self.limits.per_address)
    }

    fn is_crowded(&self) -> bool {
        self.asking.len() >= self.limits.asking()
    }

    /// Who has to go for somebody from `home`.
    fn who_has_to_go(&self, now: Instant, home: IpAddr) -> Option<N> {
        let first = self.first_at(home).or_else(|| self.asking.values().next());
        let is_full = self.count >= self.limits.connections || self.is_full_at(home);
        let gone = first.filter(|first| is_full || now >= first.since + GRACE);
        gone.filter(|_| self.is_crowded()).map(|first| first.name)
    }

    /// Who has waited longest of those from `home`.
    fn first_at(&self, home: IpAddr) -> Option<&Waiting<N>> {
        let (_, number) = self.asking_at.range((home, 0)..=(home, u64::MAX)).next()?;
        self.asking.get(number)
    }

    /// Somebody has asked.
    pub fn has_asked(&mut self, ticket: Ticket) {
        self.asking.remove(&ticket.number);
        self.asking_at.remove(&(ticket.home, ticket.number));
    }

    /// Somebody is gone, each only once.
    pub fn leave(&mut self, ticket: Ticket) {
        self.has_asked(ticket);
        self.count -= 1;
        if let Some(count) = self.by_home.get_mut(&ticket.home) {
            *count -= 1;
            if *count == 0 {
                self.by_home.remove(&ticket.home);
            }
        }
    }
}

/// What is counted as one address. An IPv4 address that is written as one of IPv6 is one of IPv4.
fn home_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) => {
            IpAddr::V6(Ipv6Addr::from_bits(six.to_bits() >> NETWORK_BITS << NETWORK_BITS))
        }
        four => four,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crowd(connections: usize, per_address: usize) -> Crowd<usize> {
        Crowd::new(Limits { connections, per_address })
    }

    /// One comes in at that second.
    fn enter_at(
        crowd: &mut Crowd<usize>,
        secs: u64,
        from: &str,
        name: usize,
    ) -> (Ticket, Option<usize>) {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        let start = *START.get_or_init(Instant::now);
        crowd.enter(start + Duration::from_secs(secs), ip(from), name)
    }

    fn enter(crowd: &mut Crowd<usize>, from: &str, name: usize) -> (Ticket, Option<usize>) {
        enter_at(crowd, 0, from, name)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_address_gets_no_more_than_its_share_and_the_next_one_gets_its_own() {
        let mut crowd = crowd(10, 2);
        let one = enter(&mut crowd, "192.0.2.1", 1).0;
        enter(&mut crowd, "192.0.2.1", 2);
        assert!(!crowd.admits(ip("192.0.2.1")) && crowd.admits(ip("192.0.2.2")));
        assert!(!crowd.admits(ip("::ffff:192.0.2.1")));
        crowd.leave(one);
        assert!(crowd.admits(ip("192.0.2.1")));
    }

    #[test]
    fn a_network_of_64_bits_is_one_address() {
        let mut crowd = crowd(10, 1);
        enter(&mut crowd, "2001:db8::1", 1);
        assert!(!crowd.admits(ip("2001:db8::ffff:1")) && crowd.admits(ip("2001:db8:0:1::1")));
    }

    #[test]
    fn there_is_room_until_all_places_are_taken_and_again_when_one_goes() {
        let mut crowd = crowd(2, 9);
        let one = enter(&mut crowd, "192.0.2.1", 1).0;
        assert!(crowd.has_room());
        enter(&mut crowd, "192.0.2.2", 2);
        assert!(!crowd.has_room());
        crowd.leave(one);
        assert!(crowd.has_room() && crowd.by_home.len() == 1);
        crowd.set_limits(Limits { connections: 1, per_address: 1 });
        assert!(!crowd.has_room());
    }

    #[test]
    fn of_too_many_who_have_not_asked_the_one_that_came_first_goes() {
        let mut crowd = crowd(1000, 1000);
        assert_eq!(crowd.limits().asking(), 100);
        let tickets: Vec<Ticket> = (0..100)
            .map(|name| {
                let (ticket, gone) = enter(&mut crowd, "192.0.2.1", name);
                assert_eq!(gone, None);
                ticket
            })
            .collect();
        crowd.has_asked(tickets[0]);
        crowd.has_asked(tickets[2]);
        crowd.leave(tickets[1]);
        for name in 100..103 {
            assert_eq!(enter(&mut crowd, "192.0.2.1", name).1, None);
        }
        let (_, gone) = enter_at(&mut crowd, 1, "192.0.2.1", 103);
        assert_eq!(gone, Some(3));
        crowd.leave(tickets[3]);
        assert_eq!(enter_at(&mut crowd, 1, "192.0.2.1", 104).1, Some(4));
        crowd.leave(tickets[4]);
        assert_eq!((crowd.count, crowd.asking.len(), crowd.asking_at.len()), (102, 100, 100));
    }

    #[test]
    fn a_flood_takes_the_places_of_its_own_address_and_not_that_of_another() {
        let mut crowd = crowd(1000, 1000);
        enter(&mut crowd, "192.0.2.9", 0);
        let flood: Vec<Ticket> =
            (1..100).map(|name| enter(&mut crowd, "192.0.2.1", name).0).collect();
        assert_eq!(enter_at(&mut crowd, 1, "192.0.2.1", 100).1, Some(1));
        crowd.leave(flood[0]);
        // Who has no place there takes that of the first of all, whoever it is.
        assert_eq!(enter_at(&mut crowd, 1, "192.0.2.2", 101).1, Some(0));
    }

    /// Found by reading: a fetcher of 500 files was sent away from a responder of 600 connections, again and
    /// again: it connects for all of them before it asks for the first, and those were too many that had
    /// not asked.
    #[test]
    fn nobody_goes_who_came_just_now_as_long_as_there_are_places() {
        let mut crowd = crowd(1000, 900);
        for name in 0..900 {
            assert!(crowd.has_room() && crowd.admits(ip("192.0.2.1")));
            assert_eq!(enter(&mut crowd, "192.0.2.1", name).1, None);
        }
        // No more of that address, but for one of its own that is silent.
        assert!(crowd.admits(ip("192.0.2.1")));
        let (ticket, gone) = enter(&mut crowd, "192.0.2.1", 900);
        assert_eq!(gone, Some(0));
        crowd.leave(ticket);
        for name in 900..1000 {
            assert_eq!(enter(&mut crowd, "192.0.2.2", name).1, None);
        }
        assert!(crowd.has_room());
        assert_eq!(enter(&mut crowd, "192.0.2.3", 1000).1, Some(0));
    }

    #[test]
    fn nobody_goes_for_one_that_is_too_many_if_only_a_few_have_not_asked() {
        let mut crowd = crowd(100, 80);
        for name in 0..80 {
            let (ticket, gone) = enter(&mut crowd, "192.0.2.1", name);
            assert_eq!(gone, None);
            crowd.has_asked(ticket);
        }
        assert!(!crowd.admits(ip("192.0.2.1")));
        for name in 80..100 {
            assert_eq!(enter(&mut crowd, "192.0.2.2", name).1, None);
        }
        assert!(!crowd.has_room());
    }

    #[test]
    fn a_few_may_be_without_a_request_however_few_there_may_be() {
        assert_eq!(Limits { connections: 1, per_address: 1 }.asking(), 64);
    }
}
