//! What the session protocol costs: `cargo bench -p kariz-proto --bench session`.
//!
//! | group | what is measured |
//! |---|---|
//! | `session_carrier` | first bytes of a data carrier, vouchers, Open and Ready: paid for every visitor |
//! | `session_control` | a message of a live control carrier: encoding and Noise |
//! | `session_handshake` | a session from nothing, and one that resumes; both ends together |

mod carrier;
mod control;
mod handshake;
mod pair;

use criterion::Criterion;
use std::time::Duration;

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    carrier::bench(&mut criterion);
    control::bench(&mut criterion);
    handshake::bench(&mut criterion);
    criterion.final_summary();
}

/// Bytes that differ from call to call, and are as good as random to what is measured.
fn counting() -> impl FnMut(&mut [u8]) {
    let mut count = 0_u64;
    move |bytes| {
        for chunk in bytes.chunks_mut(8) {
            count = count.wrapping_add(0x9e37_79b9_7f4a_7c15);
            chunk.copy_from_slice(&count.to_be_bytes()[..chunk.len()]);
        }
    }
}
