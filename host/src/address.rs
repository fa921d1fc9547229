//! Where a host may send notifications: what the address of an endpoint must be, and which IP addresses are never
//! dialled. Pure: no I/O, no clock.
//!
//! A tenant chooses where a host sends requests from inside the operator's network. So nothing is dialled that is not
//! public: the address is checked when an endpoint is made, and the IP addresses that its name has at that moment each
//! time that one is dialled.

// Not of `std`: these are values, and nothing here dials.
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use url::{Host, Url};

/// Longest address of an endpoint, in bytes.
pub const ADDRESS_BYTES_MAX: usize = 2_048;

/// Longest host name, in bytes: that of DNS.
const HOST_BYTES_MAX: usize = 253;

const HTTPS_PORT: u16 = 443;

/// What is dialled, and what is not.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// For development: plain HTTP, any port, private addresses.
    pub allow_private: bool,
    /// The ports beside 443.
    pub ports: Vec<u16>,
    /// The host's own address, and its Postgres. Never dialled, whatever else is allowed.
    pub own: Vec<SocketAddr>,
}

/// Why an endpoint's address is not dialled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("it is no URL: {0}")]
    NoUrl(String),
    #[error("it has more than {ADDRESS_BYTES_MAX} bytes")]
    TooLong,
    #[error("it must begin with https://")]
    Scheme,
    #[error("it must name no user and no password; notifications are signed instead")]
    UserInfo,
    #[error("port {0} is not one that this host sends to; 443 is")]
    Port(u16),
    #[error("it names no host")]
    NoHost,
    #[error("{0} is {1}, which this host does not send to")]
    Denied(IpAddr, &'static str),
    #[error("{0} has no address: {1}")]
    Unresolved(String, String),
}

/// The IPv4 addresses that are never dialled: network, length of its prefix, what it is.
const DENIED_V4: [(Ipv4Addr, u32, &str); 15] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, "an address of this network"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "a private address"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "a carrier's private address"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "a loopback address"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "a link-local address"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "a private address"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "an address for protocols"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "an address for documentation"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "a 6to4 relay"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "a private address"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "an address for benchmarks"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "an address for documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "an address for documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "a multicast address"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "a reserved address"),
];

/// The same for IPv6. The last three cover all that is not global unicast, `::` among it, and whatever embeds
/// an IPv4 address there.
const DENIED_V6: [(Ipv6Addr, u32, &str); 17] = [
    (Ipv6Addr::LOCALHOST, 128, "a loopback address"),
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96, "an IPv4 address in disguise"),
    (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96, "an IPv4 address behind NAT64"),
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48, "an IPv4 address behind NAT64"),
    (Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0), 64, "an address that discards"),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, "an address of Teredo"),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, "an address for protocols"),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, "an address for documentation"),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, "an address of 6to4"),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, "an address for documentation"),
    (Ipv6Addr::new(0x5f00, 0, 0, 0, 0, 0, 0, 0), 16, "an address for segment routing"),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, "a private address"),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, "a link-local address"),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, "a multicast address"),
    (Ipv6Addr::UNSPECIFIED, 3, "not a public address"),
    (Ipv6Addr::new(0x4000, 0, 0, 0, 0, 0, 0, 0), 2, "not a public address"),
    (Ipv6Addr::new(0x8000, 0, 0, 0, 0, 0, 0, 0), 1, "not a public address"),
];

impl Rules {
    /// Reads an endpoint's address. A name in it is still to be looked up, and what it has to be checked.
    ///
    /// The `url` crate reads a host as browsers do: `2130706433`, `0x7f.1` and `127.1` are all 127.0.0.1 here, as they
    /// would be to whoever dials them.
    pub fn read(&self, text: &str) -> Result<Url, Refused> {
        if text.len() > ADDRESS_BYTES_MAX {
            return Err(Refused::TooLong);
        }
        let url = Url::parse(text).map_err(|why| Refused::NoUrl(why.to_string()))?;
        if url.scheme() != "https" && !(self.allow_private && url.scheme() == "http") {
            return Err(Refused::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::UserInfo);
        }
        let port = url.port_or_known_default().unwrap_or(HTTPS_PORT);
        if port != HTTPS_PORT && !self.allow_private && !self.ports.contains(&port) {
            return Err(Refused::Port(port));
        }
        match url.host() {
            Some(Host::Ipv4(ip)) => self.check(ip.into(), Some(port))?,
            Some(Host::Ipv6(ip)) => self.check(ip.into(), Some(port))?,
            Some(Host::Domain(name)) if (1..=HOST_BYTES_MAX).contains(&name.len()) => {}
            _ => return Err(Refused::NoHost),
        }
        Ok(url)
    }

    /// Whether an address may be dialled. Without a port, none of the host's own addresses may be.
    pub fn check(&self, ip: IpAddr, port: Option<u16>) -> Result<(), Refused> {
        let own = |own: &&SocketAddr| own.ip() == ip && port.is_none_or(|port| own.port() == port);
        // In development everything is on one machine, and only the port tells its servers apart.
        if self.own.iter().any(|address| own(&address)) && !(self.allow_private && port.is_none()) {
            return Err(Refused::Denied(ip, "this host's own address, or its database's"));
        }
        if self.allow_private {
            return Ok(());
        }
        match denied(ip) {
            Some(what) => Err(Refused::Denied(ip, what)),
            None => Ok(()),
        }
    }
}

/// What an address is that is not public.
fn denied(ip: IpAddr) -> Option<&'static str> {
    let shares = |one: u128, other: u128, bits: u32| (one ^ other).checked_shr(bits).unwrap_or(0) == 0;
    match ip {
        IpAddr::V4(ip) => DENIED_V4
            .iter()
            .find(|(network, prefix, _)| shares(ip.to_bits().into(), network.to_bits().into(), 32 - prefix))
            .map(|(_, _, what)| *what),
        IpAddr::V6(ip) => DENIED_V6
            .iter()
            .find(|(network, prefix, _)| shares(ip.to_bits(), network.to_bits(), 128 - prefix))
            .map(|(_, _, what)| *what),
    }
}

#[cfg(test)]
mod tests;
