//! What a run found.

use super::program::{BARE_ECHO, CORE_ALONE};
use super::rate::Rate;
use super::table::{Figures, Table};
use super::{figure, gozargah};
use crate::kit::report::Verdict;
use serde::{Deserialize, Serialize};

/// The figures of both families of panels.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Results {
    /// As Marzban panels see their nodes.
    pub(crate) programs: Table<figure::Figure>,
    /// As Gozargah and PasarGuard panels do. Older result files are without it.
    #[serde(default)]
    pub(crate) gozargah: Table<gozargah::Figure>,
    pub(crate) verdicts: Vec<Verdict>,
}

impl Results {
    /// Adds a round of the core without a node.
    pub(super) fn add_core_alone(&mut self, figures: Figures<gozargah::Figure>) {
        self.gozargah.add(CORE_ALONE, figures);
    }

    /// Adds a round of the bare echo.
    pub(super) fn add_bare_echo(&mut self, Rate { per_s, p99_us }: Rate) {
        use figure::Figure as Marzban;
        use gozargah::Figure as Gozargah;
        let pings = [(Marzban::PingsPerS, per_s), (Marzban::PingP99Us, p99_us)];
        self.programs.add(BARE_ECHO, pings.into());
        let calls = [
            (Gozargah::CallsPerS, per_s),
            (Gozargah::CallP99Us, p99_us),
            (Gozargah::GrpcCallsPerS, per_s),
        ];
        self.gozargah.add(BARE_ECHO, calls.into());
    }

    /// Compares what there is with the targets.
    pub(super) fn judge(&mut self) {
        self.verdicts = self.programs.verdicts();
        self.verdicts.extend(self.gozargah.verdicts());
    }

    pub(super) fn print(&self) {
        self.programs.print();
        println!("\nwith an API key:");
        self.gozargah.print();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_of_one_family_is_still_read() {
        let old = r#"{"programs":{"kariz":{"idle_mib":[11.0]}},"verdicts":[]}"#;
        let results: Results = serde_json::from_str(old).unwrap();
        assert_eq!(results.programs.names(), ["kariz"]);
        assert!(results.gozargah.names().is_empty());
    }
}
