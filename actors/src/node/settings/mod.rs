//! What the environment says (`spec/node-marzban.md`, 1.7 and 1.8).

mod dotenv;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// Most lines of a `.env` that are named because they are not understood; the others are counted.
const MAX_NAMED_LINES: usize = 20;

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
}

/// What a panel shows to be let in, by which the kind of panel is known (`spec/node-panel.md`, Rules for us).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// A certificate of `SSL_CLIENT_CERT_FILE`: Marzban.
    Certificate,
    /// `API_KEY`: Gozargah and PasarGuard.
    Key(Uuid),
}

/// A variable of the environment.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What holds where it is not set.
    pub default: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
}

/// Every variable that the node reads, with the original's defaults. Those that the original does not know begin with `KARIZ_`.
pub const VARIABLES: &[Variable] = &[
    variable("SERVICE_HOST", "0.0.0.0", "where panels connect: address"),
    variable("SERVICE_PORT", "62050", "and port"),
    variable("NODE_HOST", "", "another name of SERVICE_HOST, of the Go node"),
    variable("XRAY_API_HOST", "0.0.0.0", "where the core's API listens: address"),
    variable("XRAY_API_PORT", "62051", "and port"),
    variable("XRAY_EXECUTABLE_PATH", "/usr/local/bin/xray", "the core"),
    variable(
        "XRAY_ASSETS_PATH",
        "/usr/local/share/xray",
        "its lists of countries and sites",
    ),
    variable(
        "SSL_CERT_FILE",
        "/var/lib/marzban-node/ssl_cert.pem",
        "the node's certificate, made if it is missing",
    ),
    variable("SSL_KEY_FILE", "/var/lib/marzban-node/ssl_key.pem", "its key"),
    variable(
        "SSL_CLIENT_CERT_FILE",
        "",
        "certificates of Marzban panels; this or API_KEY has to be set",
    ),
    variable(
        "API_KEY",
        "",
        "key (a UUID) that Gozargah and PasarGuard panels show; goes before the certificates",
    ),
    variable("DEBUG", "false", "whether the core's lines are logged, too"),
    variable("SERVICE_PROTOCOL", "rest", "no other is spoken"),
    variable(
        "INBOUNDS",
        "",
        "tags of the inbounds that the core gets, with commas between them; nothing: all",
    ),
    variable(
        "KARIZ_SOFT_TAKEOVER",
        "false",
        "whether a panel in another's place takes its core, too, if it starts the same",
    ),
];

/// Where the nodes of PasarGuard and Gozargah have their pair (`spec/node-panel.md`, 3.4 and 4.5).
const KEYED_FOLDERS: [&str; 2] = ["/var/lib/pg-node/certs", "/var/lib/gozargah-node/certs"];

const fn variable(name: &'static str, default: &'static str, about: &'static str) -> Variable {
    Variable { name, default, about }
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

fn default(name: &str) -> &'static str {
    let known = VARIABLES.iter().find(|variable| variable.name == name);
    known.map(|variable| variable.default).unwrap_or_default()
}

struct Reader<'a> {
    environment: Environment<'a>,
    file: BTreeMap<String, String>,
    problems: Vec<Problem>,
    warnings: Vec<String>,
    /// Whether one of the problems ends the original with a traceback.
    is_crash: bool,
}

impl<'a> Reader<'a> {
    fn new(environment: Environment<'a>, directory: &Path) -> Self {
        let mut reader = Self {
            environment,
            file: BTreeMap::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
            is_crash: false,
        };
        match dotenv::find(directory) {
            Ok(Some((path, text))) => {
                let parsed = dotenv::parse(&text, environment);
                reader.file = parsed.variables;
                let named = |line: &usize| format!("{}: line {line} is not understood and left out", path.display());
                let (lines, more) = parsed.bad_lines.split_at(parsed.bad_lines.len().min(MAX_NAMED_LINES));
                reader.warnings.extend(lines.iter().map(named));
                if !more.is_empty() {
                    reader
                        .warnings
                        .push(format!("{}: and {} lines more", path.display(), more.len()));
                }
            }
            Ok(None) => {}
            // With the defaults in its place the node would be another one.
            Err((path, reason)) => reader.crash(".env", path.display().to_string(), reason),
        }
        reader
    }

    fn files(&self) -> Files {
        Files {
            certificate: self.pair_file("SSL_CERT_FILE"),
            key: self.pair_file("SSL_KEY_FILE"),
            client_certificates: self.text("SSL_CLIENT_CERT_FILE").into(),
        }
    }

    /// A file of the pair: as it is set, or where the node that is replaced has it.
    fn pair_file(&self, name: &'static str) -> PathBuf {
        let usual = PathBuf::from(self.text(name));
        if self.is_set(name) || self.text("API_KEY").is_empty() {
            return usual;
        }
        let beside = |folder: &&str| Path::new(folder).join(usual.file_name().unwrap_or_default());
        let theirs: Vec<PathBuf> = KEYED_FOLDERS.iter().map(beside).collect();
        let there = theirs.iter().find(|path| path.is_file());
        there.or(theirs.first()).cloned().unwrap_or(usual)
    }

    fn is_set(&self, name: &str) -> bool {
        (self.environment)(name).is_some() || self.file.contains_key(name)
    }

    fn settings(&mut self, files: Files) -> Option<Settings> {
        let access = self.access();
        let is_keyed = matches!(access, Some(Access::Key(_)));
        self.look_at_protocol(is_keyed);
        let clients = self.text("SSL_CLIENT_CERT_FILE");
        let needs_clients = access == Some(Access::Certificate);
        if needs_clients && clients.is_empty() {
            self.warnings.push(
                "SSL_CLIENT_CERT_FILE is not set: everyone can connect to such a node, which is not secure".to_owned(),
            );
            let reason = "it has to name the file with the certificate that a Marzban panel shows when a node is added; \
                          for a Gozargah or PasarGuard panel set API_KEY instead";
            self.problem("SSL_CLIENT_CERT_FILE", clients, reason);
        } else if needs_clients && !files.client_certificates.is_file() {
            self.problem("SSL_CLIENT_CERT_FILE", clients, "there is no such file");
        }
        let core = self.text("XRAY_EXECUTABLE_PATH");
        let search = (self.environment)("PATH").unwrap_or_default();
        let program = value::program(&core, &search);
        match &program {
            Ok(path) if value::raises_rights(path) => self.warnings.push(format!(
                "XRAY_EXECUTABLE_PATH={}: it has file capabilities or sets its user: such a core lives on if the node is killed",
                path.display()
            )),
            Ok(_) => {}
            Err(reason) => self.crash("XRAY_EXECUTABLE_PATH", core, reason),
        }
        let inbounds = self.text("INBOUNDS");
        let service_port = self.port("SERVICE_PORT");
        let api_port = self.port("XRAY_API_PORT");
        if !is_keyed {
            self.look_at_api(service_port, api_port);
        }
        let debug = self.truth("DEBUG");
        let soft_takeover = self.truth("KARIZ_SOFT_TAKEOVER");
        Some(Settings {
            service_host: self.host("SERVICE_HOST"),
            service_port: service_port?,
            api_host: self.host("XRAY_API_HOST"),
            api_port: api_port?,
            core: program.ok()?,
            assets: self.text("XRAY_ASSETS_PATH").into(),
            files,
            inbounds: inbounds
                .split(',')
                .map(str::trim)
                .filter(|tag| !tag.is_empty())
                .map(ToOwned::to_owned)
                .collect(),
            access: access?,
            debug: debug?,
            soft_takeover: soft_takeover?,
        })
    }

    fn access(&mut self) -> Option<Access> {
        let text = self.text("API_KEY");
        if text.is_empty() {
            return Some(Access::Certificate);
        }
        match Uuid::parse_str(&text) {
            Ok(key) if !key.is_nil() => Some(Access::Key(key)),
            _ => {
                // A key is a secret, even a wrong one.
                self.crash("API_KEY", "...".to_owned(), "expected a UUID, and not the one of zeros");
                None
            }
        }
    }

    /// The value: of the environment, else of the file, else the default.
    fn text(&self, name: &'static str) -> String {
        let of_file = || self.file.get(name).cloned();
        (self.environment)(name)
            .or_else(of_file)
            .unwrap_or_else(|| default(name).to_owned())
    }

    fn look_at_protocol(&mut self, is_keyed: bool) {
        let protocol = self.text("SERVICE_PROTOCOL");
        let reason = match &*protocol {
            "rest" => return,
            // Both are spoken anyway.
            "grpc" if is_keyed => return,
            "rpyc" => "this protocol is for Python programs alone: set `rest`, here and in nothing else",
            _ => "no such protocol: set `rest`",
        };
        self.problem("SERVICE_PROTOCOL", protocol, reason);
    }

    /// Finds what would keep every core from starting.
    fn look_at_api(&mut self, service_port: Option<u16>, api_port: Option<u16>) {
        let (host, api_host) = (self.host("SERVICE_HOST"), self.host("XRAY_API_HOST"));
        let Ok(api_address) = api_host.parse::<IpAddr>() else {
            return self.crash(
                "XRAY_API_HOST",
                api_host,
                "expected an address of this machine, for the core takes no name",
            );
        };
        let is_same = host.parse().is_ok_and(|address: IpAddr| {
            address == api_address || address.is_unspecified() || api_address.is_unspecified()
        });
        let shown = |port: Option<u16>| port.map(|port| port.to_string()).unwrap_or_default();
        match api_port {
            Some(0) => self.crash(
                "XRAY_API_PORT",
                shown(api_port),
                "the core needs a port that panels know",
            ),
            Some(port) if service_port == Some(port) && is_same => {
                self.crash("XRAY_API_PORT", shown(api_port), "it is SERVICE_PORT already");
            }
            _ => {}
        }
    }

    /// Every address, where the value is empty, as for the original.
    fn host(&self, name: &'static str) -> String {
        let host = match name {
            // What the Go node calls it.
            "SERVICE_HOST" if !self.is_set(name) && self.is_set("NODE_HOST") => self.text("NODE_HOST"),
            name => self.text(name),
        };
        if host.is_empty() {
            default(name).to_owned()
        } else {
            host
        }
    }

    fn port(&mut self, name: &'static str) -> Option<u16> {
        self.parsed(name, "a number from 0 to 65535", |text| {
            value::int(text).and_then(|port| u16::try_from(port).ok())
        })
    }

    fn truth(&mut self, name: &'static str) -> Option<bool> {
        self.parsed(
            name,
            "y, yes, t, true, on or 1, or n, no, f, false, off or 0",
            value::truth,
        )
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
