//! `kariz cert`: makes certificates.

use crate::cli::CertNodeArgs;
use crate::exit::Exit;
use kariz_actors::node::certificate;

/// Makes the node's pair where the environment, or the command line, says.
pub(crate) fn node(args: &CertNodeArgs) -> Exit {
    let (named_certificate, named_key) = super::pair_files();
    let certificate = args.cert.clone().unwrap_or(named_certificate);
    let key = args.key.clone().unwrap_or(named_key);
    for file in [&certificate, &key] {
        if file.exists() && !args.force {
            eprintln!("error: {} is there already; --force replaces it", file.display());
            return Exit::Usage;
        }
    }
    match certificate::make(&certificate, &key) {
        Ok(()) => super::print(&format!("{}\n{}\n", certificate.display(), key.display())),
        Err(error) => {
            eprintln!("error: {error}");
            Exit::CannotStart
        }
    }
}
