//! How `/logs` reads its `interval`: as `float()` of Python does (`spec/node-marzban.md`, 1.5).

/// Reads a number with blanks around it, underscores between digits, and `inf`, `infinity` and `nan` in any case.
/// `None` is what Python calls a `ValueError`; a number that is too large is infinite, as in Python.
///
/// Digits of other scripts, which Python takes too, are refused.
pub(super) fn parse(text: &str) -> Option<f64> {
    let number = text.trim();
    let bytes = number.as_bytes();
    let is_digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
    let between_digits = |at: usize| is_digit(at.checked_sub(1)) && is_digit(at.checked_add(1));
    if !number.match_indices('_').all(|(at, _)| between_digits(at)) {
        return None;
    }
    number.replace('_', "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_python_reads_them() {
        for (text, expected) in [
            ("0", 0.0),
            ("0.7", 0.7),
            ("-1", -1.0),
            ("+10", 10.0),
            ("5.", 5.0),
            (".5", 0.5),
            ("-.5e1", -5.0),
            ("1e1", 10.0),
            ("1E-1", 0.1),
            ("1_0", 10.0),
            ("1_0.0_1e0_1", 100.1),
            (" \t1\n\u{b}\u{c}\r", 1.0),
            ("\u{2003}2\u{a0}", 2.0),
            ("007", 7.0),
            ("1e999", f64::INFINITY),
            ("-1e999", f64::NEG_INFINITY),
            ("1e-999", 0.0),
            ("inf", f64::INFINITY),
            ("+Infinity", f64::INFINITY),
            ("-iNF", f64::NEG_INFINITY),
        ] {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
        for text in ["nan", "NaN", "-nan", " +NAN "] {
            assert!(parse(text).is_some_and(f64::is_nan), "{text}");
        }
    }

    #[test]
    fn what_python_refuses_is_refused() {
        for text in [
            "",
            " ",
            "_",
            "_1",
            "1_",
            "1__0",
            "1_.0",
            "1._0",
            "1e_5",
            "1_e5",
            "in_f",
            "+",
            "-",
            ".",
            "e5",
            "1e",
            "1e+",
            "0x10",
            "1,5",
            "1 0",
            "+ 1",
            "--1",
            "1.2.3",
            "infinit",
            "nan1",
            "1f",
            "\u{0}",
            "1\u{0}",
            "1\u{feff}",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
