//! Names become addresses, off the workers.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
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

/// Most lookups at a time; each occupies a thread of the runtime's blocking pool, also after it was given up.
pub(crate) const MAX_LOOKUPS: usize = 16;

/// Resolves names with a bound on what runs at a time.
pub(crate) struct Resolver {
    permits: Arc<Semaphore>,
}

impl Default for Resolver {
    fn default() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(MAX_LOOKUPS)),
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
        let name = host.to_owned();
        let lookup = async move {
            let found = lookup_host((name, 0)).await?;
            Ok::<_, std::io::Error>(in_turn(found.map(|address| address.ip())))
        };
        match self.bounded(lookup).await {
            Some(Ok(found)) => found,
            Some(Err(error)) => {
                tracing::debug!(host, reason = %error, "a name cannot be resolved");
                Vec::new()
            }
            None => {
                tracing::debug!(host, reason = "timeout", "a name cannot be resolved");
                Vec::new()
            }
        }
    }

    /// Does a lookup when there is room for it; `None` if it then takes too long. One that is given up keeps its place
    /// until it has really ended, because its thread does.
    async fn bounded<T: Send + 'static>(&self, lookup: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let permit = self.permits.clone().acquire_owned().await.ok()?;
        let lookup = tokio::spawn(async move {
            let _permit = permit;
            lookup.await
        });
        timeout(LOOKUP_TIMEOUT, lookup).await.ok()?.ok()
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
        assert_eq!(in_turn(found.clone()).len(), MAX_ADDRESSES);
        assert_eq!(in_turn(found.take(MAX_ADDRESSES)).len(), MAX_ADDRESSES);
    }

    #[tokio::test(start_paused = true)]
    async fn lookups_beyond_the_bound_wait_until_one_has_really_ended() {
        let resolver = Arc::new(Resolver::default());
        let (end, _) = tokio::sync::broadcast::channel::<()>(1);
        let mut hanging = tokio::task::JoinSet::new();
        for _ in 0..MAX_LOOKUPS {
            let (resolver, mut ended) = (resolver.clone(), end.subscribe());
            hanging.spawn(async move { resolver.bounded(async move { ended.recv().await }).await });
        }
        while let Some(outcome) = hanging.join_next().await {
            assert_eq!(outcome.unwrap(), None, "given up after a while");
        }
        let waits = timeout(REFRESH_INTERVAL, resolver.bounded(async {})).await;
        assert!(waits.is_err());
        assert_eq!(resolver.resolve("::1").await, [address("::1")]);
        end.send(()).unwrap();
        assert_eq!(resolver.bounded(async {}).await, Some(()));
    }

    #[tokio::test]
    async fn literals_are_not_looked_up_and_unknown_names_have_no_address() {
        let resolver = Resolver::default();
        assert_eq!(resolver.resolve("::1").await, [address("::1")]);
        assert!(resolver.resolve("no-such-name.invalid").await.is_empty());
    }
}
