//! The addresses that outbound connections may reach. They are checked after name resolution, on the very address that
//! is dialled.
//!
//! Source of the ranges: the IANA special-purpose address registries for IPv4 and IPv6 (RFC 6890 and its updates).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What outbound connections may reach in addition to the public internet. The default is nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AddressPolicy {
    /// `127.0.0.0/8` and `::1`.
    pub allow_loopback: bool,
    /// `10/8`, `172.16/12`, `192.168/16`, `100.64/10` and `fc00::/7`.
    pub allow_private: bool,
}

/// The class of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AddressClass {
    Public,
    Loopback,
    Private,
    /// Link-local, multicast, unspecified, documentation, transition mechanisms and the like. Never dialled.
    Special,
}

impl AddressPolicy {
    /// Returns whether this address may be dialled.
    pub fn permits(&self, address: IpAddr) -> bool {
        let class = match address {
            IpAddr::V4(v4) => classify_v4(v4),
            IpAddr::V6(v6) => classify_v6(v6),
        };
        match class {
            AddressClass::Public => true,
            AddressClass::Loopback => self.allow_loopback,
            AddressClass::Private => self.allow_private,
            AddressClass::Special => false,
        }
    }
}

fn classify_v4(address: Ipv4Addr) -> AddressClass {
    match address.octets() {
        [127, ..] => AddressClass::Loopback,
        [10, ..] | [192, 168, ..] => AddressClass::Private,
        [172, b, ..] if b & 0xf0 == 16 => AddressClass::Private,
        [100, b, ..] if b & 0xc0 == 64 => AddressClass::Private, // shared by carriers, RFC 6598
        [0, ..] => AddressClass::Special,                        // "this network"
        [169, 254, ..] => AddressClass::Special, // link-local, with the metadata services of clouds
        [192, 0, 0, _] => AddressClass::Special, // IETF protocol assignments
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => AddressClass::Special, // documentation
        [192, 31, 196, _] | [192, 52, 193, _] | [192, 175, 48, _] => AddressClass::Special, // AS112, AMT
        [192, 88, 99, _] => AddressClass::Special, // 6to4 relays, retired
        [198, b, ..] if b & 0xfe == 18 => AddressClass::Special, // benchmarking
        [a, ..] if a >= 224 => AddressClass::Special, // multicast, reserved, broadcast
        _ => AddressClass::Public,
    }
}

fn classify_v6(address: Ipv6Addr) -> AddressClass {
    if address == Ipv6Addr::LOCALHOST {
        return AddressClass::Loopback;
    }
    let s = address.segments();
    match s {
        [a, ..] if a & 0xfe00 == 0xfc00 => AddressClass::Private,
        [0x2001, b, ..] if b < 0x0200 => AddressClass::Special, // IETF protocol assignments: Teredo, ORCHID, benchmarking
        [0x2001, 0x0db8, ..] => AddressClass::Special,          // documentation
        [0x2002, ..] => AddressClass::Special,                  // 6to4: contains an IPv4 address
        [0x2620, 0x004f, 0x8000, ..] => AddressClass::Special,  // AS112
        [0x3fff, b, ..] if b & 0xf000 == 0 => AddressClass::Special, // documentation
        // Of the rest, only 2000::/3 is global unicast. Outside of it are ::, IPv4-mapped (::ffff:0:0/96),
        // IPv4-compatible, NAT64 (64:ff9b::/96, 64:ff9b:1::/48), discard (100::/64), link-local (fe80::/10), site-local
        // and multicast (ff00::/8).
        [a, ..] if a & 0xe000 == 0x2000 => AddressClass::Public,
        _ => AddressClass::Special,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An address, and whether it is permitted when nothing is allowed, loopback is allowed, private is allowed.
    const TABLE: &[(&str, bool, bool, bool)] = &[
        ("8.8.8.8", true, true, true),
        ("20.190.159.0", true, true, true),
        ("172.15.255.255", true, true, true),
        ("172.32.0.0", true, true, true),
        ("100.63.255.255", true, true, true),
        ("100.128.0.0", true, true, true),
        ("198.17.255.255", true, true, true),
        ("198.20.0.0", true, true, true),
        ("223.255.255.255", true, true, true),
        ("2606:4700:4700::1111", true, true, true),
        ("2001:4860:4860::8888", true, true, true),
        ("127.0.0.1", false, true, false),
        ("127.255.255.254", false, true, false),
        ("::1", false, true, false),
        ("10.0.0.1", false, false, true),
        ("172.16.0.1", false, false, true),
        ("172.31.255.255", false, false, true),
        ("192.168.1.1", false, false, true),
        ("100.64.0.1", false, false, true),
        ("100.127.255.255", false, false, true),
        ("fc00::1", false, false, true),
        ("fdff::1", false, false, true),
        ("0.0.0.0", false, false, false),
        ("0.1.2.3", false, false, false),
        ("169.254.169.254", false, false, false),
        ("192.0.0.8", false, false, false),
        ("192.0.2.1", false, false, false),
        ("192.31.196.1", false, false, false),
        ("192.52.193.1", false, false, false),
        ("192.88.99.1", false, false, false),
        ("192.175.48.1", false, false, false),
        ("198.18.0.1", false, false, false),
        ("198.19.255.255", false, false, false),
        ("198.51.100.1", false, false, false),
        ("203.0.113.1", false, false, false),
        ("224.0.0.1", false, false, false),
        ("239.255.255.255", false, false, false),
        ("240.0.0.1", false, false, false),
        ("255.255.255.255", false, false, false),
        ("::", false, false, false),
        ("::7f00:1", false, false, false),
        ("::ffff:127.0.0.1", false, false, false),
        ("::ffff:10.0.0.1", false, false, false),
        ("::ffff:8.8.8.8", false, false, false),
        ("64:ff9b::7f00:1", false, false, false),
        ("64:ff9b:1::1", false, false, false),
        ("100::1", false, false, false),
        ("2001::1", false, false, false),
        ("2001:2::1", false, false, false),
        ("2001:10::1", false, false, false),
        ("2001:20::1", false, false, false),
        ("2001:db8::1", false, false, false),
        ("2002:7f00:1::1", false, false, false),
        ("2620:4f:8000::1", false, false, false),
        ("3fff::1", false, false, false),
        ("5f00::1", false, false, false),
        ("fe80::1", false, false, false),
        ("fec0::1", false, false, false),
        ("ff02::1", false, false, false),
    ];

    #[test]
    fn special_ranges_are_refused_whatever_is_allowed() {
        let nothing = AddressPolicy::default();
        let loopback = AddressPolicy { allow_loopback: true, ..nothing };
        let private = AddressPolicy { allow_private: true, ..nothing };
        for (address, by_nothing, by_loopback, by_private) in TABLE {
            let ip: IpAddr = address.parse().expect("the table holds addresses");
            assert_eq!(nothing.permits(ip), *by_nothing, "{address}, nothing allowed");
            assert_eq!(loopback.permits(ip), *by_loopback, "{address}, loopback allowed");
            assert_eq!(private.permits(ip), *by_private, "{address}, private allowed");
        }
    }
}
