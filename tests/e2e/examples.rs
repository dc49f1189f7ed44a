//! The example files of Rocket's documentation run unchanged, and both ends meet. They name fixed ports and
//! addresses, so they get a network of their own.

use crate::harness::netns::Netns;
use crate::harness::process::Setting;
use crate::harness::tunnel::listening;
use crate::harness::visitor::{connect_in, visit_on};
use crate::harness::*;
use libtest_mimic::Trial;
use std::path::{Path, PathBuf};

pub fn trials() -> Vec<Trial> {
    Suite::new("examples")
        .once("simple", |scene| meet(scene, "simple", &[(2057, 5201)]))
        .once("services", |scene| meet(scene, "services", &[(2057, 5201), (80, 8080)]))
        .once("every_key", |scene| meet(scene, "every-key", &[(2057, 5201)]))
        .done()
}

fn example(name: &str, role: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/rocket-examples/{name}-{role}.toml"))
}

/// `routes` are the public ports of the file and the ports of their targets.
async fn meet(scene: Scene, name: &'static str, routes: &[(u16, u16)]) -> Result<()> {
    let world = Netns::new()?;
    // The server of one example has a name, as it would have in real life.
    let hosts = scene.file("hosts");
    std::fs::write(&hosts, "127.0.0.1 localhost server.example.com\n")?;
    let setting = Setting {
        netns: Some(&world),
        hosts: Some(&hosts),
        ..Setting::default()
    };
    let mut targets = Vec::new();
    for (_, port) in routes {
        targets.push(Target::echo_at(
            SocketAddr::new("127.0.0.1".parse()?, *port),
            Some(&world),
        )?);
    }
    let mut server = Kariz::run_file(&scene, "server", &example(name, "server"), setting)?;
    let mut client = Kariz::run_file(&scene, "client", &example(name, "client"), setting)?;
    for ((public, _), target) in routes.iter().zip(&targets) {
        let public = SocketAddr::new("127.0.0.1".parse()?, *public);
        listening(public, Some(&world), SOON).await?;
        for _ in 0..5 {
            let mut visitor = connect_in(&world, public).await?;
            within(SOON, "a visit", visit_on(&mut visitor)).await??;
        }
        ensure!(
            target.accepted() == 5,
            "port {} did not lead to its target",
            public.port()
        );
    }
    for process in [&mut client, &mut server] {
        process.signal(Signal::TERM)?;
        let status = process.exit(SOON).await?;
        ensure!(status.code() == Some(0), "the exit status is {status}");
    }
    Ok(())
}
