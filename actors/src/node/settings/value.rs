//! Values as Python reads them.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Python's `int()`: blanks around it, a sign, and underscores between digits.
pub(super) fn int(text: &str) -> Option<i64> {
    let text = text.trim();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let groups = digits.split('_');
    if !groups
        .clone()
        .all(|group| !group.is_empty() && group.bytes().all(|byte| byte.is_ascii_digit()))
    {
        return None;
    }
    let number: i64 = groups.collect::<String>().parse().ok()?;
    Some(sign * number)
}

/// A word for yes or no, in any case.
pub(super) fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "y" | "yes" | "t" | "true" | "on" | "1" => Some(true),
        "n" | "no" | "f" | "false" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// Whether there is a file that may be run.
///
/// # Errors
/// What is wrong with it.
pub(super) fn is_program(path: &Path) -> Result<(), String> {
    let metadata = std::fs::metadata(path).map_err(|error| format!("the core cannot be run: {error}"))?;
    if !metadata.is_file() {
        return Err("the core cannot be run: it is no file".to_owned());
    }
    if metadata.permissions().mode() & 0o111 == 0 {
        return Err("the core cannot be run: the file is not executable".to_owned());
    }
    Ok(())
}
