//! Secrets: written in the file, or named by an environment variable or another file.

use super::super::reader::{FromToml, Place, Reader};
use kariz_proto::model::Token;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Longest secret in bytes.
const MAX_SECRET_BYTES: usize = 4096;

/// A secret that was found, is not empty and not too long.
#[derive(Debug)]
pub(in super::super) struct Secret(pub(in super::super) Token);

impl FromToml for Secret {
    fn from_toml(value: &Spanned<DeValue<'_>>, place: &Place, reader: &mut Reader<'_>) -> Option<Self> {
        let found = match value.get_ref() {
            DeValue::String(text) => {
                reader.note_inline_secret(place);
                Ok(text.as_bytes().to_vec())
            }
            DeValue::Table(table) => reference(table, place, reader),
            _ => Err(SYNTAX.to_owned()),
        };
        let checked = found.and_then(|secret| match secret.len() {
            0 => Err("an empty secret, expected at least one byte".to_owned()),
            1..=MAX_SECRET_BYTES => Ok(Token::new(secret)),
            _ => Err(format!("a secret of more than {MAX_SECRET_BYTES} bytes")),
        });
        match checked {
            Ok(token) => {
                if token.is_short() {
                    let least = Token::RECOMMENDED_MIN_BYTES;
                    reader.warning(
                        place,
                        None,
                        format!("a short token, expected at least {least} bytes (`kariz token` makes one)"),
                    );
                }
                Some(Self(token))
            }
            Err(expected) => {
                reader.error(place, None, expected);
                None
            }
        }
    }

    fn shown(_: &DeValue<'_>) -> Option<String> {
        None
    }
}

/// Where secrets that are not in the configuration itself come from.
pub(in super::super) enum Sources<'a> {
    /// The environment of the process and the file system; relative paths are seen from the directory, if given.
    Process(Option<&'a Path>),
    /// No files, and an environment that is given: for text that must not reach the machine.
    Isolated(&'a dyn Fn(&str) -> Option<OsString>),
}

impl Sources<'_> {
    fn variable(&self, name: &str) -> Option<OsString> {
        match self {
            Self::Process(_) => std::env::var_os(name),
            Self::Isolated(environment) => environment(name),
        }
    }

    fn file(&self, path: &Path) -> io::Result<SecretFile> {
        match self {
            Self::Process(Some(directory)) => SecretFile::read(&directory.join(path)),
            Self::Process(None) => SecretFile::read(path),
            Self::Isolated(_) => Err(io::ErrorKind::PermissionDenied.into()),
        }
    }
}

/// A file with a secret in it.
struct SecretFile {
    bytes: Vec<u8>,
    world_readable: bool,
}

impl SecretFile {
    fn read(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let mut bytes = Vec::new();
        // Room for a line end; anything longer is reported as too long.
        file.take(MAX_SECRET_BYTES as u64 + 3).read_to_end(&mut bytes)?;
        Ok(Self {
            bytes,
            world_readable: metadata.is_file() && metadata.permissions().mode() & 0o004 != 0,
        })
    }
}

const SYNTAX: &str = "expected a string, { env = \"NAME\" } or { file = \"PATH\" }";

/// The secret that a table points to; what was expected if it points nowhere.
fn reference(table: &DeTable<'_>, place: &Place, reader: &mut Reader<'_>) -> Result<Vec<u8>, String> {
    let mut entries = table.iter();
    let (Some((kind, name)), None) = (entries.next(), entries.next()) else {
        return Err(SYNTAX.to_owned());
    };
    let name = name.get_ref().as_str().ok_or_else(|| SYNTAX.to_owned())?;
    match &**kind.get_ref() {
        "env" => match reader.sources.variable(name) {
            Some(secret) => Ok(secret.into_vec()),
            None => Err(format!("the environment variable {name:?} is not set")),
        },
        "file" => {
            let read = reader
                .sources
                .file(Path::new(name))
                .map_err(|error| format!("the file {name:?} cannot be read: {error}"))?;
            if read.world_readable {
                let expected =
                    format!("every user of this machine can read {name:?}, expected mode 0640 or less (chmod o-r)");
                reader.warning(place, None, expected);
            }
            Ok(without_line_end(read.bytes))
        }
        _ => Err(SYNTAX.to_owned()),
    }
}

/// Takes off one line end, which editors add.
fn without_line_end(mut secret: Vec<u8>) -> Vec<u8> {
    if secret.last() == Some(&b'\n') {
        secret.pop();
        if secret.last() == Some(&b'\r') {
            secret.pop();
        }
    }
    secret
}
