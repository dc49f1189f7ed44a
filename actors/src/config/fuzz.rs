//! The fuzz body of the configuration.

use super::value::Sources;
use super::{Options, Problem, Severity, parse_with};
use kariz_proto::model::Spec;

/// Reads arbitrary bytes as a configuration, strictly and leniently. Touches neither the environment nor files.
///
/// # Panics
///
/// If a promise is broken: an accepted specification is out of its bounds, a refusal has no error in it, or a
/// file that is accepted strictly is refused leniently.
pub fn fuzz_config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let environment = |name: &str| (name == "TOKEN").then(|| "0123456789abcdef".into());
    let sources = Sources::Isolated(&environment);
    let strict = parse_with(&text, Options { lenient: false }, &sources, None);
    let lenient = parse_with(&text, Options { lenient: true }, &sources, None);
    match &strict {
        Ok(loaded) => {
            assert_bounds(&loaded.spec);
            assert_eq!(
                Ok(&loaded.spec),
                lenient.as_ref().map(|loaded| &loaded.spec),
                "leniency changed a meaning"
            );
        }
        Err(problems) => {
            let is_error = |problem: &Problem| problem.severity == Severity::Error;
            assert!(problems.list.iter().any(is_error), "refused without an error");
            assert!(
                problems.list.is_sorted_by_key(|problem| problem.line),
                "not in the order of lines"
            );
            let shown = problems.to_string();
            assert!(
                !shown.chars().any(|c| c.is_control() && c != '\n'),
                "a control character is shown"
            );
            assert_eq!(
                shown.lines().count(),
                problems.list.len() + usize::from(problems.left_out > 0)
            );
        }
    }
    if let Ok(loaded) = &lenient {
        assert_bounds(&loaded.spec);
    }
}

/// What the types of `model` promise in words.
fn assert_bounds(spec: &Spec) {
    if let Some(server) = &spec.server {
        assert!(!server.listen.is_empty());
        for service in server.services.values() {
            assert!(service.priority <= 3 && !service.token.expose().is_empty());
            assert!(service.mux.stream_buffer <= service.mux.receive_buffer && service.mux.frame_size > 0);
            assert!(service.mux.concurrency > 0);
        }
    }
    if let Some(client) = &spec.client {
        assert!(!client.remotes.is_empty() && !client.retry_max.is_zero());
        for service in client.services.values() {
            assert!(service.connection_pool <= client.max_carriers && !service.target.host.is_empty());
            assert!(service.mux.stream_buffer <= service.mux.receive_buffer);
        }
    }
    if let Some(relay) = &spec.relay {
        assert!(relay.services.values().all(|service| !service.remotes.is_empty()));
    }
}
