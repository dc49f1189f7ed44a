//! The node's log stream as a WebSocket client sees it.

use super::https::{Https, Login};
use super::node::Node;
use super::panel::Panel;
use super::wait::within;
use super::{Context, Duration, Result, bail};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

/// An open `/logs`.
#[derive(Debug)]
pub struct Logs(WebSocketStream<TlsStream<TcpStream>>);

impl Logs {
    /// Opens `/logs` for a panel's session; `more` goes behind it in the query (`&interval=0.7`).
    pub async fn open(node: &Node, panel: &Panel, more: &str) -> Result<Self> {
        let query = format!("session_id={}{more}", panel.session);
        Self::open_with(node, panel.login(), &query).await
    }

    /// Opens `/logs` with any query.
    pub async fn open_with(node: &Node, login: &Login, query: &str) -> Result<Self> {
        let stream = Https::open(node.address, login).await?.into_stream()?;
        let upgrade = Box::pin(client_async(format!("wss://node.test/logs?{query}"), stream));
        let (socket, _) = within(super::SOON, "an upgrade", upgrade).await??;
        Ok(Self(socket))
    }

    /// The next message of any kind, pings too; nothing when the connection has ended.
    pub async fn message(&mut self, limit: Duration) -> Result<Option<Message>> {
        let next = within(limit, "a message on the log stream", self.0.next()).await?;
        Ok(next.transpose()?)
    }

    /// The next text.
    pub async fn text(&mut self, limit: Duration) -> Result<String> {
        let next = async {
            loop {
                match self.0.next().await.transpose()? {
                    Some(Message::Text(text)) => return Ok(text.to_string()),
                    Some(Message::Ping(_) | Message::Pong(_)) => {}
                    other => bail!("a text was expected, {other:?} came"),
                }
            }
        };
        within(limit, "a text on the log stream", next).await?
    }

    /// The next `count` texts.
    pub async fn texts(&mut self, count: usize, limit: Duration) -> Result<Vec<String>> {
        let mut texts = Vec::with_capacity(count);
        for _ in 0..count {
            let text = self.text(limit).await;
            texts.push(text.with_context(|| format!("after {} texts: {:?}", texts.len(), texts.last()))?);
        }
        Ok(texts)
    }

    /// Reads until a text is exactly `last`; everything that came, `last` included.
    pub async fn until(&mut self, last: &str, limit: Duration) -> Result<Vec<String>> {
        let mut texts = Vec::new();
        let read = async {
            while texts.last().is_none_or(|text| text != last) {
                texts.push(self.text(limit).await?);
            }
            anyhow::Ok(())
        };
        within(limit, &format!("the line {last:?}"), read).await??;
        Ok(texts)
    }

    /// Reads texts until the node closes: code and reason.
    pub async fn closed(&mut self, limit: Duration) -> Result<(u16, String)> {
        let read = async {
            loop {
                match self.0.next().await.transpose()? {
                    Some(Message::Close(Some(frame))) => return Ok((frame.code.into(), frame.reason.to_string())),
                    Some(Message::Close(None)) => bail!("the node closed without a code"),
                    Some(_) => {}
                    None => bail!("the connection ended without a close frame"),
                }
            }
        };
        within(limit, "the node closes the log stream", read).await?
    }

    /// Sends a message.
    pub async fn send(&mut self, message: Message) -> Result<()> {
        Ok(within(super::SOON, "sending a message", self.0.send(message)).await??)
    }
}
