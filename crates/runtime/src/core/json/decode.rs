//! JSON to Lua values.

use super::{DEEPEST, Settings};
use crate::vm::Stack;

pub(super) struct Decoder<'a> {
    stack: Stack,
    text: &'a [u8],
    offset: usize,
    /// Where the last token started.
    last: usize,
    depth: usize,
    settings: &'a Settings,
    /// Null is a light userdata rather than nil.
    nulls: bool,
}

enum Token {
    /// One of the structural characters.
    Mark(u8),
    /// A string, pushed.
    String,
    Number(f64),
    Boolean(bool),
    Null,
    End,
    /// What is wrong, and where.
    Error(&'static str, usize),
}

impl Token {
    /// Name in error messages.
    fn name(&self) -> &'static str {
        match self {
            Token::Mark(b'{') => "T_OBJ_BEGIN",
            Token::Mark(b'}') => "T_OBJ_END",
            Token::Mark(b'[') => "T_ARR_BEGIN",
            Token::Mark(b']') => "T_ARR_END",
            Token::Mark(b':') => "T_COLON",
            Token::Mark(_) => "T_COMMA",
            Token::String => "T_STRING",
            Token::Number(_) => "T_NUMBER",
            Token::Boolean(_) => "T_BOOLEAN",
            Token::Null => "T_NULL",
            Token::End => "T_END",
            Token::Error(what, _) => what,
        }
    }
}

impl<'a> Decoder<'a> {
    pub fn new(stack: Stack, text: &'a [u8], settings: &'a Settings, nulls: bool) -> Self {
        Decoder { stack, text, offset: 0, last: 0, depth: 0, settings, nulls }
    }

    /// Pushes the value the whole text is made of.
    pub fn document(&mut self) -> Result<(), String> {
        if self.text.iter().take(2).any(|byte| *byte == 0) && self.text.len() >= 2 {
            return Err("JSON parser does not support UTF-16 or UTF-32".to_owned());
        }
        let token = self.token();
        self.value(token)?;
        match self.token() {
            Token::End => Ok(()),
            other => Err(self.unexpected("the end", &other)),
        }
    }

    /// Pushes the value at an offset; returns the offset behind it.
    pub fn value_at(&mut self, offset: usize) -> Result<usize, String> {
        self.offset = offset.min(self.text.len());
        let token = self.token();
        self.value(token)?;
        Ok(self.offset)
    }

    fn unexpected(&self, expected: &str, found: &Token) -> String {
        let at = match found {
            Token::Error(_, at) => *at,
            _ => self.last,
        };
        format!("Expected {expected} but found {} at character {}", found.name(), at + 1)
    }

    /// Pushes the value that begins with `token`.
    fn value(&mut self, token: Token) -> Result<(), String> {
        match token {
            Token::String => {}
            Token::Number(number) => self.stack.push_number(number),
            Token::Boolean(value) => self.stack.push_bool(value),
            Token::Null if self.nulls => self.stack.push_light(std::ptr::null_mut()),
            Token::Null => self.stack.push_nil(),
            Token::Mark(b'{') => return self.nested(Self::object),
            Token::Mark(b'[') => return self.nested(Self::array),
            other => return Err(self.unexpected("value", &other)),
        }
        Ok(())
    }

    fn nested(&mut self, parse: fn(&mut Self) -> Result<(), String>) -> Result<(), String> {
        self.depth += 1;
        if self.depth > self.settings.decode_max_depth.min(DEEPEST) || !self.stack.reserve(4) {
            return Err(format!(
                "Found too many nested data structures ({}) at character {}",
                self.depth, self.offset
            ));
        }
        self.stack.new_table(0, 0);
        parse(self)?;
        self.depth -= 1;
        Ok(())
    }

    fn object(&mut self) -> Result<(), String> {
        let mut token = self.token();
        if matches!(token, Token::Mark(b'}')) {
            return Ok(());
        }
        loop {
            if !matches!(token, Token::String) {
                return Err(self.unexpected("object key string", &token));
            }
            match self.token() {
                Token::Mark(b':') => {}
                other => return Err(self.unexpected("colon", &other)),
            }
            token = self.token();
            self.value(token)?;
            self.stack.raw_set(-3);
            match self.token() {
                Token::Mark(b'}') => return Ok(()),
                Token::Mark(b',') => {}
                other => return Err(self.unexpected("comma or object end", &other)),
            }
            token = self.token();
        }
    }

    fn array(&mut self) -> Result<(), String> {
        let mut token = self.token();
        if matches!(token, Token::Mark(b']')) {
            return Ok(());
        }
        let mut index = 0;
        loop {
            self.value(token)?;
            index += 1;
            self.stack.raw_set_index(-2, index);
            match self.token() {
                Token::Mark(b']') => return Ok(()),
                Token::Mark(b',') => {}
                other => return Err(self.unexpected("comma or array end", &other)),
            }
            token = self.token();
        }
    }

    fn at(&self, ahead: usize) -> u8 {
        self.text.get(self.offset + ahead).copied().unwrap_or(0)
    }

    fn token(&mut self) -> Token {
        while matches!(self.at(0), b' ' | b'\t' | b'\n' | b'\r') {
            self.offset += 1;
        }
        self.last = self.offset;
        let Some(&byte) = self.text.get(self.offset) else { return Token::End };
        match byte {
            b'{' | b'}' | b'[' | b']' | b':' | b',' => {
                self.offset += 1;
                Token::Mark(byte)
            }
            b'"' => self.string(),
            b'-' | b'0'..=b'9' if !self.settings.decode_invalid_numbers && self.is_invalid_number() => {
                Token::Error("invalid number", self.offset)
            }
            b'-' | b'0'..=b'9' => self.number(),
            _ => {
                let rest = &self.text[self.offset..];
                for (word, token) in [
                    (&b"true"[..], Token::Boolean(true)),
                    (b"false", Token::Boolean(false)),
                    (b"null", Token::Null),
                ] {
                    if rest.starts_with(word) {
                        self.offset += word.len();
                        return token;
                    }
                }
                if self.settings.decode_invalid_numbers && self.is_invalid_number() {
                    return self.number();
                }
                Token::Error("invalid token", self.offset)
            }
        }
    }

    /// Whether what starts here is a number to C but not to JSON.
    fn is_invalid_number(&self) -> bool {
        if self.at(0) == b'+' {
            return true;
        }
        let sign = usize::from(self.at(0) == b'-');
        match self.at(sign) {
            b'0' => matches!(self.at(sign + 1), b'x' | b'X' | b'0'..=b'9'),
            b'1'..=b'9' => false,
            _ => {
                let rest = &self.text[(self.offset + sign).min(self.text.len())..];
                let starts =
                    |word: &[u8]| rest.len() >= word.len() && rest[..word.len()].eq_ignore_ascii_case(word);
                starts(b"inf") || starts(b"nan")
            }
        }
    }

    /// Reads as much as makes a number for C's `strtod`.
    fn number(&mut self) -> Token {
        let start = self.offset;
        let negative = self.at(0) == b'-';
        let mut at = usize::from(negative || self.at(0) == b'+');
        let signed = |number: f64| Token::Number(if negative { -number } else { number });
        let mut value = 0u64;
        let first = at;
        while let digit @ b'0'..=b'9' = self.at(at) {
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            at += 1;
        }
        let digits = at - first;
        let next = self.at(at);
        if digits > 0 && digits <= 15 && !matches!(next, b'.' | b'e' | b'E' | b'x' | b'X') {
            self.offset += at;
            return signed(value as f64);
        }
        if digits == 1 && value == 0 && matches!(next, b'x' | b'X') && self.at(at + 1).is_ascii_hexdigit() {
            at += 1;
            let mut value = 0.0;
            while self.at(at).is_ascii_hexdigit() {
                let digit = char::from(self.at(at)).to_digit(16).expect("a hexadecimal digit");
                value = value * 16.0 + f64::from(digit);
                at += 1;
            }
            self.offset += at;
            return signed(value);
        }
        let mut fraction = 0;
        if next == b'.' {
            while self.at(at + 1 + fraction).is_ascii_digit() {
                fraction += 1;
            }
            at += 1 + fraction;
        }
        if digits + fraction == 0 {
            return self.not_finite(first).map_or(Token::Error("invalid number", start), signed);
        }
        if matches!(self.at(at), b'e' | b'E') {
            let sign = usize::from(matches!(self.at(at + 1), b'+' | b'-'));
            if self.at(at + 1 + sign).is_ascii_digit() {
                at += 1 + sign;
                while self.at(at).is_ascii_digit() {
                    at += 1;
                }
            }
        }
        self.offset += at;
        let text = &self.text[start + first..self.offset];
        match std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()) {
            Some(number) => signed(number),
            None => Token::Error("invalid number", start),
        }
    }

    /// Reads `inf`, `infinity` or `nan` behind so many bytes of sign.
    fn not_finite(&mut self, sign: usize) -> Option<f64> {
        let rest = &self.text[(self.offset + sign).min(self.text.len())..];
        for (word, number) in [(&b"infinity"[..], f64::INFINITY), (b"inf", f64::INFINITY), (b"nan", f64::NAN)]
        {
            if rest.len() >= word.len() && rest[..word.len()].eq_ignore_ascii_case(word) {
                self.offset += sign + word.len();
                return Some(number);
            }
        }
        None
    }

    /// Reads a string and pushes it.
    fn string(&mut self) -> Token {
        self.offset += 1;
        let mut unescaped = Vec::new();
        loop {
            let rest = &self.text[self.offset..];
            let length = memchr::memchr3(b'"', b'\\', 0, rest).unwrap_or(rest.len());
            match rest.get(length) {
                Some(b'"') => {
                    self.offset += length + 1;
                    if unescaped.is_empty() {
                        self.stack.push_bytes(&rest[..length]);
                    } else {
                        unescaped.extend_from_slice(&rest[..length]);
                        self.stack.push_bytes(&unescaped);
                    }
                    return Token::String;
                }
                Some(b'\\') => {
                    unescaped.extend_from_slice(&rest[..length]);
                    self.offset += length;
                    if let Err(what) = self.escape(&mut unescaped) {
                        return Token::Error(what, self.offset);
                    }
                }
                _ => return Token::Error("unexpected end of string", self.offset + length),
            }
        }
    }

    /// Reads an escape sequence.
    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), &'static str> {
        out.push(match self.at(1) {
            same @ (b'"' | b'\\' | b'/') => same,
            b'b' => b'\x08',
            b'f' => b'\x0c',
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                const INVALID: &str = "invalid unicode escape code";
                let mut code = self.code_unit(2).ok_or(INVALID)?;
                self.offset += 6;
                if let 0xd800..=0xdbff = code {
                    let low = match (self.at(0), self.at(1)) {
                        (b'\\', b'u') => self.code_unit(2),
                        _ => None,
                    };
                    let low = low.filter(|low| (0xdc00..=0xdfff).contains(low)).ok_or(INVALID)?;
                    self.offset += 6;
                    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                }
                let character = char::from_u32(code).ok_or(INVALID)?;
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err("invalid escape code"),
        });
        self.offset += 2;
        Ok(())
    }

    /// The four hexadecimal digits at so many bytes ahead.
    fn code_unit(&self, ahead: usize) -> Option<u32> {
        (0..4).try_fold(0, |code, i| {
            let digit = char::from(self.at(ahead + i)).to_digit(16)?;
            Some(code << 4 | digit)
        })
    }
}
