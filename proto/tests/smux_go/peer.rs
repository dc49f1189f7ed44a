//! Builds and starts the Go end.

use kariz_proto::model::MuxVersion;
use kariz_proto::smux::Role;
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::OnceLock;

/// The Go program; `None` where there is no Go.
pub(crate) fn program() -> Option<&'static Path> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    PROGRAM.get_or_init(build).as_deref()
}

/// Starts the Go end in the other role; it dials, whatever its smux role.
pub(crate) fn start(program: &Path, role: Role, version: MuxVersion, streams: usize) -> (Child, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = Command::new(program);
    command.args(["-addr", &listener.local_addr().unwrap().to_string()]);
    command.args(["-role", if role == Role::Dialled { "accept" } else { "dial" }]);
    command.args(["-version", if version == MuxVersion::V1 { "1" } else { "2" }]);
    command.args(["-streams", &streams.to_string()]);
    let child = command.spawn().unwrap();
    (child, listener.accept().unwrap().0)
}

fn build() -> Option<PathBuf> {
    let version = match Command::new("go").arg("version").output() {
        Ok(output) => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "Go is missing");
            println!("skipped: Go is missing");
            return None;
        }
        Err(error) => panic!("go version: {error}"),
    };
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/go/smux-peer");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("smux-peer");
    let status = Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(&source)
        .status()
        .unwrap();
    assert!(status.success(), "go build: {status}");
    let module = std::fs::read_to_string(source.join("go.mod")).unwrap();
    let library = module.lines().find_map(|line| line.strip_prefix("require ")).unwrap();
    println!("provisioned: {version}, {library}");
    Some(program)
}
