//! A data plane that writes down what it is told.

use crate::net::Net;
use kariz_actors::ControlPlane;
use kariz_actors::dataplane::{Arrival, BoxFuture, ControlDial, ControlStream, DataPlane, Demand};
use kariz_proto::control::{
    BudgetId, Command, CommandError, Event, LinkSpec, PublicService, SessionSpec, WorkerIndex, WorkerSnapshot,
};
use kariz_proto::model::Spec;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::timeout;

type Check = Box<dyn Fn(&Command) -> bool + Send + Sync>;

pub(crate) struct Fake {
    net: Arc<Net>,
    /// Source address of this process.
    address: SocketAddr,
    commands: Mutex<Vec<Command>>,
    changed: watch::Sender<usize>,
    /// An address that somebody else has.
    pub(crate) occupied: Mutex<Option<u16>>,
    /// The next command that this fits panics.
    pub(crate) panic_on: Mutex<Option<Check>>,
    /// The next command that this fits is carried out when it is let go.
    pub(crate) stall_on: Mutex<Option<Check>>,
    pub(crate) let_go: Notify,
    pub(crate) grants: Mutex<Vec<(BudgetId, WorkerIndex, u64)>>,
    /// Whether workers use up and ask for more.
    pub(crate) greedy: Mutex<Vec<bool>>,
    have: Mutex<Vec<(BudgetId, WorkerIndex, u64)>>,
}

/// A process: control plane and data plane.
pub(crate) struct Process {
    pub(crate) plane: ControlPlane,
    pub(crate) fake: Arc<Fake>,
    pub(crate) arrivals: mpsc::Sender<Arrival>,
}

impl Process {
    pub(crate) async fn start(net: &Arc<Net>, address: &str, spec: Spec) -> Self {
        let (fake, arrivals, receiver) = Fake::new(net, address);
        let listen = spec.server.as_ref().map(|_| fake.address);
        let plane = ControlPlane::start(spec, fake.clone(), receiver).await.expect("starts");
        if let Some(listen) = listen {
            net.listen(listen, arrivals.clone());
        }
        Self { plane, fake, arrivals }
    }

    pub(crate) async fn event(&self, event: Event) {
        self.arrivals
            .send(Arrival::Event(event))
            .await
            .expect("the control plane listens");
    }
}

impl Fake {
    pub(crate) fn new(net: &Arc<Net>, address: &str) -> (Arc<Self>, mpsc::Sender<Arrival>, mpsc::Receiver<Arrival>) {
        let fake = Self {
            net: net.clone(),
            address: address.parse().unwrap(),
            commands: Mutex::default(),
            changed: watch::Sender::new(0),
            occupied: Mutex::default(),
            panic_on: Mutex::default(),
            stall_on: Mutex::default(),
            let_go: Notify::new(),
            grants: Mutex::default(),
            greedy: Mutex::new(vec![false; 2]),
            have: Mutex::default(),
        };
        let (sender, receiver) = mpsc::channel(256);
        (Arc::new(fake), sender, receiver)
    }

    pub(crate) fn commands(&self) -> Vec<Command> {
        self.commands.lock().unwrap().clone()
    }

    /// How many commands were said so far: a mark for [`Fake::since`].
    pub(crate) fn mark(&self) -> usize {
        self.commands.lock().unwrap().len()
    }

    /// What was said after a mark.
    pub(crate) fn since(&self, mark: usize) -> Vec<Command> {
        self.commands.lock().unwrap()[mark..].to_vec()
    }

    /// The first command after a mark for which `pick` has an answer; waits for it for up to a minute.
    pub(crate) async fn wait<T>(&self, mark: usize, pick: impl Fn(&Command) -> Option<T>) -> T {
        let mut changed = self.changed.subscribe();
        let found = timeout(Duration::from_secs(60), async {
            loop {
                if let Some(found) = self.since(mark).iter().find_map(&pick) {
                    return found;
                }
                changed.changed().await.unwrap();
            }
        });
        found
            .await
            .unwrap_or_else(|_| panic!("not said within a minute; said: {:#?}", self.since(mark)))
    }

    pub(crate) async fn session_up(&self, mark: usize) -> Arc<SessionSpec> {
        self.wait(mark, |command| match command {
            Command::SessionUp(spec) => Some(spec.clone()),
            _ => None,
        })
        .await
    }

    pub(crate) async fn link_up(&self, mark: usize) -> Arc<LinkSpec> {
        self.wait(mark, |command| match command {
            Command::LinkUp(spec) => Some(spec.clone()),
            _ => None,
        })
        .await
    }

    pub(crate) async fn open_service(&self, mark: usize, name: &str) -> Arc<PublicService> {
        self.wait(mark, |command| match command {
            Command::OpenService(service) if &*service.name == name => Some(service.clone()),
            _ => None,
        })
        .await
    }
}

impl DataPlane for Fake {
    fn submit(&self, command: Command) -> BoxFuture<'_, Result<(), CommandError>> {
        let panics = self.panic_on.lock().unwrap().take_if(|check| check(&command)).is_some();
        assert!(!panics, "told to panic");
        let stalls = self.stall_on.lock().unwrap().take_if(|check| check(&command)).is_some();
        let listen = match &command {
            Command::OpenService(service) => Some(service.listen),
            Command::OpenRelay(service, _) => Some(service.listen),
            Command::ProbeListen { listen } | Command::ListenCarriers { listen, .. } => Some(*listen),
            _ => None,
        };
        let occupied = *self.occupied.lock().unwrap();
        let outcome = match listen {
            Some(listen) if Some(listen.ports.first()) == occupied => Err(CommandError::Listen {
                listen,
                error: io::ErrorKind::AddrInUse.into(),
            }),
            _ => Ok(()),
        };
        self.commands.lock().unwrap().push(command);
        self.changed.send_modify(|count| *count += 1);
        Box::pin(async move {
            if stalls {
                self.let_go.notified().await;
            }
            outcome
        })
    }

    fn dial_control(&self, dial: ControlDial) -> BoxFuture<'_, io::Result<Box<dyn ControlStream>>> {
        Box::pin(async move { self.net.connect(self.address, dial.remote).await })
    }

    fn workers(&self) -> u16 {
        2
    }

    fn snapshots(&self) -> Vec<WorkerSnapshot> {
        Vec::new()
    }

    fn grant(&self, budget: BudgetId, worker: WorkerIndex, tokens: u64) {
        self.grants.lock().unwrap().push((budget, worker, tokens));
        self.have.lock().unwrap().push((budget, worker, tokens));
    }

    fn demand(&self, budget: BudgetId) -> Vec<Demand> {
        let greedy = self.greedy.lock().unwrap().clone();
        let mut have = self.have.lock().unwrap();
        let demand = |(worker, greedy): (usize, &bool)| {
            let worker = WorkerIndex(worker as u16);
            let mine = have.extract_if(.., |(of, at, _)| *of == budget && *at == worker && *greedy);
            Demand {
                worker,
                used: mine.map(|(_, _, tokens)| tokens).sum(),
                waiting: *greedy,
            }
        };
        greedy.iter().enumerate().map(demand).collect()
    }
}
