//! Who stands in which table, in which order, and as what.

use crate::kit::contestant::{Contestant, Hop, Tunnel};
use crate::kit::peers::Peer;
use clap::ValueEnum;

/// One line of a table, or one bar of a panel.
#[derive(Debug, Clone)]
pub(super) struct Member {
    /// Its name in result files.
    pub(super) name: String,
    pub(super) part: Part,
}

/// What it is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// The program under test.
    Kariz,
    /// The program of somebody else.
    Peer,
    /// Part of this kit: the least that could do the same work.
    Limit,
    /// Part of this kit: what a runtime costs that copies.
    CopyLoop,
    /// A visitor who dials the target.
    Bare,
}

/// Everybody with two ends, and those who have none.
pub(super) fn two_hops() -> Vec<Member> {
    let everybody = Contestant::LANES.into_iter().chain(others()).chain([Contestant::Bare]);
    members(everybody.filter(|who| !matches!(who, Contestant::Relay(_))))
}

/// Everybody who is one process between visitor and target.
pub(super) fn one_hop() -> Vec<Member> {
    let everybody = [Contestant::Relay(Hop::Kariz)].into_iter().chain(others());
    members(everybody.filter(|who| matches!(who, Contestant::Relay(_))))
}

fn others() -> impl Iterator<Item = Contestant> {
    Peer::value_variants().iter().flat_map(|peer| peer.contestants())
}

fn members(contestants: impl Iterator<Item = Contestant>) -> Vec<Member> {
    let mut members: Vec<Member> = contestants.map(Member::from).collect();
    members.sort_by_key(|member| member.part);
    members
}

impl From<Contestant> for Member {
    fn from(who: Contestant) -> Self {
        let part = match who {
            _ if who.is_kariz() => Part::Kariz,
            Contestant::Bare => Part::Bare,
            Contestant::Tunnel(Tunnel::Framing) | Contestant::Pair(Hop::Splice) | Contestant::Relay(Hop::Splice) => {
                Part::Limit
            }
            Contestant::Pair(hop) | Contestant::Relay(hop) if hop.is_copy_loop() => Part::CopyLoop,
            Contestant::Tunnel(_) | Contestant::Pair(_) | Contestant::Relay(_) => Part::Peer,
        };
        Self {
            name: who.label(),
            part,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kariz_comes_first_then_peers_then_what_the_kit_brings_along() {
        let names = |members: Vec<Member>| members.into_iter().map(|member| member.name).collect::<Vec<_>>();
        let two = names(two_hops());
        let at = |name: &str| two.iter().position(|other| other == name).expect(name);
        assert_eq!(two[..2], ["kariz direct", "kariz mux"]);
        assert!(at("realm pair") < at("splice pair") && at("framing pair") < at("tokio-copy pair"));
        assert_eq!(two.last().map(String::as_str), Some("bare TCP"));
        let one = names(one_hop());
        assert_eq!(one[..3], ["kariz relay", "haproxy relay", "realm relay"]);
        assert!(one.iter().all(|name| name.ends_with(" relay")));
    }
}
