use super::*;
use crate::dataplane::Idle;
use crate::driver::Driver;
use kariz_proto::control::{CarrierKey, Epoch, InstanceId};
use kariz_proto::model::{Lane, Limits as LimitSpec, ServerSpec, SocketOptions, Spec, Transport};
use kariz_proto::session::{Features, ServerConfig, ServerEstablished, ServerSession};
use std::collections::BTreeMap;
use tokio::io::{DuplexStream, duplex};

const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9);

fn instance(number: u8) -> InstanceId {
    InstanceId([number; 16])
}

/// A registry with this many sessions, none of which runs; 1 is that of instance 1.
fn with_sessions(count: usize) -> Sessions {
    let server = ServerSpec {
        listen: Vec::new(),
        transport: Transport::Tcp,
        carrier_socket: SocketOptions::default(),
        heartbeat: Duration::from_secs(5),
        session_timeout: Duration::from_secs(30),
        max_carriers: 1,
        session_limits: LimitSpec::default(),
        services: BTreeMap::new(),
    };
    let spec = Spec {
        server: Some(server),
        ..Spec::default()
    };
    let mut sessions = Sessions {
        shared: Shared::new(spec, Arc::new(Idle)),
        limits: Limits::prepare().actor_ref().clone(),
        services: Services::prepare().actor_ref().clone(),
        me: Sessions::prepare().actor_ref().clone(),
        ownership: Ownership::new(),
        sessions: HashMap::new(),
        actors: HashMap::new(),
        notices: HashMap::new(),
    };
    let actor = Session::prepare().actor_ref().clone();
    for number in 1..=count as u64 {
        let entry = Entry {
            actor: actor.clone(),
            peer: PEER,
            logged: HashSet::new(),
        };
        sessions.sessions.insert(SessionId(number), entry);
    }
    sessions.ownership.attach(instance(1), SessionId(1));
    sessions
}

fn request(number: u8) -> AuthRequest {
    AuthRequest {
        instance: instance(number),
        resumed: false,
        features: Features::offered(Lane::Direct),
        proven: Vec::new(),
        refused: Vec::new(),
    }
}

/// What follows a decision, and the client's end of the carrier.
fn establish(sessions: &Sessions, number: u8, decision: &Decision) -> (Establish, DuplexStream) {
    let (near, far) = duplex(64);
    let config = ServerConfig {
        lane: Lane::Direct,
        features: Features::offered(Lane::Direct),
        heartbeat: Duration::from_secs(5),
        handshake_timeout: Duration::from_secs(5),
        services: sessions.shared.known_services(),
        tickets: sessions.shared.tickets.clone(),
    };
    let machine = ServerSession::new(now(), config, &mut random);
    let established = ServerEstablished {
        session: decision.session,
        epoch: decision.epoch,
        instance: instance(number),
        carrier_key: CarrierKey([0; 32]),
        resumed: false,
        features: Features::offered(Lane::Direct),
        services: Vec::new(),
    };
    let establish = Establish {
        driver: Box::new(Driver::new(machine, Box::new(near))),
        established,
        proven: Vec::new(),
        peer: PEER,
    };
    (establish, far)
}

#[tokio::test]
async fn session_beyond_the_bound_is_refused_and_a_known_client_is_not() {
    let full = with_sessions(MAX_SESSIONS);
    assert_eq!(full.decide(&request(2)), None);
    let known = full.decide(&request(1)).unwrap();
    assert_eq!((known.session, known.epoch), (SessionId(1), Epoch(2)));
    assert!(with_sessions(MAX_SESSIONS - 1).decide(&request(2)).is_some());
}

#[tokio::test]
async fn of_two_sessions_that_were_let_in_at_once_only_one_has_the_last_place() {
    let mut sessions = with_sessions(MAX_SESSIONS - 1);
    let decisions = [2, 3].map(|number| sessions.decide(&request(number)).unwrap());
    let (first, _first) = establish(&sessions, 2, &decisions[0]);
    let (second, mut second_end) = establish(&sessions, 3, &decisions[1]);
    sessions.establish(first).await;
    sessions.establish(second).await;
    assert_eq!(sessions.sessions.len(), MAX_SESSIONS);
    assert!(sessions.sessions.contains_key(&decisions[0].session));
    assert_eq!(sessions.ownership.epoch(decisions[1].session), None);
    let mut bytes = Vec::new();
    let end = tokio::io::AsyncReadExt::read_to_end(&mut second_end, &mut bytes).await;
    assert!(end.is_ok(), "its carrier is closed");
}
