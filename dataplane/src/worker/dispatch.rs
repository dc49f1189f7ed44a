//! What a worker does with its mail.

use super::{Mail, Worker, spawn};
use crate::net::Sock;
use crate::server;
use kariz_proto::control::Counter;
use monoio::time::sleep;
use std::rc::Rc;
use std::time::Instant;

pub(super) fn dispatch(worker: &Rc<Worker>, mail: Mail) {
    match mail {
        Mail::ListenCarriers(fd, control_timeout) => match Sock::new(fd, &worker.sockets) {
            Ok(listener) => spawn(worker, server::listen(worker.clone(), listener, control_timeout)),
            Err(error) => tracing::error!(%error, "cannot watch a carrier listener"),
        },
        Mail::OpenService {
            spec,
            kind,
            shared,
            listeners,
        } => {
            worker.services.open(worker, spec, kind, shared, listeners);
        }
        Mail::CloseService(service) => {
            worker.server.service_closed(worker, service);
            worker.services.close(service);
        }
        Mail::SessionUp(spec, shared) => worker.server.session_up(worker, &spec, &shared),
        Mail::SessionLost(session, epoch) => worker.server.session_lost(session, epoch),
        Mail::SessionDown(session) => worker.server.session_down(worker, session),
        Mail::LinkUp(spec, carriers) => worker.client.link_up(spec, carriers),
        Mail::Dial {
            link,
            service,
            vouchers,
        } => worker.client.dial(worker, link, service, vouchers),
        Mail::LinkDown(link) => worker.client.link_down(link),
        Mail::Target(spec) => worker.client.set_target(spec),
        Mail::TargetGone(service) => worker.client.drop_target(service),
        Mail::OpenBudget(budget, lease) => worker.budgets.open(budget, lease),
        Mail::CloseBudget(budget) => worker.budgets.close(budget),
        Mail::Drain(deadline) => drain(worker, deadline),
        Mail::Visitor(visitor) => server::visitor_arrived(worker, visitor),
        Mail::Carrier(arrival) => {
            worker.count(Counter::HandedOver);
            server::carrier_arrived(worker, *arrival);
        }
        Mail::Stop => {}
        #[cfg(feature = "fault-injection")]
        Mail::Die => panic!("told to die"),
        #[cfg(feature = "fault-injection")]
        Mail::Panic(point) => worker.panics.set(Some(point)),
    }
}

/// Stops accepting and asking; what is left at the deadline is reset.
fn drain(worker: &Rc<Worker>, deadline: Instant) {
    worker.draining.set(true);
    // Those who wait are turned away in the name of their services: those go afterwards.
    worker.server.drain(worker);
    worker.services.close_all();
    worker.server.handshakes.close();
    worker.client.drain();
    let held = worker.clone();
    spawn(worker, async move {
        sleep(deadline.saturating_duration_since(Instant::now())).await;
        let cut = held.sockets.abort_all();
        if cut > 0 {
            tracing::warn!(
                worker = held.index.0,
                connections = cut,
                "drain deadline: reset what was left"
            );
        }
    });
}
