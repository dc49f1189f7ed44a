//! What the handshake offers, which protocol is spoken after it, and who has shown nothing yet (`spec/node-panel.md`, Rules for
//! us and 4.6).

use super::{Stage, WIRES};
use crate::harness::bridge::KEY;
use crate::harness::calls::*;
use crate::harness::https::{Https, Login};
use crate::harness::panel::Panel;
use crate::harness::*;
use kariz_proto::panel::{BaseInfoResponse, Empty};

/// What a client may offer, and what the node takes of it: with a key, and where Marzban's interface is.
const OFFERS: [(&[&str], Option<&str>, Option<&str>); 5] = [
    (&[], None, None),
    (&["h2"], Some("h2"), Some("h2")),
    (&["http/1.1"], Some("http/1.1"), None),
    (&["h2", "http/1.1"], Some("h2"), None),
    (&["http/1.1", "h2"], Some("h2"), None),
];

pub(super) async fn offers(scene: Scene) -> Result<()> {
    let keyed = Stage::keyed(&scene, &[]).await?;
    let early = Stage::keyed(&scene, &[("KARIZ_PANEL_GENERATION", "g1")]).await?;
    let certified = Stage::certified(&scene, &[]).await?;
    let session = certified.start().await?.session_id;
    let bearing = certified.panel.with("authorization", format!("Bearer {session}"));
    for (offer, of_key, of_certificate) in OFFERS {
        let anonymous = Login::anonymous(rustls::ALL_VERSIONS)?;
        for (caller, login, taken) in [
            (&keyed.panel, anonymous.clone(), of_key),
            (&early.panel, anonymous, of_key),
            (&bearing, Login::panel()?, of_certificate),
        ] {
            let login = login.offering(offer);
            let protocol = Https::open(caller.address, &login).await?.protocol();
            ensure!(protocol.as_deref() == taken, "{offer:?}: {protocol:?}");
            // Whatever was agreed, the first bytes decide.
            let caller = Caller {
                login,
                ..caller.clone()
            };
            for wire in WIRES {
                let info: BaseInfoResponse = caller.over(wire).ok(INFO, &Empty {}).await?;
                ensure!(info.node_version == "0.5.2", "{offer:?} over {wire:?}: {info:?}");
            }
        }
    }
    // Marzban's interface is where it was.
    Panel::connect(&certified.node).await?.ping().await.map(drop)
}

pub(super) async fn narrowed(scene: Scene) -> Result<()> {
    let rest = Stage::keyed(&scene, &[("SERVICE_PROTOCOL", "rest")]).await?;
    for wire in [Wire::Rest, Wire::RestOverHttp2] {
        rest.panel.over(wire).ok::<BaseInfoResponse>(INFO, &Empty {}).await?;
    }
    let refused = rest.panel.over(Wire::Grpc).call(INFO, &Empty {}).await;
    ensure!(
        refused.is_err_and(|error| format!("{error:#}").contains("404")),
        "gRPC is answered"
    );
    let grpc = Stage::keyed(&scene, &[("SERVICE_PROTOCOL", "grpc")]).await?;
    grpc.panel
        .over(Wire::Grpc)
        .ok::<BaseInfoResponse>(INFO, &Empty {})
        .await?;
    for wire in [Wire::Rest, Wire::RestOverHttp2] {
        let outcome = grpc.panel.over(wire).call(INFO, &Empty {}).await?;
        let words = r#"invalid gRPC request content-type "application/x-protobuf""#;
        ensure!(outcome.told() == (415, words), "over {wire:?}: {outcome:?}");
    }
    Ok(())
}

/// Connections that show no key are few and do not last, and whoever has shown one is not put out by them.
pub(super) async fn strangers(scene: Scene) -> Result<()> {
    /// As many as there may be, and how many come.
    const MAX_STRANGERS: usize = 128;
    const STRANGERS: usize = 200;
    /// Twice the time that one has.
    const GONE: Duration = secs(20);
    let stage = Stage::keyed(&scene, &[]).await?;
    let mut known = Https::open(stage.node.address, &stage.panel.login).await?;
    let ask = format!("GET /info HTTP/1.1\r\nhost: x\r\nx-api-key: {KEY}\r\n\r\n");
    known.ask(ask.as_bytes()).await?.expect(200)?;
    let mut open = Vec::new();
    let begin = Instant::now();
    for _ in 0..STRANGERS {
        let mut stranger = Https::open(stage.node.address, &stage.panel.login).await?;
        stranger.send(b"GET /info HTTP/1.1\r\nhost: x\r\n").await?;
        open.push(stranger);
    }
    // Those that had to give way have ended, long before the others have to.
    let (first, ends) = open.split_at_mut(STRANGERS - MAX_STRANGERS);
    if begin.elapsed() < GONE / 4 {
        for stranger in first.iter_mut() {
            stranger.end(GONE / 10).await.context("one too many stays")?;
        }
    }
    if begin.elapsed() < GONE / 4 {
        let last = ends.last_mut().context("there are some")?;
        ensure!(last.end(millis(300)).await.is_err(), "the last one had to give way");
    }
    known
        .ask(ask.as_bytes())
        .await?
        .expect(200)
        .context("whoever has shown a key")?;
    stage.panel.ok::<BaseInfoResponse>(INFO, &Empty {}).await?;
    for stranger in ends {
        let left = GONE.saturating_sub(begin.elapsed()) + secs(1);
        stranger.end(left).await.context("a stranger stays")?;
    }
    known
        .ask(ask.as_bytes())
        .await?
        .expect(200)
        .context("whoever has shown a key")
        .map(drop)
}

/// A body that nobody reads takes the refusal before it not back.
pub(super) async fn refused_at_length(scene: Scene) -> Result<()> {
    /// More than the connection holds; what is thrown away has to be so in a second.
    const BODY_BYTES: usize = 5 << 20;
    let stage = Stage::keyed(&scene, &[]).await?;
    for (key, status) in [("", 401), ("x-api-key: 9d0e6f6e-52ac-4a0f-8d0b-0f9c3c1f6a01\r\n", 403)] {
        let mut panel = Https::open(stage.node.address, &stage.panel.login).await?;
        let head = format!("POST /start HTTP/1.1\r\nhost: x\r\n{key}content-length: {BODY_BYTES}\r\n\r\n");
        panel.send(head.as_bytes()).await?;
        panel.send(&vec![0; BODY_BYTES]).await?;
        panel.answer(false).await?.expect(status)?;
    }
    Ok(())
}
