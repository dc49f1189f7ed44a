//! The crate graph is the architecture: what a crate must *not* know is written down here and fails the build.

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};
use std::collections::{BTreeSet, HashMap};

/// Crate, and what it must not reach through any chain of normal and build dependencies.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("kariz-proto", &["tokio", "tonic", "monoio", "kameo"]),
    ("kariz-dataplane", &["kameo", "tokio", "axum", "tonic", "kariz-actors"]),
    ("kariz-actors", &["monoio", "kariz-dataplane"]),
];

#[test]
fn no_crate_reaches_what_it_must_not_know() {
    let metadata = MetadataCommand::new()
        .exec()
        .expect("cargo metadata runs in the workspace");
    let mut edges = Vec::new();
    for (name, forbidden) in FORBIDDEN {
        let reached = reachable(&metadata, name);
        edges.extend(
            forbidden
                .iter()
                .filter(|f| reached.contains(**f))
                .map(|f| format!("{name} -> {f}")),
        );
    }
    assert!(edges.is_empty(), "forbidden edges: {}", edges.join(", "));
}

#[test]
fn the_graph_is_really_walked() {
    let metadata = MetadataCommand::new()
        .exec()
        .expect("cargo metadata runs in the workspace");
    let reached = reachable(&metadata, "kariz");
    for known in ["kariz-proto", "kariz-dataplane", "kariz-actors"] {
        assert!(
            reached.contains(known),
            "the binary does not reach {known}: the walk is broken"
        );
    }
}

/// Names of all packages that `root` depends on. Dev-dependencies do not count: they are in no binary.
fn reachable(metadata: &Metadata, root: &str) -> BTreeSet<String> {
    let names: HashMap<&PackageId, &str> = metadata.packages.iter().map(|p| (&p.id, p.name.as_str())).collect();
    let graph = metadata
        .resolve
        .as_ref()
        .expect("cargo metadata resolves the workspace");
    let nodes: HashMap<&PackageId, _> = graph.nodes.iter().map(|n| (&n.id, n)).collect();
    let start = metadata
        .packages
        .iter()
        .find(|p| p.name.as_str() == root)
        .expect("a crate of the workspace");
    let mut seen = BTreeSet::new();
    let mut open = vec![&start.id];
    while let Some(id) = open.pop() {
        for dependency in &nodes[id].deps {
            let counts = dependency
                .dep_kinds
                .iter()
                .any(|k| k.kind != DependencyKind::Development);
            if counts && seen.insert(names[&dependency.pkg].to_owned()) {
                open.push(&dependency.pkg);
            }
        }
    }
    seen
}
