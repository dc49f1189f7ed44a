//! Checking what a client offers.

use crate::model::{MAX_SERVICES, MuxVersion, Token};
use crate::session::message::{grant_to_wire, kind_to_wire, mux_number, mux_version, refusal_to_wire, service_name};
use crate::session::proof::{Binding, Prover, check, check_ticket_tag, prove};
use crate::session::{Grant, KnownService, KnownServices, ProvenService, Refusal, ServiceKind, Violation, wire};
use std::collections::BTreeSet;

/// An offer, looked at.
#[derive(Debug, Clone)]
pub(in crate::session) struct Checked {
    pub(in crate::session) service: ProvenService,
    /// Version that the client asked for.
    pub(in crate::session) asked: MuxVersion,
    pub(in crate::session) verdict: Verdict,
}

/// What an offer is worth.
#[derive(Debug, Clone)]
pub(in crate::session) enum Verdict {
    /// The client has the token, which is this.
    Proven(Token),
    Refused(Refusal),
}

impl Checked {
    pub(in crate::session) fn token(&self) -> Option<&Token> {
        match &self.verdict {
            Verdict::Proven(token) => Some(token),
            Verdict::Refused(_) => None,
        }
    }
}

/// Checks the offers of an Auth or Register.
pub(in crate::session) fn check_offers(
    offers: &[wire::Offer],
    known: &KnownServices,
    binding: &Binding,
) -> Result<Vec<Checked>, Violation> {
    if offers.is_empty() {
        return Err(Violation::NoServices);
    }
    if offers.len() > MAX_SERVICES {
        return Err(Violation::TooManyServices);
    }
    let mut names = BTreeSet::new();
    if !offers.iter().all(|offer| names.insert(&offer.name)) {
        return Err(Violation::DuplicateService);
    }
    // An unknown service costs the same computation as a wrong token, so that time does not tell them apart.
    let nobody = Token::new(Vec::new());
    offers
        .iter()
        .map(|offer| {
            let name = service_name(&offer.name)?;
            let asked = mux_version(offer.mux_version)?;
            let entry = known.get(&name);
            let token = entry.map_or(&nobody, |service| &service.token);
            let right = check(token, Prover::Client, binding, &name, &offer.proof);
            let verdict = match entry {
                None => Verdict::Refused(Refusal::UnknownService),
                Some(_) if !right => Verdict::Refused(Refusal::WrongToken),
                Some(_) if offer.kind != kind_to_wire(ServiceKind::Tcp) as i32 => Verdict::Refused(Refusal::Kind),
                Some(service) => Verdict::Proven(service.token.clone()),
            };
            let service = ProvenService {
                name,
                connection_pool: offer.connection_pool,
                mux_concurrency: concurrency(offer.mux_concurrency),
                mux_version: agreed(asked, entry),
            };
            Ok(Checked {
                service,
                asked,
                verdict,
            })
        })
        .collect()
}

/// Checks the services of a ticket against what the server knows now; `None` if the ticket does not hold any more.
pub(in crate::session) fn check_ticket(ticket: &wire::TicketState, known: &KnownServices) -> Option<Vec<Checked>> {
    let binding = Binding::try_from(&ticket.binding[..]).ok()?;
    ticket
        .services
        .iter()
        .map(|service| {
            let name = service_name(&service.name).ok()?;
            let asked = mux_version(service.mux_version).ok()?;
            let entry = known.get(&name)?;
            check_ticket_tag(&entry.token, &binding, &name, &service.token_tag).then(|| Checked {
                service: ProvenService {
                    name,
                    connection_pool: service.connection_pool,
                    mux_concurrency: concurrency(service.mux_concurrency),
                    mux_version: agreed(asked, Some(entry)),
                },
                asked,
                verdict: Verdict::Proven(entry.token.clone()),
            })
        })
        .collect()
}

/// The answers to offers, in their order. `grants` has one for each proven offer. Why an offer was refused is only
/// said to a client that has proven a service (`spec/session.md`, Security); `binding` is `None` in a resumption.
pub(in crate::session) fn results(
    offers: &[Checked],
    grants: &[Grant],
    binding: Option<&Binding>,
    trusted: bool,
) -> Vec<wire::Result> {
    let mut grants = grants.iter();
    offers
        .iter()
        .map(|offer| match &offer.verdict {
            Verdict::Proven(token) => {
                let grant = grants.next().copied().unwrap_or(Grant::Limit);
                result(offer, token, grant, binding)
            }
            Verdict::Refused(refusal) => wire::Result {
                name: offer.service.name.to_string(),
                detail: refusal_to_wire(if trusted { *refusal } else { Refusal::Unsaid }).into(),
                ..wire::Result::default()
            },
        })
        .collect()
}

/// The answer to a proven offer.
pub(in crate::session) fn result(
    offer: &Checked,
    token: &Token,
    grant: Grant,
    binding: Option<&Binding>,
) -> wire::Result {
    let name = &offer.service.name;
    let proof = binding.map(|binding| prove(token, Prover::Server, binding, name).to_vec());
    wire::Result {
        name: name.to_string(),
        outcome: grant_to_wire(grant).into(),
        proof: proof.unwrap_or_default(),
        mux_version: mux_number(offer.service.mux_version),
        ..wire::Result::default()
    }
}

fn agreed(asked: MuxVersion, known: Option<&KnownService>) -> MuxVersion {
    known.map_or(asked, |service| asked.min(service.mux_version))
}

/// More than fits is as good as no wish.
fn concurrency(wish: u32) -> u16 {
    u16::try_from(wish).unwrap_or(0)
}
