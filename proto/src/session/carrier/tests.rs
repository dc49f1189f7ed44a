use super::first::{PREFIX_CARRIER, PREFIX_CONTROL, PREFIX_RESUME};
use super::frame::{mac, voucher_bytes};
use super::*;
use crate::control::{CarrierKey, Epoch, SessionId, Voucher, WorkerIndex};
use crate::session::wire;
use hmac::Mac;
use proptest::prelude::*;
use std::net::SocketAddr;

const KEY: CarrierKey = CarrierKey([7; 32]);
const VOUCHER: Voucher = Voucher {
    worker: WorkerIndex(3),
    random: [9; 16],
};

fn hello_bytes() -> Vec<u8> {
    CarrierHello::encode(&KEY, SessionId(0x0123_4567_89ab_cdef), Epoch(2), &VOUCHER)
}

fn open() -> Open {
    Open {
        service: "web".into(),
        port_offset: 5,
        stream_id: 77,
        priority: 1,
        visitor: "[2001:db8::1]:5000".parse().unwrap(),
    }
}

#[test]
fn every_prefix_of_a_hello_is_incomplete_and_the_whole_is_verified() {
    let bytes = hello_bytes();
    for length in 0..bytes.len() {
        assert_eq!(parse_first(&bytes[..length]), Ok(First::Incomplete), "{length}");
    }
    let mut with_more = bytes.clone();
    with_more.extend_from_slice(b"smux");
    let Ok(First::Carrier { hello, consumed }) = parse_first(&with_more) else {
        panic!("not a carrier");
    };
    assert_eq!(consumed, bytes.len());
    assert_eq!(hello.session, SessionId(0x0123_4567_89ab_cdef));
    assert_eq!(hello.epoch, Epoch(2));
    assert_eq!(hello.voucher, VOUCHER);
    assert!(hello.verify(&KEY));
    assert!(!hello.verify(&CarrierKey([8; 32])));
}

#[test]
fn a_changed_bit_in_a_hello_never_verifies() {
    let bytes = hello_bytes();
    for bit in 0..bytes.len() * 8 {
        let mut forged = bytes.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        if let Ok(First::Carrier { hello, .. }) = parse_first(&forged) {
            assert!(!hello.verify(&KEY), "bit {bit}");
        }
    }
}

#[test]
fn garbage_is_recognised_with_its_first_wrong_byte() {
    assert_eq!(parse_first(b"G"), Err(CarrierError::NotKariz));
    assert_eq!(parse_first(b"KX"), Err(CarrierError::NotKariz));
    assert_eq!(parse_first(b"KZ\x02"), Err(CarrierError::Version(2)));
    assert_eq!(parse_first(b"KZ\x01\x09"), Err(CarrierError::Kind(9)));
    assert_eq!(parse_first(b""), Ok(First::Incomplete));
}

#[test]
fn both_control_carriers_are_recognised_after_four_bytes() {
    assert_eq!(parse_first(&PREFIX_CONTROL), Ok(First::Control));
    assert_eq!(parse_first(&PREFIX_RESUME), Ok(First::Control));
    assert_eq!(parse_first(&PREFIX_CONTROL[..3]), Ok(First::Incomplete));
}

#[test]
fn lengths_above_the_bound_are_refused_before_the_message_arrives() {
    assert_eq!(parse_first(b"KZ\x01\x03\xff\x7f"), Err(CarrierError::TooLong));
    assert_eq!(parse_first(b"KZ\x01\x03\x80\x80\x01"), Err(CarrierError::TooLong));
    assert_eq!(Open::decode(&[0x81, 0x04], None), Err(CarrierError::TooLong));
    assert_eq!(Open::decode(&[0x80, 0x04], None), Ok(None));
}

#[test]
fn the_longest_first_flight_fits_the_bound() {
    let longest = Open {
        service: "s".repeat(64).into(),
        port_offset: u16::MAX,
        stream_id: u64::MAX,
        priority: 3,
        visitor: "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535".parse().unwrap(),
    };
    assert!(longest.encode(Some((&KEY, &VOUCHER))).len() <= MAX_OPEN_BYTES);
    assert!(hello_bytes().len() <= MAX_FIRST_BYTES);
}

/// A message of exactly `MAX_CARRIER_MESSAGE_BYTES`: the rest is a field of a later version.
fn padded(message: &impl prost::Message) -> Vec<u8> {
    let mut bytes = message.encode_to_vec();
    let padding = MAX_CARRIER_MESSAGE_BYTES - bytes.len() - 4;
    // Field 100.
    bytes.extend_from_slice(&[0xa2, 0x06]);
    prost::encoding::encode_varint(padding as u64, &mut bytes);
    bytes.resize(MAX_CARRIER_MESSAGE_BYTES, 0);
    bytes
}

/// With its length in front and its MAC behind.
fn framed(message: &[u8], label: &[u8], bound: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::encode_varint(message.len() as u64, &mut bytes);
    bytes.extend_from_slice(message);
    let mac: [u8; 32] = mac(&KEY, label, bound, message).finalize().into_bytes().into();
    bytes.extend_from_slice(&mac);
    bytes
}

#[test]
fn the_longest_open_of_a_later_version_is_taken_at_its_last_byte() {
    let message = padded(&wire::Open {
        service: "web".into(),
        visitor_ip: vec![127, 0, 0, 1],
        ..Default::default()
    });
    let bytes = framed(&message, b"kariz1 open", &voucher_bytes(&VOUCHER));
    assert_eq!(bytes.len(), MAX_OPEN_BYTES);
    let auth = Some((&KEY, &VOUCHER));
    assert_eq!(Open::decode(&bytes[..MAX_OPEN_BYTES - 1], auth), Ok(None));
    let (open, length) = Open::decode(&bytes, auth).unwrap().unwrap();
    assert_eq!((&*open.service, length), ("web", MAX_OPEN_BYTES));
}

#[test]
fn the_longest_hello_of_a_later_version_is_taken_at_its_last_byte() {
    let message = padded(&wire::CarrierHello {
        voucher: voucher_bytes(&VOUCHER).to_vec(),
        ..Default::default()
    });
    let frame = framed(&message, b"kariz1 carrier", &PREFIX_CARRIER);
    let bytes = [&PREFIX_CARRIER, &frame[..]].concat();
    assert_eq!(bytes.len(), MAX_FIRST_BYTES);
    assert_eq!(parse_first(&bytes[..MAX_FIRST_BYTES - 1]), Ok(First::Incomplete));
    let Ok(First::Carrier { hello, consumed }) = parse_first(&bytes) else {
        panic!("not a carrier");
    };
    assert!(hello.verify(&KEY) && consumed == MAX_FIRST_BYTES);
}

#[test]
fn open_and_ready_need_the_right_key_and_voucher() {
    let other = Voucher {
        worker: WorkerIndex(4),
        ..VOUCHER
    };
    let bytes = open().encode(Some((&KEY, &VOUCHER)));
    assert_eq!(
        Open::decode(&bytes, Some((&KEY, &VOUCHER))),
        Ok(Some((open(), bytes.len())))
    );
    assert_eq!(Open::decode(&bytes, Some((&KEY, &other))), Err(CarrierError::Mac));
    assert_eq!(
        Open::decode(&bytes, Some((&CarrierKey([0; 32]), &VOUCHER))),
        Err(CarrierError::Mac)
    );
    let ready = Ready {
        stream_id: 77,
        result: Err(OpenError::Timeout),
    };
    let bytes = ready.encode(Some((&KEY, &VOUCHER)));
    assert_eq!(
        Ready::decode(&bytes, Some((&KEY, &VOUCHER))),
        Ok(Some((ready, bytes.len())))
    );
    assert_eq!(Ready::decode(&bytes, Some((&KEY, &other))), Err(CarrierError::Mac));
    // An Open is not a Ready, even where the bytes would decode.
    assert_eq!(Open::decode(&bytes, Some((&KEY, &VOUCHER))), Err(CarrierError::Mac));
}

#[test]
fn values_outside_their_bounds_are_refused_by_name() {
    use prost::Message;
    let good = wire::Open {
        service: "a".into(),
        visitor_ip: vec![127, 0, 0, 1],
        ..Default::default()
    };
    let decode = |message: wire::Open| Open::decode(&message.encode_length_delimited_to_vec(), None);
    assert!(decode(good.clone()).unwrap().is_some());
    let cases = [
        (
            "service",
            wire::Open {
                service: String::new(),
                ..good.clone()
            },
        ),
        (
            "service",
            wire::Open {
                service: "x".repeat(65),
                ..good.clone()
            },
        ),
        (
            "service",
            wire::Open {
                service: "a\nb".into(),
                ..good.clone()
            },
        ),
        (
            "port_offset",
            wire::Open {
                port_offset: 65536,
                ..good.clone()
            },
        ),
        (
            "priority",
            wire::Open {
                priority: 4,
                ..good.clone()
            },
        ),
        (
            "visitor_ip",
            wire::Open {
                visitor_ip: vec![1; 5],
                ..good.clone()
            },
        ),
        (
            "visitor_port",
            wire::Open {
                visitor_port: 65536,
                ..good.clone()
            },
        ),
    ];
    for (field, message) in cases {
        assert_eq!(decode(message), Err(CarrierError::Field(field)));
    }
    assert_eq!(
        decode(wire::Open { required: 4, ..good }),
        Err(CarrierError::RequiredFeatures(4))
    );
    assert_eq!(Open::decode(&[1, 0xff], None), Err(CarrierError::Malformed));
}

#[test]
fn unknown_fields_are_skipped() {
    let mut bytes = open().encode(None);
    // Field 100, varint 1.
    bytes.extend_from_slice(&[0xa0, 0x06, 0x01]);
    bytes[0] += 3;
    assert_eq!(Open::decode(&bytes, None), Ok(Some((open(), bytes.len()))));
}

fn any_open() -> impl Strategy<Value = Open> {
    let ip = any::<std::net::IpAddr>();
    (
        "[a-z0-9é-]{1,32}",
        any::<u16>(),
        any::<u64>(),
        0..=MAX_PRIORITY,
        ip,
        any::<u16>(),
    )
        .prop_map(|(service, port_offset, stream_id, priority, ip, port)| Open {
            service: service.into(),
            port_offset,
            stream_id,
            priority,
            visitor: SocketAddr::new(ip, port),
        })
}

proptest! {
    #[test]
    fn open_survives_the_wire(open in any_open(), with_mac: bool, tail in proptest::collection::vec(any::<u8>(), 0..40)) {
        let key = KEY;
        let auth = with_mac.then_some((&key, &VOUCHER));
        let mut bytes = open.encode(auth);
        let length = bytes.len();
        for cut in 0..length {
            prop_assert_eq!(Open::decode(&bytes[..cut], auth), Ok(None));
        }
        bytes.extend_from_slice(&tail);
        prop_assert_eq!(Open::decode(&bytes, auth), Ok(Some((open, length))));
    }

    #[test]
    fn carrier_hello_survives_the_wire(session: u64, epoch: u32, worker: u16, random: [u8; 16], key: [u8; 32]) {
        let (key, voucher) = (CarrierKey(key), Voucher { worker: WorkerIndex(worker), random });
        let bytes = CarrierHello::encode(&key, SessionId(session), Epoch(epoch), &voucher);
        let Ok(First::Carrier { hello, consumed }) = parse_first(&bytes) else {
            return Err(TestCaseError::fail("not a carrier"));
        };
        prop_assert_eq!(consumed, bytes.len());
        prop_assert_eq!((hello.session, hello.epoch, hello.voucher), (SessionId(session), Epoch(epoch), voucher));
        prop_assert!(hello.verify(&key));
    }
}
