//! A data plane under test, with what it tells.

use crate::peers::PATIENCE;
use kariz_dataplane::{ControlArrival, DataPlane, Sink};
use kariz_proto::control::{BudgetSet, Command, CommandError, Counter, Event, PublicService, RelayRemote, ServiceId};
use kariz_proto::model::{HostPort, IoDriver, ListenAddr, PortRange, RuntimeSpec, SocketOptions, Strategy};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Runs a test on each driver that this machine has; epoll is always one.
pub(crate) fn on_each_driver(test: impl Fn(IoDriver)) {
    for io in [IoDriver::Uring, IoDriver::Epoll] {
        match DataPlane::start(&runtime(io, 1), Arc::new(Deaf)) {
            Ok(probe) => {
                probe.stop();
                test(io);
            }
            Err(error) => assert!(
                io == IoDriver::Uring && error.kind() == ErrorKind::Unsupported,
                "{io:?}: {error}"
            ),
        }
    }
}

fn runtime(io: IoDriver, workers: u16) -> RuntimeSpec {
    RuntimeSpec {
        workers: Some(workers),
        pin: false,
        io,
        ..RuntimeSpec::default()
    }
}

struct Deaf;

impl Sink for Deaf {
    fn event(&self, event: Event) -> Result<(), Event> {
        Err(event)
    }

    fn control(&self, arrival: ControlArrival) -> Result<(), ControlArrival> {
        Err(arrival)
    }
}

struct Ear(Mutex<Sender<Event>>);

impl Sink for Ear {
    fn event(&self, event: Event) -> Result<(), Event> {
        self.0.lock().unwrap().send(event).map_err(|refused| refused.0)
    }

    fn control(&self, arrival: ControlArrival) -> Result<(), ControlArrival> {
        Err(arrival)
    }
}

pub(crate) struct Plane {
    pub(crate) plane: DataPlane,
    events: Mutex<Receiver<Event>>,
}

impl Plane {
    pub(crate) fn start(io: IoDriver, workers: u16) -> Self {
        let (tell, events) = channel();
        let plane = DataPlane::start(&runtime(io, workers), Arc::new(Ear(Mutex::new(tell)))).unwrap();
        Self {
            plane,
            events: Mutex::new(events),
        }
    }

    /// Gives a command and waits until every worker has it.
    pub(crate) fn order(&self, command: Command) -> Result<(), CommandError> {
        let (tell, done) = channel();
        self.plane.submit(command, move |result| tell.send(result).unwrap());
        done.recv_timeout(PATIENCE).expect("a command is carried out")
    }

    /// Opens a relay to ports of this machine; returns its port.
    pub(crate) fn relay(&self, remotes: &[u16]) -> u16 {
        let port = crate::peers::free_port();
        let spec = public(1, port);
        self.order(Command::OpenRelay(spec, remotes_at(remotes, Strategy::Failover)))
            .unwrap();
        port
    }

    /// Waits for an event that `choose` takes.
    pub(crate) fn wait_for<T>(&self, mut choose: impl FnMut(Event) -> Option<T>) -> T {
        let events = self.events.lock().unwrap();
        loop {
            let event = events.recv_timeout(PATIENCE).expect("an event");
            if let Some(chosen) = choose(event) {
                return chosen;
            }
        }
    }

    /// The events that are there already.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().try_iter().collect()
    }

    pub(crate) fn total(&self, counter: Counter) -> u64 {
        self.plane.total(counter)
    }
}

/// A public service on one port of loopback.
pub(crate) fn public(id: u32, port: u16) -> Arc<PublicService> {
    Arc::new(PublicService {
        service: ServiceId(id),
        name: "web".into(),
        listen: listen(port),
        socket: SocketOptions::default(),
        priority: 1,
        proxy_protocol: None,
        max_visitors: None,
        budgets: BudgetSet::default(),
    })
}

pub(crate) fn listen(port: u16) -> ListenAddr {
    ListenAddr {
        ip: Some(LOOPBACK),
        ports: PortRange::single(port),
    }
}

pub(crate) fn remotes_at(ports: &[u16], strategy: Strategy) -> Arc<RelayRemote> {
    let remote = |port: &u16| {
        let name = HostPort {
            host: LOOPBACK.to_string(),
            ports: PortRange::single(*port),
        };
        (name, vec![LOOPBACK])
    };
    Arc::new(RelayRemote {
        remotes: ports.iter().map(remote).collect(),
        strategy,
        dial_timeout: Duration::from_secs(2),
    })
}
