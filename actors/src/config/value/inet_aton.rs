//! IPv4 addresses with fewer than four parts, as files of other programs have them (`0.0.0`, `127.0.1`).

use std::net::Ipv4Addr;

/// Reads an address as the C library's `inet_aton` does: one to four parts, decimal, octal (`0` in front) or
/// hexadecimal (`0x` in front); the last part fills all bytes that are left. `None` if it is something else.
pub(super) fn inet_aton(text: &str) -> Option<Ipv4Addr> {
    let parts: Vec<u32> = text.splitn(5, '.').map(part).collect::<Option<_>>()?;
    let (last, leading) = parts.split_last()?;
    if leading.len() > 3 {
        return None;
    }
    let bits_left = 32 - 8 * leading.len();
    if bits_left < 32 && *last >> bits_left != 0 {
        return None;
    }
    let mut address = *last;
    for (index, byte) in leading.iter().enumerate() {
        address |= u32::from(u8::try_from(*byte).ok()?) << (24 - 8 * index);
    }
    Some(Ipv4Addr::from(address))
}

fn part(text: &str) -> Option<u32> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hexadecimal) => (hexadecimal, 16),
        None if text.len() > 1 && text.starts_with('0') => (text, 8),
        None => (text, 10),
    };
    // `from_str_radix` would take a sign.
    if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) {
        return None;
    }
    u32::from_str_radix(digits, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_part_fills_the_bytes_that_are_left() {
        for (text, expected) in [
            ("0.0.0", "0.0.0.0"),
            ("127.0.1", "127.0.0.1"),
            ("10.1", "10.0.0.1"),
            ("10.66000", "10.1.1.208"),
            ("10.1.258", "10.1.1.2"),
            ("2130706433", "127.0.0.1"),
            ("0x7f.1", "127.0.0.1"),
            ("0177.0.0.1", "127.0.0.1"),
            ("192.0.2.7", "192.0.2.7"),
            ("4294967295", "255.255.255.255"),
        ] {
            assert_eq!(inet_aton(text), Some(expected.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn what_inet_aton_refuses_is_refused() {
        for text in [
            "",
            ".",
            "1.",
            ".1",
            "256.1.1.1",
            "1.1.1.256",
            "1.1.65536",
            "1.16777216",
            "4294967296",
            "1.2.3.4.5",
            "08",
            "0x",
            "+1",
            "-1",
            " 1",
            "a",
            "1.2.3.4 ",
        ] {
            assert_eq!(inet_aton(text), None, "{text}");
        }
    }
}
