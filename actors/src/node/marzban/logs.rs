//! The log stream: a WebSocket at `/logs` (`spec/node-marzban.md`, 1.5).

use super::{python_float, python_uuid};
use crate::node::http::{self, Answer, Head};
use crate::node::log_hub::{LogReader, MARZBAN_LINES};
use crate::node::state::{Session, State};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hyper::header::{SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION};
use hyper::{HeaderMap, StatusCode};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use uuid::Uuid;

/// Largest interval between two messages.
const MAX_INTERVAL_S: f64 = 10.0;

/// A batch that has become this large is sent before its time.
const MAX_BATCH_BYTES: usize = 1 << 20;

/// How often the reader is asked whether it is still there, and how long it has to answer.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// A reader that takes nothing for this long is gone.
const SEND_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a reader has to answer the end of the stream.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Largest message of a reader, in bytes. They are all ignored.
const MAX_MESSAGE_BYTES: usize = 64 << 10;

/// What a reader asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Follow {
    /// The stream ends with this session.
    session: Uuid,
    mode: Mode,
}

/// How lines become messages.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Mode {
    /// One message for each line, without a newline.
    Lines,
    /// One message for each line, with its newline.
    LinesWithNewline,
    /// Lines of an interval together, each with its newline.
    Batches(Duration),
    /// None at all: what an interval that is not a number comes to.
    Nothing,
}

impl Mode {
    /// What an `interval` means; `None` if it is refused.
    fn of(interval: Option<&str>) -> Option<Self> {
        let Some(text) = interval.filter(|text| !text.is_empty()) else {
            return Some(Self::Lines);
        };
        let seconds = python_float::parse(text)?;
        if seconds.is_nan() {
            Some(Self::Nothing)
        } else if seconds > MAX_INTERVAL_S {
            None
        } else if seconds == 0.0 {
            Some(Self::Lines)
        } else if seconds < 0.0 {
            Some(Self::LinesWithNewline)
        } else {
            Some(Self::Batches(Duration::from_secs_f64(seconds)))
        }
    }
}

/// Answers a request that wants to become a WebSocket. A refusal is an ordinary answer, before it is one.
pub(super) fn open(head: &Head, headers: &HeaderMap, state: &State) -> Answer<Follow> {
    let refuse = |reason: &str| {
        tracing::debug!("a log reader is refused: {reason}");
        Answer::RespondAndClose(http::websocket_refusal(StatusCode::FORBIDDEN, ""))
    };
    let Some(key) = headers.get(SEC_WEBSOCKET_KEY).filter(|_| {
        let version = headers.get(SEC_WEBSOCKET_VERSION);
        version.is_some_and(|version| version.as_bytes() == b"13")
    }) else {
        let text = "The handshake of the WebSocket has no key, or not version 13.";
        return Answer::RespondAndClose(http::websocket_refusal(StatusCode::BAD_REQUEST, text));
    };
    if head.path != "/logs" {
        return refuse("there is nothing at this path");
    }
    let (mut session_id, mut interval) = (None, None);
    for (name, value) in form_urlencoded::parse(head.query.as_bytes()) {
        match &*name {
            "session_id" => session_id = Some(value),
            "interval" => interval = Some(value),
            _ => {}
        }
    }
    let Some(session_id) = session_id else {
        let text = "Internal Server Error";
        return Answer::RespondAndClose(http::websocket_refusal(StatusCode::INTERNAL_SERVER_ERROR, text));
    };
    let Some(session) = python_uuid::parse(&session_id) else {
        return refuse("session_id should be a valid UUID.");
    };
    if state.session().is_none_or(|current| current.id != session) {
        return refuse("Session ID mismatch.");
    }
    let Some(mode) = Mode::of(interval.as_deref()) else {
        return refuse("Interval must be a number, more than 0 and at most 10 seconds.");
    };
    Answer::Upgrade(http::upgrade(key.as_bytes()), Follow { session, mode })
}

/// Sends the core's lines until the session or the node ends, or the reader is gone. `rest` is what came behind the request.
pub(super) async fn follow<IO>(stream: IO, rest: Bytes, follow: Follow, state: &State) -> IO
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let config = WebSocketConfig::default()
        .read_buffer_size(4 << 10)
        .write_buffer_size(0)
        .max_write_buffer_size(MAX_BATCH_BYTES * 8)
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES));
    let mut socket = WebSocketStream::from_partially_read(stream, rest.into(), Role::Server, Some(config)).await;
    let code = serve(&mut socket, follow, state).await;
    if let Some(code) = code {
        let goodbye = async {
            let reason = CloseFrame {
                code,
                reason: "".into(),
            };
            if socket.close(Some(reason)).await.is_ok() {
                while let Some(Ok(_)) = socket.next().await {}
            }
        };
        // Whoever does not answer in time is gone.
        let _ = timeout(CLOSE_TIMEOUT, goodbye).await;
    }
    socket.into_inner()
}

/// Returns the code to close with; `None` if there is nobody any more to tell it.
async fn serve<IO>(socket: &mut WebSocketStream<IO>, follow: Follow, state: &State) -> Option<CloseCode>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sessions, mut stopping) = (state.sessions(), state.stopping());
    let mut lines = Lines {
        reader: state.logs.reader(MARZBAN_LINES),
        mode: follow.mode,
        batch: String::new(),
        sent: None,
    };
    let mut pings = interval_at(Instant::now() + PING_INTERVAL, PING_INTERVAL);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut answered = true;
    let is_over = |session: &Option<Session>| session.is_none_or(|session| session.id != follow.session);
    let kept = state.logs.take(&mut lines.reader).lines;
    let mut due = lines.messages(kept);
    loop {
        for message in due.drain(..) {
            let sent = timeout(SEND_TIMEOUT, socket.send(Message::text(message)));
            // A reader that takes its time is not to outstay its session.
            tokio::select! {
                biased;
                () = until(&mut stopping, |stopping| *stopping) => return Some(CloseCode::Restart),
                () = until(&mut sessions, is_over) => return Some(CloseCode::Normal),
                sent = sent => match sent {
                    Ok(Ok(())) => {}
                    _ => return None,
                },
            }
        }
        let flush_at = lines.flush_at();
        tokio::select! {
            biased;
            () = until(&mut stopping, |stopping| *stopping) => return Some(CloseCode::Restart),
            () = until(&mut sessions, is_over) => return Some(CloseCode::Normal),
            message = socket.next() => match message {
                Some(Ok(Message::Pong(_))) => answered = true,
                Some(Ok(Message::Close(_))) => {
                    // The answer is made already. A reader that does not wait for it does not miss it.
                    let _ = timeout(CLOSE_TIMEOUT, socket.flush()).await;
                    return None;
                }
                Some(Err(_)) | None => return None,
                Some(Ok(_)) => {}
            },
            _ = pings.tick() => {
                if !answered {
                    return Some(CloseCode::Error);
                }
                answered = false;
                if !matches!(timeout(SEND_TIMEOUT, socket.send(Message::Ping(Bytes::new()))).await, Ok(Ok(()))) {
                    return None;
                }
            }
            () = sleep_until(flush_at.unwrap_or_else(Instant::now)), if flush_at.is_some() => due.extend(lines.flush()),
            () = lines.reader.changed() => {
                let unseen = state.logs.take(&mut lines.reader).lines;
                due = lines.messages(unseen);
            }
        }
    }
}

/// Waits until a value is as wanted. Whoever wrote it is there for as long as the node.
async fn until<T>(value: &mut watch::Receiver<T>, wanted: impl FnMut(&T) -> bool) {
    // The value itself must not be held while something else is awaited.
    let _ = value.wait_for(wanted).await;
}

/// Makes messages of lines.
struct Lines {
    reader: LogReader,
    mode: Mode,
    /// Lines that wait for the end of their interval.
    batch: String,
    /// When the last batch was sent.
    sent: Option<Instant>,
}

impl Lines {
    /// What to send now that these lines have come.
    fn messages(&mut self, lines: Vec<Arc<str>>) -> Vec<String> {
        let interval = match self.mode {
            Mode::Nothing => return Vec::new(),
            Mode::Lines => return lines.iter().map(ToString::to_string).collect(),
            Mode::LinesWithNewline => return lines.iter().map(|line| format!("{line}\n")).collect(),
            Mode::Batches(interval) => interval,
        };
        let mut messages = Vec::new();
        for line in lines {
            self.batch.push_str(&line);
            self.batch.push('\n');
            let is_due = self.sent.is_none_or(|sent| sent.elapsed() >= interval);
            if is_due || self.batch.len() >= MAX_BATCH_BYTES {
                messages.extend(self.flush());
            }
        }
        messages
    }

    /// When the batch is to be sent; `None` if there is none.
    fn flush_at(&self) -> Option<Instant> {
        match (self.mode, self.sent) {
            (Mode::Batches(interval), Some(sent)) if !self.batch.is_empty() => Some(sent + interval),
            _ => None,
        }
    }

    fn flush(&mut self) -> Option<String> {
        self.sent = Some(Instant::now());
        Some(std::mem::take(&mut self.batch)).filter(|batch| !batch.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::log_hub::LogHub;

    #[test]
    fn an_interval_says_how_lines_become_messages() {
        for none in [None, Some(""), Some("0"), Some("0.0"), Some("-0")] {
            assert_eq!(Mode::of(none), Some(Mode::Lines), "{none:?}");
        }
        assert_eq!(Mode::of(Some("0.7")), Some(Mode::Batches(Duration::from_millis(700))));
        assert_eq!(Mode::of(Some(" 1_0 ")), Some(Mode::Batches(Duration::from_secs(10))));
        assert_eq!(Mode::of(Some("-1")), Some(Mode::LinesWithNewline));
        assert_eq!(Mode::of(Some("nan")), Some(Mode::Nothing));
        for refused in ["inf", "10.1", "x", "1 2"] {
            assert_eq!(Mode::of(Some(refused)), None, "{refused}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_line_goes_alone_and_the_others_at_the_end_of_the_interval() {
        let hub = LogHub::new(MARZBAN_LINES);
        let mut lines = Lines {
            reader: hub.reader(MARZBAN_LINES),
            mode: Mode::Batches(Duration::from_secs(1)),
            batch: String::new(),
            sent: None,
        };
        let given = |text: &[&str]| text.iter().map(|line| Arc::from(*line)).collect();
        assert_eq!(lines.messages(given(&["a", "b", "c"])), ["a\n"]);
        let begin = Instant::now();
        assert_eq!(lines.flush_at(), Some(begin + Duration::from_secs(1)));
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(lines.messages(given(&["d"])).is_empty());
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(lines.flush().unwrap(), "b\nc\nd\n");
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(lines.messages(given(&["e", "f"])), ["e\n"]);
    }
}
