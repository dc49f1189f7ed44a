//! Log lines: tracing to standard error through a writer of its own, so that no worker ever waits for a terminal.

mod batches;
mod python;

use self::batches::Batches;
use self::python::PythonFormat;
use anyhow::Context;
use kariz_actors::node::ACCESS_LOG;
use kariz_proto::model::{LogFormat, LogLevel, RuntimeSpec};
use std::io::{self, IsTerminal};
use std::sync::mpsc;
use std::time::Duration;
use tracing::Subscriber;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

/// Most lines that wait for standard error.
const MAX_WAITING_LINES: usize = 16_384;

/// The same in a node, for each of its two outputs: places are memory even when nobody waits in them.
const MAX_WAITING_NODE_LINES: usize = 4_096;

/// The environment variable whose directives go before the configuration's level (`RUST_LOG=kariz=debug`).
const OVERRIDE: &str = "RUST_LOG";

/// The running log. Lines that wait are written when it is dropped.
pub(crate) struct Logging {
    filter: reload::Handle<EnvFilter, Registry>,
    dropped: ErrorCounter,
    _writer: WorkerGuard,
}

impl Logging {
    /// Starts logging as `[runtime]` says. `RUST_LOG`, if it is set, goes before the level there.
    ///
    /// # Errors
    ///
    /// If the process logs already, or `RUST_LOG` cannot be read.
    pub(crate) fn start(runtime: &RuntimeSpec) -> anyhow::Result<Self> {
        let (subscriber, logging) = build(runtime.log_format, filter(runtime.log_level)?, io::stderr());
        subscriber.try_init().context("the log cannot be started")?;
        log_panics();
        Ok(logging)
    }

    /// Starts logging for the node: what it says to standard error, and which requests came to standard output.
    ///
    /// # Errors
    ///
    /// If the process logs already, or `RUST_LOG` cannot be read.
    pub(crate) fn start_node(debug: bool) -> anyhow::Result<NodeLogging> {
        let level = if debug { LogLevel::Debug } else { LogLevel::Info };
        let is_colourful = io::stdout().is_terminal() && !refuses_colours();
        let format = || PythonFormat { is_colourful };
        let (said, _said) = writer(io::stderr(), MAX_WAITING_NODE_LINES);
        let (requests, _requests) = writer(io::stdout(), MAX_WAITING_NODE_LINES);
        let dropped = [said.error_counter(), requests.error_counter()];
        // The format colours the level, and nothing else is coloured.
        let said = fmt::layer().with_ansi(false).event_format(format()).with_writer(said);
        let requests = fmt::layer()
            .with_ansi(false)
            .event_format(format())
            .with_writer(requests);
        tracing_subscriber::registry()
            .with(filter(level)?)
            .with(said.with_filter(filter_fn(|line| line.target() != ACCESS_LOG)))
            .with(requests.with_filter(filter_fn(|line| line.target() == ACCESS_LOG)))
            .try_init()
            .context("the log cannot be started")?;
        log_panics();
        Ok(NodeLogging {
            dropped,
            _said,
            _requests,
        })
    }

    /// Changes the level while the program runs, as after SIGHUP. `RUST_LOG` still goes before it.
    ///
    /// # Errors
    ///
    /// If `RUST_LOG` cannot be read.
    pub(crate) fn set_level(&self, level: LogLevel) -> anyhow::Result<()> {
        self.filter
            .reload(filter(level)?)
            .context("the log level cannot be changed")
    }

    /// Lines that were dropped because standard error was too slow.
    pub(crate) fn dropped_lines(&self) -> usize {
        self.dropped.dropped_lines()
    }
}

/// The running log of a node. Lines that wait are written when it is dropped.
pub(crate) struct NodeLogging {
    dropped: [ErrorCounter; 2],
    _said: WorkerGuard,
    _requests: WorkerGuard,
}

/// How long the last lines have to be written. What nobody reads then does not keep the node from ending.
const LAST_LINES_TIMEOUT: Duration = Duration::from_millis(150);

impl NodeLogging {
    /// Writes what waits, within [`LAST_LINES_TIMEOUT`].
    pub(crate) fn finish(self) {
        let (done, finished) = mpsc::channel();
        std::thread::spawn(move || {
            drop(self);
            // Whoever waited may have gone.
            let _ = done.send(());
        });
        // Either it is done, or it takes too long.
        let _ = finished.recv_timeout(LAST_LINES_TIMEOUT);
    }

    /// Lines that were dropped because standard error or standard output was too slow.
    pub(crate) fn dropped_lines(&self) -> usize {
        self.dropped.iter().map(ErrorCounter::dropped_lines).sum()
    }
}

fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        let cause = panic.payload_as_str().unwrap_or("no message");
        tracing::error!(location, cause, "panic");
    }));
}

/// Writes from a thread of its own. At most `lines` wait for it; what comes on top is dropped and counted.
fn writer(output: impl io::Write + Send + 'static, lines: usize) -> (NonBlocking, WorkerGuard) {
    NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(lines)
        .thread_name("log")
        .finish(Batches::new(output))
}

/// A subscriber that writes to `output` from a thread of its own.
fn build(
    format: LogFormat,
    filter: EnvFilter,
    output: impl io::Write + Send + 'static,
) -> (impl Subscriber + Send + Sync, Logging) {
    let (filter, handle) = reload::Layer::new(filter);
    let (writer, guard) = writer(output, MAX_WAITING_LINES);
    let logging = Logging {
        filter: handle,
        dropped: writer.error_counter(),
        _writer: guard,
    };
    (
        tracing_subscriber::registry().with(filter).with(layer(format, writer)),
        logging,
    )
}

fn filter(level: LogLevel) -> anyhow::Result<EnvFilter> {
    match std::env::var(OVERRIDE) {
        Ok(directives) if !directives.is_empty() => {
            EnvFilter::try_new(directives).with_context(|| format!("{OVERRIDE} is not a log filter"))
        }
        _ => Ok(EnvFilter::new(directive(level))),
    }
}

fn directive(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    }
}

/// Whether standard error is a terminal whose user has nothing against colours (no-color.org).
fn is_colourful() -> bool {
    io::stderr().is_terminal() && !refuses_colours()
}

fn refuses_colours() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

fn layer<S>(format: LogFormat, writer: NonBlocking) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    let layer = fmt::layer().with_writer(writer);
    match format {
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
        LogFormat::Auto | LogFormat::Text => layer.with_ansi(is_colourful()).boxed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex, mpsc};

    /// Standard error of a test.
    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Runs `body` with a log of its own and returns what was written.
    fn logged(format: LogFormat, body: impl FnOnce(&Logging)) -> String {
        let sink = Sink::default();
        let (subscriber, logging) = build(format, filter(LogLevel::Info).unwrap(), sink.clone());
        tracing::subscriber::with_default(subscriber, || body(&logging));
        drop(logging);
        String::from_utf8(sink.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn json_lines_have_their_fields_on_top() {
        let text = logged(LogFormat::Json, |_| {
            tracing::info!(service = "web", bytes = 3, "visitor refused")
        });
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["service"], "web");
        assert_eq!(line["bytes"], 3);
        assert_eq!(line["message"], "visitor refused");
        assert_eq!(line["level"], "INFO");
    }

    #[test]
    fn level_changes_while_running() {
        let text = logged(LogFormat::Text, |logging| {
            tracing::debug!("one");
            logging.set_level(LogLevel::Debug).unwrap();
            tracing::debug!("two");
            logging.set_level(LogLevel::Error).unwrap();
            tracing::warn!("three");
            tracing::error!("four");
        });
        let seen: Vec<_> = ["one", "two", "three", "four"]
            .into_iter()
            .filter(|word| text.contains(word))
            .collect();
        assert_eq!(seen, ["two", "four"]);
    }

    #[test]
    fn lines_are_dropped_and_counted_when_the_reader_is_stuck() {
        const MORE: usize = 1_000;
        /// Lines that may be in the writer's hands besides those that wait: its buffer has 8 KiB, none is so short.
        const IN_HAND: usize = 8 * 1024 / 40 + 1;
        /// Writes nothing until it is let go.
        struct Stuck(mpsc::Receiver<()>);
        impl io::Write for Stuck {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                // An error says that everybody may go on.
                let _ = self.0.recv();
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (release, stuck) = mpsc::channel();
        let (subscriber, logging) = build(LogFormat::Text, filter(LogLevel::Info).unwrap(), Stuck(stuck));
        tracing::subscriber::with_default(subscriber, || {
            for number in 0..MAX_WAITING_LINES + MORE {
                tracing::info!(number);
            }
        });
        let dropped = logging.dropped_lines();
        assert!((MORE - IN_HAND..=MORE).contains(&dropped), "{dropped}");
        drop(release);
    }
}
