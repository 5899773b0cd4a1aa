//! Hosts: an address, or a name to be looked up.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use super::words::show;

/// The longest host name, in bytes: the limit of DNS.
pub const HOST_BYTES_MAX: usize = 253;

/// Where a source is. Displayed as events and status files call it: the canonical text of an address
/// (without brackets), a name as it was written. Either is good as the name of a file.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Host {
    /// An address; one that maps IPv4 into IPv6 is kept as the IPv4 address it is.
    Address(IpAddr),
    /// A name: letters, digits, `-`, `_`, and single dots between them.
    Name(String),
}

impl Host {
    /// Reads a host; the error is the cause.
    pub(super) fn parse(text: &[u8]) -> Result<Host, String> {
        let Some(text) = std::str::from_utf8(text).ok().filter(|text| text.is_ascii()) else {
            return Err("neither an address nor letters, digits, - _ and .".to_owned());
        };
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Host::Address(address.to_canonical()));
        }
        if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let address = inner.parse::<Ipv6Addr>().map_err(|_| "not an IPv6 address in [ ]")?;
            return Ok(Host::Address(IpAddr::V6(address).to_canonical()));
        }
        check_name(text)?;
        Ok(Host::Name(text.to_owned()))
    }
}

/// Whether the text is good as a name, given that it is no address.
fn check_name(text: &str) -> Result<(), String> {
    let letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let cause = if text.is_empty() {
        "empty"
    } else if text.contains(':') {
        "not an address alone, without port or zone"
    } else if !text.bytes().all(letter) {
        "neither an address nor letters, digits, - _ and ."
    } else if text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        // The resolver would take 10.4.3 or 010.4.3.1 for some other address.
        "not an IPv4 address of four numbers from 0 to 255 without leading zeros"
    } else if text.starts_with('-') {
        "a name can't begin with -"
    } else if text.split('.').any(str::is_empty) {
        "a name can't have a dot at an end or two in a row"
    } else if text.len() > HOST_BYTES_MAX {
        "a name can't be longer than 253 bytes"
    } else {
        return Ok(());
    };
    Err(cause.to_owned())
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Address(address) => address.fmt(f),
            Host::Name(name) => name.fmt(f),
        }
    }
}

impl FromStr for Host {
    type Err = String;

    /// The inverse of `Display`; accepts brackets around an IPv6 address too.
    fn from_str(text: &str) -> Result<Host, String> {
        Host::parse(text.as_bytes())
            .map_err(|cause| format!("cannot read host {}: {cause}", show(text.as_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_called_by_its_canonical_text() {
        for (text, canonical) in [
            ("10.4.3.1", "10.4.3.1"),
            ("2001:DB8:0:0::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("::ffff:10.4.3.1", "10.4.3.1"),
        ] {
            let host: Host = text.parse().unwrap();
            assert!(matches!(host, Host::Address(_)));
            assert_eq!(host.to_string(), canonical);
            assert_eq!(canonical.parse(), Ok(host));
        }
    }

    #[test]
    fn a_name_is_called_as_it_was_written() {
        for text in ["localhost", "Web_1.example.org", "a", "1a.2", "_x", "xn--bcher-kva.example"] {
            assert_eq!(text.parse(), Ok(Host::Name(text.to_owned())));
        }
        assert!("a".repeat(253).parse::<Host>().is_ok());
    }

    #[test]
    fn what_is_neither_is_refused() {
        let long = "a".repeat(254);
        for text in [
            "",
            ".",
            "..",
            ".a",
            "-a",
            "a..b",
            "a.",
            "a/b",
            "/",
            "a b",
            "a\n",
            "ä",
            "10.4.3",
            "42",
            "10.4.3.256",
            "010.4.3.1",
            "[10.4.3.1]",
            "[::1",
            "::1]",
            "fe80::1%eth0",
            "a:19",
            "a%b",
            &long,
        ] {
            assert!(text.parse::<Host>().is_err(), "{text:?}");
        }
    }
}
