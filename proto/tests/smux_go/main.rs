//! The multiplexer against Go's xtaci/smux, in both roles and both versions, over TCP.
//!
//! The Go end is `tests/go/smux-peer`, which says what crosses. Without Go the tests are skipped; under `CI=true` they fail.
// The lint's exception for tests does not reach helpers of an integration test.
#![allow(clippy::unwrap_used)]

mod driver;
mod peer;

use driver::Driver;
use kariz_proto::model::MuxVersion;
use kariz_proto::smux::Role;

const STREAMS: usize = 40;

/// Runs one end each; every stream of both is checked at both.
fn exchange(role: Role, version: MuxVersion) {
    let Some(program) = peer::program() else { return };
    let (mut child, carrier) = peer::start(program, role, version, STREAMS);
    let mut driver = Driver::new(carrier, role, version);
    driver.open_requests(STREAMS);
    driver.run_until_done();
    let status = child.wait().unwrap();
    assert!(status.success(), "the Go end: {status}");
    driver.assert_nothing_is_left(STREAMS);
}

#[test]
fn go_server_version_1_exchanges_checksummed_data() {
    exchange(Role::Dialled, MuxVersion::V1);
}

#[test]
fn go_server_version_2_exchanges_checksummed_data() {
    exchange(Role::Dialled, MuxVersion::V2);
}

#[test]
fn go_client_version_1_exchanges_checksummed_data() {
    exchange(Role::Accepted, MuxVersion::V1);
}

#[test]
fn go_client_version_2_exchanges_checksummed_data() {
    exchange(Role::Accepted, MuxVersion::V2);
}
