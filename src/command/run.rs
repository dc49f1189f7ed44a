//! `kariz server`, `client`, `relay` and `run`: the sections of a file at work.

use crate::cli::ConfigArgs;
use crate::exit::Exit;
use crate::logging::Logging;
use crate::signals::{Asked, Signals};
use crate::stack::Stack;
use kariz_actors::config;
use kariz_proto::model::Spec;

/// Which sections of the file a command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sections {
    /// `[server]` alone.
    Server,
    /// `[client]` alone.
    Client,
    /// `[relay]` alone.
    Relay,
    /// Whatever the file has.
    All,
}

impl Sections {
    /// Takes the other sections out of `spec`; an error if what is to run is not there.
    fn select(self, spec: &mut Spec) -> Result<(), &'static str> {
        let (server, client, relay) = (spec.server.take(), spec.client.take(), spec.relay.take());
        match self {
            Self::All => (spec.server, spec.client, spec.relay) = (server, client, relay),
            Self::Server => spec.server = Some(server.ok_or("[server]")?),
            Self::Client => spec.client = Some(client.ok_or("[client]")?),
            Self::Relay => spec.relay = Some(relay.ok_or("[relay]")?),
        }
        Ok(())
    }
}

/// Reads the file and runs its sections until a signal ends them.
pub(crate) fn run(args: &ConfigArgs, sections: Sections) -> Exit {
    let options = config::Options { lenient: args.lenient };
    let mut loaded = match config::load(&args.file, options) {
        Ok(loaded) => loaded,
        Err(problems) => {
            eprintln!("{problems}");
            return Exit::Usage;
        }
    };
    if let Err(section) = sections.select(&mut loaded.spec) {
        eprintln!("error: {} has no {section} section", args.file.display());
        return Exit::Usage;
    }
    let logging = match Logging::start(&loaded.spec.runtime) {
        Ok(logging) => logging,
        Err(error) => {
            eprintln!("error: {error:#}");
            return Exit::Usage;
        }
    };
    for warning in &loaded.warnings {
        tracing::warn!(line = warning.line, key = warning.key, "{}", warning.expected);
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: no runtime for the control plane: {error}");
            return Exit::CannotStart;
        }
    };
    let exit = runtime.block_on(serve(args, sections, loaded.spec, &logging));
    // A name that is being resolved must not hold the exit up.
    runtime.shutdown_background();
    exit
}

async fn serve(args: &ConfigArgs, sections: Sections, spec: Spec, logging: &Logging) -> Exit {
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => {
            eprintln!("error: no signals: {error}");
            return Exit::CannotStart;
        }
    };
    let stack = match Stack::start(spec).await {
        Ok(stack) => stack,
        Err(error) => {
            tracing::error!(%error, "cannot start");
            eprintln!("error: {error}");
            return error.exit();
        }
    };
    loop {
        let asked = tokio::select! {
            asked = signals.next() => asked,
            () = stack.control.failed() => {
                tracing::error!("the control plane has broken down");
                return Exit::Internal;
            }
        };
        match asked {
            Asked::Reload => reload(args, sections, &stack, logging).await,
            Asked::Counters => {
                stack.log_counters();
                tracing::info!(dropped_lines = logging.dropped_lines(), "log counters");
            }
            Asked::End => break,
        }
    }
    let drain_timeout = stack.control.spec().runtime.drain_timeout;
    tracing::info!(deadline = ?drain_timeout, "draining; a second signal ends at once");
    tokio::select! {
        _ = stack.control.drain(drain_timeout) => {}
        () = signals.second_end() => tracing::warn!("second signal: not waiting for visitors"),
    }
    stack.stop().await;
    Exit::Done
}

/// Reads the file again. One with a problem changes nothing.
async fn reload(args: &ConfigArgs, sections: Sections, stack: &Stack, logging: &Logging) {
    let loaded = config::load(&args.file, config::Options { lenient: args.lenient });
    let mut loaded = match loaded {
        Ok(loaded) => loaded,
        Err(problems) => return tracing::error!(%problems, "not reloaded: nothing has changed"),
    };
    if let Err(section) = sections.select(&mut loaded.spec) {
        return tracing::error!(section, "not reloaded: the section is gone, nothing has changed");
    }
    for warning in &loaded.warnings {
        tracing::warn!(line = warning.line, key = warning.key, "{}", warning.expected);
    }
    if let Err(error) = logging.set_level(loaded.spec.runtime.log_level) {
        tracing::error!(%error, "the log level stays");
    }
    stack.reload(loaded.spec).await;
    tracing::info!("reloaded");
}
