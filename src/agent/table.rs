//! The tree of answers: the hosts as they were last seen, under the two roots snmpd asks for.
//!
//! ```text
//! BASE.a.b.c.d                     text of the host with this IPv4 address
//! TABLE.1.1.0                      fetchlogsHosts            Gauge32
//! TABLE.1.2.0                      fetchlogsHostsNotOk       Gauge32
//! TABLE.1.3.0                      fetchlogsDirectoryText    DisplayString
//! TABLE.1.4.1.3.TYPE.LENGTH.BYTES  fetchlogsHostText         DisplayString
//! TABLE.1.4.1.4.TYPE.LENGTH.BYTES  fetchlogsHostState        INTEGER
//! TABLE.1.4.1.5.TYPE.LENGTH.BYTES  fetchlogsHostAge          Gauge32
//! ```
//!
//! Both trees are one sorted list of branches, each a prefix and the rule for what follows it.
//! `getnext` never leaves the subtree it was asked in: snmpd registered that one alone and goes on
//! to the next by itself when it hears NONE.

use super::oid::{Oid, Place};
use super::protocol::{Answer, Value};
use super::verdict::{Found, State, directory_text};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Bound::{Excluded, Unbounded};
use std::time::{Duration, SystemTime};

/// Longest host name that has a row, in bytes: with a root of [`ROOT_SUB_IDS_MAX`] the OID of its
/// row has 128 sub-identifiers. Hosts with longer names are counted, and have no row.
pub const ADDRESS_BYTES_MAX: usize = 106;

/// Most sub-identifiers a root may have.
pub const ROOT_SUB_IDS_MAX: usize = 16;

/// InetAddressType of RFC 4001.
const IPV4: u32 = 1;
const IPV6: u32 = 2;
const DNS: u32 = 16;

/// Hosts by their index in the table: InetAddressType, length, bytes. Its order is the rows' order.
pub type Hosts = BTreeMap<Vec<u32>, Host>;

/// A host, as it was last seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Host {
    /// The path of its status file.
    pub path: String,
    /// What was found there.
    pub found: Found,
}

/// The index of the host whose status file is called `name`.
///
/// What is neither an IPv4 nor an IPv6 address counts as a name of type dns, so that no host is
/// invisible; an IPv6 address with a zone is one of those.
pub fn index_of(name: &[u8]) -> Vec<u32> {
    let text = std::str::from_utf8(name).unwrap_or_default();
    let (kind, bytes) = if let Ok(address) = text.parse::<Ipv4Addr>() {
        (IPV4, address.octets().to_vec())
    } else if let Ok(address) = text.parse::<Ipv6Addr>() {
        (IPV6, address.octets().to_vec())
    } else {
        (DNS, name.to_vec())
    };
    let mut index = vec![kind, bytes.len() as u32];
    index.extend(bytes.iter().map(|&b| u32::from(b)));
    index
}

/// What is known at the moment of a request.
pub struct View<'a> {
    /// The hosts.
    pub hosts: &'a Hosts,
    /// Why these are not all hosts there are.
    pub fault: Option<&'a str>,
    /// The path of the directory.
    pub directory: &'a str,
    /// The time.
    pub now: SystemTime,
    /// How long a report holds.
    pub stale: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Leaf {
    Hosts,
    HostsNotOk,
    DirectoryText,
    HostText,
    HostState,
    HostAge,
    CompatibleText,
}

struct Branch {
    root: Oid,
    prefix: Oid,
    leaf: Leaf,
}

/// The shape of the tree: what is where, without what is there now.
pub struct Tree {
    base: Oid,
    table: Oid,
    branches: Vec<Branch>,
}

fn too_long(root: &Oid) -> String {
    format!("{root} has more than {ROOT_SUB_IDS_MAX} sub-identifiers")
}

impl Tree {
    /// The tree under two roots; an error says which of them can't be.
    pub fn new(base: Oid, table: Oid) -> Result<Tree, String> {
        for root in [&base, &table] {
            if root.ids().len() > ROOT_SUB_IDS_MAX {
                return Err(too_long(root));
            }
        }
        if base.ids().starts_with(table.ids()) || table.ids().starts_with(base.ids()) {
            return Err(format!("{base} and {table} overlap"));
        }
        let columns: [(&[u32], Leaf); 6] = [
            (&[1, 1], Leaf::Hosts),
            (&[1, 2], Leaf::HostsNotOk),
            (&[1, 3], Leaf::DirectoryText),
            (&[1, 4, 1, 3], Leaf::HostText),
            (&[1, 4, 1, 4], Leaf::HostState),
            (&[1, 4, 1, 5], Leaf::HostAge),
        ];
        let mut branches = Vec::new();
        for (ids, leaf) in columns {
            let prefix = table.child(ids).ok_or_else(|| too_long(&table))?;
            branches.push(Branch { root: table.clone(), prefix, leaf });
        }
        let (root, prefix) = (base.clone(), base.clone());
        branches.push(Branch { root, prefix, leaf: Leaf::CompatibleText });
        branches.sort_by(|a, b| a.prefix.cmp(&b.prefix));
        Ok(Tree { base, table, branches })
    }

    /// The IPv4 address meant by an OID of the compatible tree.
    pub fn compatible_address(&self, oid: &Oid) -> Option<Ipv4Addr> {
        match oid.seen_from(&self.base) {
            Place::Within(&[a, b, c, d]) => {
                let byte = |id: u32| u8::try_from(id).ok();
                Some(Ipv4Addr::new(byte(a)?, byte(b)?, byte(c)?, byte(d)?))
            }
            _ => None,
        }
    }

    /// The value of exactly `oid`.
    pub fn get(&self, oid: &Oid, view: &View) -> Option<Answer> {
        self.branches.iter().find_map(|branch| match oid.seen_from(&branch.prefix) {
            Place::Within(rest) => branch.leaf.answer(oid.clone(), rest, view),
            Place::Before | Place::After => None,
        })
    }

    /// The first value after `oid`, within the same subtree.
    pub fn next(&self, oid: &Oid, view: &View) -> Option<Answer> {
        let within = |root: &Oid| oid.ids().starts_with(root.ids());
        let outside = !within(&self.base) && !within(&self.table);
        let mut branches = self.branches.iter().filter(|b| outside || within(&b.root));
        branches.find_map(|branch| {
            let rest = match oid.seen_from(&branch.prefix) {
                Place::Before => branch.leaf.first_after(&[], view),
                Place::Within(rest) => branch.leaf.first_after(rest, view),
                Place::After => None,
            }?;
            branch.leaf.answer(branch.prefix.child(&rest)?, &rest, view)
        })
    }
}

impl Leaf {
    /// The smallest continuation that has a value and is greater than `rest`.
    fn first_after(self, rest: &[u32], view: &View) -> Option<Vec<u32>> {
        match self {
            Leaf::Hosts | Leaf::HostsNotOk | Leaf::DirectoryText => (rest.is_empty()
                && (self == Leaf::DirectoryText || view.fault.is_none()))
            .then(|| vec![0]),
            Leaf::HostText | Leaf::HostState | Leaf::HostAge => {
                let mut rows = view.hosts.range::<[u32], _>((Excluded(rest), Unbounded));
                rows.find(|(index, _)| has_row(index)).map(|(index, _)| index.clone())
            }
            Leaf::CompatibleText => {
                let after = [&[IPV4, 4], rest].concat();
                let mut rows = view.hosts.range::<[u32], _>((Excluded(&after[..]), Unbounded));
                let (index, _) = rows.next()?;
                index.strip_prefix(&[IPV4, 4]).map(<[u32]>::to_vec)
            }
        }
    }

    /// The value of the continuation `rest`, under the name of `oid`.
    fn answer(self, oid: Oid, rest: &[u32], view: &View) -> Option<Answer> {
        let value = match self {
            Leaf::Hosts | Leaf::HostsNotOk | Leaf::DirectoryText if rest != [0] => return None,
            Leaf::Hosts | Leaf::HostsNotOk if view.fault.is_some() => return None,
            Leaf::Hosts => Value::Gauge(view.hosts.len() as u32),
            Leaf::HostsNotOk => {
                let not_ok = |host: &&Host| view.state(host) != State::Ok;
                Value::Gauge(view.hosts.values().filter(not_ok).count() as u32)
            }
            Leaf::DirectoryText => Value::Text(directory_text(view.fault, view.directory)),
            Leaf::CompatibleText => {
                let index = [&[IPV4, 4], rest].concat();
                Value::Text(view.text(view.hosts.get(&index)?))
            }
            Leaf::HostText | Leaf::HostState | Leaf::HostAge => {
                let host = view.hosts.get(rest).filter(|_| has_row(rest))?;
                match self {
                    Leaf::HostText => Value::Text(view.text(host)),
                    Leaf::HostState => Value::Integer(view.state(host) as u8),
                    _ => Value::Gauge(host.found.age_secs(view.now)),
                }
            }
        };
        Some(Answer { oid, value })
    }
}

impl View<'_> {
    fn state(&self, host: &Host) -> State {
        host.found.state(self.now, self.stale)
    }

    fn text(&self, host: &Host) -> String {
        host.found.text(&host.path, self.now, self.stale)
    }
}

fn has_row(index: &[u32]) -> bool {
    index.len() <= 2 + ADDRESS_BYTES_MAX
}
