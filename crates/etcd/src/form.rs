//! Paths, queries and forms as Go reads them.

use bytes::Bytes;

/// Fields of a query or form, in order.
#[derive(Debug, Default)]
pub struct Form(Vec<(Vec<u8>, Vec<u8>)>);

/// A value that does not read as what it should be.
pub struct Invalid;

impl Form {
    /// Adds the fields of a text; the first thing that is wrong with it.
    pub fn read(&mut self, text: &[u8]) -> Result<(), String> {
        let mut outcome = Ok(());
        for pair in text.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty()) {
            let read = || {
                if pair.contains(&b';') {
                    return Err("invalid semicolon separator in query".to_owned());
                }
                let at = memchr::memchr(b'=', pair);
                let (name, value) =
                    at.map_or((pair, &pair[pair.len()..]), |at| (&pair[..at], &pair[at + 1..]));
                Ok((unescape(name, true)?, unescape(value, true)?))
            };
            match read() {
                Ok(field) => self.0.push(field),
                Err(reason) => outcome = outcome.and(Err(reason)),
            }
        }
        outcome
    }

    /// The first value of a name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(have, _)| have == name.as_bytes()).map(|(_, value)| &value[..])
    }

    /// The same, empty where there is none.
    pub fn text(&self, name: &str) -> Bytes {
        Bytes::copy_from_slice(self.get(name).unwrap_or_default())
    }

    /// A whole number.
    pub fn number(&self, name: &str) -> Result<Option<u64>, Invalid> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let digits = text.iter().all(u8::is_ascii_digit).then(|| str::from_utf8(text).ok()).flatten();
        digits.and_then(|digits| digits.parse().ok()).map(Some).ok_or(Invalid)
    }

    /// A boolean.
    pub fn boolean(&self, name: &str) -> Result<Option<bool>, Invalid> {
        match self.get(name) {
            None => Ok(None),
            Some(b"1" | b"t" | b"T" | b"TRUE" | b"true" | b"True") => Ok(Some(true)),
            Some(b"0" | b"f" | b"F" | b"FALSE" | b"false" | b"False") => Ok(Some(false)),
            Some(_) => Err(Invalid),
        }
    }
}

/// Replaces `%41` by `A`, and in a query `+` by a blank.
pub fn unescape(text: &[u8], query: bool) -> Result<Vec<u8>, String> {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| (*byte as char).to_digit(16));
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'%' => {
                let (Some(high), Some(low)) = (digit(text.get(at + 1)), digit(text.get(at + 2))) else {
                    let wrong = String::from_utf8_lossy(&text[at..text.len().min(at + 3)]);
                    return Err(format!("invalid URL escape {wrong:?}"));
                };
                out.push((high * 16 + low) as u8);
                at += 3;
                continue;
            }
            b'+' if query => out.push(b' '),
            byte => out.push(byte),
        }
        at += 1;
    }
    Ok(out)
}

/// A path as it stands in a URL.
pub fn escape(path: &[u8]) -> String {
    let mut out = String::with_capacity(path.len());
    for &byte in path {
        match byte {
            byte if byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&byte) => {
                out.push(byte as char)
            }
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// A path without empty parts, `.` and `..`; the slash at its end stays.
pub fn clean(path: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let mut cleaned = vec![b'/'];
    cleaned.extend_from_slice(&parts.join(&b'/'));
    if path.ends_with(b"/") && cleaned.len() > 1 {
        cleaned.push(b'/');
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read() {
        let mut form = Form::default();
        assert_eq!(form.read(b"a=1&b=x+y%2B&c&a=2&&ttl="), Ok(()));
        assert_eq!(form.get("a"), Some(&b"1"[..]));
        assert_eq!(form.get("b"), Some(&b"x y+"[..]));
        assert_eq!(form.get("c"), Some(&b""[..]));
        assert!(form.number("ttl").is_err() && form.number("b").is_err());
        assert_eq!(form.number("no").ok().flatten(), None);
        assert_eq!(form.read(b"x=%zz&y=%4"), Err("invalid URL escape \"%zz\"".to_owned()));
        assert_eq!(form.read(b"x=%4"), Err("invalid URL escape \"%4\"".to_owned()));
    }

    #[test]
    fn paths_are_cleaned() {
        for (path, cleaned) in
            [("/", "/"), ("//a/./b/..//c", "/a/c"), ("/a//", "/a/"), ("/..", "/"), ("a", "/a")]
        {
            assert_eq!(clean(path.as_bytes()), cleaned.as_bytes(), "{path}");
        }
        assert_eq!(escape(b"/a b?c!"), "/a%20b%3Fc%21");
    }
}
