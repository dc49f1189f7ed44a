//! End to end: the real binary as real processes, against the specification and nothing else.
//!
//! One binary, its own list of tests: each runs in both lanes (`::direct`, `::mux`), faults on the epoll driver, too.
//! Most tests wait for something, so many run at a time even on two cores. `KARIZ_E2E_SEED` repeats the choices of a
//! run that failed; the failure message names it, with the logs of all processes.

// Nothing outside uses a test binary: `pub` says what a module offers to the others.
#![allow(unreachable_pub)]

mod cli;
mod comeback;
mod distance;
mod drain;
mod examples;
mod fairness;
mod growth;
mod harness;
mod headers;
mod honest;
mod hostile;
mod keys;
mod limits;
mod node;
mod partition;
mod ranges;
mod relay;
mod reload;
mod selftest;
mod transfer;

fn main() -> std::process::ExitCode {
    if let Some(code) = harness::fake_core::run_if_asked() {
        return code;
    }
    let mut arguments = libtest_mimic::Arguments::from_args();
    // Far more than cores: the tests that compute take turns by a semaphore of their own.
    arguments.test_threads.get_or_insert(24);
    raise_descriptor_limit();
    let suites = [
        partition::trials(),
        transfer::trials(),
        comeback::trials(),
        honest::trials(),
        hostile::trials(),
        drain::trials(),
        distance::trials(),
        growth::trials(),
        fairness::trials(),
        limits::trials(),
        relay::trials(),
        reload::trials(),
        headers::trials(),
        ranges::trials(),
        examples::trials(),
        keys::trials(),
        cli::trials(),
        selftest::trials(),
        // Last: some of it waits for what is provisioned in the meantime.
        node::trials(),
    ];
    let trials: Vec<_> = suites.into_iter().flatten().collect();
    if !arguments.list {
        let selected = trials.iter().filter(|trial| !arguments.is_filtered_out(trial));
        node::provision(selected.map(libtest_mimic::Trial::name));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Two thousand visitors and their targets live in this one process.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    // Without it the large tests fail with a message of their own.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    );
}
