//! The core's counters as panels get them (`spec/node-panel.md`, 3.3 and 4.3).

use super::fault::Fault;
use super::generation::Generation;
use kariz_proto::panel::{Stat, StatRequest, StatType};
use kariz_proto::xray::app::stats::command::Stat as Counter;

/// How the three parts of a counter's name behind its owner's go into `type` and `link`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// `type` is `traffic`, `link` the direction (G0 and G1, the methods for one thing and for outbounds).
    TypeIsTraffic,
    /// `link` is `traffic`, `type` the direction (`GetStats`, and the other methods of G0 and G1).
    LinkIsTraffic,
}

/// What is asked of the core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    /// What the counters' names begin with.
    pub(super) pattern: String,
    pub(super) layout: Layout,
}

impl Query {
    /// A question of `GetStats`.
    ///
    /// # Errors
    /// There is no such kind, or the kind needs a name and the request has none.
    pub(super) fn of(request: &StatRequest, generation: Generation) -> Result<Self, Fault> {
        let kind = StatType::try_from(request.r#type).map_err(|_| Fault::unusable("not implemented stat type"))?;
        let layout = Layout::LinkIsTraffic;
        let pattern = pattern(kind, &request.name, generation)?;
        Ok(Self { pattern, layout })
    }

    /// A question of one of the methods of G0 and G1.
    ///
    /// # Errors
    /// The kind needs a name and the request has none.
    pub(super) fn of_kind(kind: StatType, request: &StatRequest, generation: Generation) -> Result<Self, Fault> {
        let layout = match kind {
            StatType::UsersStat | StatType::Inbounds => Layout::LinkIsTraffic,
            StatType::UserStat | StatType::Inbound | StatType::Outbound | StatType::Outbounds => Layout::TypeIsTraffic,
        };
        let pattern = pattern(kind, &request.name, generation)?;
        Ok(Self { pattern, layout })
    }

    /// The counters as the panel gets them; what is no traffic is left out.
    pub(super) fn stats(&self, counters: &[Counter]) -> Vec<Stat> {
        counters.iter().filter_map(|counter| self.stat(counter)).collect()
    }

    fn stat(&self, counter: &Counter) -> Option<Stat> {
        let (_, named) = counter.name.split_once(SEPARATOR)?;
        let mut parts = named.rsplitn(3, SEPARATOR);
        // A name may be of any shape.
        let (direction, traffic, name) = (parts.next()?, parts.next()?, parts.next()?);
        if traffic != "traffic" {
            return None;
        }
        let (kind, link) = match self.layout {
            Layout::TypeIsTraffic => (traffic, direction),
            Layout::LinkIsTraffic => (direction, traffic),
        };
        Some(Stat {
            name: name.to_owned(),
            r#type: kind.to_owned(),
            link: link.to_owned(),
            value: counter.value,
        })
    }
}

/// What is between the parts of a counter's name.
const SEPARATOR: &str = ">>>";

fn pattern(kind: StatType, name: &str, generation: Generation) -> Result<String, Fault> {
    let (owner, missing) = match kind {
        StatType::Outbounds => return Ok("outbound>>>".into()),
        StatType::Inbounds => return Ok("inbound>>>".into()),
        StatType::UsersStat => return Ok("user>>>".into()),
        StatType::Outbound => ("outbound", "tag required"),
        StatType::Inbound => ("inbound", "tag required"),
        StatType::UserStat => ("user", "email required"),
    };
    match name {
        "" => Err(Fault::no_name(generation, missing)),
        name => Ok([owner, name, ""].join(SEPARATOR)),
    }
}

/// The counter that says how often a user is connected.
///
/// # Errors
/// The request names nobody.
pub(super) fn online(name: &str, generation: Generation) -> Result<String, Fault> {
    match name {
        "" => Err(Fault::no_name(generation, "email required")),
        name => Ok(["user", name, "online"].join(SEPARATOR)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters() -> Vec<Counter> {
        let counter = |name: &str, value| Counter {
            name: name.into(),
            value,
        };
        vec![
            counter("user>>>8.bob>>>traffic>>>uplink", 5),
            counter("user>>>8.bob>>>online", 1),
            counter("user>>>a>>>b>>>traffic>>>uplink", 6),
        ]
    }

    #[test]
    fn type_and_link_are_laid_out_as_each_method_does() {
        let request = StatRequest::default();
        let newer = Query::of(
            &StatRequest {
                r#type: StatType::UsersStat.into(),
                ..request.clone()
            },
            Generation::G3,
        );
        let stats = newer.unwrap().stats(&counters());
        let told = |stat: &Stat| (stat.name.clone(), stat.r#type.clone(), stat.link.clone(), stat.value);
        let expected = |name: &str, value| (name.into(), "uplink".into(), "traffic".into(), value);
        let told: Vec<_> = stats.iter().map(told).collect();
        assert_eq!(
            told,
            [expected("8.bob", 5), expected("a>>>b", 6)],
            "a name may be of any shape"
        );
        let older = Query::of_kind(StatType::Outbounds, &request, Generation::G3).unwrap();
        let stat = &older.stats(&counters())[0];
        assert_eq!((&*stat.r#type, &*stat.link), ("traffic", "uplink"));
        assert_eq!(
            Query::of_kind(StatType::Inbounds, &request, Generation::G3)
                .unwrap()
                .layout,
            Layout::LinkIsTraffic
        );
    }

    #[test]
    fn patterns_name_what_is_asked_for() {
        let pattern = |kind: StatType, name: &str| {
            let request = StatRequest {
                name: name.into(),
                r#type: kind.into(),
                ..StatRequest::default()
            };
            Query::of(&request, Generation::G3)
                .map(|query| query.pattern)
                .map_err(|fault| fault.text)
        };
        assert_eq!(pattern(StatType::UserStat, "8.bob"), Ok("user>>>8.bob>>>".into()));
        assert_eq!(pattern(StatType::Outbounds, ""), Ok("outbound>>>".into()));
        assert_eq!(pattern(StatType::UserStat, ""), Err("email required".into()));
        assert_eq!(pattern(StatType::Inbound, ""), Err("tag required".into()));
        let early = Query::of_kind(StatType::UserStat, &StatRequest::default(), Generation::G1);
        assert_eq!(early.unwrap_err().text, "name is required");
        let unknown = StatRequest {
            r#type: 77,
            ..StatRequest::default()
        };
        assert_eq!(
            Query::of(&unknown, Generation::G3).unwrap_err().text,
            "not implemented stat type"
        );
    }
}
