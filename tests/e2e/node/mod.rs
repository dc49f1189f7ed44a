//! `kariz node` from the outside: what a panel, an operator and a core see of it.
//!
//! Written against `spec/node-marzban.md`, `spec/node-panel.md` and `spec/xray.md` alone. Suites that need the real core or the panel's own
//! libraries wait for [`provision`]; the others have a core of their own (`harness/fake_core.rs`).

mod bridge;
mod calls;
mod core;
mod dotenv;
mod environment;
mod golden;
mod growth;
mod hostile;
mod interface;
mod launch;
mod liveness;
mod pair;
mod panel;
mod process;
mod rest;
mod tls;
mod transform;
mod users;
mod websocket;

use crate::harness::{Result, provision as tools};
use libtest_mimic::Trial;

/// Suites that need the real core.
const WITH_XRAY: [&str; 7] = [
    bridge::SUITE,
    calls::SUITE,
    core::SUITE,
    growth::SUITE,
    interface::SUITE,
    panel::SUITE,
    users::SUITE,
];

/// The order is by how long they wait.
pub fn trials() -> Vec<Trial> {
    let suites = [
        websocket::trials(),
        tls::trials(),
        rest::trials(),
        launch::trials(),
        process::trials(),
        hostile::trials(),
        dotenv::trials(),
        environment::trials(),
        pair::trials(),
        golden::trials(),
        transform::trials(),
        liveness::trials(),
        core::trials(),
        panel::trials(),
        bridge::trials(),
        interface::trials(),
        calls::trials(),
        users::trials(),
        growth::trials(),
    ];
    suites.into_iter().flatten().collect()
}

/// Starts making what these tests need, in the background.
pub fn provision<'a>(selected: impl Iterator<Item = &'a str>) {
    let (mut xray, mut python, mut bridge, mut old_bridge) = (false, false, false, false);
    for name in selected {
        xray |= WITH_XRAY.iter().any(|suite| name.starts_with(suite));
        python |= name.starts_with(panel::SUITE);
        let every_bridge = name.starts_with(bridge::SUITE) || name.starts_with(interface::SUITE);
        bridge |= every_bridge || name.starts_with(users::SUITE);
        old_bridge |= every_bridge;
    }
    if xray {
        tools::begin(tools::xray);
    }
    if python {
        tools::begin(tools::python);
    }
    if bridge {
        tools::begin(tools::bridge);
    }
    if old_bridge {
        tools::begin(tools::old_bridge);
        tools::begin(tools::session_bridge);
    }
}

/// For suites that need the real core.
fn needs_xray() -> Result<()> {
    tools::xray().map(drop)
}

/// For suites that need the panel's libraries and the real core.
fn needs_panel() -> Result<()> {
    tools::python().and_then(|_| tools::xray()).map(drop)
}

/// For suites that need the libraries of Gozargah and PasarGuard panels and the real core.
fn needs_bridge() -> Result<()> {
    tools::bridge().and_then(|_| tools::xray()).map(drop)
}

/// The same with those of earlier panels, too.
fn needs_every_bridge() -> Result<()> {
    tools::old_bridge()?;
    tools::session_bridge()?;
    needs_bridge()
}
