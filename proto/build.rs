//! Compiles the schemas with protox, so that no protoc is needed.

use std::error::Error;

/// Every schema of the crate.
const SCHEMAS: &[&str] = &["schema/session.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    for schema in SCHEMAS {
        println!("cargo::rerun-if-changed={schema}");
    }
    let descriptors = protox::compile(SCHEMAS, ["schema"])?;
    prost_build::Config::new().compile_fds(descriptors)?;
    Ok(())
}
