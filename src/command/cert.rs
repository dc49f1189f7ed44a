//! `kariz cert`: makes certificates.

use crate::cli::CertNodeArgs;
use crate::exit::Exit;
use kariz_actors::node::certificate::{self, Kind};

/// Makes the node's pair where the environment, or the command line, says.
pub(crate) fn node(args: &CertNodeArgs) -> Exit {
    let named = super::environment().files;
    let certificate = args.cert.clone().unwrap_or(named.certificate);
    let key = args.key.clone().unwrap_or(named.key);
    for file in [&certificate, &key] {
        if file.exists() && !args.force {
            eprintln!("error: {} is there already; --force replaces it", file.display());
            return Exit::Usage;
        }
    }
    let kind = match args.rsa {
        true => Kind::Rsa { bits: args.bits.into() },
        false => Kind::P256,
    };
    match certificate::make(&certificate, &key, kind) {
        Ok(()) => super::print(&format!("{}\n{}\n", certificate.display(), key.display())),
        Err(error) => {
            eprintln!("error: {error}");
            Exit::CannotStart
        }
    }
}
