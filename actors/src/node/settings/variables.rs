//! The variables that the node reads, and what holds where one is not set.

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
    variable(
        "DEBUG",
        "false",
        "whether the core's lines are logged, too, and its configuration is written down",
    ),
    variable(
        "SERVICE_PROTOCOL",
        "",
        "rest or grpc, if only one is to be spoken; Marzban panels speak rest",
    ),
    variable(
        "INBOUNDS",
        "",
        "tags of the inbounds that the core gets, with commas between them; nothing: all",
    ),
    variable(
        "LOG_BUFFER_SIZE",
        "10000",
        "lines of the core that are kept for readers of Gozargah and PasarGuard panels (100 without API_KEY)",
    ),
    variable(
        "STARTUP_LOG_TAIL_SIZE",
        "200",
        "most lines of a core that does not start which such a panel is told",
    ),
    variable(
        "GENERATED_CONFIG_PATH",
        "",
        "folder for the configuration of such a panel's core, as it was started; set, or with DEBUG, it is written",
    ),
    variable(
        "KARIZ_PANEL_GENERATION",
        "g3",
        "g1 answers such panels as nodes of early 2025 did where both differ",
    ),
    variable(
        "KARIZ_SOFT_TAKEOVER",
        "false",
        "whether a panel in another's place takes its core, too, if it starts the same",
    ),
];

const fn variable(name: &'static str, default: &'static str, about: &'static str) -> Variable {
    Variable { name, default, about }
}

/// What holds where `name` is not set.
pub(super) fn default(name: &str) -> &'static str {
    let known = VARIABLES.iter().find(|variable| variable.name == name);
    known.map(|variable| variable.default).unwrap_or_default()
}
