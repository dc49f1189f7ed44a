//! `kariz server`, `client`, `relay` and `run`: the sections of a file at work.

use crate::cli::ConfigArgs;
use crate::exit::Exit;
use crate::logging::Logging;
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
    drop(logging);
    eprintln!("error: this build has no workers to run {} with", args.file.display());
    Exit::Internal
}
