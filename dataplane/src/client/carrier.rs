//! One carrier of a client: dialled for a voucher, then idle until the server opens a visitor on it.

use super::link::Link;
use super::target::{Target, dial};
use crate::flow::{Opening, relay};
use crate::mux;
use crate::net::{Sock, connect};
use crate::tally::Share;
use crate::worker::{Gauge, PanicPoint, Worker, spawn};
use futures_util::future::{Either, select};
use kariz_proto::control::{Counter, ServiceId, Voucher};
use kariz_proto::model::Lane;
use kariz_proto::session::carrier::{CarrierHello, MAX_OPEN_BYTES, Open, OpenError, Ready};
use monoio::time::timeout;
use std::io;
use std::pin::pin;
use std::rc::Rc;

/// Brings one carrier to the server and serves on it until it ends.
pub(super) async fn run(worker: Rc<Worker>, link: Rc<Link>, service: ServiceId, voucher: Voucher) {
    let Some(share) = link.carrier(&worker) else { return };
    let sock = match timeout(link.spec.dial_timeout, bring(&worker, &link, &voucher)).await {
        Ok(Ok(sock)) => sock,
        Ok(Err(error)) => return tracing::debug!(remote = %link.spec.remote, %error, "carrier not brought"),
        Err(_) => return tracing::debug!(remote = %link.spec.remote, "carrier not brought in time"),
    };
    match link.spec.lane {
        Lane::Direct => direct(worker, link, service, voucher, sock, share).await,
        Lane::Mux => {
            let params = link
                .spec
                .services
                .iter()
                .find(|(id, _)| *id == service)
                .map(|(_, params)| *params);
            let Some(params) = params else { return };
            let carrier = mux::Carrier::dialled(&worker, sock, &params, link.spec.kariz_mux, service, Box::new(share));
            // Whichever ends first: a carrier that is over is not kept, with its socket, until the session is.
            select(pin!(link.closed()), pin!(carrier.closed())).await;
            carrier.retire();
        }
    }
}

/// Connects and says Hello, which is usable at once: no answer is waited for.
async fn bring(worker: &Rc<Worker>, link: &Link, voucher: &Voucher) -> io::Result<Sock> {
    let spec = &link.spec;
    let sock = connect(spec.remote, link.local(), &spec.socket, &worker.sockets).await?;
    sock.send_all(&CarrierHello::encode(
        &spec.carrier_key,
        spec.session,
        spec.epoch,
        voucher,
    ))
    .await?;
    worker.count(Counter::Carriers);
    Ok(sock)
}

async fn direct(worker: Rc<Worker>, link: Rc<Link>, service: ServiceId, voucher: Voucher, carrier: Sock, share: Share) {
    let idle = worker.gauge(Counter::CarriersIdle);
    let opened = match select(pin!(open(&worker, &link, &voucher, &carrier)), pin!(link.closed())).await {
        Either::Left((opened, _)) => opened,
        Either::Right(_) => return,
    };
    drop(idle);
    let Some((open, rest)) = opened else { return };
    let busy = (
        worker.gauge(Counter::CarriersBusy),
        worker.gauge(Counter::Targets),
        share,
    );
    let target = worker
        .client
        .target(service)
        .filter(|target| target.name == open.service);
    let dialled = match &target {
        Some(target) => dial(&worker, target, open.port_offset).await,
        None => Err(OpenError::Unreachable),
    };
    let answer = Ready {
        stream_id: open.stream_id,
        result: dialled.as_ref().map(|_| ()).map_err(|error| *error),
    };
    let answer = answer.encode(Some((&link.spec.carrier_key, &voucher)));
    let said = carrier.send_all(&answer).await;
    let (Ok(sock), Some(target)) = (dialled, target) else {
        // The server resets the visitor on its own account; the carrier has said all that it had to say.
        let _ = said.and_then(|()| carrier.finish());
        return crate::flow::linger(&worker, carrier);
    };
    if said.is_err() || sock.send_all(&rest).await.is_err() {
        return;
    }
    worker.counters.add(Counter::BytesIn as usize, rest.len() as u64);
    worker.count(Counter::Opened);
    // The way here took far more memory than what is left: a task of its own lets go of it.
    spawn(&worker, cross(worker.clone(), carrier, sock, target, busy));
}

/// Moves the bytes of a visitor whose target is connected.
fn cross(
    worker: Rc<Worker>,
    carrier: Sock,
    sock: Sock,
    target: Target,
    busy: (Gauge, Gauge, Share),
) -> impl Future<Output = ()> {
    let limiter = worker.budgets.limiter(&[&target.budgets]);
    async move {
        worker.may_panic(PanicPoint::Visitor);
        if let Err(fault) = relay(&worker, &carrier, &sock, &limiter, Opening::default()).await {
            worker.count(Counter::Resets);
            tracing::debug!(service = %target.name, bytes = %sock.traffic(), reason = %fault, "visitor reset");
        }
        drop(busy);
    }
}

/// Waits for Open; returns it with the bytes of the visitor that came along. `None` if the carrier ended or said
/// something else: there is nobody to tell, and the server learns from the reset.
async fn open(worker: &Worker, link: &Link, voucher: &Voucher, carrier: &Sock) -> Option<(Open, Vec<u8>)> {
    let mut got = Vec::new();
    loop {
        carrier.readable().await.ok()?;
        let mut scratch = worker.scratch.borrow_mut();
        match carrier.recv(&mut scratch[..MAX_OPEN_BYTES]).ok()? {
            None => continue,
            Some(0) => return None,
            Some(bytes) => got.extend_from_slice(&scratch[..bytes]),
        }
        match Open::decode(&got, Some((&link.spec.carrier_key, voucher))) {
            Ok(None) => {}
            Ok(Some((open, consumed))) => {
                let rest = got.split_off(consumed);
                return Some((open, rest));
            }
            Err(error) => {
                tracing::warn!(remote = %link.spec.remote, reason = error.as_str(), "carrier refused: not from our server");
                return None;
            }
        }
    }
}
