//! Cuts Lua source into tokens, as far as scopes and escapes need it.

use super::Edit;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A name or a keyword.
    Word,
    String,
    Number,
    /// `...`
    Dots,
    /// `::`
    Label,
    /// A single character that is no operator between two operands: `( ) { } [ ] = , ; : .`, or
    /// one that is none of Lua's.
    Mark(u8),
    /// Any operator.
    Operator,
    End,
    /// A string or comment that does not end, or a malformed long bracket.
    Broken,
}

/// A token and where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
}

pub struct Lexer<'a> {
    source: &'a [u8],
    offset: usize,
    /// Backslashes of the strings so far that LuaJIT would refuse.
    stray: Vec<usize>,
}

/// Edits that drop the backslashes LuaJIT refuses and Lua 5.1 ignores.
pub fn stray_backslashes(source: &[u8]) -> Vec<Edit> {
    let mut lexer = Lexer::new(source);
    while !matches!(lexer.next_token().kind, Kind::End | Kind::Broken) {}
    let edit = |at| Edit { at, removed: 1, inserted: "" };
    lexer.stray.into_iter().map(edit).collect()
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

impl<'a> Lexer<'a> {
    pub fn new(source: &'a [u8]) -> Self {
        Lexer::starting_at(source, 0)
    }

    pub fn starting_at(source: &'a [u8], offset: usize) -> Self {
        Lexer { source, offset, stray: Vec::new() }
    }

    fn at(&self, ahead: usize) -> u8 {
        self.source.get(self.offset + ahead).copied().unwrap_or(0)
    }

    pub fn next_token(&mut self) -> Token {
        let (start, kind) = loop {
            while matches!(self.at(0), b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c) {
                self.offset += 1;
            }
            if self.at(0) != b'-' || self.at(1) != b'-' {
                let start = self.offset;
                break (start, self.scan());
            }
            let start = self.offset;
            self.offset += 2;
            if !self.comment() {
                break (start, Kind::Broken);
            }
        };
        Token { kind, start, end: self.offset }
    }

    /// Moves behind a comment; the two dashes are behind the offset already.
    fn comment(&mut self) -> bool {
        if self.at(0) == b'['
            && let Some(level) = self.bracket_level()
        {
            return self.long_bracket(level);
        }
        let rest = &self.source[self.offset..];
        self.offset += memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        true
    }

    fn scan(&mut self) -> Kind {
        let Some(&byte) = self.source.get(self.offset) else { return Kind::End };
        match byte {
            b'0'..=b'9' => self.number(),
            b'.' if self.at(1).is_ascii_digit() => self.number(),
            _ if is_word(byte) => {
                while is_word(self.at(0)) {
                    self.offset += 1;
                }
                Kind::Word
            }
            b'"' | b'\'' => self.short_string(byte),
            b'[' => match self.bracket_level() {
                Some(level) if self.long_bracket(level) => Kind::String,
                Some(_) => Kind::Broken,
                None => self.symbol(1, Kind::Mark(b'[')),
            },
            b'.' if self.at(1) == b'.' && self.at(2) == b'.' => self.symbol(3, Kind::Dots),
            b'.' if self.at(1) == b'.' => self.symbol(2, Kind::Operator),
            b':' if self.at(1) == b':' => self.symbol(2, Kind::Label),
            b'=' | b'<' | b'>' | b'~' if self.at(1) == b'=' => self.symbol(2, Kind::Operator),
            b'+' | b'-' | b'*' | b'/' | b'%' | b'^' | b'#' | b'<' | b'>' => self.symbol(1, Kind::Operator),
            _ => self.symbol(1, Kind::Mark(byte)),
        }
    }

    fn symbol(&mut self, length: usize, kind: Kind) -> Kind {
        self.offset += length;
        kind
    }

    fn number(&mut self) -> Kind {
        let hexadecimal = self.at(0) == b'0' && matches!(self.at(1), b'x' | b'X');
        let exponent = if hexadecimal { b'p' } else { b'e' };
        let mut previous = 0;
        while is_word(self.at(0))
            || self.at(0) == b'.'
            || (matches!(self.at(0), b'+' | b'-') && previous | 0x20 == exponent)
        {
            previous = self.at(0);
            self.offset += 1;
        }
        Kind::Number
    }

    /// The number of `=` between two opening brackets, if that is what is here.
    fn bracket_level(&self) -> Option<usize> {
        let mut level = 0;
        while self.at(1 + level) == b'=' {
            level += 1;
        }
        (self.at(1 + level) == b'[').then_some(level)
    }

    fn long_bracket(&mut self, level: usize) -> bool {
        self.offset += level + 2;
        loop {
            let rest = &self.source[self.offset..];
            let Some(found) = memchr::memchr(b']', rest) else {
                self.offset = self.source.len();
                return false;
            };
            self.offset += found + 1;
            if (0..level).all(|i| self.at(i) == b'=') && self.at(level) == b']' {
                self.offset += level + 1;
                return true;
            }
        }
    }

    fn short_string(&mut self, quote: u8) -> Kind {
        self.offset += 1;
        loop {
            let Some(&byte) = self.source.get(self.offset) else { return Kind::Broken };
            match byte {
                b'\n' | b'\r' => return Kind::Broken,
                b'\\' => {
                    if !self.is_escape() {
                        self.stray.push(self.offset);
                    }
                    // "\<CR><LF>" is one escaped line end.
                    let line_end = matches!((self.at(1), self.at(2)), (b'\r', b'\n') | (b'\n', b'\r'));
                    let blanks = self.at(1) == b'z';
                    self.offset += if line_end { 3 } else { 2 };
                    while blanks && matches!(self.at(0), b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c) {
                        self.offset += 1;
                    }
                }
                _ => {
                    self.offset += 1;
                    if byte == quote {
                        return Kind::String;
                    }
                }
            }
        }
    }

    /// Whether LuaJIT knows the escape at the offset. What it adds to 5.1's (`\xAB`, `\u{ABC}`,
    /// `\z`) keeps its meaning when it is complete.
    fn is_escape(&self) -> bool {
        match self.at(1) {
            b'a' | b'b' | b'f' | b'n' | b'r' | b't' | b'v' | b'z' | b'\\' | b'"' | b'\'' | b'\n' | b'\r' => {
                true
            }
            b'0'..=b'9' => true,
            b'x' => self.at(2).is_ascii_hexdigit() && self.at(3).is_ascii_hexdigit(),
            b'u' if self.at(2) == b'{' => {
                let rest = &self.source[self.offset + 3..];
                let digits = rest.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
                digits > 0
                    && rest.get(digits) == Some(&b'}')
                    && std::str::from_utf8(&rest[..digits])
                        .ok()
                        .and_then(|text| u32::from_str_radix(text, 16).ok())
                        .is_some_and(|code| char::from_u32(code).is_some())
            }
            _ => false,
        }
    }
}
