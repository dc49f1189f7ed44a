//! The client's side of the tunnel.

mod dial;
mod link;
mod offers;
mod slot;
pub(crate) mod targets;

pub(crate) use targets::Targets;

use crate::driver::{now, random};
use crate::shared::Shared;
use kameo::prelude::*;
use kariz_proto::control::{InstanceId, LinkId};
use kariz_proto::model::{ClientSpec, Strategy};
use kariz_proto::session::{Backoff, ResumptionTicket};
use link::{Link, LinkArgs, Reload, Retire};
use slot::{Running, Slot};
use std::collections::HashMap;
use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// While a server is used that is not the first of the list, those before it are tried again this often.
pub(crate) const RECOVERY_INTERVAL: Duration = Duration::from_secs(10);

/// Keeps a link to every server that the strategy asks for. Never gives up, and never waits for a link: one that does
/// not keep up with what it is told is killed and replaced.
pub(crate) struct Client {
    shared: Arc<Shared>,
    me: ActorRef<Self>,
    slots: Vec<Slot>,
    servers: Vec<Server>,
    /// Links that were told to go, or whose server goes away, until they are gone.
    leaving: HashMap<ActorId, ActorRef<Link>>,
    turn: Arc<AtomicUsize>,
    drain: watch::Receiver<Option<Instant>>,
}

/// What is kept of a server between links.
struct Server {
    link: LinkId,
    instance: InstanceId,
    ticket: Option<ResumptionTicket>,
}

/// Starts the links, or tells them what has changed.
pub(crate) struct Apply;

/// A link's session is up.
pub(crate) struct Up(ActorId);

/// A link's server goes away; the link lives on for its visitors.
pub(crate) struct Leaving(ActorId);

/// A link has ended.
pub(crate) struct Ended {
    link: ActorId,
    was_up: bool,
    going_away: bool,
}

/// A ticket for the next connection to a link's server.
pub(crate) struct NewTicket {
    link: LinkId,
    ticket: ResumptionTicket,
}

impl Actor for Client {
    type Args = Arc<Shared>;
    type Error = Infallible;

    async fn on_start(shared: Arc<Shared>, me: ActorRef<Self>) -> Result<Self, Infallible> {
        let mut client = Self {
            drain: shared.drain(),
            shared,
            me,
            slots: Vec::new(),
            servers: Vec::new(),
            leaving: HashMap::new(),
            turn: Arc::default(),
        };
        if client.shared.has_services(crate::shared::Role::Client) {
            client.apply();
        }
        Ok(client)
    }

    async fn next(
        &mut self,
        _: WeakActorRef<Self>,
        mailbox: &mut MailboxReceiver<Self>,
    ) -> Result<Option<mailbox::Signal<Self>>, Infallible> {
        loop {
            let due = self.slots.iter().filter_map(|slot| slot.due).min();
            let draining = self.drain.borrow().is_some();
            tokio::select! {
                signal = mailbox.recv() => return Ok(signal),
                Ok(()) = self.drain.changed() => {}
                () = sleep_until(due.unwrap_or_else(now).into()), if due.is_some() && !draining => self.act().await,
            }
        }
    }

    /// A link that ends without a word has panicked or was told to go.
    async fn on_link_died(
        &mut self,
        _: WeakActorRef<Self>,
        actor: ActorId,
        _: ActorStopReason,
    ) -> Result<ControlFlow<ActorStopReason>, Infallible> {
        self.leaving.remove(&actor);
        let links = self
            .slots
            .iter()
            .flat_map(|slot| [&slot.current, &slot.candidate])
            .flatten();
        let ended = links.into_iter().find(|running| running.actor.id() == actor);
        if let Some(was_up) = ended.map(|running| running.up) {
            self.ended(Ended {
                link: actor,
                was_up,
                going_away: false,
            });
        }
        Ok(ControlFlow::Continue(()))
    }

    async fn on_stop(&mut self, _: WeakActorRef<Self>, _: ActorStopReason) -> Result<(), Infallible> {
        for running in self
            .slots
            .iter()
            .flat_map(|slot| [&slot.current, &slot.candidate])
            .flatten()
        {
            running.actor.kill();
        }
        self.leaving.values().for_each(ActorRef::kill);
        Ok(())
    }
}

impl Client {
    fn apply(&mut self) {
        let spec = self.shared.spec();
        let Some(client) = &spec.client else { return };
        if self.slots.is_empty() {
            self.begin(client);
            return;
        }
        for running in self
            .slots
            .iter()
            .flat_map(|slot| [&slot.current, &slot.candidate])
            .flatten()
        {
            if running.actor.tell(Reload).try_send().is_err() {
                running.actor.kill();
            }
        }
    }

    fn begin(&mut self, client: &ClientSpec) {
        let own = instance();
        for index in 0..client.remotes.len() {
            // Two addresses may lead to the same server. Where both are in use at once they must not look like one
            // client that comes back, or each would take over from the other for ever.
            let instance = match client.strategy {
                Strategy::Failover => own,
                Strategy::Balance if index == 0 => own,
                Strategy::Balance => instance(),
            };
            self.servers.push(Server {
                link: self.shared.ids.link(),
                instance,
                ticket: None,
            });
        }
        let all: Vec<usize> = (0..client.remotes.len()).collect();
        let lists = match client.strategy {
            Strategy::Failover => vec![all],
            Strategy::Balance => all.into_iter().map(|index| vec![index]).collect(),
        };
        let backoff = Backoff::new(client.retry_interval, client.retry_max);
        self.slots = lists
            .into_iter()
            .map(|servers| Slot::new(servers, backoff.clone(), now()))
            .collect();
    }

    /// Starts the links that are due.
    async fn act(&mut self) {
        for index in 0..self.slots.len() {
            let slot = &mut self.slots[index];
            if slot.due.is_none_or(|due| due > now()) {
                continue;
            }
            slot.due = None;
            if slot.current.is_none() {
                let position = slot.position();
                let running = self.start(index, position).await;
                self.slots[index].current = running;
            } else if slot.candidate.is_none() && slot.position() > 0 {
                // Better servers are tried in turn of preference; the first that has a session is used.
                let running = self.start(index, 0).await;
                self.slots[index].candidate = running;
            }
        }
    }

    async fn start(&mut self, slot: usize, position: usize) -> Option<Running> {
        let spec = self.shared.spec();
        let client = Arc::new(spec.client.clone()?);
        let index = self.slots[slot].server(position);
        let remote = client.remotes.get(index)?.clone();
        let server = &mut self.servers[index];
        let args = LinkArgs {
            shared: self.shared.clone(),
            client: self.me.clone(),
            link: server.link,
            instance: server.instance,
            ticket: server.ticket.take(),
            server: remote.to_string(),
            reach: Box::pin(dial::reach(
                self.shared.clone(),
                client.clone(),
                remote,
                self.turn.clone(),
            )),
            spec: client,
        };
        let actor = Link::spawn_link(&self.me, args).await;
        Some(Running {
            position,
            actor,
            up: false,
        })
    }

    fn up(&mut self, link: ActorId) {
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.has(link)) else {
            return;
        };
        if let Some(better) = slot.candidate.take_if(|running| running.actor.id() == link)
            && let Some(old) = slot.current.replace(better)
        {
            tracing::info!(
                reason = "a server earlier in the list is back",
                "another server is used"
            );
            if old.actor.tell(Retire).try_send().is_err() {
                old.actor.kill();
            }
            self.leaving.insert(old.actor.id(), old.actor);
        }
        if let Some(current) = &mut slot.current {
            current.up = true;
            let position = current.position;
            slot.settle(position);
            slot.backoff.succeeded(now());
            slot.due = (position > 0).then(|| now() + RECOVERY_INTERVAL);
        }
    }

    fn ended(
        &mut self,
        Ended {
            link,
            was_up,
            going_away,
        }: Ended,
    ) {
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.has(link)) else {
            return;
        };
        if slot.candidate.take_if(|running| running.actor.id() == link).is_some() {
            slot.due = Some(now() + RECOVERY_INTERVAL);
            return;
        }
        slot.current = None;
        match was_up && !going_away {
            true => slot.rewind(),
            false => slot.advance(),
        }
        slot.due = Some(now() + slot.backoff.failed(now(), &mut random));
    }

    /// The next server at once; the old link goes when its visitors have.
    fn server_leaves(&mut self, link: ActorId) {
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.has(link)) else {
            return;
        };
        if let Some(running) = slot.candidate.take_if(|running| running.actor.id() == link) {
            self.leaving.insert(link, running.actor);
            slot.due = Some(now() + RECOVERY_INTERVAL);
        } else if let Some(running) = slot.current.take() {
            self.leaving.insert(link, running.actor);
            slot.advance();
            slot.due = Some(now());
        }
    }
}

impl Slot {
    fn has(&self, link: ActorId) -> bool {
        [&self.current, &self.candidate]
            .into_iter()
            .flatten()
            .any(|running| running.actor.id() == link)
    }
}

fn instance() -> InstanceId {
    let mut id = [0; 16];
    random(&mut id);
    InstanceId(id)
}

impl Message<Apply> for Client {
    type Reply = ();

    async fn handle(&mut self, Apply: Apply, _: &mut Context<Self, ()>) {
        self.apply();
    }
}

impl Message<Up> for Client {
    type Reply = ();

    async fn handle(&mut self, Up(link): Up, _: &mut Context<Self, ()>) {
        self.up(link);
    }
}

impl Message<Leaving> for Client {
    type Reply = ();

    async fn handle(&mut self, Leaving(link): Leaving, _: &mut Context<Self, ()>) {
        self.server_leaves(link);
    }
}

impl Message<Ended> for Client {
    type Reply = ();

    async fn handle(&mut self, ended: Ended, _: &mut Context<Self, ()>) {
        self.ended(ended);
    }
}

impl Message<NewTicket> for Client {
    type Reply = ();

    async fn handle(&mut self, NewTicket { link, ticket }: NewTicket, _: &mut Context<Self, ()>) {
        if let Some(server) = self.servers.iter_mut().find(|server| server.link == link) {
            server.ticket = Some(ticket);
        }
    }
}
