//! A user who asks for names that cores fall over when they look them up (`spec/node-panel.md`, 4.4).

use super::{Stage, suite, told};
use crate::harness::doors::{Doors, Held};
use crate::harness::protocol::{Member, Protocol};
use crate::harness::*;
use libtest_mimic::Trial;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(super) fn trials() -> Vec<Trial> {
    suite()
        .once("cannot_end_the_core_with_a_name", |scene| {
            names_that_are_too_long(scene, Guard::Rule)
        })
        .once("cannot_end_the_core_with_a_name_that_its_dns_sees_first", |scene| {
            names_that_are_too_long(scene, Guard::Dns)
        })
        .done()
}

/// What keeps the core from looking the names up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guard {
    /// They lead nowhere.
    Rule,
    /// There is no outbound that leads nowhere, and what is routed is not what is looked up.
    Dns,
}

async fn names_that_are_too_long(scene: Scene, guard: Guard) -> Result<()> {
    const VLESS: Protocol = Protocol::Vless;
    let member = Member::new(1, &[VLESS]);
    let stage = Stage::new(&scene, &[VLESS]).await?;
    let mut config = stage.config();
    // Names are looked up by the core itself, those in what users say, too.
    config["dns"] = json!({ "servers": ["127.0.0.1"] });
    config["inbounds"][0]["sniffing"] =
        json!({ "enabled": true, "destOverride": ["http"], "routeOnly": guard == Guard::Dns });
    let direct = json!({ "tag": "DIRECT", "protocol": "freedom", "settings": { "domainStrategy": "UseIP" } });
    let block = json!({ "tag": "BLOCK", "protocol": "blackhole" });
    config["outbounds"] = match guard {
        Guard::Rule => json!([direct, block]),
        Guard::Dns => json!([direct]),
    };
    let mut panel = stage.panel("grpc")?;
    let start = json!({ "do": "start", "config": config, "users": told(std::slice::from_ref(&member)) });
    panel.ok(start).await?;
    let [server] = stage.servers[..] else {
        bail!("one inbound")
    };
    let doors = Doors::start(&scene, &[(&member, server)]).await?;
    let mut visitor = Held::open(doors.door(0), &scene, stage.echo()).await?;

    let label = "a".repeat(62);
    let long = [&*label; 4].join(".") + ".abc";
    assert_eq!(long.len(), 255, "as long as the protocol allows");
    let letters = "é".repeat(20);
    let short_letters_long_name = [&*letters; 7].join(".");
    let request = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let behind = match guard {
        Guard::Rule => String::new(),
        // It is routed by this one, and looked up by the other.
        Guard::Dns => request("ok.example.com"),
    };
    for (what, address, says) in [
        ("a name to connect to", Address::Name(&long), behind),
        (
            "a Host of more bytes",
            Address::Nowhere,
            request(&[&*label; 6].join(".")),
        ),
        (
            "a Host of two bytes a letter",
            Address::Nowhere,
            request(&short_letters_long_name),
        ),
    ] {
        let mut stream = TcpStream::connect(server.address).await?;
        stream.write_all(&head(&member, &address)).await?;
        stream.write_all(says.as_bytes()).await?;
        let mut answer = Vec::new();
        // A reset is an end, too.
        let _ = within(SOON, what, stream.read_to_end(&mut answer)).await?;
        visitor
            .move_data(1_000)
            .await
            .with_context(|| format!("after {what}"))?;
    }
    Ok(())
}

/// Where a user wants to go.
enum Address<'a> {
    Name(&'a str),
    /// Port 9 of the core's machine.
    Nowhere,
}

/// What a user of VLESS says first: the version, his id, no further options, TCP, and where he wants to go.
fn head(member: &Member, address: &Address<'_>) -> Vec<u8> {
    let mut head = vec![0];
    let id = member.id.replace('-', "");
    let id = u128::from_str_radix(&id, 16).expect("it is a UUID");
    head.extend(id.to_be_bytes());
    head.extend([0, 1, 0, 9]);
    match address {
        Address::Name(name) => {
            head.extend([2, name.len() as u8]);
            head.extend(name.as_bytes());
        }
        Address::Nowhere => head.extend([1, 127, 0, 0, 1]),
    }
    head
}
