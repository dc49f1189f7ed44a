//! The generated parts of the README.

use super::{cast, columns, notes, table};
use crate::kit::compare::Report;
use anyhow::{Context, Result};

const SPEED: &str = "### Tunnels, and relays in pairs\n\n\
    Medians of all rounds (memory and the long path: of two); of bulk the mean of up and down. CPU time and memory (PSS) are those of both processes together.\n\
    A limit is a part of the kit: the least that could do the same work. 8 divided by Gbit per CPU-second is CPU-seconds\n\
    per GB.\n\n";

const VISITOR: &str = "Round trips of 64 bytes on one connection, alone and beside other streams; what one of 9,000 idle visitors \
    costs\n(descriptors: of the process that has more); the start of both processes.\n\n";

/// What `compare` found.
pub(super) fn of(report: &Report) -> String {
    let (results, options) = (&report.results, &report.options);
    let (two, one) = (cast::two_hops(), cast::one_hop());
    let crowd = format!(
        "Round trips beside two flows that take all they can, one each way; 100 streams that send 64 bytes 20 times a\n\
         second beside one bulk stream down; bulk over a path with {} ms round trip that lets {} Mbit/s through:\n\n",
        options.long_path_rtt_ms, options.long_path_mbit_per_s
    );
    let blocks = [
        notes::conditions(report),
        under(SPEED, table::of(&two, columns::SPEED_OF_TWO, results)),
        under(VISITOR, table::of(&two, columns::VISITOR_OF_TWO, results)),
        under(&crowd, table::of(&two, columns::CROWD_OF_TWO, results)),
        under("### Relays, one hop\n\n", table::of(&one, columns::ONE_HOP, results)),
        under("### Targets\n\n", notes::targets(&results.verdicts)),
        under("### What else came out\n\n", notes::troubles(results)),
    ];
    let mut text = String::from(
        "![Kariz beside its peers: bits and connections per CPU-second, round trips, memory](benches/results/compare.svg)\n",
    );
    for block in blocks.iter().filter(|block| !block.is_empty()) {
        text.push('\n');
        text.push_str(block);
    }
    text
}

/// Nothing under nothing.
fn under(heading: &str, body: String) -> String {
    if body.is_empty() {
        body
    } else {
        format!("{heading}{body}")
    }
}

/// `readme` with `section` between the markers of `name`.
pub(super) fn replaced(readme: &str, name: &str, section: &str) -> Result<String> {
    let (begin, end) = (format!("<!-- {name}:begin -->\n"), format!("<!-- {name}:end -->\n"));
    let (before, rest) = readme.split_once(&begin).with_context(|| missing(&begin))?;
    let (_, after) = rest.split_once(&end).with_context(|| missing(&end))?;
    Ok(format!("{before}{begin}\n{section}\n{end}{after}"))
}

fn missing(marker: &str) -> String {
    format!("the README has no line `{}` where it should be", marker.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_markers_is_replaced() {
        const BEGIN: &str = "<!-- compare:begin -->\n";
        const END: &str = "<!-- compare:end -->\n";
        let readme = format!("a\n{BEGIN}old\n{END}b\n");
        let once = replaced(&readme, "compare", "new\n").unwrap();
        assert_eq!(once, format!("a\n{BEGIN}\nnew\n\n{END}b\n"));
        assert_eq!(replaced(&once, "compare", "new\n").unwrap(), once);
        assert!(replaced(&readme, "node", "new\n").is_err());
        assert!(replaced("without markers", "compare", "new\n").is_err());
        assert!(replaced(&format!("{END}{BEGIN}"), "compare", "new\n").is_err());
    }
}
