//! How many may be there at once, in all and from one address, and how many of them without having
//! asked for anything.
//!
//! A fetcher asks as soon as it is connected. Whoever does not is given time, but not a place that
//! another needs: where too many have not asked, the one that has waited longest goes. So a flood of
//! silent peers costs each other their places, and none to those who are served.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};

/// Of so many places one may be held by somebody who has not asked.
const ASKING_SHARE: usize = 10;

/// So many may be without a request however few places there are.
const ASKING_MIN: usize = 64;

/// Bits of an IPv6 address that tell one network from another: who has one address of it has all
/// (RFC 4291, 2.5.1).
const NETWORK_BITS: u32 = 64;

/// How many there may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// In all; those beyond wait.
    pub connections: usize,
    /// From one IPv4 address or one IPv6 network of 64 bits; those beyond are closed.
    pub per_address: usize,
}

impl Limits {
    /// How many may be there that have not asked.
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
    asking: BTreeMap<u64, N>,
    next: u64,
}

impl<N: Copy> Crowd<N> {
    /// Nobody is there.
    pub fn new(limits: Limits) -> Crowd<N> {
        Crowd { limits, count: 0, by_home: HashMap::new(), asking: BTreeMap::new(), next: 0 }
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
        self.count < self.limits.connections
    }

    /// Whether there is room for somebody from this address.
    pub fn admits(&self, address: IpAddr) -> bool {
        self.by_home.get(&home_of(address)).is_none_or(|&count| count < self.limits.per_address)
    }

    /// Somebody comes in, and has not asked yet. Who has to go for it, if anybody has.
    pub fn enter(&mut self, address: IpAddr, name: N) -> (Ticket, Option<N>) {
        let ticket = Ticket { home: home_of(address), number: self.next };
        self.next += 1;
        self.count += 1;
        *self.by_home.entry(ticket.home).or_default() += 1;
        self.asking.insert(ticket.number, name);
        let crowded = self.asking.len() > self.limits.asking();
        (ticket, crowded.then(|| self.asking.pop_first()).flatten().map(|(_, name)| name))
    }

    /// Somebody has asked.
    pub fn has_asked(&mut self, ticket: Ticket) {
        self.asking.remove(&ticket.number);
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

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_address_gets_no_more_than_its_share_and_the_next_one_gets_its_own() {
        let mut crowd = crowd(10, 2);
        let one = crowd.enter(ip("192.0.2.1"), 1).0;
        crowd.enter(ip("192.0.2.1"), 2);
        assert!(!crowd.admits(ip("192.0.2.1")) && crowd.admits(ip("192.0.2.2")));
        assert!(!crowd.admits(ip("::ffff:192.0.2.1")));
        crowd.leave(one);
        assert!(crowd.admits(ip("192.0.2.1")));
    }

    #[test]
    fn a_network_of_64_bits_is_one_address() {
        let mut crowd = crowd(10, 1);
        crowd.enter(ip("2001:db8::1"), 1);
        assert!(!crowd.admits(ip("2001:db8::ffff:1")) && crowd.admits(ip("2001:db8:0:1::1")));
    }

    #[test]
    fn there_is_room_until_all_places_are_taken_and_again_when_one_goes() {
        let mut crowd = crowd(2, 9);
        let one = crowd.enter(ip("192.0.2.1"), 1).0;
        assert!(crowd.has_room());
        crowd.enter(ip("192.0.2.2"), 2);
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
                let (ticket, gone) = crowd.enter(ip("192.0.2.1"), name);
                assert_eq!(gone, None);
                ticket
            })
            .collect();
        crowd.has_asked(tickets[0]);
        crowd.has_asked(tickets[2]);
        crowd.leave(tickets[1]);
        for name in 100..103 {
            assert_eq!(crowd.enter(ip("192.0.2.1"), name).1, None);
        }
        assert_eq!(crowd.enter(ip("192.0.2.1"), 103).1, Some(3));
        assert_eq!(crowd.enter(ip("192.0.2.1"), 104).1, Some(4));
        // Who went is still counted until it has left.
        crowd.leave(tickets[3]);
        assert_eq!(crowd.count, 103);
    }

    #[test]
    fn a_few_may_be_without_a_request_however_few_there_may_be() {
        assert_eq!(Limits { connections: 1, per_address: 1 }.asking(), 64);
    }
}
