//! Reads the variables, and finds everything that is wrong at once.

use super::variables::default;
use super::{Access, Environment, Files, Generation, Problem, Protocols, Settings, dotenv, value};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// Most lines of a `.env` that are named because they are not understood; the others are counted.
pub(super) const MAX_NAMED_LINES: usize = 20;

/// Most lines of the core that can be asked to be kept.
const MAX_LOG_LINES: usize = 1_000_000;

/// Lines that are kept where only certificates let panels in.
const MARZBAN_LOG_LINES: usize = crate::node::log_hub::MARZBAN_LINES;

/// Where the nodes of PasarGuard and Gozargah have their files (`spec/node-panel.md`, 3.4 and 4.5).
const KEYED_FOLDERS: [&str; 2] = ["/var/lib/pg-node", "/var/lib/gozargah-node"];

/// Reads variables; keeps what is wrong.
pub(super) struct Reader<'a> {
    environment: Environment<'a>,
    file: BTreeMap<String, String>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<String>,
    /// Whether one of the problems ends the original with a traceback.
    pub(super) is_crash: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(environment: Environment<'a>, directory: &Path) -> Self {
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

    pub(super) fn files(&self) -> Files {
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
        let beside = |folder: &&str| {
            Path::new(folder)
                .join("certs")
                .join(usual.file_name().unwrap_or_default())
        };
        let theirs: Vec<PathBuf> = KEYED_FOLDERS.iter().map(beside).collect();
        let there = theirs.iter().find(|path| path.is_file());
        there.or(theirs.first()).cloned().unwrap_or(usual)
    }

    fn is_set(&self, name: &str) -> bool {
        (self.environment)(name).is_some() || self.file.contains_key(name)
    }

    pub(super) fn settings(&mut self, files: Files) -> Option<Settings> {
        let access = self.access();
        let is_keyed = matches!(access, Some(Access::Key(_)));
        let protocols = self.protocols();
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
        let generation = self.generation();
        let log_lines = match is_keyed || self.is_set("LOG_BUFFER_SIZE") {
            true => self.lines("LOG_BUFFER_SIZE", 1),
            false => Some(MARZBAN_LOG_LINES),
        };
        let startup_log_lines = self.lines("STARTUP_LOG_TAIL_SIZE", 0);
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
            protocols: protocols?,
            generation: generation?,
            log_lines: log_lines?,
            startup_log_lines: startup_log_lines?,
            generated: self.generated(debug?),
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

    fn protocols(&mut self) -> Option<Protocols> {
        let protocol = self.text("SERVICE_PROTOCOL");
        let reason = match &*protocol.to_ascii_lowercase() {
            "" => return Some(Protocols::Both),
            "rest" => return Some(Protocols::Rest),
            "grpc" => return Some(Protocols::Grpc),
            "rpyc" => "this protocol is for Python programs alone: set `rest`, here and in nothing else",
            _ => "no such protocol: set `rest`, or for a Gozargah or PasarGuard panel `grpc`",
        };
        self.problem("SERVICE_PROTOCOL", protocol, reason);
        None
    }

    fn generation(&mut self) -> Option<Generation> {
        self.parsed("KARIZ_PANEL_GENERATION", "g1 or g3", |text| match text {
            "g1" => Some(Generation::G1),
            "g3" => Some(Generation::G3),
            _ => None,
        })
    }

    fn lines(&mut self, name: &'static str, least: usize) -> Option<usize> {
        self.parsed(name, &format!("a number from {least} to {MAX_LOG_LINES}"), |text| {
            let lines = usize::try_from(value::int(text)?).ok()?;
            (least..=MAX_LOG_LINES).contains(&lines).then_some(lines)
        })
    }

    /// Where the core's configuration goes: as it is set, or where the node that is replaced has it.
    fn generated(&self, debug: bool) -> Option<PathBuf> {
        let set = self.text("GENERATED_CONFIG_PATH");
        if !set.is_empty() {
            return Some(set.into());
        }
        let theirs = || {
            let there = KEYED_FOLDERS.iter().find(|folder| Path::new(folder).is_dir());
            Path::new(there.unwrap_or(&KEYED_FOLDERS[0])).join("generated")
        };
        debug.then(theirs)
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
