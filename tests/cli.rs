//! The command line of the real binary: exit codes and what is printed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

fn kariz(arguments: &[&str]) -> Output {
    kariz_with(arguments, &[])
}

fn kariz_with(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kariz"))
        .args(arguments)
        .env_remove("RUST_LOG")
        .envs(environment.iter().copied())
        .output()
        .expect("the binary runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("output is UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("output is UTF-8")
}

/// A file with `mode` in a directory of its own.
fn file(text: &str, mode: u32) -> (TempDir, PathBuf) {
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("kariz.toml");
    write(&path, text, mode);
    (directory, path)
}

fn write(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).expect("the file can be written");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("the mode can be set");
}

fn check(path: &Path) -> Output {
    kariz(&["check", "-c", path.to_str().expect("the path is UTF-8")])
}

const GOOD: &str = "\
[server]
bind_addr = \":4040\"
transport = \"tcp\"
default_token = { env = \"KARIZ_TEST_TOKEN\" }

[server.services.web]
bind_addr = \":8080\"
";

#[test]
fn usage_errors_exit_with_64() {
    for arguments in [
        &["serve"][..],
        &[],
        &["check"],
        &["server"],
        &["check", "-c"],
        &["token", "--loud"],
    ] {
        let output = kariz(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(stderr(&output).contains("--help"), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn help_and_version_exit_with_0() {
    let help = kariz(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    for command in [
        "server", "client", "relay", "run", "node", "check", "cert", "demo", "doctor", "token",
    ] {
        assert!(stdout(&help).contains(&format!("\n  {command} ")), "{command}");
    }
    let version = kariz(&["--version"]);
    assert_eq!(version.status.code(), Some(0));
    assert_eq!(stdout(&version), format!("kariz {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_help_of_a_node_names_its_variables() {
    let help = kariz(&["node", "--help"]);
    let text = String::from_utf8_lossy(&help.stdout).into_owned();
    for variable in kariz_actors::node::settings::VARIABLES {
        assert!(
            text.contains(variable.name) && text.contains(variable.default),
            "{text}"
        );
    }
}

#[test]
fn check_accepts_the_examples() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rocket-examples");
    let mut seen = 0;
    for entry in fs::read_dir(examples).unwrap() {
        let path = entry.unwrap().path();
        let output = check(&path);
        assert_eq!(output.status.code(), Some(0), "{}: {}", path.display(), stdout(&output));
        assert!(stdout(&output).contains("short token"), "{}", stdout(&output));
        seen += 1;
    }
    assert_eq!(seen, 6);
}

#[test]
fn check_lists_every_problem_and_exits_with_64() {
    let (_directory, path) = file("[server]\ntransport = 3\nbind_adr = \":1\"\nmss = 1\n", 0o600);
    let output = check(&path);
    assert_eq!(output.status.code(), Some(64));
    let report = stdout(&output);
    for line in [
        "error: line 1: server.bind_addr: missing, expected",
        "error: line 2: server.transport = 3: expected one of",
        "error: line 3: server.bind_adr: unknown key, the nearest known key is bind_addr",
        "error: line 4: server.mss = 1: expected",
        "refused; 4 errors, 1 warning",
    ] {
        assert!(report.contains(line), "{line} is not in:\n{report}");
    }
}

#[test]
fn lenient_check_accepts_unknown_keys() {
    let (_directory, path) = file(&GOOD.replace("[server]\n", "[server]\nnew_key = 1\n"), 0o600);
    let path = path.to_str().unwrap();
    let token = [("KARIZ_TEST_TOKEN", "0123456789abcdef")];
    assert_eq!(kariz_with(&["check", "-c", path], &token).status.code(), Some(64));
    let lenient = kariz_with(&["check", "-c", path, "--lenient"], &token);
    assert_eq!(lenient.status.code(), Some(0), "{}", stdout(&lenient));
    assert!(stdout(&lenient).contains("warning: line 2: server.new_key: unknown key"));
}

#[test]
fn secrets_are_taken_from_the_environment() {
    let (_directory, path) = file(GOOD, 0o644);
    let missing = check(&path);
    assert_eq!(missing.status.code(), Some(64));
    assert!(
        stdout(&missing)
            .contains("line 4: server.default_token: the environment variable \"KARIZ_TEST_TOKEN\" is not set")
    );
    // Nothing secret stands in the file, so that its mode does not matter.
    let output = kariz_with(
        &["check", "-c", path.to_str().unwrap()],
        &[("KARIZ_TEST_TOKEN", "0123456789abcdef")],
    );
    assert_eq!(output.status.code(), Some(0));
    assert!(
        stdout(&output).ends_with("ok: [server] with 1 service; 0 errors, 0 warnings\n"),
        "{}",
        stdout(&output)
    );
}

#[test]
fn secrets_are_taken_from_files_beside_the_configuration() {
    let (directory, path) = file(&GOOD.replace("env = \"KARIZ_TEST_TOKEN\"", "file = \"token\""), 0o600);
    let missing = check(&path);
    assert_eq!(missing.status.code(), Some(64));
    assert!(
        stdout(&missing).contains("the file \"token\" cannot be read"),
        "{}",
        stdout(&missing)
    );
    write(&directory.path().join("token"), "0123456789abcdef\n", 0o600);
    assert!(stdout(&check(&path)).contains("0 errors, 0 warnings"));
    write(&directory.path().join("token"), "0123456789abcde\n", 0o644);
    let output = check(&path);
    assert_eq!(output.status.code(), Some(0));
    assert!(
        stdout(&output).contains("every user of this machine can read \"token\""),
        "{}",
        stdout(&output)
    );
    assert!(
        stdout(&output).contains("a short token, expected at least 16 bytes"),
        "{}",
        stdout(&output)
    );
    assert!(!stdout(&output).contains("0123456789"));
}

#[test]
fn inline_secrets_in_a_world_readable_file_are_warned_about() {
    let text = GOOD.replace("{ env = \"KARIZ_TEST_TOKEN\" }", "\"0123456789abcdef\"");
    let (_directory, path) = file(&text, 0o644);
    assert!(
        stdout(&check(&path)).contains("warning: line 4: server.default_token: a secret in a file that every user")
    );
    let (_directory, path) = file(&text, 0o640);
    assert!(stdout(&check(&path)).contains("0 errors, 0 warnings"));
}

#[test]
fn files_that_cannot_be_read_exit_with_64() {
    let output = check(Path::new("/nonexistent/kariz.toml"));
    assert_eq!(output.status.code(), Some(64));
    assert!(stdout(&output).contains("cannot be read"));
    let (_directory, path) = file(&"#".repeat((1 << 20) + 1), 0o600);
    let output = check(&path);
    assert_eq!(output.status.code(), Some(64));
    assert!(
        stdout(&output).contains("it has more than 1048576 bytes"),
        "{}",
        stdout(&output)
    );
    let (_directory, path) = file("", 0o600);
    fs::write(&path, b"[server]\n\xff\n").unwrap();
    assert!(stdout(&check(&path)).contains("error: line 2: this line is not UTF-8"));
}

#[test]
fn commands_need_their_section() {
    let (_directory, path) = file(GOOD, 0o600);
    for command in ["client", "relay"] {
        let output = kariz_with(
            &[command, "-c", path.to_str().unwrap()],
            &[("KARIZ_TEST_TOKEN", "0123456789abcdef")],
        );
        assert_eq!(output.status.code(), Some(64), "{command}");
        assert!(
            stderr(&output).contains(&format!("has no [{command}] section")),
            "{}",
            stderr(&output)
        );
    }
}

#[test]
fn commands_refuse_a_bad_file_with_every_problem() {
    let (_directory, path) = file("[client]\ntransport = \"quic\"\nremote_addr = 1\n", 0o600);
    for command in ["server", "client", "relay", "run"] {
        let output = kariz(&[command, "-c", path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(64), "{command}");
        assert!(
            stderr(&output).contains("line 2: client.transport = \"quic\": not available yet"),
            "{}",
            stderr(&output)
        );
        assert!(
            stderr(&output).contains("line 3: client.remote_addr = 1: expected"),
            "{}",
            stderr(&output)
        );
    }
}

#[test]
fn tokens_are_long_and_different() {
    let (one, other) = (kariz(&["token"]), kariz(&["token"]));
    assert_eq!(one.status.code(), Some(0));
    let token = stdout(&one);
    assert_eq!(token.trim_end().len(), 64);
    assert!(token.trim_end().bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_ne!(token, stdout(&other));
}

#[test]
fn doctor_prints_a_row_for_everything_and_exits_with_1_on_fail() {
    let output = kariz(&["doctor"]);
    let table = stdout(&output);
    for name in [
        "kernel",
        "io_uring",
        "kernel.io_uring_disabled",
        "nofile soft",
        "nofile hard",
        "fs.pipe-max-size",
        "fs.pipe-user-pages-soft",
        "net.core.somaxconn",
        "net.ipv4.tcp_max_syn_backlog",
        "net.ipv4.tcp_congestion_control",
        "net.core.rmem_max",
        "net.core.wmem_max",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_wmem",
        "net.ipv4.ip_local_port_range",
    ] {
        let row = table.lines().find(|line| line.starts_with(&format!("{name}  ")));
        let row = row.unwrap_or_else(|| panic!("no row {name} in:\n{table}"));
        let verdict = row[name.len()..].split_whitespace().next().unwrap();
        assert!(["ok", "warn", "fail"].contains(&verdict), "{row}");
    }
    let failed = !table.trim_end().ends_with(" 0 fail");
    assert_eq!(output.status.code(), Some(i32::from(failed)), "{table}");
}
