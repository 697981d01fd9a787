//! Lua's patterns, matched with a count of the work: LuaJIT's own matcher cannot be cut, and some
//! patterns take longer than anyone waits.

/// Captures a pattern may have.
const MAX_CAPTURES: usize = 32;

/// How deep a match may nest.
const MAX_DEPTH: u32 = 200;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatternError {
    /// The pattern makes no sense.
    Malformed(&'static str),
    /// More work than there was left.
    Spent,
}

/// What a capture holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capture {
    /// From a byte to another.
    Range(usize, usize),
    /// A position, counted from 0.
    Position(usize),
}

#[derive(Debug, Clone, Copy)]
struct Open {
    from: usize,
    length: Length,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Length {
    Unfinished,
    Position,
    Closed(usize),
}

/// A pattern at work on a text.
pub struct Matcher<'a> {
    text: &'a [u8],
    pattern: &'a [u8],
    captures: [Open; MAX_CAPTURES],
    level: usize,
    depth: u32,
    steps: u64,
    limit: u64,
}

type Outcome<T> = Result<T, PatternError>;

fn malformed<T>(what: &'static str) -> Outcome<T> {
    Err(PatternError::Malformed(what))
}

impl<'a> Matcher<'a> {
    /// A matcher that may take so many steps.
    pub fn new(text: &'a [u8], pattern: &'a [u8], limit: u64) -> Matcher<'a> {
        let none = Open { from: 0, length: Length::Unfinished };
        Matcher { text, pattern, captures: [none; MAX_CAPTURES], level: 0, depth: 0, steps: 0, limit }
    }

    /// Steps taken so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Whether the pattern, without its anchor, matches at a place: where the match ends.
    pub fn matches_at(&mut self, at: usize, anchored: bool) -> Outcome<Option<usize>> {
        self.level = 0;
        self.depth = 0;
        self.run(at, usize::from(anchored))
    }

    /// Captures of the last match.
    pub fn captures(&self) -> Outcome<Vec<Capture>> {
        self.captures[..self.level].iter().map(|open| Self::capture(*open)).collect()
    }

    /// One capture of the last match, counted from 0; `None` if there are not so many.
    pub fn nth(&self, number: usize) -> Outcome<Option<Capture>> {
        self.captures[..self.level].get(number).map(|open| Self::capture(*open)).transpose()
    }

    fn capture(open: Open) -> Outcome<Capture> {
        match open.length {
            Length::Closed(length) => Ok(Capture::Range(open.from, open.from + length)),
            Length::Position => Ok(Capture::Position(open.from)),
            Length::Unfinished => malformed("unfinished capture"),
        }
    }

    fn step(&mut self) -> Outcome<()> {
        self.steps += 1;
        if self.steps > self.limit { Err(PatternError::Spent) } else { Ok(()) }
    }

    fn run(&mut self, at: usize, p: usize) -> Outcome<Option<usize>> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return malformed("pattern too complex");
        }
        let found = self.go(at, p);
        self.depth -= 1;
        found
    }

    /// One item of the pattern after the other.
    fn go(&mut self, mut at: usize, mut p: usize) -> Outcome<Option<usize>> {
        loop {
            self.step()?;
            let Some(&item) = self.pattern.get(p) else { return Ok(Some(at)) };
            match item {
                b'(' => {
                    return match self.pattern.get(p + 1) {
                        Some(b')') => self.start_capture(at, p + 2, Length::Position),
                        _ => self.start_capture(at, p + 1, Length::Unfinished),
                    };
                }
                b')' => return self.end_capture(at, p + 1),
                b'$' if p + 1 == self.pattern.len() => {
                    return Ok((at == self.text.len()).then_some(at));
                }
                b'%' => match self.pattern.get(p + 1) {
                    Some(b'b') => match self.balance(at, p + 2)? {
                        Some(end) => {
                            (at, p) = (end, p + 4);
                            continue;
                        }
                        None => return Ok(None),
                    },
                    Some(b'f') => {
                        p += 2;
                        if self.pattern.get(p) != Some(&b'[') {
                            return malformed("missing '[' after '%f' in pattern");
                        }
                        let end = self.class_end(p)?;
                        let before = if at == 0 { 0 } else { self.text[at - 1] };
                        let after = self.text.get(at).copied().unwrap_or(0);
                        if self.in_set(before, p, end - 1) || !self.in_set(after, p, end - 1) {
                            return Ok(None);
                        }
                        p = end;
                        continue;
                    }
                    Some(digit) if digit.is_ascii_digit() => match self.back_reference(at, *digit)? {
                        Some(end) => {
                            (at, p) = (end, p + 2);
                            continue;
                        }
                        None => return Ok(None),
                    },
                    _ => {}
                },
                _ => {}
            }
            let end = self.class_end(p)?;
            let here = at < self.text.len() && self.single(self.text[at], p, end);
            match self.pattern.get(end) {
                Some(b'?') => {
                    if here && let Some(found) = self.run(at + 1, end + 1)? {
                        return Ok(Some(found));
                    }
                    p = end + 1;
                }
                Some(b'*') => return self.expand(at, p, end),
                Some(b'+') => return if here { self.expand(at + 1, p, end) } else { Ok(None) },
                Some(b'-') => return self.expand_least(at, p, end),
                _ if here => (at, p) = (at + 1, end),
                _ => return Ok(None),
            }
        }
    }

    /// As many as possible.
    fn expand(&mut self, at: usize, p: usize, end: usize) -> Outcome<Option<usize>> {
        let mut count = 0;
        while at + count < self.text.len() && self.single(self.text[at + count], p, end) {
            self.step()?;
            count += 1;
        }
        loop {
            if let Some(found) = self.run(at + count, end + 1)? {
                return Ok(Some(found));
            }
            if count == 0 {
                return Ok(None);
            }
            count -= 1;
        }
    }

    /// As few as possible.
    fn expand_least(&mut self, mut at: usize, p: usize, end: usize) -> Outcome<Option<usize>> {
        loop {
            if let Some(found) = self.run(at, end + 1)? {
                return Ok(Some(found));
            }
            if at < self.text.len() && self.single(self.text[at], p, end) {
                at += 1;
            } else {
                return Ok(None);
            }
        }
    }

    fn start_capture(&mut self, at: usize, p: usize, length: Length) -> Outcome<Option<usize>> {
        if self.level >= MAX_CAPTURES {
            return malformed("too many captures");
        }
        self.captures[self.level] = Open { from: at, length };
        self.level += 1;
        let found = self.run(at, p)?;
        if found.is_none() {
            self.level -= 1;
        }
        Ok(found)
    }

    fn end_capture(&mut self, at: usize, p: usize) -> Outcome<Option<usize>> {
        let open = self.captures[..self.level].iter().rposition(|open| open.length == Length::Unfinished);
        let Some(open) = open else { return malformed("invalid pattern capture") };
        self.captures[open].length = Length::Closed(at - self.captures[open].from);
        let found = self.run(at, p)?;
        if found.is_none() {
            self.captures[open].length = Length::Unfinished;
        }
        Ok(found)
    }

    fn balance(&mut self, at: usize, p: usize) -> Outcome<Option<usize>> {
        let (Some(&open), Some(&close)) = (self.pattern.get(p), self.pattern.get(p + 1)) else {
            return malformed("unbalanced pattern");
        };
        if self.text.get(at) != Some(&open) {
            return Ok(None);
        }
        let mut depth = 1;
        for place in at + 1..self.text.len() {
            self.step()?;
            let byte = self.text[place];
            if byte == close {
                depth -= 1;
                if depth == 0 {
                    return Ok(Some(place + 1));
                }
            } else if byte == open {
                depth += 1;
            }
        }
        Ok(None)
    }

    fn back_reference(&mut self, at: usize, digit: u8) -> Outcome<Option<usize>> {
        let number = usize::from(digit).wrapping_sub(usize::from(b'1'));
        let open = self.captures[..self.level].get(number).copied();
        let Some(Open { from, length: Length::Closed(length) }) = open else {
            return malformed("invalid capture index");
        };
        self.steps += (length / 16) as u64;
        self.step()?;
        let captured = &self.text[from..from + length];
        Ok(self.text[at..].starts_with(captured).then_some(at + length))
    }

    /// Where the item that begins at `p` ends.
    fn class_end(&self, p: usize) -> Outcome<usize> {
        match self.pattern[p] {
            b'%' if p + 1 >= self.pattern.len() => malformed("malformed pattern (ends with '%')"),
            b'%' => Ok(p + 2),
            b'[' => {
                let missing = "malformed pattern (missing ']')";
                let mut end = p + 1;
                if self.pattern.get(end) == Some(&b'^') {
                    end += 1;
                }
                // A `]` that comes first is one of the set.
                loop {
                    let Some(&byte) = self.pattern.get(end) else { return malformed(missing) };
                    end += 1;
                    if byte == b'%' {
                        if end >= self.pattern.len() {
                            return malformed(missing);
                        }
                        end += 1;
                    }
                    match self.pattern.get(end) {
                        Some(b']') => return Ok(end + 1),
                        Some(_) => {}
                        None => return malformed(missing),
                    }
                }
            }
            _ => Ok(p + 1),
        }
    }

    fn single(&self, byte: u8, p: usize, end: usize) -> bool {
        match self.pattern[p] {
            b'.' => true,
            b'%' => in_class(byte, self.pattern[p + 1]),
            b'[' => self.in_set(byte, p, end - 1),
            own => own == byte,
        }
    }

    /// Whether a byte is in the set from `[` at `p` to `]` at `last`.
    fn in_set(&self, byte: u8, p: usize, last: usize) -> bool {
        let mut p = p + 1;
        let wanted = if self.pattern[p] == b'^' {
            p += 1;
            false
        } else {
            true
        };
        while p < last {
            if self.pattern[p] == b'%' {
                if in_class(byte, self.pattern[p + 1]) {
                    return wanted;
                }
                p += 2;
            } else if self.pattern[p + 1] == b'-' && p + 2 < last {
                if (self.pattern[p]..=self.pattern[p + 2]).contains(&byte) {
                    return wanted;
                }
                p += 3;
            } else {
                if self.pattern[p] == byte {
                    return wanted;
                }
                p += 1;
            }
        }
        !wanted
    }
}

fn in_class(byte: u8, class: u8) -> bool {
    let is = match class.to_ascii_lowercase() {
        b'a' => byte.is_ascii_alphabetic(),
        b'c' => byte.is_ascii_control(),
        b'd' => byte.is_ascii_digit(),
        b'g' => byte.is_ascii_graphic(),
        b'l' => byte.is_ascii_lowercase(),
        b'p' => byte.is_ascii_punctuation(),
        b's' => byte.is_ascii_whitespace() || byte == 0x0b,
        b'u' => byte.is_ascii_uppercase(),
        b'w' => byte.is_ascii_alphanumeric(),
        b'x' => byte.is_ascii_hexdigit(),
        b'z' => byte == 0,
        _ => return class == byte,
    };
    is != class.is_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(text: &str, pattern: &str) -> Outcome<Option<(usize, usize)>> {
        let anchored = pattern.starts_with('^');
        let mut matcher = Matcher::new(text.as_bytes(), pattern.as_bytes(), 100_000);
        for at in 0..=text.len() {
            if let Some(end) = matcher.matches_at(at, anchored)? {
                return Ok(Some((at, end)));
            }
            if anchored {
                break;
            }
        }
        Ok(None)
    }

    #[test]
    fn what_takes_too_long_is_cut() {
        let text = "a".repeat(40);
        assert_eq!(find(&text, &("a*".repeat(20) + "b")), Err(PatternError::Spent));
        assert_eq!(find(&"(".repeat(2000), "%b()%b()"), Err(PatternError::Spent));
        assert_eq!(find(&text, "a-a-a-a-a-a-a-a-b"), Err(PatternError::Spent));
    }

    #[test]
    fn malformed_patterns_are_refused() {
        for pattern in ["%", "[", "[^", "[]", "[%", "[a", "(", ")", "%1", "%b", "%bx", "%f", "(()", "[a%"] {
            assert!(
                matches!(
                    find("aaa", pattern).and_then(|_| {
                        let mut matcher = Matcher::new(b"aaa", pattern.as_bytes(), 1000);
                        matcher.matches_at(0, false)?;
                        matcher.captures()
                    }),
                    Err(PatternError::Malformed(_))
                ),
                "{pattern}"
            );
        }
        let deep = "(".repeat(33) + &")".repeat(33);
        assert_eq!(find("", &deep), malformed("too many captures"));
        assert_eq!(find(&"a".repeat(300), &"a?".repeat(300)), malformed("pattern too complex"));
    }

    #[test]
    fn sets_and_classes() {
        assert_eq!(find("x]y", "[]]"), Ok(Some((1, 2))));
        assert_eq!(find("x-y", "[a-]"), Ok(Some((1, 2))));
        assert_eq!(find("abc5", "[^%a]"), Ok(Some((3, 4))));
        assert_eq!(find("THE (quick) fox", "%((%a+)%)"), Ok(Some((4, 11))));
        assert_eq!(find("THE (quick) fox", "%f[%a]%a+%f[%A]"), Ok(Some((0, 3))));
        assert_eq!(find("f(a(b)c)d", "%b()"), Ok(Some((1, 8))));
        assert_eq!(find("\"it's\"", "([\"'])(.-)%1"), Ok(Some((0, 6))));
        assert_eq!(find("a\0b", "%z"), Ok(Some((1, 2))));
    }
}
