//! What the environment says (`spec/node-marzban.md`, 1.7 and 1.8).

mod dotenv;
mod reader;
mod value;
mod variables;

pub use variables::{VARIABLES, Variable};

use reader::Reader;
use std::fmt;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// A node's settings. Every value has been looked at; files that are named exist, but for the pair, which the node makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `SERVICE_HOST`: the address or name to listen on.
    pub service_host: String,
    /// `SERVICE_PORT`; 0 takes any.
    pub service_port: u16,
    /// `XRAY_API_HOST`: where the core's API listens.
    pub api_host: String,
    /// `XRAY_API_PORT`.
    pub api_port: u16,
    /// `XRAY_EXECUTABLE_PATH`: the core.
    pub core: PathBuf,
    /// `XRAY_ASSETS_PATH`: its lists of countries and sites.
    pub assets: PathBuf,
    /// Its certificates and key.
    pub files: Files,
    /// `INBOUNDS`: tags of the inbounds that the core gets; empty: all.
    pub inbounds: Vec<String>,
    /// Who may drive the node.
    pub access: Access,
    /// `DEBUG`: the core's lines go to the log, too.
    pub debug: bool,
    /// `KARIZ_SOFT_TAKEOVER`: a panel that takes another's place and starts what runs already takes the running core over.
    pub soft_takeover: bool,
    /// `SERVICE_PROTOCOL`: what is spoken with Gozargah and PasarGuard panels.
    pub protocols: Protocols,
    /// `KARIZ_PANEL_GENERATION`: how panels with a key are answered where generations differ.
    pub generation: Generation,
    /// `LOG_BUFFER_SIZE`: lines of the core that are kept for readers.
    pub log_lines: usize,
    /// `STARTUP_LOG_TAIL_SIZE`: most lines of a core that did not start which the panel is told.
    pub startup_log_lines: usize,
    /// The folder where the core's configuration is written down, if `DEBUG` or `GENERATED_CONFIG_PATH` asks for it.
    pub generated: Option<PathBuf>,
}

/// What is spoken with Gozargah and PasarGuard panels (`spec/node-panel.md`, Rules for us).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocols {
    /// gRPC and REST.
    Both,
    /// gRPC alone.
    Grpc,
    /// REST alone; so do Marzban panels.
    Rest,
}

/// The panels' generations that show a key, where they are answered differently (`spec/node-panel.md`, 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// As gozargah-node of April 2025.
    G1,
    /// As the node of PasarGuard 0.5.2.
    G3,
}

/// What a panel shows to be let in, by which the kind of panel is known (`spec/node-panel.md`, Rules for us).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// A certificate of `SSL_CLIENT_CERT_FILE`: Marzban.
    Certificate,
    /// `API_KEY`: Gozargah and PasarGuard.
    Key(Uuid),
}

/// Where certificates and keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// `SSL_CERT_FILE`: the node's certificate.
    pub certificate: PathBuf,
    /// `SSL_KEY_FILE`: its private key.
    pub key: PathBuf,
    /// `SSL_CLIENT_CERT_FILE`: the panels' certificates; empty if it is not set.
    pub client_certificates: PathBuf,
}

/// What the environment says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The settings, if nothing is wrong.
    pub settings: Result<Settings, Refused>,
    /// Whatever is wrong with the rest.
    pub files: Files,
    /// What deserves attention and keeps nothing from working.
    pub warnings: Vec<String>,
}

/// Why there are no settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Everything that is wrong; at least one entry.
    pub problems: Vec<Problem>,
    /// The exit status that the original ends with: 1 for values that cannot be read and programs that are missing, 0 for
    /// what it calls an error of the configuration.
    pub exit: u8,
}

/// A variable whose value cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its name.
    pub variable: &'static str,
    /// Its value.
    pub value: String,
    /// What is wrong, and what was expected.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            variable,
            value,
            reason,
        } = self;
        write!(f, "{variable}={}: {reason}", value.escape_debug())
    }
}

/// Reads one variable of the process's environment.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Reads the environment, and below it the file `.env` in `directory` or the nearest of its parents that has one. Everything
/// that is wrong is found at once.
pub fn read(environment: Environment<'_>, directory: &Path) -> Reading {
    let mut reader = Reader::new(environment, directory);
    let files = reader.files();
    let settings = reader.settings(files.clone());
    let Reader {
        problems,
        warnings,
        is_crash,
        ..
    } = reader;
    let settings = settings.filter(|_| problems.is_empty()).ok_or(Refused {
        problems,
        exit: u8::from(is_crash),
    });
    Reading {
        settings,
        files,
        warnings,
    }
}

#[cfg(test)]
mod tests;
