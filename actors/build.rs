//! Generates the gRPC stubs of the node: the server that panels call, and the client of the core's API. The messages are
//! `kariz_proto`'s; protox compiles the schemas, so that no protoc is needed.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    const FOLDER: &str = "../proto/schema";
    println!("cargo::rerun-if-changed={FOLDER}");
    let panel = protox::compile(["panel.proto"], [FOLDER])?;
    tonic_prost_build::configure()
        .build_client(false)
        .extern_path(".service", "::kariz_proto::panel")
        .compile_fds(panel)?;
    let core = protox::compile(["xray/handler.proto", "xray/stats.proto"], [FOLDER])?;
    tonic_prost_build::configure()
        .build_server(false)
        .build_transport(false)
        .extern_path(".xray", "::kariz_proto::xray")
        .compile_fds(core)?;
    Ok(())
}
