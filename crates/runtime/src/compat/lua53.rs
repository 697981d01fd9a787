//! Lua 5.3's operators in source for LuaJIT: `a // b`, `a & b`, `a | b`, `a ~ b`, `~a`, `a << b` and
//! `a >> b` become calls of `__idiv`, `__band`, `__bor`, `__bxor`, `__bnot`, `__shl` and `__shr`, which
//! whoever loads the source provides. Line numbers are kept. Finds where operands begin and end, and
//! judges nothing: what is not Lua is left for LuaJIT to complain about.

use std::borrow::Cow;
use std::cmp::Reverse;

use super::lexer::{Kind, Lexer, Token};

/// Deepest nesting followed; LuaJIT refuses more than 200 levels itself.
const MAX_LEVELS: usize = 220;

/// Ends a call. The parentheses around it keep it from being a tail call, whose caller's line an error
/// could not tell.
const CLOSE: &str = "))";

/// Precedence of unary operators.
const UNARY: u8 = 12;

/// The source with calls in place of the operators; the same if it has none.
pub fn rewrite(source: &[u8]) -> Cow<'_, [u8]> {
    let first_line = match source.first() {
        Some(b'#') => memchr::memchr2(b'\n', b'\r', source).unwrap_or(source.len()),
        _ => 0,
    };
    let code = &source[first_line..];
    let mut finder = Finder {
        source: code,
        tokens: tokens(code),
        next: 0,
        levels: 0,
        starts: Vec::new(),
        others: Vec::new(),
    };
    if finder.block(Close::End).is_err() || finder.starts.is_empty() {
        return Cow::Borrowed(code);
    }
    Cow::Owned(finder.apply())
}

/// All tokens, `//`, `<<` and `>>` as one each.
fn tokens(source: &[u8]) -> Vec<Token> {
    let mut lexer = Lexer::new(source);
    let mut tokens: Vec<Token> = Vec::new();
    loop {
        let token = lexer.next_token();
        if let Some(last) = tokens.last_mut() {
            let (before, here) = (&source[last.start..last.end], &source[token.start..token.end]);
            let double = before == here && matches!(here, b"/" | b"<" | b">");
            if double && last.end == token.start {
                last.end = token.end;
                continue;
            }
        }
        tokens.push(token);
        if matches!(token.kind, Kind::End | Kind::Broken) {
            return tokens;
        }
    }
}

/// The source is not Lua, or too deeply nested.
struct Unreadable;

/// What ends a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Close {
    Word,
    End,
}

struct Finder<'a> {
    source: &'a [u8],
    tokens: Vec<Token>,
    next: usize,
    levels: usize,
    /// Beginnings of calls: where, in the order found: an outer one is found after those in it.
    starts: Vec<(usize, &'static str)>,
    /// Bytes to replace: where, how many, by what.
    others: Vec<(usize, usize, &'static str)>,
}

/// An operand or expression, from its first byte to behind its last.
type Extent = (usize, usize);

impl Finder<'_> {
    fn token(&self) -> Token {
        self.tokens[self.next]
    }

    fn text(&self) -> &[u8] {
        let token = self.token();
        &self.source[token.start..token.end]
    }

    fn advance(&mut self) {
        if self.next + 1 < self.tokens.len() {
            self.next += 1;
        }
    }

    fn is(&self, mark: u8) -> bool {
        self.token().kind == Kind::Mark(mark)
    }

    fn deeper<T>(&mut self, f: impl FnOnce(&mut Self) -> Result<T, Unreadable>) -> Result<T, Unreadable> {
        self.levels += 1;
        if self.levels > MAX_LEVELS {
            return Err(Unreadable);
        }
        let result = f(self);
        self.levels -= 1;
        result
    }

    /// Statements up to the word that closes them, which is passed, or to the end.
    fn block(&mut self, close: Close) -> Result<(), Unreadable> {
        self.deeper(|this| {
            loop {
                match this.token().kind {
                    Kind::End => return if close == Close::End { Ok(()) } else { Err(Unreadable) },
                    Kind::Broken => return Err(Unreadable),
                    _ => {}
                }
                match this.text() {
                    b"end" | b"until" => {
                        this.advance();
                        return if close == Close::Word { Ok(()) } else { Err(Unreadable) };
                    }
                    b"do" | b"if" | b"repeat" => {
                        this.advance();
                        this.block(Close::Word)?;
                    }
                    _ => this.item()?,
                }
            }
        })
    }

    /// An expression, or a token that is none.
    fn item(&mut self) -> Result<(), Unreadable> {
        if self.expression(0)?.is_none() {
            if matches!(self.token().kind, Kind::End | Kind::Broken) {
                return Err(Unreadable);
            }
            self.advance();
        }
        Ok(())
    }

    /// What is between brackets, the opening one being here; gives the end of the closing one.
    fn nested(&mut self, close: u8) -> Result<usize, Unreadable> {
        self.deeper(|this| {
            this.advance();
            while !this.is(close) {
                this.item()?;
            }
            let end = this.token().end;
            this.advance();
            Ok(end)
        })
    }

    /// Left and right precedence of the binary operator that is here, and what it becomes.
    fn binary(&self) -> Option<(u8, u8, Option<&'static str>)> {
        Some(match self.text() {
            b"or" => (1, 1, None),
            b"and" => (2, 2, None),
            b"<" | b">" | b"<=" | b">=" | b"~=" | b"==" => (3, 3, None),
            b"|" => (4, 4, Some("(__bor(")),
            b"~" => (5, 5, Some("(__bxor(")),
            b"&" => (6, 6, Some("(__band(")),
            b"<<" => (7, 7, Some("(__shl(")),
            b">>" => (7, 7, Some("(__shr(")),
            b".." => (9, 8, None),
            b"+" | b"-" => (10, 10, None),
            b"*" | b"/" | b"%" => (11, 11, None),
            b"//" => (11, 11, Some("(__idiv(")),
            b"^" => (14, 13, None),
            _ => return None,
        })
    }

    /// An expression of operators that bind more closely than `limit`; `None`: there is none here.
    fn expression(&mut self, limit: u8) -> Result<Option<Extent>, Unreadable> {
        self.deeper(|this| {
            let first = this.token();
            let mut whole = match this.text() {
                b"~" | b"-" | b"#" | b"not" => {
                    let flips = this.text() == b"~";
                    this.advance();
                    let Some(operand) = this.expression(UNARY)? else { return Ok(None) };
                    if flips {
                        this.others.push((first.start, 1, ""));
                        this.call("(__bnot(", first.start, operand.1);
                    }
                    (first.start, operand.1)
                }
                _ => match this.operand()? {
                    Some(operand) => operand,
                    None => return Ok(None),
                },
            };
            while let Some((left, right, call)) = this.binary() {
                if left <= limit {
                    break;
                }
                let operator = this.token();
                this.advance();
                let Some(operand) = this.expression(right)? else { break };
                whole.1 = operand.1;
                if let Some(call) = call {
                    this.others.push((operator.start, operator.end - operator.start, ","));
                    this.call(call, whole.0, whole.1);
                }
            }
            Ok(Some(whole))
        })
    }

    fn call(&mut self, call: &'static str, start: usize, end: usize) {
        self.starts.push((start, call));
        self.others.push((end, 0, CLOSE));
    }

    fn operand(&mut self) -> Result<Option<Extent>, Unreadable> {
        let first = self.token();
        match first.kind {
            Kind::String | Kind::Number | Kind::Dots => {
                self.advance();
                return Ok(Some((first.start, first.end)));
            }
            Kind::Mark(b'{') => return Ok(Some((first.start, self.nested(b'}')?))),
            Kind::Mark(b'(') => {
                let end = self.nested(b')')?;
                return Ok(Some((first.start, self.suffixes(end)?)));
            }
            Kind::Word => {}
            _ => return Ok(None),
        }
        match self.text() {
            b"function" => {
                while !self.is(b'(') {
                    if matches!(self.token().kind, Kind::End | Kind::Broken) {
                        return Err(Unreadable);
                    }
                    self.advance();
                }
                self.nested(b')')?;
                self.block(Close::Word)?;
                Ok(Some((first.start, self.tokens[self.next - 1].end)))
            }
            b"nil" | b"true" | b"false" => {
                self.advance();
                Ok(Some((first.start, first.end)))
            }
            b"and" | b"break" | b"do" | b"else" | b"elseif" | b"end" | b"for" | b"if" | b"in" | b"local"
            | b"not" | b"or" | b"repeat" | b"return" | b"then" | b"until" | b"while" => Ok(None),
            _ => {
                self.advance();
                Ok(Some((first.start, self.suffixes(first.end)?)))
            }
        }
    }

    /// Fields, indices and arguments behind a name or parentheses.
    fn suffixes(&mut self, mut end: usize) -> Result<usize, Unreadable> {
        loop {
            let token = self.token();
            end = match token.kind {
                Kind::Mark(b'.' | b':') => {
                    self.advance();
                    let name = self.token().end;
                    self.advance();
                    name
                }
                Kind::Mark(b'[') => self.nested(b']')?,
                Kind::Mark(b'(') => self.nested(b')')?,
                Kind::Mark(b'{') => self.nested(b'}')?,
                Kind::String => {
                    self.advance();
                    token.end
                }
                _ => return Ok(end),
            };
        }
    }

    fn apply(self) -> Vec<u8> {
        let mut edits: Vec<(usize, usize, &str)> = Vec::new();
        // At one place the outer call begins first, and before what else happens there.
        edits.extend(self.starts.iter().rev().map(|&(at, call)| (at, 0, call)));
        edits.extend(self.others.iter().copied());
        edits.sort_by_key(|&(at, removed, text)| (at, Reverse(text == CLOSE), removed > 0));
        let mut made = Vec::with_capacity(self.source.len() + edits.len() * 8);
        let mut copied = 0;
        for (at, removed, text) in edits {
            made.extend_from_slice(&self.source[copied..at]);
            made.extend_from_slice(text.as_bytes());
            copied = at + removed;
        }
        made.extend_from_slice(&self.source[copied..]);
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(source: &str) -> String {
        String::from_utf8(rewrite(source.as_bytes()).into_owned()).expect("text")
    }

    #[test]
    fn operators_become_calls() {
        for (source, expected) in [
            ("x = a // b", "x = (__idiv(a , b))"),
            ("x = a//b//c", "x = (__idiv((__idiv(a,b)),c))"),
            ("x = 1 + a // b * c", "x = 1 + (__idiv(a , b)) * c"),
            ("x = 2 * a // b", "x = (__idiv(2 * a , b))"),
            ("x = -a // b ^ 2", "x = (__idiv(-a , b ^ 2))"),
            ("x = a & 0xff << 8 | 1", "x = (__bor((__band(a , (__shl(0xff , 8)))) , 1))"),
            ("x = a ~ ~b", "x = (__bxor(a , (__bnot(b))))"),
            ("x = ~a // 2", "x = (__idiv((__bnot(a)) , 2))"),
            ("x = a ~= b", "x = a ~= b"),
            (
                "x = f(a >> 1).y[b // 2]:m(c) // 3",
                "x = (__idiv(f((__shr(a , 1))).y[(__idiv(b , 2))]:m(c) , 3))",
            ),
            (
                "local function f(a) return a // 2 end y = 1",
                "local function f(a) return (__idiv(a , 2)) end y = 1",
            ),
            (
                "for i = 0, n // 2 do t[i] = i & 1 end",
                "for i = 0, (__idiv(n , 2)) do t[i] = (__band(i , 1)) end",
            ),
            (
                "if a // 2 == 1 then b = 3 elseif c | d > 2 then end",
                "if (__idiv(a , 2)) == 1 then b = 3 elseif (__bor(c , d)) > 2 then end",
            ),
            ("x = a -- // comment\n // b", "x = (__idiv(a -- // comment\n , b))"),
            (
                "x = 'a // b' .. [[ ~ ]] y = {a // 2, k = b & c}",
                "x = 'a // b' .. [[ ~ ]] y = {(__idiv(a , 2)), k = (__band(b , c))}",
            ),
            (
                "repeat local x = a // b until x | y == 0 z = 1",
                "repeat local x = (__idiv(a , b)) until (__bor(x , y)) == 0 z = 1",
            ),
            ("x = (a) // (b)", "x = (__idiv((a) , (b)))"),
            ("x = #t // 2", "x = (__idiv(#t , 2))"),
        ] {
            assert_eq!(rewritten(source), expected, "{source}");
        }
    }

    #[test]
    fn what_is_not_lua_stays() {
        for source in ["x = a // ", "end x = a // b", "f(a // b", "x = [[ a // b", "function f( a // b"] {
            let made = rewritten(source);
            assert!(made == source || made.contains("//"), "{source}: {made}");
        }
        let deep = format!("x = {}a // b{}", "(".repeat(500), ")".repeat(500));
        assert_eq!(rewritten(&deep), deep);
        assert_eq!(rewritten("#!/usr/sbin/nbdkit lua\nx = a // b"), "\nx = (__idiv(a , b))");
    }
}
