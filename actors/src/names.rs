//! Names become addresses, off the workers.

use std::net::IpAddr;
use std::time::Duration;
use tokio::net::lookup_host;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// How often names are resolved again (`design/architecture.md`).
pub(crate) const REFRESH_INTERVAL: Duration = Duration::from_secs(30);

/// A name whose dial failed is resolved again, but not more often than this.
pub(crate) const REFRESH_FLOOR: Duration = Duration::from_secs(1);

/// A lookup that takes longer has failed.
pub(crate) const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Most addresses kept of one name.
pub(crate) const MAX_ADDRESSES: usize = 16;

/// Most lookups at a time; each occupies a thread of the runtime's blocking pool.
pub(crate) const MAX_LOOKUPS: usize = 16;

/// Resolves names with a bound on what runs at a time.
pub(crate) struct Resolver {
    permits: Semaphore,
}

impl Default for Resolver {
    fn default() -> Self {
        Self {
            permits: Semaphore::new(MAX_LOOKUPS),
        }
    }
}

impl Resolver {
    /// The addresses of a host, best first, families in turn (RFC 8305, section 4). Empty if there are none, or the
    /// lookup failed.
    pub(crate) async fn resolve(&self, host: &str) -> Vec<IpAddr> {
        if let Some(address) = literal(host) {
            return vec![address];
        }
        let Ok(_permit) = self.permits.acquire().await else {
            return Vec::new();
        };
        match timeout(LOOKUP_TIMEOUT, lookup_host((host, 0))).await {
            Ok(Ok(found)) => in_turn(found.map(|address| address.ip())),
            Ok(Err(error)) => {
                tracing::debug!(host, reason = %error, "a name cannot be resolved");
                Vec::new()
            }
            Err(_) => {
                tracing::debug!(host, reason = "timeout", "a name cannot be resolved");
                Vec::new()
            }
        }
    }
}

/// The address that a host is the text form of.
pub(crate) fn literal(host: &str) -> Option<IpAddr> {
    host.parse().ok()
}

/// Orders addresses so that the families alternate, each in the resolver's order, beginning with the first one's.
fn in_turn(found: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let mut unique: Vec<IpAddr> = Vec::new();
    for address in found {
        if !unique.contains(&address) {
            unique.push(address);
        }
    }
    let Some(first) = unique.first().copied() else {
        return unique;
    };
    let (preferred, other): (Vec<_>, Vec<_>) = unique
        .into_iter()
        .partition(|address| address.is_ipv4() == first.is_ipv4());
    let mut result = Vec::new();
    let (mut preferred, mut other) = (preferred.into_iter(), other.into_iter());
    loop {
        match (preferred.next(), other.next()) {
            (None, None) => break,
            (one, two) => result.extend(one.into_iter().chain(two)),
        }
    }
    result.truncate(MAX_ADDRESSES);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn families_alternate_beginning_with_the_preferred_one() {
        let found = ["::1", "::2", "::3", "10.0.0.1", "::1"].map(address);
        assert_eq!(
            in_turn(found.into_iter()),
            ["::1", "10.0.0.1", "::2", "::3"].map(address)
        );
    }

    #[test]
    fn a_name_has_at_most_its_bound_of_addresses() {
        let found = (0..100u8).map(|n| IpAddr::from([10, 0, 0, n]));
        assert_eq!(in_turn(found).len(), MAX_ADDRESSES);
    }

    #[tokio::test]
    async fn literals_are_not_looked_up_and_unknown_names_have_no_address() {
        let resolver = Resolver::default();
        assert_eq!(resolver.resolve("::1").await, [address("::1")]);
        assert!(resolver.resolve("no-such-name.invalid").await.is_empty());
    }
}
