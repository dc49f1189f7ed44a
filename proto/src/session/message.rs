//! Conversions between messages as they cross the wire and the words of the machines.

use super::wire::control::Message;
use super::{Grant, Refusal, ServiceKind, ServiceOutcome, Violation, carrier, wire};
use crate::control::InstanceId;
use crate::model::{Lane, MAX_SERVICES, MuxVersion, ServiceName};

/// The protocol's version.
pub(super) const VERSION: u32 = 1;

/// Name of a message, for a violation.
pub(super) fn name(message: &Message) -> &'static str {
    match message {
        Message::Auth(_) => "Auth",
        Message::Accept(_) => "Accept",
        Message::Register(_) => "Register",
        Message::Registered(_) => "Registered",
        Message::Unregister(_) => "Unregister",
        Message::Want(_) => "Want",
        Message::Ping(_) => "Ping",
        Message::Pong(_) => "Pong",
        Message::Ticket(_) => "Ticket",
        Message::Close(_) => "Close",
    }
}

pub(super) fn service_name(name: &str) -> Result<ServiceName, Violation> {
    carrier::parse_service(name).ok_or(Violation::Field("service"))
}

pub(super) fn service_names(names: &[String]) -> Result<Vec<ServiceName>, Violation> {
    if names.len() > MAX_SERVICES {
        return Err(Violation::TooManyServices);
    }
    names.iter().map(|name| service_name(name)).collect()
}

pub(super) fn unregister(services: &[ServiceName]) -> Message {
    Message::Unregister(wire::Unregister {
        services: services.iter().map(|name| name.to_string()).collect(),
    })
}

pub(super) fn instance(bytes: &[u8]) -> Result<InstanceId, Violation> {
    bytes
        .try_into()
        .map(InstanceId)
        .map_err(|_| Violation::Field("instance"))
}

pub(super) fn mux_version(number: u32) -> Result<MuxVersion, Violation> {
    match number {
        1 => Ok(MuxVersion::V1),
        2 => Ok(MuxVersion::V2),
        _ => Err(Violation::Field("mux_version")),
    }
}

pub(super) fn mux_number(version: MuxVersion) -> u32 {
    match version {
        MuxVersion::V1 => 1,
        MuxVersion::V2 => 2,
    }
}

pub(super) fn kind_to_wire(kind: ServiceKind) -> wire::offer::Kind {
    match kind {
        ServiceKind::Tcp => wire::offer::Kind::Tcp,
    }
}

pub(super) fn lane_to_wire(lane: Lane) -> wire::want::Lane {
    match lane {
        Lane::Direct => wire::want::Lane::Direct,
        Lane::Mux => wire::want::Lane::Mux,
    }
}

pub(super) fn lane_from_wire(lane: i32) -> Result<Lane, Violation> {
    match wire::want::Lane::try_from(lane) {
        Ok(wire::want::Lane::Direct) => Ok(Lane::Direct),
        Ok(wire::want::Lane::Mux) => Ok(Lane::Mux),
        Err(_) => Err(Violation::WrongLane),
    }
}

pub(super) fn grant_to_wire(grant: Grant) -> wire::result::Outcome {
    match grant {
        Grant::Ok => wire::result::Outcome::Ok,
        Grant::Taken => wire::result::Outcome::Taken,
        Grant::Limit => wire::result::Outcome::Limit,
    }
}

pub(super) fn refusal_to_wire(refusal: Refusal) -> wire::result::Detail {
    match refusal {
        Refusal::Unsaid => wire::result::Detail::Unsaid,
        Refusal::UnknownService => wire::result::Detail::UnknownService,
        Refusal::WrongToken => wire::result::Detail::WrongToken,
        Refusal::Kind => wire::result::Detail::WrongKind,
    }
}

/// What a result says; an outcome of a later version counts as refused.
pub(super) fn outcome_from_wire(result: &wire::Result) -> Result<ServiceOutcome, Violation> {
    use wire::result::{Detail, Outcome};
    Ok(match Outcome::try_from(result.outcome) {
        Ok(Outcome::Ok) => ServiceOutcome::Ok {
            mux_version: mux_version(result.mux_version)?,
        },
        Ok(Outcome::Taken) => ServiceOutcome::Taken,
        Ok(Outcome::Limit) => ServiceOutcome::Limit,
        Ok(Outcome::Refused) | Err(_) => ServiceOutcome::Refused(match Detail::try_from(result.detail) {
            Ok(Detail::UnknownService) => Refusal::UnknownService,
            Ok(Detail::WrongToken) => Refusal::WrongToken,
            Ok(Detail::WrongKind) => Refusal::Kind,
            Ok(Detail::Unsaid) | Err(_) => Refusal::Unsaid,
        }),
    })
}
