//! How often one address may fail to authenticate (`spec/session.md`, Security).

use crate::bucket::TokenBucket;
use crate::model::Rate;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Instant;

/// Failures that one source may have at once, and how many a second it earns back. Successes do not count: a busy
/// client dials hundreds of carriers a second.
const FAILURES: Rate = Rate {
    per_second: 8,
    burst: 64,
};

/// Most sources that are remembered; beyond it, those that are in credit again are forgotten, then all.
pub const MAX_SOURCES: usize = 4096;

/// Sources of connections that did not authenticate. Loopback is exempt; IPv6 addresses count by their /64, because
/// whoever has one of them has all.
#[derive(Debug, Default)]
pub struct Sources {
    failures: HashMap<IpAddr, TokenBucket>,
}

impl Sources {
    /// A connection from `ip` has failed.
    pub fn failed(&mut self, ip: IpAddr, now: Instant) {
        if ip.is_loopback() {
            return;
        }
        let source = source(ip);
        if self.failures.len() >= MAX_SOURCES && !self.failures.contains_key(&source) {
            self.failures.retain(|_, bucket| bucket.available(now) < FAILURES.burst);
            if self.failures.len() >= MAX_SOURCES {
                self.failures.clear();
            }
        }
        let bucket = self.failures.entry(source);
        bucket
            .or_insert_with(|| TokenBucket::full(FAILURES, now))
            .take_up_to(1, now);
    }

    /// Whether `ip` has failed too often to be listened to now.
    pub fn is_barred(&mut self, ip: IpAddr, now: Instant) -> bool {
        let bucket = self.failures.get_mut(&source(ip));
        bucket.is_some_and(|bucket| bucket.available(now) == 0)
    }
}

fn source(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::time::Duration;

    fn fail_often(sources: &mut Sources, ip: &str, now: Instant) {
        (0..FAILURES.burst).for_each(|_| sources.failed(ip.parse().unwrap(), now));
    }

    #[test]
    fn source_that_fails_too_often_is_barred_and_earns_its_way_back() {
        let (mut sources, now) = (Sources::default(), Instant::now());
        let (bad, good) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        fail_often(&mut sources, "192.0.2.1", now);
        assert!(sources.is_barred(bad, now));
        assert!(!sources.is_barred(good, now));
        assert!(!sources.is_barred(bad, now + Duration::from_millis(125)));
    }

    #[test]
    fn loopback_is_exempt() {
        let (mut sources, now) = (Sources::default(), Instant::now());
        for ip in ["127.0.0.7", "::1"] {
            fail_often(&mut sources, ip, now);
            assert!(!sources.is_barred(ip.parse().unwrap(), now));
        }
    }

    #[test]
    fn every_address_of_an_ipv6_network_is_the_same_source() {
        let (mut sources, now) = (Sources::default(), Instant::now());
        fail_often(&mut sources, "2001:db8:0:1::1", now);
        assert!(sources.is_barred("2001:db8:0:1:ffff::2".parse().unwrap(), now));
        assert!(!sources.is_barred("2001:db8:0:2::1".parse().unwrap(), now));
    }

    #[test]
    fn sources_in_credit_are_forgotten_before_those_that_are_barred() {
        let (mut sources, now) = (Sources::default(), Instant::now());
        let number = |number: u32| IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 + number));
        for stranger in 1..MAX_SOURCES as u32 {
            sources.failed(number(stranger), now);
        }
        let later = now + Duration::from_millis(125);
        fail_often(&mut sources, "10.0.0.0", later);
        assert_eq!(sources.failures.len(), MAX_SOURCES);
        sources.failed(number(1), later);
        assert_eq!(sources.failures.len(), MAX_SOURCES, "no new one");
        sources.failed(number(MAX_SOURCES as u32), later);
        assert_eq!(sources.failures.len(), 3);
        assert!(sources.is_barred(number(0), later));
    }

    #[test]
    fn number_of_remembered_sources_is_bounded() {
        let (mut sources, now) = (Sources::default(), Instant::now());
        for number in 0..2 * MAX_SOURCES as u32 {
            sources.failed(Ipv4Addr::from_bits(0x0a00_0000 + number).into(), now);
            assert!(sources.failures.len() <= MAX_SOURCES);
        }
        let credited = now + Duration::from_secs(1);
        sources.failed("192.0.2.1".parse().unwrap(), credited);
        assert!(sources.failures.len() <= MAX_SOURCES);
    }
}
