//! Which version the core has.

use crate::node::Failure;
use crate::node::state::State;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

/// A core that takes longer to say its version is not waited for.
const VERSION_TIMEOUT: Duration = Duration::from_secs(10);

/// Most bytes of the answer that are looked at.
const MAX_ANSWER_BYTES: u64 = 4 << 10;

/// Asks the core for its version and publishes it. A core that cannot be run at all ends the node.
pub(crate) async fn find_version(state: Arc<State>) {
    let answer = match state.spawner.ask_version(&state.settings).await {
        Ok(mut child) => {
            let read = async {
                let mut text = Vec::new();
                if let Some(output) = child.stdout.take() {
                    // What was read until an error is looked at as well.
                    let _ = output.take(MAX_ANSWER_BYTES).read_to_end(&mut text).await;
                }
                // Waited for, so that no zombie stays; a status says nothing.
                let _ = child.wait().await;
                text
            };
            timeout(VERSION_TIMEOUT, read).await.unwrap_or_default()
        }
        Err(error) => {
            let path = state.settings.core.clone();
            let reason = format!("cannot be run: {error}");
            return state.fail(Failure::Core { path, reason });
        }
    };
    let version = parse(&String::from_utf8_lossy(&answer)).map(Arc::from);
    if version.is_none() {
        tracing::warn!("{} does not say its version", state.settings.core.display());
    }
    state.set_core_version(version);
}

/// `x.y.z` of a text that begins with `Xray x.y.z` (`spec/xray.md`, Process).
fn parse(answer: &str) -> Option<String> {
    let rest = answer.strip_prefix("Xray ")?;
    let end = rest
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(rest.len());
    let mut numbers = rest[..end].split('.');
    let version = [numbers.next()?, numbers.next()?, numbers.next()?];
    (!version.contains(&"")).then(|| version.join("."))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn the_version_is_three_numbers_after_the_name() {
        let parsed = |text| parse(text).unwrap_or_default();
        assert_eq!(parsed("Xray 1.8.24 (Xray, Penetrates Everything.)"), "1.8.24");
        assert_eq!(parsed("Xray 26.3.27"), "26.3.27");
        assert_eq!(parsed("Xray 26.3.27.1"), "26.3.27");
        assert_eq!(parsed("Xray 1.8.24-rc1 (x)"), "1.8.24");
        for text in [
            "",
            "Xray ",
            "Xray 1.8",
            "Xray 1.8.",
            "Xray 18",
            "xray 1.8.24",
            " Xray 1.8.24",
            "Xray 1..8.2",
        ] {
            assert_eq!(parsed(text), "", "{text:?}");
        }
    }
}
