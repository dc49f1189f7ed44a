//! The multiplexer against a hostile peer and an arbitrary driver.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kariz_proto::smux::fuzz_smux(data));
