//! Reading a configuration from a file.

use super::value::Sources;
use super::{Loaded, Options, Problems, parse_with};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Largest configuration file in bytes.
pub const MAX_FILE_BYTES: u64 = 1 << 20;

/// Reads the configuration file at `path`. Relative paths of secret files in it are seen from its own directory.
///
/// # Errors
///
/// Every problem in the file; a file that cannot be read, is larger than [`MAX_FILE_BYTES`] or is not UTF-8 is
/// one problem without a line.
pub fn load(path: &Path, options: Options) -> Result<Loaded, Problems> {
    let (text, world_readable) = read(path)
        .map_err(|error| Problems::with_file(format!("the file {} cannot be read: {error}", path.display())))?;
    let text = String::from_utf8(text).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes()[..valid].iter().filter(|byte| **byte == b'\n').count();
        let mut problems = Problems::with_file("this line is not UTF-8, expected TOML text".to_owned());
        problems.list[0].line = Some(line);
        problems
    })?;
    let sources = Sources::Process(path.parent());
    let warning = world_readable.then_some(
        "a secret in a file that every user of this machine can read, expected mode 0640 or less (chmod o-r)",
    );
    parse_with(&text, options, &sources, warning)
}

/// The bytes of the file, and whether every user of the machine can read it.
fn read(path: &Path) -> io::Result<(Vec<u8>, bool)> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has more than {MAX_FILE_BYTES} bytes"),
        ));
    }
    let world_readable = metadata.is_file() && metadata.permissions().mode() & 0o004 != 0;
    Ok((bytes, world_readable))
}
