//! What the environment says (`spec/node-marzban.md`, 1.7 and 1.8).

mod dotenv;
mod value;

use std::fmt;
use std::path::{Path, PathBuf};

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
    /// `SSL_CERT_FILE`: the node's certificate.
    pub certificate: PathBuf,
    /// `SSL_KEY_FILE`: its private key.
    pub key: PathBuf,
    /// `SSL_CLIENT_CERT_FILE`: the panels' certificates.
    pub client_certificates: PathBuf,
    /// `INBOUNDS`: tags of the inbounds that the core gets; empty: all.
    pub inbounds: Vec<String>,
    /// `DEBUG`: the core's lines go to the log, too.
    pub debug: bool,
}

/// A variable of the environment.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What holds where it is not set.
    pub default: &'static str,
}

/// Every variable that the node reads, with the original's defaults.
pub const VARIABLES: &[Variable] = &[
    variable("SERVICE_HOST", "0.0.0.0"),
    variable("SERVICE_PORT", "62050"),
    variable("XRAY_API_HOST", "0.0.0.0"),
    variable("XRAY_API_PORT", "62051"),
    variable("XRAY_EXECUTABLE_PATH", "/usr/local/bin/xray"),
    variable("XRAY_ASSETS_PATH", "/usr/local/share/xray"),
    variable("SSL_CERT_FILE", "/var/lib/marzban-node/ssl_cert.pem"),
    variable("SSL_KEY_FILE", "/var/lib/marzban-node/ssl_key.pem"),
    variable("SSL_CLIENT_CERT_FILE", ""),
    variable("DEBUG", "false"),
    variable("SERVICE_PROTOCOL", "rest"),
    variable("INBOUNDS", ""),
];

const fn variable(name: &'static str, default: &'static str) -> Variable {
    Variable { name, default }
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// The settings.
    pub settings: Settings,
    /// What deserves attention and keeps nothing from working.
    pub warnings: Vec<String>,
}

/// Why there are no settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Everything that is wrong; at least one entry.
    pub problems: Vec<Problem>,
    /// As in [`Read`].
    pub warnings: Vec<String>,
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

impl Settings {
    /// Reads the environment, and below it the file `.env` in `directory` or the nearest of its parents that has one.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn read(environment: Environment<'_>, directory: &Path) -> Result<Read, Refused> {
        let mut reader = Reader::new(environment, directory);
        let settings = reader.settings();
        let Reader {
            problems,
            warnings,
            is_crash,
            ..
        } = reader;
        match settings {
            Some(settings) if problems.is_empty() => Ok(Read { settings, warnings }),
            _ => Err(Refused {
                problems,
                warnings,
                exit: u8::from(is_crash),
            }),
        }
    }

    /// Certificate and key alone, as [`Settings::read`] would find them, whatever is wrong with the rest.
    pub fn pair_files(environment: Environment<'_>, directory: &Path) -> (PathBuf, PathBuf) {
        let reader = Reader::new(environment, directory);
        (reader.text("SSL_CERT_FILE").into(), reader.text("SSL_KEY_FILE").into())
    }
}

struct Reader<'a> {
    environment: Environment<'a>,
    file: Vec<(String, String)>,
    problems: Vec<Problem>,
    warnings: Vec<String>,
    /// Whether one of the problems ends the original with a traceback.
    is_crash: bool,
}

impl<'a> Reader<'a> {
    fn new(environment: Environment<'a>, directory: &Path) -> Self {
        let mut reader = Self {
            environment,
            file: Vec::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
            is_crash: false,
        };
        match dotenv::find(directory) {
            Ok(Some((path, text))) => {
                let parsed = dotenv::parse(&text, environment);
                reader.file = parsed.variables;
                let named = |line| format!("{}: line {line} is not understood and left out", path.display());
                reader.warnings.extend(parsed.bad_lines.into_iter().map(named));
            }
            Ok(None) => {}
            Err(error) => reader.warnings.push(error),
        }
        reader
    }

    fn settings(&mut self) -> Option<Settings> {
        let protocol = self.text("SERVICE_PROTOCOL");
        if protocol != "rest" {
            let reason = match &*protocol {
                "rpyc" => "this protocol is for Python programs alone: set `rest`, here and in nothing else",
                _ => "no such protocol: set `rest`",
            };
            self.problem("SERVICE_PROTOCOL", protocol, reason);
        }
        let clients = self.text("SSL_CLIENT_CERT_FILE");
        if clients.is_empty() {
            self.warnings.push(
                "You are running node without SSL_CLIENT_CERT_FILE, be aware that everyone can connect to this node and \
                 this isn't secure!"
                    .to_owned(),
            );
            let reason =
                "it has to name the file with the panel's certificate, which the panel shows when a node is added";
            self.problem("SSL_CLIENT_CERT_FILE", clients.clone(), reason);
        } else if !Path::new(&clients).is_file() {
            self.problem("SSL_CLIENT_CERT_FILE", clients.clone(), "there is no such file");
        }
        let core = self.text("XRAY_EXECUTABLE_PATH");
        if let Err(reason) = value::is_program(Path::new(&core)) {
            self.crash("XRAY_EXECUTABLE_PATH", core.clone(), reason);
        }
        let inbounds = self.text("INBOUNDS");
        let service_port = self.port("SERVICE_PORT");
        let api_port = self.port("XRAY_API_PORT");
        let debug = self.parsed(
            "DEBUG",
            "y, yes, t, true, on or 1, or n, no, f, false, off or 0",
            value::truth,
        );
        Some(Settings {
            service_host: self.text("SERVICE_HOST"),
            service_port: service_port?,
            api_host: self.text("XRAY_API_HOST"),
            api_port: api_port?,
            core: core.into(),
            assets: self.text("XRAY_ASSETS_PATH").into(),
            certificate: self.text("SSL_CERT_FILE").into(),
            key: self.text("SSL_KEY_FILE").into(),
            client_certificates: clients.into(),
            inbounds: inbounds
                .split(',')
                .map(str::trim)
                .filter(|tag| !tag.is_empty())
                .map(ToOwned::to_owned)
                .collect(),
            debug: debug?,
        })
    }

    /// The value: of the environment, else of the file, else the default.
    fn text(&self, name: &'static str) -> String {
        let of_file = || {
            self.file
                .iter()
                .rfind(|(known, _)| known == name)
                .map(|(_, value)| value.clone())
        };
        let default = || {
            VARIABLES
                .iter()
                .find(|variable| variable.name == name)
                .map(|variable| variable.default)
        };
        (self.environment)(name)
            .or_else(of_file)
            .unwrap_or_else(|| default().unwrap_or_default().to_owned())
    }

    fn port(&mut self, name: &'static str) -> Option<u16> {
        self.parsed(name, "a number from 0 to 65535", |text| {
            value::int(text).and_then(|port| u16::try_from(port).ok())
        })
    }

    fn parsed<T>(&mut self, name: &'static str, expected: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let text = self.text(name);
        let value = parse(&text);
        if value.is_none() {
            self.crash(name, text, format!("expected {expected}"));
        }
        value
    }

    fn problem(&mut self, variable: &'static str, value: String, reason: impl Into<String>) {
        let reason = reason.into();
        self.problems.push(Problem {
            variable,
            value,
            reason,
        });
    }

    fn crash(&mut self, variable: &'static str, value: String, reason: impl Into<String>) {
        self.is_crash = true;
        self.problem(variable, value, reason);
    }
}

#[cfg(test)]
mod tests;
