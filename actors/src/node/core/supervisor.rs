//! The actor that owns the core.
//!
//! At most one core lives at a time: a new one is forked only when the old one has been waited for, since its ports are
//! taken until then. Nobody waits inside the actor; who asked for a start is answered when its outcome is known.

use super::life::{End, Life};
use super::{Fingerprint, Outcome, OutcomeSender, Owner, Prepared};
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

/// What those hear who waited for a core that is not theirs any more.
const TAKEN_OVER: &str = "The core was taken over by another panel";

/// Most requests that wait for the outcome of one start; what comes on top is answered like one that came too late.
const MAX_WAITING: usize = 64;

/// Starts, stops and replaces the core.
pub(crate) struct Supervisor {
    state: Arc<State>,
    current: Option<Current>,
    /// What to start when the current core has ended.
    next: Option<Start>,
    /// The node ends: whom to tell when there is no core any more.
    quitting: Option<Vec<oneshot::Sender<()>>>,
}

/// The core that lives, or is about to end.
struct Current {
    owner: Owner,
    life: Life,
    /// Who waits for it to become ready, and until when.
    waiting: Vec<OutcomeSender>,
    deadline: Instant,
    /// It was started by a restart.
    by_restart: bool,
    /// It was told to end.
    stopping: bool,
    /// What it runs, if it may change hands.
    fingerprint: Option<Fingerprint>,
    /// The panel that started it is not in control any more. Until then the next one may start it as it is.
    offered_until: Option<Instant>,
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
}

/// Starts the core. Answered through `outcome`, within [`READY_TIMEOUT`] and the time that an old core takes to end. Another
/// owner's core is replaced, whatever the mode.
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
    /// How long the core has to end before it is killed.
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
                event = Self::event(&mut self.current) => match event {
                    Event::Ready => self.ready(),
                    Event::Ended(end) => self.ended(end),
                    Event::NotWanted => self.stop_all(STOP_GRACE),
                },
            }
        }
    }
}

/// What happens to the core by itself.
enum Event {
    /// It said so, or has lived long enough.
    Ready,
    Ended(End),
    /// Nobody took what was offered.
    NotWanted,
}

impl Supervisor {
    /// The next thing that happens to the core. Loses nothing when it is dropped.
    async fn event(current: &mut Option<Current>) -> Event {
        let Some(Current {
            life,
            waiting,
            deadline,
            offered_until,
            stopping,
            ..
        }) = current
        else {
            return std::future::pending().await;
        };
        let Life { task, ready, .. } = life;
        // One that was told to end is not ready any more, whatever it says: who waits hears how it ended.
        let someone_waits = !waiting.is_empty() && !*stopping;
        let offered_until = async {
            match offered_until {
                Some(instant) => tokio::time::sleep_until(*instant).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            ended = task => Event::Ended(ended.unwrap_or(End::Lost)),
            () = ready.notified(), if someone_waits => Event::Ready,
            () = tokio::time::sleep_until(*deadline), if someone_waits => Event::Ready,
            () = offered_until => Event::NotWanted,
        }
    }

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
        if let Some(Start { waiting, .. }) = self.next.take_if(|next| next.owner != owner) {
            answer(waiting, Outcome::Failed(TAKEN_OVER.into()));
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
                answer(current.waiting.drain(..), Outcome::Failed(TAKEN_OVER.into()));
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

    fn start(&mut self, start: Start) {
        let Start {
            owner,
            mode,
            config,
            waiting,
        } = start;
        let Prepared { json, fingerprint } = config;
        let json = match json {
            Ok(json) => json,
            Err(reason) => return self.failed(waiting, reason),
        };
        self.current = Some(Current {
            owner,
            life: Life::begin(self.state.clone(), json),
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
        match &mut self.current {
            Some(current) if current.owner != Owner::Marzban => {}
            Some(current) if current.may_change_hands() => {
                current.offered_until.get_or_insert(Instant::now() + OFFER_TIMEOUT);
                self.state.set_started(None);
            }
            _ => self.stop(Owner::Marzban, STOP_GRACE),
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

impl Current {
    /// Whether somebody waits for the outcome of a restart: another one changes nothing until then.
    fn is_restarting(&self) -> bool {
        self.by_restart && !self.waiting.is_empty()
    }

    /// Whether another panel may take it over: it is ready, and it is known what it runs.
    fn may_change_hands(&self) -> bool {
        !self.stopping && self.waiting.is_empty() && self.fingerprint.is_some()
    }

    fn runs(&self, config: &Prepared) -> bool {
        self.fingerprint.is_some() && self.fingerprint == config.fingerprint
    }

    fn join(&mut self, more: Vec<OutcomeSender>) {
        if self.waiting.len() < MAX_WAITING {
            self.waiting.extend(more);
        } else {
            answer(more, Outcome::AlreadyStarted);
        }
    }

    fn stop(&mut self, grace: Duration) {
        self.stopping = true;
        self.offered_until = None;
        self.life.stop(grace);
    }
}

fn answer(waiting: impl IntoIterator<Item = OutcomeSender>, outcome: Outcome) {
    for sender in waiting {
        // Whoever asked may have gone.
        let _ = sender.send(outcome.clone());
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
        // An error says that there is no core to wait for.
        context.spawn(async { gone.await.unwrap_or(()) })
    }
}
