//! Who is at the other end of a connection, or before the proxy there. Pure.

// Not of `std`: these are values, and nothing here connects.
use core::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

/// How many proxies are looked behind.
const HOPS_MAX: usize = 32;

/// Where a request comes from: what the audit log has, and what bounds are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address(pub IpAddr);

/// The proxies that are believed when they say for whom they ask.
#[derive(Debug, Clone, Default)]
pub struct Proxies(pub Vec<IpNet>);

/// A client has stopped sending in the middle of a body.
#[derive(Debug, thiserror::Error)]
#[error("the client has stopped sending")]
pub struct Stalled;

impl Stalled {
    /// Whether this is why something could not be read.
    pub fn is_cause_of(error: &(dyn std::error::Error + 'static)) -> bool {
        std::iter::successors(Some(error), |error| error.source()).any(|error| error.is::<Self>())
    }
}

impl Proxies {
    /// Whether this is one of them.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&peer))
    }

    /// Who has sent a request that came from `peer` with these `X-Forwarded-For` headers, in their order.
    ///
    /// Each proxy appends whom it was asked by, so the list is read from its end, as long as those who wrote it are
    /// believed: the first address that is no trusted proxy's is the client. What is before it, the client may have made
    /// up. Where an address should be and is none, the proxy that wrote it is all that is known.
    pub fn client<'a>(&self, peer: IpAddr, forwarded: impl DoubleEndedIterator<Item = &'a str>) -> IpAddr {
        let mut nearest = peer.to_canonical();
        let hops = forwarded.rev().flat_map(|header| header.rsplit(','));
        for hop in hops.take(HOPS_MAX) {
            if !self.trusts(nearest) {
                break;
            }
            let Some(ip) = address(hop.trim()) else { break };
            nearest = ip;
        }
        nearest
    }
}

/// An address, with or without a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn address(text: &str) -> Option<IpAddr> {
    let bare = || text.parse().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    bare().or_else(with_port).or_else(in_brackets).map(|ip: IpAddr| ip.to_canonical())
}

/// Whom a bound counts as one: an IPv4 address, or the 64 bits of an IPv6 address that its network is known by. Whoever
/// has one address there has them all.
pub fn counted_as(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
        ip @ IpAddr::V4(_) => ip,
    }
}

/// Reads a network, or a single address.
pub fn network(text: &str) -> Result<IpNet, String> {
    let network = text.trim().parse::<IpNet>().or_else(|_| text.trim().parse::<IpAddr>().map(IpNet::from));
    network.map_err(|_| "give an address, or a network as 10.0.0.0/8 or fd00::/8".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(trusted: &[&str], peer: &str, headers: &[&str]) -> String {
        let proxies = Proxies(trusted.iter().map(|text| network(text).unwrap()).collect());
        proxies.client(peer.parse().unwrap(), headers.iter().copied()).to_string()
    }

    #[test]
    fn the_client_is_the_last_address_that_is_no_trusted_proxys() {
        let trusted = &["10.0.0.0/8", "fd00::/8", "192.0.2.1"];
        for (peer, headers, expected) in [
            ("10.0.0.1", &["203.0.113.7"][..], "203.0.113.7"),
            ("10.0.0.1", &["1.1.1.1, 203.0.113.7"], "203.0.113.7"),
            ("10.0.0.1", &["1.1.1.1", "203.0.113.7"], "203.0.113.7"),
            ("10.0.0.1", &["203.0.113.7, 10.0.0.2 ,192.0.2.1"], "203.0.113.7"),
            ("10.0.0.1", &["203.0.113.7", "10.0.0.2"], "203.0.113.7"),
            ("10.0.0.1", &["10.0.0.3,10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("::ffff:10.0.0.1", &["::ffff:203.0.113.7"], "203.0.113.7"),
            ("fd00::1", &["2001:db8::7"], "2001:db8::7"),
            ("10.0.0.1", &["[2001:db8::7]:4711"], "2001:db8::7"),
            ("10.0.0.1", &["[2001:db8::7]"], "2001:db8::7"),
            ("10.0.0.1", &["203.0.113.7:4711"], "203.0.113.7"),
        ] {
            assert_eq!(client(trusted, peer, headers), expected, "{peer} {headers:?}");
        }
    }

    #[test]
    fn nobody_is_believed_but_trusted_proxies() {
        assert_eq!(client(&[], "10.0.0.1", &["203.0.113.7"]), "10.0.0.1");
        assert_eq!(client(&["10.0.0.0/8"], "192.0.2.9", &["203.0.113.7"]), "192.0.2.9");
        assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1", &["203.0.113.7, 192.0.2.9"]), "192.0.2.9");
    }

    #[test]
    fn where_no_address_is_the_nearest_proxy_stands_for_the_client() {
        for bad in
            ["", "unknown", "_hidden", "for=203.0.113.7", "203.0.113.7 10.0.0.2", "[2001:db8::7", "1.2.3", "\"\""]
        {
            assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1", &[bad]), "10.0.0.1", "{bad:?}");
            let both = format!("203.0.113.7,{bad},10.0.0.2");
            assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1", &[&both]), "10.0.0.2", "{bad:?}");
        }
        let endless = vec!["10.0.0.2"; 100_000].join(",");
        assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1", &[&format!("203.0.113.7,{endless}")]), "10.0.0.2");
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one() {
        let counted = |text: &str| counted_as(text.parse().unwrap()).to_string();
        assert_eq!(counted("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(counted("2001:db8:1:3::"), "2001:db8:1:3::");
        assert_eq!(counted("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(counted("192.0.2.1"), "192.0.2.1");
    }

    #[test]
    fn a_trusted_network_is_written_as_one_or_as_an_address() {
        for good in ["10.0.0.0/8", "192.0.2.1", "fd00::/8", "::1", " 10.1.2.3/32 "] {
            assert!(network(good).is_ok(), "{good}");
        }
        for bad in ["", "10.0.0.0/33", "localhost", "10.0.0", "10.0.0.0/8/8", "*"] {
            assert!(network(bad).is_err(), "{bad}");
        }
    }
}
