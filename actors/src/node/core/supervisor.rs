//! The actor that owns the core.
//!
//! At most one core lives at a time: a new one is forked only when the old one has been waited for, since its ports are
//! taken until then. Nobody waits inside the actor; who asked for a start is answered when its outcome is known.

use super::current::{Current, Event, MAX_WAITING};
use super::life::{End, Life};
use super::{Outcome, OutcomeSender, Owner, Prepared, answer};
use crate::node::state::State;
use kameo::prelude::*;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// How long a start waits for the core's ready line, from its fork. A core that lives on without one counts as started:
/// at some log levels there is no such line (`spec/node-marzban.md`, 1.4).
pub(super) const READY_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a core has to end after SIGTERM. Then it is killed.
pub(super) const STOP_GRACE: Duration = Duration::from_millis(1_500);

/// How long a core that is offered to the next panel runs on. Then it is stopped: nobody wants it.
pub(super) const OFFER_TIMEOUT: Duration = Duration::from_secs(30);

/// Starts, stops and replaces the core.
pub(crate) struct Supervisor {
    state: Arc<State>,
    current: Option<Current>,
    /// What to start when the current core has ended.
    next: Option<Start>,
    /// The node ends: whom to tell when there is no core any more.
    quitting: Option<Vec<oneshot::Sender<()>>>,
}

/// A start that was asked for.
struct Start {
    owner: Owner,
    mode: Mode,
    config: Prepared,
    waiting: Vec<OutcomeSender>,
}

/// What a start does about a core that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It answers [`Outcome::AlreadyStarted`].
    Start,
    /// It replaces that core. If another restart is under way it changes nothing, and waits for that one's outcome.
    Restart,
    /// It replaces that core if it has the same owner. Another owner's is kept, as is one that another owner waits for:
    /// [`Outcome::TakenOver`].
    Resume,
}

/// Starts the core. Answered through `outcome`, within [`READY_TIMEOUT`] and the time that an old core takes to end. Another
/// owner's core is replaced, but for [`Mode::Resume`].
pub(crate) struct Launch {
    pub(crate) owner: Owner,
    pub(crate) mode: Mode,
    pub(crate) config: Prepared,
    pub(crate) outcome: OutcomeSender,
}

/// Keeps the core for the panel that has taken control: if it starts what runs already, the core goes on. Until then it
/// counts as not started, and [`OFFER_TIMEOUT`] later it is stopped. One that cannot change hands is stopped now.
pub(crate) struct Offer;

/// Tells the core to end if it is `owner`'s, and does not wait for it.
pub(crate) struct Stop {
    pub(crate) owner: Owner,
}

/// The node ends: stops the core, and answers when it is gone. Nothing is started any more.
pub(crate) struct Quit {
    /// How long the core has to end before it is killed. None at all ends the time that it has been given before, too.
    pub(crate) grace: Duration,
}

impl Actor for Supervisor {
    type Args = Arc<State>;
    type Error = Infallible;

    async fn on_start(state: Arc<State>, _: ActorRef<Self>) -> Result<Self, Infallible> {
        // If there was a predecessor, its core is being stopped: nobody holds its life any more.
        state.set_started(None);
        Ok(Self {
            state,
            current: None,
            next: None,
            quitting: None,
        })
    }

    async fn next(
        &mut self,
        _: WeakActorRef<Self>,
        mailbox: &mut MailboxReceiver<Self>,
    ) -> Result<Option<mailbox::Signal<Self>>, Infallible> {
        loop {
            tokio::select! {
                signal = mailbox.recv() => return Ok(signal),
                event = Current::event(&mut self.current) => match event {
                    Event::Ready => self.ready(),
                    Event::Ended(end) => self.ended(end),
                    Event::NotWanted => self.stop_all(STOP_GRACE),
                },
            }
        }
    }
}

impl Supervisor {
    fn launch(&mut self, launch: Launch) {
        let Launch {
            owner,
            mode,
            config,
            outcome,
        } = launch;
        if self.quitting.is_some() {
            return answer([outcome], Outcome::Failed("The node is shutting down".into()));
        }
        if mode == Mode::Resume && self.holder().is_some_and(|holder| holder != owner) {
            return answer([outcome], Outcome::TakenOver);
        }
        if let Some(Start { waiting, .. }) = self.next.take_if(|next| next.owner != owner) {
            answer(waiting, Outcome::TakenOver);
        }
        // A start or restart that waits for the old core's end: another one of its kind changes nothing.
        if let Some(next) = &mut self.next {
            if mode == Mode::Start || next.waiting.len() >= MAX_WAITING {
                return answer([outcome], Outcome::AlreadyStarted);
            }
            if next.mode == Mode::Start {
                // A restart takes the place of a start that has not begun, and those who wait for it hear of the restart.
                (next.mode, next.config) = (mode, config);
            }
            return next.waiting.push(outcome);
        }
        let start = Start {
            owner,
            mode,
            config,
            waiting: vec![outcome],
        };
        match &mut self.current {
            None => self.start(start),
            Some(current) if current.stopping => self.next = Some(start),
            Some(current) if current.owner != owner => {
                tracing::warn!("Xray core is taken over by a panel of another kind");
                answer(current.waiting.drain(..), Outcome::TakenOver);
                current.stop(STOP_GRACE);
                self.next = Some(start);
            }
            Some(current) if current.offered_until.is_some() => {
                if mode == Mode::Start && current.runs(&start.config) {
                    tracing::warn!("Xray core runs on: it was started with the same configuration");
                    current.offered_until = None;
                    self.state.set_started(Some(current.owner));
                    answer(start.waiting, Outcome::Running);
                } else {
                    current.stop(STOP_GRACE);
                    self.next = Some(start);
                }
            }
            Some(_) if mode == Mode::Start => answer(start.waiting, Outcome::AlreadyStarted),
            Some(current) if current.is_restarting() => current.join(start.waiting),
            Some(current) => {
                tracing::warn!("Restarting Xray core...");
                current.stop(STOP_GRACE);
                // Who still waits for the old core hears of the new one.
                let mut start = start;
                start.waiting.append(&mut current.waiting);
                self.next = Some(start);
            }
        }
    }

    /// Whose core it is going to be, as things stand.
    fn holder(&self) -> Option<Owner> {
        let running = self.current.as_ref().filter(|current| !current.stopping);
        let next = self.next.as_ref().map(|next| next.owner);
        next.or(running.map(|current| current.owner))
    }

    fn start(&mut self, start: Start) {
        let Start {
            owner,
            mode,
            config,
            waiting,
        } = start;
        let Prepared {
            json,
            fingerprint,
            sockets,
        } = config;
        let json = match json {
            Ok(json) => json,
            Err(reason) => return self.failed(waiting, reason),
        };
        self.current = Some(Current {
            owner,
            life: Life::begin(self.state.clone(), json, sockets),
            waiting,
            deadline: Instant::now() + READY_TIMEOUT,
            by_restart: mode == Mode::Restart,
            stopping: false,
            fingerprint,
            offered_until: None,
        });
        self.state.set_started(Some(owner));
    }

    fn ready(&mut self) {
        if let Some(current) = &mut self.current {
            answer(current.waiting.drain(..), Outcome::Running);
        }
    }

    fn ended(&mut self, end: End) {
        let Some(Current { waiting, stopping, .. }) = self.current.take() else {
            return;
        };
        self.state.set_started(None);
        if stopping {
            tracing::warn!("Xray core stopped");
        } else {
            tracing::error!("Xray core exited: {end}");
        }
        if !waiting.is_empty() {
            self.failed(waiting, end.detail());
        }
        if let Some(next) = self.next.take() {
            self.start(next);
        }
        if let Some(waiting) = &mut self.quitting {
            waiting.drain(..).for_each(|told| {
                // Whoever asked may have gone.
                let _ = told.send(());
            });
        }
    }

    fn failed(&self, waiting: Vec<OutcomeSender>, reason: String) {
        tracing::error!("Failed to start core: {reason}");
        answer(waiting, Outcome::Failed(reason));
    }

    fn offer(&mut self) {
        let theirs = self.current.as_mut().filter(|current| current.owner == Owner::Marzban);
        match theirs.filter(|current| current.may_change_hands()) {
            Some(current) => {
                current.offered_until.get_or_insert(Instant::now() + OFFER_TIMEOUT);
                self.state.set_started(None);
            }
            None => self.stop(Owner::Marzban, STOP_GRACE),
        }
    }

    /// Stops what is `owner`'s.
    fn stop(&mut self, owner: Owner, grace: Duration) {
        let theirs = self.next.as_ref().map(|next| next.owner);
        let running = self.current.as_ref().map(|current| current.owner);
        if theirs.or(running) == Some(owner) {
            self.stop_all(grace);
        }
    }

    fn stop_all(&mut self, grace: Duration) {
        if let Some(Start { waiting, .. }) = self.next.take() {
            answer(waiting, Outcome::Failed("The core was stopped".into()));
        }
        if let Some(current) = &mut self.current {
            current.stop(grace);
        }
        self.state.set_started(None);
    }
}

impl Message<Launch> for Supervisor {
    type Reply = ();

    async fn handle(&mut self, launch: Launch, _: &mut Context<Self, ()>) {
        self.launch(launch);
    }
}

impl Message<Offer> for Supervisor {
    type Reply = ();

    async fn handle(&mut self, Offer: Offer, _: &mut Context<Self, ()>) {
        self.offer();
    }
}

impl Message<Stop> for Supervisor {
    type Reply = ();

    async fn handle(&mut self, Stop { owner }: Stop, _: &mut Context<Self, ()>) {
        self.stop(owner, STOP_GRACE);
    }
}

impl Message<Quit> for Supervisor {
    type Reply = DelegatedReply<()>;

    async fn handle(&mut self, Quit { grace }: Quit, context: &mut Context<Self, Self::Reply>) -> Self::Reply {
        let (told, gone) = oneshot::channel();
        let waiting = self.quitting.get_or_insert_default();
        if self.current.is_some() {
            waiting.push(told);
        }
        self.stop_all(grace);
        if let Some(current) = self.current.as_ref().filter(|_| grace.is_zero()) {
            current.life.kill();
        }
        // An error says that there is no core to wait for.
        context.spawn(async { gone.await.unwrap_or(()) })
    }
}
