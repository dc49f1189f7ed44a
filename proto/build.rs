//! Compiles the schemas with protox, so that no protoc is needed.

use std::error::Error;

/// Every schema of the crate, below `schema/`.
const SCHEMAS: &[&str] = &[
    "session.proto",
    "panel.proto",
    "xray/handler.proto",
    "xray/stats.proto",
    "xray/vmess.proto",
    "xray/vless.proto",
    "xray/trojan.proto",
    "xray/shadowsocks.proto",
    "xray/shadowsocks_2022.proto",
    "xray/hysteria.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=schema");
    let descriptors = protox::compile(SCHEMAS, ["schema"])?;
    // A message in a message is known by its name.
    prost_build::Config::new()
        .enable_type_names()
        .compile_fds(descriptors)?;
    Ok(())
}
