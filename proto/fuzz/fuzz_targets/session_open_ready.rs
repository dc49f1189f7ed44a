//! What a peer may send: `kariz_proto::session::fuzz::fuzz_session_open_ready`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kariz_proto::session::fuzz::fuzz_session_open_ready(data));
