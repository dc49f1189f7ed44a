//! A Marzban panel: JSON over a connection with a client certificate. Cheap enough not to be what is measured.

use super::http::{Connection, request};
use super::pair::Pair;
use super::tls;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// A connection of a panel, with its session.
pub(crate) struct Panel {
    connection: Connection,
    session: String,
}

impl Panel {
    /// Connects to a node that shows the certificate of `node`, and takes a session.
    pub(super) fn connect(address: SocketAddr, node: &Pair, own: &Pair) -> Result<Self> {
        let mut panel = Self {
            connection: Connection::new(tls::connect(address, node, Some(own), &[])?),
            session: String::new(),
        };
        let answer = panel.post("/connect", &json!({}))?;
        let session = answer["session_id"].as_str().context("/connect gives a session")?;
        panel.session = session.to_owned();
        Ok(panel)
    }

    /// The bytes of a `/start` or `/restart` with this configuration.
    pub(crate) fn run_request(&self, path: &str, config: &str) -> Vec<u8> {
        let body = json!({ "session_id": self.session, "config": config });
        post(path, &body)
    }

    /// Sends such a request; fails unless the core runs then.
    pub(crate) fn run(&mut self, request: &[u8]) -> Result<()> {
        let answer: Value = serde_json::from_slice(&self.ask(request)?)?;
        ensure!(answer["started"] == true, "the core is not started: {answer}");
        Ok(())
    }

    /// `/stop` and everything else that takes the session alone.
    pub(crate) fn tell(&mut self, path: &str) -> Result<Value> {
        let body = json!({ "session_id": self.session });
        self.post(path, &body)
    }

    /// The bytes of a `/ping`, to be sent again and again.
    pub(super) fn ping_request(&self) -> Vec<u8> {
        post("/ping", &json!({ "session_id": self.session }))
    }

    /// Sends what is a whole request, and reads its answer, which has to be a 200.
    pub(super) fn ask(&mut self, request: &[u8]) -> Result<Vec<u8>> {
        self.connection.ask(request)
    }

    fn post(&mut self, path: &str, body: &Value) -> Result<Value> {
        let answer = self.ask(&post(path, body)).with_context(|| path.to_owned())?;
        Ok(serde_json::from_slice(&answer)?)
    }
}

fn post(path: &str, body: &Value) -> Vec<u8> {
    request(
        "POST",
        path,
        &[("content-type", "application/json")],
        body.to_string().as_bytes(),
    )
}
