//! Log lines as marzban-node writes them, for the tools that its users have around it (`spec/node-marzban.md`, 1.8).

use kariz_actors::node::ACCESS_LOG;
use std::fmt;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// `LEVEL: message` for what the node says, `INFO:     message` for requests.
pub(super) struct PythonFormat {
    /// Whether the level has a colour.
    pub(super) is_colourful: bool,
}

impl<S, N> FormatEvent<S, N> for PythonFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let (level, colour) = match *event.metadata().level() {
            Level::ERROR => ("ERROR", 31),
            Level::WARN => ("WARNING", 33),
            Level::INFO => ("INFO", 32),
            Level::DEBUG | Level::TRACE => ("DEBUG", 36),
        };
        if self.is_colourful {
            write!(to, "\x1b[{colour}m{level}\x1b[0m:")?;
        } else {
            write!(to, "{level}:")?;
        }
        // uvicorn pads the level of its own lines to the longest one.
        to.write_str(if event.metadata().target() == ACCESS_LOG {
            "     "
        } else {
            " "
        })?;
        context.field_format().format_fields(to.by_ref(), event)?;
        writeln!(to)
    }
}
