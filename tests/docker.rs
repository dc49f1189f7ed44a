//! The container files and units agree with the program: paths, variables, ports, times. No container engine is needed.

use kariz_actors::node::settings::VARIABLES;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docker").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn default(name: &str) -> &'static str {
    let variable = VARIABLES.iter().find(|variable| variable.name == name);
    variable.unwrap_or_else(|| panic!("the node knows no {name}")).default
}

/// The `KEY: value` lines below `environment:` of a compose file.
fn environment(compose: &str) -> BTreeMap<&str, &str> {
    let mut lines = compose.lines().skip_while(|line| line.trim() != "environment:");
    let indent = |line: &str| line.len() - line.trim_start().len();
    let head = lines.next().map(indent).expect("the file has an environment");
    lines
        .take_while(|line| line.trim().is_empty() || indent(line) > head)
        .filter(|line| !line.trim_start().starts_with('#'))
        .filter_map(|line| line.trim().split_once(": "))
        .collect()
}

#[test]
fn the_nodes_compose_file_sets_what_the_node_knows_to_its_defaults() {
    let compose = read("compose.node.yaml");
    let environment = environment(&compose);
    assert!(environment.len() >= 6, "{environment:?}");
    for (name, value) in &environment {
        match *name {
            // Without a default: it has to be in the volume.
            "SSL_CLIENT_CERT_FILE" => assert_eq!(default(name), ""),
            // Marzban panels speak nothing else; without it other panels with certificates may speak gRPC, too.
            "SERVICE_PROTOCOL" => assert_eq!((*value, default(name)), ("rest", "")),
            _ => assert_eq!(*value, default(name), "{name}"),
        }
    }
    let volume = "/var/lib/marzban-node";
    assert!(compose.contains(&format!("- {volume}:{volume}\n")));
    for file in ["SSL_CERT_FILE", "SSL_KEY_FILE", "SSL_CLIENT_CERT_FILE"] {
        assert!(environment[file].starts_with(&format!("{volume}/")), "{file}");
    }
    for line in [
        "network_mode: host",
        "stop_grace_period: 40s",
        "restart: always",
        "dockerfile: docker/Dockerfile.node",
    ] {
        assert!(compose.lines().any(|found| found.trim() == line), "{line}");
    }
}

#[test]
fn the_nodes_image_has_the_core_and_its_lists_where_the_node_looks() {
    let file = read("Dockerfile.node");
    assert!(
        file.lines()
            .any(|line| line.starts_with("COPY") && line.ends_with(default("XRAY_EXECUTABLE_PATH")))
    );
    for list in ["geoip.dat", "geosite.dat"] {
        let place = format!("{}/{list}", default("XRAY_ASSETS_PATH"));
        assert!(
            file.lines()
                .any(|line| line.starts_with("ADD") && line.ends_with(&place)),
            "{place}"
        );
    }
    assert!(file.contains("ENTRYPOINT [\"kariz\"]\nCMD [\"node\"]\n"));
    assert!(file.contains("\nSTOPSIGNAL SIGTERM\n"));
}

#[test]
fn the_unit_runs_the_node_and_gives_it_as_long_as_the_container() {
    let unit = read("kariz-node.service");
    for line in [
        "ExecStart=/usr/local/bin/kariz node",
        "TimeoutStopSec=40",
        "KillMode=mixed",
        "Restart=always",
    ] {
        assert!(unit.lines().any(|found| found == line), "{line}");
    }
}

#[test]
fn the_seccomp_profile_is_json_and_leaves_io_uring_alone() {
    let profile: serde_json::Value = serde_json::from_str(&read("seccomp.json")).expect("JSON");
    assert_eq!(profile["defaultAction"], "SCMP_ACT_ALLOW");
    let rules = profile["syscalls"].as_array().expect("a list");
    let forbidden: Vec<&str> = rules
        .iter()
        .flat_map(|rule| rule["names"].as_array().expect("names"))
        .map(|name| name.as_str().expect("a name"))
        .collect();
    assert!(forbidden.contains(&"kexec_load") && forbidden.contains(&"mount"));
    for needed in [
        "io_uring_setup",
        "io_uring_enter",
        "io_uring_register",
        "prctl",
        "splice",
        "eventfd2",
        "execve",
    ] {
        assert!(!forbidden.contains(&needed), "{needed}");
    }
    assert!(read("compose.yaml").contains("- seccomp=seccomp.json\n"));
}
