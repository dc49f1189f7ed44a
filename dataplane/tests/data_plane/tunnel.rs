//! A tunnel of two data planes, with a control plane that only carries Want from the one to the other.

use crate::peers::{eventually, free_port};
use crate::plane::{Plane, listen, on_each_driver, public};
use kariz_proto::control::{
    BudgetSet, CarrierKey, Command, Counter, Epoch, Event, LinkId, LinkSpec, ServedService, ServiceId, SessionId,
    SessionSpec, TargetSpec,
};
use kariz_proto::model::{IoDriver, Lane, MuxParams, MuxVersion, PortRange, SocketOptions};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

pub(crate) const SESSION: SessionId = SessionId(77);
const LINK: LinkId = LinkId(5);
const SERVICE: ServiceId = ServiceId(1);

/// How visitors cross, for tests that have to hold in every way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    pub(crate) lane: Lane,
    pub(crate) version: MuxVersion,
}

pub(crate) const WAYS: [Way; 3] = [
    Way {
        lane: Lane::Direct,
        version: MuxVersion::V2,
    },
    Way {
        lane: Lane::Mux,
        version: MuxVersion::V2,
    },
    Way {
        lane: Lane::Mux,
        version: MuxVersion::V1,
    },
];

/// Runs a test on a fresh tunnel for each way on each driver.
pub(crate) fn in_each_way(target: u16, test: impl Fn(&Tunnel, Way)) {
    on_each_driver(|io| {
        for way in WAYS {
            test(&Tunnel::start(io, way, target), way);
        }
    });
}

pub(crate) struct Tunnel {
    pub(crate) server: Arc<Plane>,
    pub(crate) client: Arc<Plane>,
    /// Where visitors arrive.
    pub(crate) port: u16,
    session: Arc<SessionSpec>,
    link: Arc<LinkSpec>,
}

impl Tunnel {
    /// A tunnel to a target on this machine.
    pub(crate) fn start(io: IoDriver, way: Way, target: u16) -> Self {
        Self::start_with_workers(io, way, target, 2)
    }

    pub(crate) fn start_with_workers(io: IoDriver, way: Way, target: u16, workers: u16) -> Self {
        let plane = || Arc::new(Plane::start(io, workers));
        let (server, client) = (plane(), plane());
        let (port, carriers) = (free_port(), free_port());
        let mux = MuxParams {
            version: way.version,
            ..MuxParams::default()
        };
        let key = || CarrierKey([9; 32]);
        let link = Arc::new(LinkSpec {
            link: LINK,
            session: SESSION,
            epoch: Epoch(1),
            carrier_key: key(),
            lane: way.lane,
            kariz_mux: true,
            remote: ([127, 0, 0, 1], carriers).into(),
            local_addrs: Vec::new(),
            socket: SocketOptions::default(),
            dial_timeout: Duration::from_secs(5),
            max_carriers: 4096,
            services: vec![(SERVICE, mux)],
        });
        let session = Arc::new(SessionSpec {
            session: SESSION,
            epoch: Epoch(1),
            carrier_key: key(),
            lane: way.lane,
            kariz_mux: true,
            max_carriers: 4096,
            max_visitors: None,
            budgets: BudgetSet::default(),
            services: vec![ServedService {
                service: SERVICE,
                pool: 4,
                mux,
            }],
        });
        let tunnel = Self {
            server,
            client,
            port,
            session,
            link,
        };
        tunnel.target(target);
        let listen_carriers = Command::ListenCarriers {
            listen: listen(carriers),
            socket: SocketOptions::default(),
            control_timeout: Duration::from_secs(15),
        };
        tunnel.server.order(listen_carriers).unwrap();
        tunnel.server.order(Command::OpenService(public(1, port))).unwrap();
        tunnel.carry_wants();
        tunnel.up(Epoch(1));
        tunnel
    }

    /// Where the visitors go from now on.
    pub(crate) fn target(&self, port: u16) {
        let target = TargetSpec {
            service: SERVICE,
            name: "web".into(),
            addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
            ports: PortRange::single(port),
            socket: SocketOptions::default(),
            dial_timeout: Duration::from_secs(2),
            budgets: BudgetSet::default(),
        };
        self.client.order(Command::Target(Arc::new(target))).unwrap();
    }

    /// Both ends get a control carrier of this epoch.
    pub(crate) fn up(&self, epoch: Epoch) {
        let link = LinkSpec {
            epoch,
            ..(*self.link).clone()
        };
        let session = SessionSpec {
            epoch,
            ..(*self.session).clone()
        };
        self.client.order(Command::LinkUp(Arc::new(link))).unwrap();
        self.server.order(Command::SessionUp(Arc::new(session))).unwrap();
    }

    /// Both ends lose their control carrier.
    pub(crate) fn lost(&self, epoch: Epoch) {
        self.client.order(Command::LinkDown { link: LINK }).unwrap();
        self.server
            .order(Command::SessionLost {
                session: SESSION,
                epoch,
            })
            .unwrap();
    }

    /// Where carriers arrive.
    pub(crate) fn carriers(&self) -> SocketAddr {
        self.link.remote
    }

    /// Waits until nobody is served any more and nothing is kept.
    pub(crate) fn comes_to_rest(&self) {
        eventually("the last visitor goes", || self.server.total(Counter::Visitors) == 0);
        eventually("the last target goes", || self.client.total(Counter::Targets) == 0);
        for plane in [&self.server, &self.client] {
            let kept = [Counter::MuxBuffered, Counter::SaidKept];
            for gauge in [Counter::PipesBusy, Counter::BuffersBusy].into_iter().chain(kept) {
                eventually(gauge.as_str(), || plane.total(gauge) == 0);
            }
        }
    }

    fn carry_wants(&self) {
        let (server, client): (Weak<Plane>, Weak<Plane>) = (Arc::downgrade(&self.server), Arc::downgrade(&self.client));
        thread::spawn(move || {
            while let (Some(server), Some(client)) = (server.upgrade(), client.upgrade()) {
                for event in server.events() {
                    if let Event::Want { service, vouchers, .. } = event {
                        let dial = Command::Dial {
                            link: LINK,
                            service,
                            vouchers,
                        };
                        client.order(dial).unwrap();
                    }
                }
                drop((server, client));
                thread::sleep(Duration::from_millis(1));
            }
        });
    }
}
