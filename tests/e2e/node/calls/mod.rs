//! The calls of Gozargah and PasarGuard panels, one by one and with every byte in the test's hand (`spec/node-panel.md`): what
//! they are answered without key or session, in which words each generation is told of faults, and what becomes of counters,
//! logs and files.

mod auth;
mod chunks;
mod cores;
mod counters;
mod downtime;
mod files;
mod generations;
mod handshakes;
mod keep_alive;
mod slow_readers;
mod statistics;
mod takeover;

use crate::harness::bridge::KEY;
use crate::harness::calls::{Caller, START, Wire};
use crate::harness::https::Login;
use crate::harness::node::{Node, Setup};
use crate::harness::xray::Inbounds;
use crate::harness::{provision, *};
use kariz_proto::panel::{Backend, BaseInfoResponse, Proxy, Shadowsocks, User, Vless};
use libtest_mimic::Trial;
use serde_json::Value;
use std::path::Path;

/// Its name, by which its needs are known.
pub(super) const SUITE: &str = "node::calls";

/// All wires.
const WIRES: [Wire; 3] = [Wire::Grpc, Wire::Rest, Wire::RestOverHttp2];

pub fn trials() -> Vec<Trial> {
    Suite::new(SUITE)
        .needs(super::needs_xray)
        .once("keys", auth::keys)
        .once("sessions", auth::sessions)
        .once("faults_as_of_g1", |scene| generations::faults(scene, "g1"))
        .once("faults_as_of_g3", |scene| generations::faults(scene, "g3"))
        .once("names_and_sizes_as_of_g1", |scene| generations::running(scene, "g1"))
        .once("names_and_sizes_as_of_g3", |scene| generations::running(scene, "g3"))
        .once("both_sets_of_statistics_as_of_g1", |scene| {
            statistics::methods(scene, "g1")
        })
        .once("both_sets_of_statistics_as_of_g3", |scene| {
            statistics::methods(scene, "g3")
        })
        .once("the_machine_is_looked_at", statistics::machine)
        .once("keep_alive_as_of_g1_over_grpc", |scene| {
            keep_alive::clock(scene, "g1", Wire::Grpc)
        })
        .once("keep_alive_as_of_g1_over_rest", |scene| {
            keep_alive::clock(scene, "g1", Wire::Rest)
        })
        .once("keep_alive_as_of_g1_over_rest_and_http2", |scene| {
            keep_alive::clock(scene, "g1", Wire::RestOverHttp2)
        })
        .once("keep_alive_as_of_g3_over_grpc", |scene| {
            keep_alive::clock(scene, "g3", Wire::Grpc)
        })
        .once("keep_alive_as_of_g3_over_rest", |scene| {
            keep_alive::clock(scene, "g3", Wire::Rest)
        })
        .once("keep_alive_as_of_g3_over_rest_and_http2", |scene| {
            keep_alive::clock(scene, "g3", Wire::RestOverHttp2)
        })
        .once("calls_keep_the_core_alive_over_grpc", |scene| {
            keep_alive::put_off(scene, Wire::Grpc)
        })
        .once("calls_keep_the_core_alive_over_rest", |scene| {
            keep_alive::put_off(scene, Wire::Rest)
        })
        .once("every_handshake_and_every_wire", handshakes::offers)
        .once("one_protocol_alone", handshakes::narrowed)
        .once("strangers_keep_no_panel_out", handshakes::strangers)
        .once("a_refusal_is_read_behind_a_large_body", handshakes::refused_at_length)
        .once("log_streams_count_when_they_end", keep_alive::log_streams)
        .once("slow_readers_of_logs_lose_lines", slow_readers::lose_lines)
        .once("counters_outlive_cores", counters::outlive_cores)
        .once("counters_outlive_lost_answers", counters::outlive_lost_answers)
        .once("counters_are_not_another_panels", counters::of_another_panel)
        .once("files_that_are_asked_for", files::asked_for)
        .once("latencies", files::latencies)
        .once("a_core_that_does_not_start_is_quoted", files::quoted)
        .once(
            "marzban_and_sessions_take_the_core_from_each_other",
            takeover::between_families,
        )
        .once("a_take_over_loses_no_counters", takeover::counters)
        .once("a_restart_takes_nothing_from_another_family", takeover::restart)
        .once("logs_end_when_another_panel_starts", takeover::logs)
        .once("one_connection_for_both_families", takeover::one_connection)
        .once("a_core_may_take_its_time", cores::slow)
        .once("a_panel_may_be_impatient_over_grpc", |scene| {
            cores::impatient(scene, Wire::Grpc)
        })
        .once("a_panel_may_be_impatient_over_rest", |scene| {
            cores::impatient(scene, Wire::Rest)
        })
        .once("starts_that_were_given_up_hold_nobody_up", cores::given_up)
        .once("a_core_that_ends_late_is_quoted", cores::last_words)
        .once("chunks_of_users_make_a_whole_or_are_refused", chunks::joined)
        .once("without_its_core_a_backend_says_so_as_of_g1", |scene| {
            downtime::told(scene, "g1")
        })
        .once("without_its_core_a_backend_says_so_as_of_g3", |scene| {
            downtime::told(scene, "g3")
        })
        .once("pauses_before_restarts_grow", downtime::pauses)
        .once("users_may_change_while_a_core_comes_up", cores::meanwhile)
        .once(
            "a_core_that_takes_no_users_is_restarted_with_them",
            cores::without_inbound,
        )
        .once("sockets_of_killed_cores_are_removed", cores::sockets)
        .done()
}

/// A node, and a panel that shows it what it wants to see.
struct Stage {
    node: Node,
    panel: Caller,
    inbounds: Inbounds,
}

impl Stage {
    /// A node with a key, and with these variables on top.
    async fn keyed(scene: &Scene, variables: &[(&str, &str)]) -> Result<Self> {
        Self::with_core(scene, &provision::xray()?, variables).await
    }

    /// The same with a core that does something before it is the real one, or instead: `run` is what it does when it is to run.
    async fn wrapped(scene: &Scene, run: &str, variables: &[(&str, &str)]) -> Result<Self> {
        let core = scene.file("xray");
        let real = provision::xray()?;
        let script = format!(
            "#!/bin/sh\nif [ \"$1\" = run ]; then\n{run}\nfi\nexec {} \"$@\"\n",
            real.display()
        );
        scene.script(&core, &script)?;
        Self::with_core(scene, &core, variables).await
    }

    async fn with_core(scene: &Scene, core: &Path, variables: &[(&str, &str)]) -> Result<Self> {
        let mut setup = Setup::new(scene, core)?;
        setup.set("API_KEY", KEY).unset("SSL_CLIENT_CERT_FILE");
        Self::begin(scene, &mut setup, variables, Login::anonymous(rustls::ALL_VERSIONS)?)
            .await
            .map(|stage| Self {
                panel: stage.panel.with("x-api-key", KEY),
                ..stage
            })
    }

    /// A node that panels show a certificate.
    async fn certified(scene: &Scene, variables: &[(&str, &str)]) -> Result<Self> {
        let mut setup = Setup::new(scene, &provision::xray()?)?;
        Self::begin(scene, &mut setup, variables, Login::panel()?).await
    }

    async fn begin(scene: &Scene, setup: &mut Setup, variables: &[(&str, &str)], login: Login) -> Result<Self> {
        for (name, value) in variables {
            setup.set(name, value);
        }
        let node = setup.start().await?;
        let panel = Caller {
            address: node.address,
            login,
            wire: Wire::Rest,
            source: None,
            headers: Vec::new(),
        };
        Ok(Self {
            node,
            panel,
            inbounds: Inbounds::new(scene),
        })
    }

    /// What starts a core with both users.
    fn backend(&self) -> Backend {
        backend(&self.inbounds.empty_config())
    }

    async fn start(&self) -> Result<BaseInfoResponse> {
        self.panel.ok(START, &self.backend()).await
    }
}

/// A start with this configuration, and both users of the tests.
fn backend(config: &Value) -> Backend {
    Backend {
        config: config.to_string(),
        users: Inbounds::users().iter().map(user).collect(),
        ..Backend::default()
    }
}

fn user(said: &Value) -> User {
    let text = |key: &str| said[key].as_str().unwrap_or_default().to_owned();
    let inbounds = said["inbounds"].as_array().into_iter().flatten();
    User {
        email: text("email"),
        proxies: Some(Proxy {
            vless: Some(Vless {
                id: text("id"),
                flow: String::new(),
            }),
            shadowsocks: Some(Shadowsocks {
                password: text("password"),
                method: text("method"),
            }),
            ..Proxy::default()
        }),
        inbounds: inbounds.filter_map(|tag| tag.as_str().map(ToOwned::to_owned)).collect(),
    }
}
