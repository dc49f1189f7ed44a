//! `kariz demo`: server, client and echo target in one process, real traffic through every lane, every byte checked.

mod cost;
mod stage;
mod traffic;

use crate::exit::Exit;
use crate::logging::Logging;
use kariz_bench::process::raise_descriptor_limit;
use kariz_bench::target::Target;
use kariz_proto::model::{LogLevel, RuntimeSpec};
use stage::{Measured, Stage};

/// What the demo has to show for itself: a row for each way through Kariz.
const STAGES: [Stage; 3] = [Stage::Direct, Stage::Mux, Stage::Relay];

/// Moves traffic through every lane on loopback and prints what it measured.
pub(crate) fn demo() -> Exit {
    match run() {
        Ok(rows) => {
            print!("{}", table(&rows));
            println!("{NEXT_STEPS}");
            Exit::Done
        }
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            Exit::Internal
        }
    }
}

fn run() -> anyhow::Result<Vec<Measured>> {
    let quiet = RuntimeSpec {
        log_level: LogLevel::Error,
        ..RuntimeSpec::default()
    };
    let _logging = Logging::start(&quiet)?;
    raise_descriptor_limit();
    let target = Target::start("127.0.0.1:0".parse()?)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    println!("kariz demo: server, client and target in this process, on loopback; every byte is checked\n");
    let rows = STAGES.iter().map(|stage| stage.measure(&runtime, &target)).collect();
    runtime.shutdown_background();
    rows
}

/// The rows as a table. Load and target share the cores with the workers, so throughput here is less than the
/// workers alone could do; CPU seconds are those of the workers only.
fn table(rows: &[Measured]) -> String {
    let mut text = format!(
        "\n{:<18} {:>8} {:>16} {:>9} {:>16} {:>10} {:>10}\n",
        "", "Gbit/s", "Gbit/CPU-second", "conn/s", "64 B p50 / p99", "checked", "memory"
    );
    for row in rows {
        text += &format!(
            "{:<18} {:>8.2} {:>16.1} {:>9.0} {:>16} {:>10} {:>10}\n",
            row.name,
            row.gbit_per_second,
            row.gbit_per_cpu_second,
            row.connections_per_second,
            format!("{:.0} / {:.0} us", row.round_trip.p50, row.round_trip.p99),
            format!("{:.1} GB", row.checked_bytes as f64 / 1e9),
            format!("{:.1} MiB", row.memory_bytes as f64 / (1 << 20) as f64),
        );
    }
    text += "\n(server and client together; load and target run on the same cores; memory is the whole process's)\n";
    text
}

const NEXT_STEPS: &str = r#"
A tunnel of your own: `kariz token` makes a token; on the public machine, server.toml:

    [server]
    bind_addr = ":4040"
    transport = "tcp"                  # or "tcpmux": many visitors on few connections
    default_token = "PASTE THE TOKEN"
    [server.services.web]
    bind_addr = ":8080"

on the machine that has the service, client.toml:

    [client]
    remote_addr = "your.server:4040"
    transport = "tcp"
    default_token = "PASTE THE TOKEN"
    [client.services.web]
    local_addr = "127.0.0.1:80"

then `kariz check -c FILE` on both, `kariz server -c server.toml` there and `kariz client -c client.toml` here."#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configurations_that_it_recommends_are_valid() {
        let sections: Vec<_> = NEXT_STEPS
            .split("server.toml:\n")
            .nth(1)
            .unwrap()
            .split("\non the machine")
            .collect();
        let client = sections[1]
            .split("client.toml:\n")
            .nth(1)
            .unwrap()
            .split("\nthen")
            .next()
            .unwrap();
        for text in [sections[0], client] {
            let loaded = kariz_actors::config::parse(text, kariz_actors::config::Options::default()).unwrap();
            assert!(loaded.spec.server.is_some() || loaded.spec.client.is_some());
        }
    }
}
