//! Addresses and networks of the allow list.

use std::net::IpAddr;

use ipnet::IpNet;

/// Reads `10.4.3.0/24`, `2001:db8::/32`, or an address alone for itself; the error is the cause.
///
/// IPv4 written as IPv6 becomes IPv4, as addresses of peers do before they are compared. The crate's
/// own parser is not used: it takes no address alone, and takes `010.0.0.0/8` for `10.0.0.0/8`.
pub(super) fn parse_net(text: &[u8]) -> Result<IpNet, String> {
    let unclear = || "not an address or a network, as in 192.0.2.7, 10.4.3.0/24 or 2001:db8::/32";
    let text = std::str::from_utf8(text).map_err(|_| unclear())?;
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    if has_leading_zeros(address) {
        return Err("a number with a leading zero might be meant as octal".to_owned());
    }
    let address: IpAddr = address.parse().map_err(|_| unclear())?;
    let length_max = if address.is_ipv4() { 32 } else { 128 };
    let length = match length {
        Some(length) => parse_length(length, length_max)
            .ok_or_else(|| format!("its length is not a number from 0 to {length_max}"))?,
        None => length_max,
    };
    let (address, length) = match address.to_canonical() {
        IpAddr::V4(mapped) if address.is_ipv6() && length >= 96 => (mapped.into(), length - 96),
        _ => (address, length),
    };
    let net = IpNet::new(address, length).map_err(|_| unclear())?;
    if net.trunc() != net {
        return Err(format!("it has bits set beyond its length: did you mean {}?", net.trunc()));
    }
    Ok(net)
}

/// Whether a number of something like an IPv4 address begins with a zero it does not need.
fn has_leading_zeros(address: &str) -> bool {
    let zero = |number: &str| {
        number.len() > 1 && number.starts_with('0') && number.bytes().all(|b| b.is_ascii_digit())
    };
    !address.contains(':') && address.split('.').any(zero)
}

/// Reads a prefix length: digits, no leading zero.
fn parse_length(text: &str, length_max: u8) -> Option<u8> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    if !digits || (text.len() > 1 && text.starts_with('0')) {
        return None;
    }
    text.parse().ok().filter(|length| *length <= length_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_alone_is_a_network_of_one() {
        for (text, net) in [
            ("192.0.2.7", "192.0.2.7/32"),
            ("2001:db8::1", "2001:db8::1/128"),
            ("10.4.3.0/24", "10.4.3.0/24"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("::/0", "::/0"),
            ("::ffff:10.4.3.7", "10.4.3.7/32"),
            ("::ffff:10.4.3.0/120", "10.4.3.0/24"),
            ("::ffff:0.0.0.0/96", "0.0.0.0/0"),
        ] {
            assert_eq!(parse_net(text.as_bytes()).map(|n| n.to_string()), Ok(net.to_owned()));
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let cause = |text: &str| parse_net(text.as_bytes()).unwrap_err();
        assert!(cause("010.0.0.0/8").contains("octal"));
        assert!(cause("10.0.00.0/8").contains("octal"));
        assert!(cause("10.4.3.7/24").ends_with("did you mean 10.4.3.0/24?"));
        assert!(cause("2001:db8::1/32").ends_with("did you mean 2001:db8::/32?"));
        assert!(cause("::ffff:10.4.3.7/120").ends_with("did you mean 10.4.3.0/24?"));
        for text in ["10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "10.0.0.0/08", "::/129", "::/256"] {
            assert!(cause(text).starts_with("its length"), "{text:?}");
        }
        for text in ["", "/", "/8", "10.0.0/8", "10.0.0.0/255.0.0.0/8", "web1", "[::1]", "10.0.0.*"]
        {
            assert!(parse_net(text.as_bytes()).is_err(), "{text:?}");
        }
    }
}
