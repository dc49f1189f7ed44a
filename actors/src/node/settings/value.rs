//! Values as Python reads them.

use rustix::fs::Access;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The zeros of the scripts whose digits are taken: ASCII, Arabic, Persian.
const ZEROS: [char; 3] = ['0', '\u{660}', '\u{6f0}'];

/// Python's `int()`: blanks around it, a sign, underscores between digits, and digits of other scripts.
pub(super) fn int(text: &str) -> Option<i64> {
    let text = text.trim();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.split('_').any(str::is_empty) {
        return None;
    }
    let mut number: i64 = 0;
    for c in digits.chars().filter(|c| *c != '_') {
        let digit = ZEROS.iter().find_map(|zero| {
            let digit = u32::from(c).checked_sub(u32::from(*zero))?;
            (digit < 10).then_some(digit)
        })?;
        number = number.checked_mul(10)?.checked_add(i64::from(digit))?;
    }
    Some(sign * number)
}

/// A word for yes or no, in any case; nothing means no.
pub(super) fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "y" | "yes" | "t" | "true" | "on" | "1" => Some(true),
        "" | "n" | "no" | "f" | "false" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// The file that may be run: at a path, or, as for a shell, under a name in one of the folders of `search`.
///
/// # Errors
/// What is wrong with it.
pub(super) fn program(named: &str, search: &str) -> Result<PathBuf, String> {
    let found = || {
        std::env::split_paths(search)
            .map(|folder| folder.join(named))
            .find(|path| is_program(path).is_ok())
    };
    let path = match named.contains('/') {
        true => None,
        false => found(),
    };
    let path = path.unwrap_or_else(|| named.into());
    is_program(&path).map(|()| path)
}

/// What the kernel keeps of a file's capabilities has 24 bytes at most.
const MAX_CAPABILITY_BYTES: usize = 64;

/// Whether the kernel gives a program more rights than whoever starts it has: then it takes the signal from it that is to
/// end it with its parent (prctl(2), PR_SET_PDEATHSIG).
pub(super) fn raises_rights(program: &Path) -> bool {
    const SET_ID: u32 = 0o6000;
    let sets_id = std::fs::metadata(program).is_ok_and(|metadata| metadata.permissions().mode() & SET_ID != 0);
    let mut value = [0; MAX_CAPABILITY_BYTES];
    sets_id || rustix::fs::getxattr(program, "security.capability", &mut value).is_ok_and(|length| length > 0)
}

fn is_program(path: &Path) -> Result<(), String> {
    let metadata = std::fs::metadata(path).map_err(|error| format!("the core cannot be run: {error}"))?;
    if !metadata.is_file() {
        return Err("the core cannot be run: it is no file".to_owned());
    }
    if metadata.permissions().mode() & 0o111 == 0 || rustix::fs::access(path, Access::EXEC_OK).is_err() {
        return Err("the core cannot be run: the file is not executable".to_owned());
    }
    // One that may be run but not read is not looked into.
    match std::fs::File::open(path) {
        Ok(file) => is_of_this_machine(file),
        Err(_) => Ok(()),
    }
}

/// A script, or an ELF file for this machine. What is neither, a shell would try to read.
fn is_of_this_machine(file: std::fs::File) -> Result<(), String> {
    /// Where an ELF file has its machine, in two bytes (elf(5), `e_machine`).
    const MACHINE: std::ops::Range<usize> = 18..20;
    let mut head = Vec::new();
    // A file that cannot be read has no head, and is refused below.
    let _ = file.take(MACHINE.end as u64).read_to_end(&mut head);
    let own: Option<u16> = match std::env::consts::ARCH {
        "x86_64" => Some(62),
        "aarch64" => Some(183),
        "riscv64" => Some(243),
        _ => None,
    };
    match head.get(MACHINE) {
        _ if head.starts_with(b"#!") => Ok(()),
        Some(machine) if head.starts_with(b"\x7fELF") => match own {
            Some(own) if machine != own.to_ne_bytes() => {
                Err("the core cannot be run: it is for another machine".into())
            }
            _ => Ok(()),
        },
        _ => Err("the core cannot be run: it is no program".to_owned()),
    }
}
