use super::*;

const HOW_TO_MEND: &str = "the README or its picture is not what benches/results/compare.json and node.json give: run \
                           `cargo run --release -p kariz-bench -- publish`, and commit what it writes";

fn committed() -> compare::Report {
    read(None, COMPARISON, compare::COMMAND).expect("benches/results/compare.json is a result of `compare`")
}

fn committed_nodes() -> kit_node::Report {
    read(None, NODES, kit_node::COMMAND).expect("benches/results/node.json is a result of `node`")
}

#[test]
fn the_readme_shows_what_was_measured() {
    let readme = text(&readme_path()).expect("there is a README");
    let fresh = sections(&readme, &committed(), &committed_nodes()).expect("it has the markers");
    assert!(readme == fresh, "{HOW_TO_MEND}");
}

#[test]
fn the_picture_shows_what_was_measured() {
    let picture = text(&report::folder().join(PICTURE)).unwrap_or_default();
    assert!(picture == picture::of(&committed()), "{HOW_TO_MEND}");
}

#[test]
fn a_result_of_another_command_is_refused() {
    let other = report::folder().join("distance.json");
    let error = read::<serde_json::Value, serde_json::Value>(Some(&other), COMPARISON, compare::COMMAND)
        .expect_err("it is a result of `distance`");
    assert!(format!("{error:#}").contains("a result of `distance`"), "{error:#}");
}
