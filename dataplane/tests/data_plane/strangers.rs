//! Carriers that are not what they say: only a genuine Hello with a voucher of ours, once, becomes a carrier.

use crate::peers::{PATIENCE, eventually, free_port};
use crate::plane::{Plane, listen, on_each_driver, public};
use kariz_proto::control::{
    BudgetSet, CarrierKey, Command, Counter, Epoch, Event, ServedService, ServiceId, SessionId, SessionSpec, Voucher,
    WorkerIndex,
};
use kariz_proto::model::{IoDriver, Lane, MuxParams, SocketOptions};
use kariz_proto::session::carrier::CarrierHello;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

const SESSION: SessionId = SessionId(77);
const EPOCH: Epoch = Epoch(3);

fn key() -> CarrierKey {
    CarrierKey([9; 32])
}

/// A server whose session has asked for carriers.
struct Server {
    plane: Plane,
    port: u16,
    vouchers: Vec<Voucher>,
}

impl Server {
    fn start(io: IoDriver, lane: Lane) -> Self {
        let plane = Plane::start(io, 1);
        let port = free_port();
        let listen_carriers = Command::ListenCarriers {
            listen: listen(port),
            socket: SocketOptions::default(),
            control_timeout: PATIENCE,
        };
        plane.order(listen_carriers).unwrap();
        plane.order(Command::OpenService(public(1, free_port()))).unwrap();
        let session = SessionSpec {
            session: SESSION,
            epoch: EPOCH,
            carrier_key: key(),
            lane,
            kariz_mux: true,
            max_carriers: 100,
            max_visitors: None,
            budgets: BudgetSet::default(),
            services: vec![ServedService {
                service: ServiceId(1),
                pool: 4,
                mux: MuxParams::default(),
            }],
        };
        plane.order(Command::SessionUp(Arc::new(session))).unwrap();
        let vouchers = plane.wait_for(|event| match event {
            Event::Want { vouchers, .. } => Some(vouchers),
            _ => None,
        });
        Self { plane, port, vouchers }
    }

    fn hello(&self, hello: &[u8]) -> TcpStream {
        let mut carrier = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        carrier.set_read_timeout(Some(PATIENCE)).unwrap();
        carrier.write_all(hello).unwrap();
        carrier
    }

    fn is_refused(&self, hello: &[u8]) {
        let before = self.plane.total(Counter::HandshakesFailed);
        let ended = self.hello(hello).read(&mut [0]);
        assert!(
            matches!(ended, Ok(0) | Err(_)),
            "something was said to a stranger: {ended:?}"
        );
        eventually("it is counted", || {
            self.plane.total(Counter::HandshakesFailed) == before + 1
        });
    }
}

#[test]
fn forged_and_used_vouchers_open_nothing_and_cost_the_real_client_nothing() {
    on_each_driver(|io| {
        for lane in [Lane::Direct, Lane::Mux] {
            let server = Server::start(io, lane);
            let voucher = server.vouchers[0];
            let genuine = CarrierHello::encode(&key(), SESSION, EPOCH, &voucher);
            let carriers = || server.plane.total(Counter::Carriers);
            // Who has seen a voucher (it crosses under Noise) but not the key; who knows neither.
            server.is_refused(&CarrierHello::encode(&CarrierKey([8; 32]), SESSION, EPOCH, &voucher));
            let guessed = Voucher {
                random: [7; 16],
                ..voucher
            };
            server.is_refused(&CarrierHello::encode(&key(), SESSION, EPOCH, &guessed));
            server.is_refused(&CarrierHello::encode(&key(), SessionId(78), EPOCH, &voucher));
            let of_nobody = Voucher {
                worker: WorkerIndex(9),
                ..voucher
            };
            server.is_refused(&CarrierHello::encode(&key(), SESSION, EPOCH, &of_nobody));
            let mut changed = genuine.clone();
            *changed.last_mut().unwrap() ^= 1;
            server.is_refused(&changed);
            assert_eq!(carriers(), 0);
            let _carrier = server.hello(&genuine);
            eventually("the genuine one is a carrier", || carriers() == 1);
            // A replay of the very same bytes.
            server.is_refused(&genuine);
            assert_eq!(carriers(), 1);
        }
    });
}
