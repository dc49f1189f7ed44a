//! Walks through a text as CPython's `json` does, to the first place that it complains about.

/// Containers in each other at which CPython gives up: its limit of 1,000, less what the frames of a server take.
const MAX_DEPTH: usize = 960;

/// Why a text was not read to its end.
pub(super) enum Stop {
    /// CPython itself gives up.
    TooDeep,
    /// At this byte, for this reason.
    At(usize, &'static str),
}

/// Walks through all of `text`. Returns how many containers are in each other where it is deepest.
pub(super) fn scan(text: &str) -> Result<usize, Stop> {
    let mut scanner = Scanner {
        text: text.as_bytes(),
        closers: Vec::new(),
        deepest: 0,
    };
    scanner.document()?;
    Ok(scanner.deepest)
}

/// A text and what is open in it. Everything that decides is ASCII, so that bytes do; its functions take where
/// something begins, and return where it ends.
struct Scanner<'a> {
    text: &'a [u8],
    /// The brackets that close what is open, outermost first; at most [`MAX_DEPTH`].
    closers: Vec<u8>,
    deepest: usize,
}

impl Scanner<'_> {
    /// One value and nothing behind it. Loops instead of calling itself: the depth of a text is the sender's choice.
    fn document(&mut self) -> Result<(), Stop> {
        let mut at = self.skip_space(0);
        'value: loop {
            at = match self.byte(at) {
                Some(b'"') => self.string(at)?,
                Some(opener @ (b'{' | b'[')) => {
                    let closer = if opener == b'{' { b'}' } else { b']' };
                    self.open(closer)?;
                    let inside = self.skip_space(at + 1);
                    if self.byte(inside) != Some(closer) {
                        at = self.element(inside)?;
                        continue 'value;
                    }
                    inside
                }
                _ => self.word(at).map_or_else(|| self.number(at), Ok)?,
            };
            // Behind a value, or at the end of an empty container.
            while let Some(closer) = self.closers.last().copied() {
                at = self.skip_space(at);
                match self.byte(at) {
                    Some(byte) if byte == closer => {
                        self.closers.pop();
                        at += 1;
                    }
                    Some(b',') => {
                        at = self.element(self.skip_space(at + 1))?;
                        continue 'value;
                    }
                    _ => return Err(Stop::At(at, "Expecting ',' delimiter")),
                }
            }
            at = self.skip_space(at);
            return if at < self.text.len() {
                Err(Stop::At(at, "Extra data"))
            } else {
                Ok(())
            };
        }
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.text.get(at).copied()
    }

    fn count(&self, at: usize, is_one: impl Fn(u8) -> bool) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        rest.iter().take_while(|byte| is_one(**byte)).count()
    }

    fn skip_space(&self, at: usize) -> usize {
        at + self.count(at, |byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
    }

    fn skip_digits(&self, at: usize) -> usize {
        at + self.count(at, |byte| byte.is_ascii_digit())
    }

    fn open(&mut self, closer: u8) -> Result<(), Stop> {
        if self.closers.len() == MAX_DEPTH {
            return Err(Stop::TooDeep);
        }
        self.closers.push(closer);
        self.deepest = self.deepest.max(self.closers.len());
        Ok(())
    }

    /// Where the value of the next element of the open container begins: in an object behind its name.
    fn element(&self, at: usize) -> Result<usize, Stop> {
        if self.closers.last() != Some(&b'}') {
            return Ok(at);
        }
        if self.byte(at) != Some(b'"') {
            return Err(Stop::At(at, "Expecting property name enclosed in double quotes"));
        }
        let behind_name = self.skip_space(self.string(at)?);
        if self.byte(behind_name) != Some(b':') {
            return Err(Stop::At(behind_name, "Expecting ':' delimiter"));
        }
        Ok(self.skip_space(behind_name + 1))
    }

    fn word(&self, at: usize) -> Option<usize> {
        const WORDS: [&str; 6] = ["null", "true", "false", "NaN", "Infinity", "-Infinity"];
        let rest = self.text.get(at..)?;
        let word = WORDS.iter().find(|word| rest.starts_with(word.as_bytes()))?;
        Some(at + word.len())
    }

    fn string(&self, begin: usize) -> Result<usize, Stop> {
        let unterminated = Err(Stop::At(begin, "Unterminated string starting at"));
        let mut at = begin + 1;
        loop {
            at += self.count(at, |byte| byte > 0x1f && byte != b'"' && byte != b'\\');
            match (self.byte(at), self.byte(at + 1)) {
                (None, _) | (Some(b'\\'), None) => return unterminated,
                (Some(b'"'), _) => return Ok(at + 1),
                (Some(b'\\'), Some(b'u')) => {
                    let digits = self.text.get(at + 2..at + 6).unwrap_or_default();
                    let complete = digits.len() == 4 && digits.iter().all(u8::is_ascii_hexdigit);
                    // The text has to go on behind them.
                    if !complete || self.byte(at + 6).is_none() {
                        return Err(Stop::At(at + 1, "Invalid \\uXXXX escape"));
                    }
                    at += 6;
                }
                (Some(b'\\'), Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't')) => at += 2,
                (Some(b'\\'), Some(_)) => return Err(Stop::At(at, "Invalid \\escape")),
                (Some(_), _) => return Err(Stop::At(at, "Invalid control character at")),
            }
        }
    }

    fn number(&self, begin: usize) -> Result<usize, Stop> {
        let whole = begin + usize::from(self.byte(begin) == Some(b'-'));
        let mut at = match self.byte(whole) {
            Some(b'0') => whole + 1,
            Some(b'1'..=b'9') => self.skip_digits(whole),
            _ => return Err(Stop::At(begin, "Expecting value")),
        };
        if self.byte(at) == Some(b'.') {
            let end = self.skip_digits(at + 1);
            if end > at + 1 {
                at = end;
            }
        }
        if matches!(self.byte(at), Some(b'e' | b'E')) {
            let digits = at + 1 + usize::from(matches!(self.byte(at + 1), Some(b'+' | b'-')));
            let end = self.skip_digits(digits);
            if end > digits {
                at = end;
            }
        }
        Ok(at)
    }
}
