//! The vectors of `SESSION.md`.

use super::pair::{client_config, decision, offer, server_config};
use crate::control::{CarrierKey, Epoch, SessionId, Voucher, WorkerIndex};
use crate::session::carrier::*;
use crate::session::proof::{Prover, prove};
use crate::session::wire::control::Message;
use crate::session::*;
use prost::Message as _;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

type Vectors = BTreeMap<&'static str, Vec<u8>>;

const TOKEN: &str = "a token of sufficient length";

fn bytes<const N: usize>(first: u8) -> [u8; N] {
    std::array::from_fn(|index| first + index as u8)
}

fn all(byte: u8) -> impl FnMut(&mut [u8]) {
    move |bytes| bytes.fill(byte)
}

fn voucher() -> Voucher {
    Voucher {
        worker: WorkerIndex(3),
        random: bytes(0x10),
    }
}

#[test]
fn the_document_has_every_vector_as_computed() {
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/SESSION.md")).unwrap();
    let mut computed = Vectors::new();
    carrier_vectors(&mut computed);
    control_vectors(&mut computed);
    message_vectors(&mut computed);
    let mut written = BTreeMap::new();
    for block in document.split("```hex ").skip(1) {
        let (name, rest) = block.split_once('\n').unwrap();
        let hex: String = rest.split("```").next().unwrap().split_whitespace().collect();
        written.insert(name, hex);
    }
    for (name, bytes) in &computed {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(written.remove(name), Some(hex), "{name}");
    }
    assert!(written.is_empty(), "not computed: {:?}", written.keys());
}

fn carrier_vectors(vectors: &mut Vectors) {
    let (key, voucher) = (CarrierKey(bytes(0)), voucher());
    let auth = Some((&key, &voucher));
    let open = Open {
        service: "web".into(),
        port_offset: 5,
        stream_id: 77,
        priority: 1,
        visitor: "[2001:db8::1]:5000".parse().unwrap(),
    };
    let ready = |result| Ready { stream_id: 77, result };
    vectors.insert("voucher", voucher_bytes(&voucher).to_vec());
    let hello = CarrierHello::encode(&key, SessionId(0x0123_4567_89ab_cdef), Epoch(2), &voucher);
    vectors.insert("carrier-hello", hello);
    vectors.insert("open-direct", open.encode(auth));
    vectors.insert("open-mux", open.encode(None));
    vectors.insert("ready-direct", ready(Ok(())).encode(auth));
    vectors.insert("ready-mux-refused", ready(Err(OpenError::Refused)).encode(None));
}

/// Both ends of a full handshake with known keys, and the first flight of a resumption.
fn control_vectors(vectors: &mut Vectors) {
    let now = Instant::now();
    let client_config = client_config(vec![offer("web", TOKEN)]);
    let mut server_config = server_config(now, &[("web", TOKEN)]);
    server_config.tickets = Arc::new(TicketIssuer::new(now, &mut all(0x44)));
    let mut client = ClientSession::new(now, client_config.clone(), None, &mut all(0x11));
    let mut server = ServerSession::new(now, server_config, &mut all(0x22));
    let hello: Vec<u8> = std::iter::from_fn(|| client.poll_transmit()).flatten().collect();
    server.handle_input(now, &hello);
    let challenge: Vec<u8> = std::iter::from_fn(|| server.poll_transmit()).flatten().collect();
    client.handle_input(now, &challenge);
    let auth: Vec<u8> = std::iter::from_fn(|| client.poll_transmit()).flatten().collect();
    server.handle_input(now, &auth);
    server.accept(now, decision(vec![Grant::Ok]), &mut all(0x33)).unwrap();
    let accept: Vec<u8> = std::iter::from_fn(|| server.poll_transmit()).flatten().collect();
    client.handle_input(now, &accept);
    let ticket = std::iter::from_fn(|| client.poll_event()).find_map(|event| match event {
        ClientEvent::Ticket(ticket) => Some(ticket),
        _ => None,
    });
    let mut resumed = ClientSession::new(now, client_config, ticket, &mut all(0x55));
    let resume = std::iter::from_fn(|| resumed.poll_transmit()).flatten().collect();

    let token = crate::model::Token::new(TOKEN);
    vectors.insert("h", client.binding.to_vec());
    vectors.insert(
        "client-proof",
        prove(&token, Prover::Client, &client.binding, "web").to_vec(),
    );
    vectors.insert(
        "server-proof",
        prove(&token, Prover::Server, &client.binding, "web").to_vec(),
    );
    vectors.insert("hello-flight", hello);
    vectors.insert("challenge-flight", challenge);
    vectors.insert("auth-flight", auth);
    vectors.insert("accept-flight", accept);
    vectors.insert("resume-flight", resume);
    vectors.insert("ticket-refused", vec![0, 0]);
}

fn message_vectors(vectors: &mut Vectors) {
    let plain = |message| wire::Control { message: Some(message) }.encode_length_delimited_to_vec();
    let ping = wire::Ping {
        sequence: 1,
        sent_us: 2,
    };
    vectors.insert("ping", plain(Message::Ping(ping)));
    let want = wire::Want {
        service: "web".into(),
        lane: wire::want::Lane::Mux.into(),
        vouchers: vec![voucher_bytes(&voucher()).to_vec()],
    };
    vectors.insert("want", plain(Message::Want(want)));
    let close = wire::Close {
        reason: CloseReason::GoingAway as u32,
        deadline_ms: 30_000,
        text: "restart".into(),
    };
    vectors.insert("close", plain(Message::Close(close)));
}
