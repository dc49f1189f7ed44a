//! What a session is told.

use super::serving::Offer;
use super::{MAX_PENDING_VOUCHERS, Session};
use crate::driver::{Driver, now};
use kameo::prelude::*;
use kariz_proto::control::{Epoch, ServiceId, SessionId, Voucher};
use kariz_proto::model::ServiceName;
use kariz_proto::session::{Grant, ProvenService, ServerEstablished, ServerSession};
use std::net::SocketAddr;

/// A (new) control carrier.
pub(crate) struct Attach {
    pub(crate) driver: Box<Driver<ServerSession>>,
    pub(crate) established: ServerEstablished,
    pub(crate) proven: Vec<ProvenService>,
    /// Those of `proven` that the session owns now.
    pub(crate) granted: Vec<ProvenService>,
    pub(crate) peer: SocketAddr,
}

/// A worker needs carriers.
pub(crate) struct Want {
    pub(crate) session: SessionId,
    pub(crate) epoch: Epoch,
    pub(crate) service: ServiceId,
    pub(crate) vouchers: Vec<Voucher>,
}

/// What became of a [`Claim`].
pub(crate) struct ClaimAnswer {
    pub(crate) epoch: Epoch,
    pub(crate) request: u64,
    pub(crate) proven: Vec<ProvenService>,
    pub(crate) granted: Vec<Grant>,
}

/// What the registry has decided about a session's services; everything of one occasion in one message.
#[derive(Default)]
pub(crate) struct Notice {
    /// The session owns these services now.
    pub(crate) granted: Vec<ServiceName>,
    /// Others own these services for good.
    pub(crate) not_granted: Vec<ServiceName>,
    /// Others have taken these services.
    pub(crate) revoked: Vec<ServiceName>,
    /// Somebody wants a service of the session: is its client alive?
    pub(crate) ping: bool,
    /// A loser may have spoken to the workers last: tell them again who serves.
    pub(crate) again: bool,
}

/// The specification has changed.
pub(crate) struct Reload;

impl Message<Attach> for Session {
    type Reply = ();

    async fn handle(&mut self, attach: Attach, _: &mut Context<Self, ()>) {
        self.attach(attach).await;
    }
}

impl Message<Want> for Session {
    type Reply = ();

    async fn handle(&mut self, want: Want, _: &mut Context<Self, ()>) {
        let current = self.carrier.as_ref().is_some_and(|carrier| carrier.epoch == want.epoch);
        if !current || self.waiting_vouchers + want.vouchers.len() > MAX_PENDING_VOUCHERS {
            return;
        }
        self.waiting_vouchers += want.vouchers.len();
        self.wants.entry(want.service).or_default().extend(want.vouchers);
    }
}

impl Message<ClaimAnswer> for Session {
    type Reply = ();

    async fn handle(&mut self, answer: ClaimAnswer, _: &mut Context<Self, ()>) {
        let Some(carrier) = self.carrier.as_mut().filter(|carrier| carrier.epoch == answer.epoch) else {
            return;
        };
        if let Err(error) = carrier
            .driver
            .machine
            .answer_register(now(), answer.request, &answer.granted)
        {
            tracing::debug!(session_id = %self.id, reason = %error, "a registration could not be answered");
        }
        let mut granted = Vec::new();
        for (proven, grant) in answer.proven.into_iter().zip(answer.granted) {
            let told = grant == Grant::Ok;
            if told {
                granted.push(proven.name.clone());
            }
            self.offers.insert(proven.name.clone(), Offer::new(proven, told));
        }
        self.serve(granted).await;
    }
}

impl Message<Notice> for Session {
    type Reply = ();

    async fn handle(&mut self, notice: Notice, _: &mut Context<Self, ()>) {
        if notice.ping {
            self.ping();
        }
        let mut lost = notice.revoked;
        // A service that the client was told it has, before somebody else turned out to be alive after all.
        lost.extend(notice.not_granted.into_iter().filter(|name| self.was_told(name)));
        if !lost.is_empty() {
            self.lose(lost).await;
        }
        if !notice.granted.is_empty() {
            self.serve(notice.granted).await;
        } else if notice.again {
            self.say().await;
        }
    }
}

impl Message<Reload> for Session {
    type Reply = ();

    async fn handle(&mut self, Reload: Reload, _: &mut Context<Self, ()>) {
        self.reload().await;
    }
}
