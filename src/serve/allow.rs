//! Who may ask.

use std::net::IpAddr;

use ipnet::IpNet;

/// The allow list: networks whose hosts are answered. An empty list answers nobody.
#[derive(Clone, Debug, Default)]
pub struct Allow(Vec<IpNet>);

impl Allow {
    /// The hosts of `nets`, and no others.
    pub fn new(nets: Vec<IpNet>) -> Allow {
        Allow(nets)
    }

    /// Whether nobody may ask.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `peer` may ask. An IPv4 host that came in by an IPv6 socket (`::ffff:192.0.2.7`) is
    /// the IPv4 host.
    pub fn permits(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.0.iter().any(|net| net.contains(&peer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(nets: &[&str], peer: &str) -> bool {
        let nets = nets.iter().map(|net| net.parse().unwrap()).collect();
        Allow::new(nets).permits(peer.parse().unwrap())
    }

    #[test]
    fn a_host_is_permitted_by_the_network_it_is_in() {
        assert!(permits(&["10.4.3.0/24"], "10.4.3.255"));
        assert!(!permits(&["10.4.3.0/24"], "10.4.4.0"));
        assert!(permits(&["192.0.2.7/32", "2001:db8::/32"], "2001:db8:1::2"));
        assert!(!permits(&["192.0.2.7/32"], "192.0.2.8"));
        assert!(permits(&["0.0.0.0/0"], "203.0.113.1"));
        assert!(!permits(&["0.0.0.0/0"], "2001:db8::1"));
    }

    #[test]
    fn an_ipv4_host_is_the_same_host_through_an_ipv6_socket() {
        assert!(permits(&["192.0.2.0/24"], "::ffff:192.0.2.7"));
        assert!(!permits(&["::/0"], "::ffff:192.0.2.7"));
    }

    #[test]
    fn an_empty_list_permits_nobody() {
        assert!(!permits(&[], "127.0.0.1"));
        assert!(!permits(&[], "::1"));
    }
}
