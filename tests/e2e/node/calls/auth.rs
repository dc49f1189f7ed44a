//! What is answered to whom (`spec/node-panel.md`, 3.2 and 3.5).

use super::{Stage, WIRES};
use crate::harness::bridge::KEY;
use crate::harness::calls::*;
use crate::harness::*;
use kariz_proto::panel::{BaseInfoResponse, Empty};

const OTHER: &str = "0f8fad5b-d9cb-469f-a165-70867728950f";

/// gRPC's codes.
const OK: u16 = 0;
const INVALID_ARGUMENT: u16 = 3;
const PERMISSION_DENIED: u16 = 7;
const UNIMPLEMENTED: u16 = 12;
const UNAUTHENTICATED: u16 = 16;

/// Checks a call without a backend on every wire: first what REST says, then gRPC.
async fn check(caller: &Caller, call: Call, rest: (u16, &str), grpc: (u16, &str)) -> Result<()> {
    for wire in WIRES {
        let outcome = caller.over(wire).call(call, &Empty {}).await?;
        let expected = if wire == Wire::Grpc { grpc } else { rest };
        ensure!(
            outcome.told() == expected,
            "{call:?} over {wire:?}: {outcome:?}, not {expected:?}"
        );
        if wire != Wire::Grpc && !outcome.is_ok() {
            let header = |name: &str| outcome.headers.get(name).and_then(|value| value.to_str().ok());
            ensure!(
                header("content-type") == Some("text/plain; charset=utf-8"),
                "{outcome:?}"
            );
            ensure!(header("x-content-type-options") == Some("nosniff"), "{outcome:?}");
            ensure!(outcome.text.ends_with('\n'), "{outcome:?}");
        }
    }
    Ok(())
}

pub(super) async fn keys(scene: Scene) -> Result<()> {
    let stage = Stage::keyed(&scene, &[]).await?;
    let mut stranger = stage.panel.clone();
    stranger.headers.clear();
    let missing = "missing x-api-key header";
    let malformed = "invalid api key format: must be a valid UUID";
    let wrong = "api key mismatch";
    for call in [START, STOP, INFO, STATS, SYSTEM_STATS, NO_SUCH_CALL] {
        check(&stranger, call, (401, missing), (UNAUTHENTICATED, missing)).await?;
        let caller = stranger.with("x-api-key", "secret");
        check(&caller, call, (422, malformed), (INVALID_ARGUMENT, malformed)).await?;
        for key in [OTHER, "00000000-0000-0000-0000-000000000000"] {
            let caller = stranger.with("x-api-key", key);
            check(&caller, call, (403, wrong), (PERMISSION_DENIED, wrong)).await?;
        }
    }
    check(
        &stranger.with("x-api-key", ""),
        INFO,
        (401, missing),
        (UNAUTHENTICATED, missing),
    )
    .await?;
    let first_counts = stranger.with("x-api-key", OTHER).with("x-api-key", KEY);
    check(&first_counts, INFO, (403, wrong), (PERMISSION_DENIED, wrong)).await?;
    for spelling in [
        KEY.to_uppercase(),
        KEY.replace('-', ""),
        format!("{{{KEY}}}"),
        format!("urn:uuid:{KEY}"),
    ] {
        check(&stranger.with("x-api-key", spelling), INFO, (200, ""), (OK, "")).await?;
    }
    // With the key there are other things to hear.
    let unknown = "unknown method NoSuchCall for service service.NodeService";
    check(
        &stage.panel,
        NO_SUCH_CALL,
        (404, "404 page not found"),
        (UNIMPLEMENTED, unknown),
    )
    .await?;
    let outcome = stage.panel.call(Call("", "DELETE", "/info"), &Empty {}).await?;
    ensure!(
        outcome.told() == (405, "") && outcome.headers["allow"] == "GET",
        "{outcome:?}"
    );
    Ok(())
}

pub(super) async fn sessions(scene: Scene) -> Result<()> {
    let stage = Stage::certified(&scene, &[]).await?;
    let connect = "please connect first";
    for call in [INFO, STATS, USER_STATS, SYSTEM_STATS, STOP, LOGS] {
        check(&stage.panel, call, (425, connect), (UNAUTHENTICATED, connect)).await?;
    }
    let started = stage.start().await?;
    ensure!(started.started && started.session_id.len() == 36, "{started:?}");
    let bearing = |value: &str| stage.panel.with("authorization", value);
    let good = format!("Bearer {}", started.session_id);
    for wire in WIRES {
        let info: BaseInfoResponse = bearing(&good).over(wire).ok(INFO, &Empty {}).await?;
        ensure!(info.started && info.session_id.is_empty(), "{info:?}");
    }
    let missing = "missing authorization header";
    check(&stage.panel, INFO, (401, connect), (UNAUTHENTICATED, missing)).await?;
    for malformed in [
        started.session_id.clone(),
        format!("{good} more"),
        format!("Bearer  {}", started.session_id),
    ] {
        let grpc = (INVALID_ARGUMENT, "invalid authorization header format");
        check(
            &bearing(&malformed),
            INFO,
            (401, "invalid Authorization header format"),
            grpc,
        )
        .await?;
    }
    let no_uuid = "please send valid uuid";
    let length = (INVALID_ARGUMENT, "invalid session ID: invalid UUID length: 6");
    check(&bearing("Bearer secret"), INFO, (422, no_uuid), length).await?;
    let form = (INVALID_ARGUMENT, "invalid session ID: invalid UUID format");
    check(
        &bearing(&format!("Bearer {}", "x".repeat(36))),
        INFO,
        (422, no_uuid),
        form,
    )
    .await?;
    let mismatch = (PERMISSION_DENIED, "session ID mismatch");
    check(
        &bearing(&format!("Bearer {OTHER}")),
        INFO,
        (403, "session id mismatch."),
        mismatch,
    )
    .await?;
    // The scheme's word is looked at over gRPC alone.
    let token = bearing(&format!("Token {}", started.session_id));
    let grpc = (INVALID_ARGUMENT, "invalid authorization header format");
    check(&token, INFO, (200, ""), grpc).await?;
    // So is the address: over REST a session is worth something where its panel started, before all else.
    let elsewhere = |caller: Caller| Caller {
        source: Some(scene.address().ip()),
        ..caller
    };
    let other = bearing(&format!("Bearer {OTHER}"));
    let address = (403, "IP address is not valid");
    check(&elsewhere(bearing(&good)), INFO, address, (OK, "")).await?;
    check(&elsewhere(other), INFO, address, mismatch).await?;
    check(
        &elsewhere(stage.panel.clone()),
        INFO,
        address,
        (UNAUTHENTICATED, missing),
    )
    .await?;
    // Whoever starts may be anywhere, and the session is his from then on.
    let moved = elsewhere(stage.panel.clone());
    let started: BaseInfoResponse = moved.ok(START, &stage.backend()).await?;
    let taken = format!("Bearer {}", started.session_id);
    check(&bearing(&taken), INFO, address, (OK, "")).await?;
    check(&moved.with("authorization", taken), INFO, (200, ""), (OK, "")).await?;
    // A later start is a new session, and the old one is worth nothing.
    let again = stage.start().await?;
    ensure!(again.session_id != started.session_id, "the same session");
    check(&bearing(&good), INFO, (403, "session id mismatch."), mismatch).await?;
    let panel = bearing(&format!("Bearer {}", again.session_id));
    panel.ok::<Empty>(STOP, &Empty {}).await?;
    check(&panel, INFO, (425, connect), (UNAUTHENTICATED, connect)).await
}
