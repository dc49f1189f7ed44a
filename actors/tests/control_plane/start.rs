//! What keeps a process from starting.

use crate::fake::Fake;
use crate::net::Net;
use crate::specs;
use kariz_actors::{ControlPlane, StartError};
use kariz_proto::control::Command;
use kariz_proto::model::Spec;
use std::io::ErrorKind;
use std::sync::Arc;

async fn start_with_occupied(spec: Spec, port: u16) -> (Arc<Fake>, Result<ControlPlane, StartError>) {
    let (fake, _arrivals, receiver) = Fake::new(&Arc::new(Net::default()), "10.0.0.1:2000");
    *fake.occupied.lock().unwrap() = Some(port);
    let started = ControlPlane::start(spec, fake.clone(), receiver).await;
    (fake, started)
}

#[tokio::test(start_paused = true)]
async fn an_occupied_address_is_named() {
    for (spec, port) in [
        (specs::server(&["ssh", "web"]), 4001),
        (specs::server(&["ssh"]), 2000),
        (specs::relay(&["web"]), 5000),
    ] {
        let (_, started) = start_with_occupied(spec, port).await;
        match started.err() {
            Some(StartError::Listen { listen, error }) => {
                assert_eq!((listen.ports.first(), error.kind()), (port, ErrorKind::AddrInUse));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn public_listeners_wait_for_a_client() {
    let (fake, started) = start_with_occupied(specs::server(&["ssh"]), 1).await;
    let _plane = started.unwrap();
    let commands = fake.commands();
    assert!(matches!(
        commands[..],
        [Command::ProbeListen { .. }, Command::ListenCarriers { listen, .. }] if listen == specs::listen(2000)
    ));
}
