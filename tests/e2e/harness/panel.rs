//! A panel in a few lines: one session, one connection that is opened again when the node has closed it.

use super::https::{Answer, Https, Login};
use super::node::Node;
use super::{Context, Duration, Instant, Result, SocketAddr};
use serde_json::{Value, json};

/// A panel that is connected to a node.
#[derive(Debug)]
pub struct Panel {
    address: SocketAddr,
    login: Login,
    connection: Option<Https>,
    /// What `/connect` gave.
    pub session: String,
}

/// A configuration that every fake core takes.
pub const CONFIG: &str = r#"{"inbounds":[],"outbounds":[{"protocol":"freedom"}]}"#;

impl Panel {
    /// Connects as [`Login::panel`].
    pub async fn connect(node: &Node) -> Result<Self> {
        Self::connect_as(node, &Login::panel()?).await
    }

    /// Connects as somebody whom the node trusts.
    pub async fn connect_as(node: &Node, login: &Login) -> Result<Self> {
        let mut panel = Self {
            address: node.address,
            login: login.clone(),
            connection: None,
            session: String::new(),
        };
        let answer = panel.post("/connect", &json!({})).await?.expect(200)?.json()?;
        panel.session = answer["session_id"]
            .as_str()
            .context("/connect gives a session")?
            .to_owned();
        Ok(panel)
    }

    /// The same session on a connection of its own.
    pub fn beside(&self) -> Self {
        Self {
            address: self.address,
            login: self.login.clone(),
            connection: None,
            session: self.session.clone(),
        }
    }

    /// How this panel logs in.
    pub fn login(&self) -> &Login {
        &self.login
    }

    /// Posts `body`.
    pub async fn post(&mut self, path: &str, body: &Value) -> Result<Answer> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Https::open(self.address, &self.login).await?,
        };
        let answer = connection.ask(&request(path, body.to_string().as_bytes())).await;
        let answer = answer.with_context(|| format!("POST {path}"))?;
        // After these the node closes.
        if !matches!(answer.status(), 400 | 500) {
            self.connection = Some(connection);
        }
        Ok(answer)
    }

    /// Posts this panel's session alone.
    pub async fn tell(&mut self, path: &str) -> Result<Answer> {
        let session = json!({ "session_id": self.session });
        self.post(path, &session).await
    }

    /// `/start`.
    pub async fn start(&mut self, config: &str) -> Result<Answer> {
        self.launch("/start", config).await
    }

    /// `/restart`.
    pub async fn restart(&mut self, config: &str) -> Result<Answer> {
        self.launch("/restart", config).await
    }

    async fn launch(&mut self, path: &str, config: &str) -> Result<Answer> {
        let body = json!({ "session_id": self.session, "config": config });
        self.post(path, &body).await
    }

    /// `started` as `/` says it.
    pub async fn started(&mut self) -> Result<bool> {
        let answer = self.post("/", &json!({})).await?.expect(200)?.json()?;
        answer["started"].as_bool().context("`started` is a boolean")
    }

    /// `/ping`; how long the answer took.
    pub async fn ping(&mut self) -> Result<Duration> {
        let begin = Instant::now();
        self.tell("/ping").await?.expect(200)?;
        Ok(begin.elapsed())
    }
}

/// A POST as a panel's library writes it.
pub fn request(path: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: node.test\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}
