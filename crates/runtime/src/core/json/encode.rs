//! Lua values to JSON.

use std::io::Write;

use super::{DEEPEST, InvalidNumbers, Settings};
use crate::vm::{Kind, Stack};

pub(super) struct Encoder<'a> {
    pub stack: Stack,
    pub settings: &'a Settings,
    pub out: &'a mut Vec<u8>,
}

impl Encoder<'_> {
    /// Appends the value at `index`, an absolute one. The stack is unchanged unless it fails.
    pub fn value(&mut self, index: i32, depth: usize) -> Result<(), String> {
        let stack = self.stack;
        match stack.kind(index) {
            Kind::String => self.string(stack.bytes(index).unwrap_or_default()),
            Kind::Number => self.number(stack.number(index).unwrap_or_default())?,
            Kind::Boolean if stack.truth(index) => self.out.extend_from_slice(b"true"),
            Kind::Boolean => self.out.extend_from_slice(b"false"),
            Kind::Nil => self.out.extend_from_slice(b"null"),
            Kind::LightUserdata if stack.userdata(index).is_null() => self.out.extend_from_slice(b"null"),
            Kind::Table => {
                let depth = depth + 1;
                if depth > self.settings.encode_max_depth.min(DEEPEST) || !stack.reserve(6) {
                    return Err(format!("Cannot serialise, excessive depth ({depth})"));
                }
                match self.array_length(index)? {
                    Some(length) if length > 0 => self.array(index, length, depth)?,
                    _ => self.object(index, depth)?,
                }
            }
            _ => return Err(refused(stack.type_name(index), "type not supported")),
        }
        Ok(())
    }

    /// The highest index if the table is an array.
    fn array_length(&self, table: i32) -> Result<Option<i32>, String> {
        let stack = self.stack;
        let (mut highest, mut items) = (0.0, 0.0);
        stack.push_nil();
        while stack.next(table) {
            let key = match stack.kind(-2) {
                Kind::Number => stack.number(-2).unwrap_or_default(),
                _ => 0.0,
            };
            if key < 1.0 || key.fract() != 0.0 {
                stack.pop(2);
                return Ok(None);
            }
            highest = f64::max(highest, key);
            items += 1.0;
            stack.pop(1);
        }
        let Settings { sparse_convert, sparse_ratio, sparse_safe, .. } = *self.settings;
        let excessive = sparse_ratio > 0.0 && highest > items * sparse_ratio && highest > sparse_safe;
        // Higher indices cannot be walked through whatever the settings say.
        if excessive || highest > f64::from(i32::MAX) {
            return if sparse_convert { Ok(None) } else { Err(refused("table", "excessively sparse array")) };
        }
        Ok(Some(highest as i32))
    }

    fn array(&mut self, table: i32, length: i32, depth: usize) -> Result<(), String> {
        let item = self.stack.top() + 1;
        self.out.push(b'[');
        for index in 1..=length {
            if index > 1 {
                self.out.push(b',');
            }
            self.stack.raw_get_index(table, index);
            self.value(item, depth)?;
            self.stack.pop(1);
        }
        self.out.push(b']');
        Ok(())
    }

    fn object(&mut self, table: i32, depth: usize) -> Result<(), String> {
        let stack = self.stack;
        let value = stack.top() + 2;
        self.out.push(b'{');
        let mut first = true;
        stack.push_nil();
        while stack.next(table) {
            if !first {
                self.out.push(b',');
            }
            first = false;
            match stack.kind(-2) {
                Kind::Number => {
                    self.out.push(b'"');
                    self.number(stack.number(-2).unwrap_or_default())?;
                    self.out.push(b'"');
                }
                Kind::String => self.string(stack.bytes(-2).unwrap_or_default()),
                _ => return Err(refused(stack.type_name(-2), "table key must be a number or string")),
            }
            self.out.push(b':');
            self.value(value, depth)?;
            stack.pop(1);
        }
        self.out.push(b'}');
        Ok(())
    }

    fn string(&mut self, text: &[u8]) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        self.out.push(b'"');
        let mut rest = text;
        while let Some(plain) = rest.iter().position(|byte| needs_escape(*byte)) {
            self.out.extend_from_slice(&rest[..plain]);
            let short = match rest[plain] {
                b'\x08' => b'b',
                b'\t' => b't',
                b'\n' => b'n',
                b'\x0c' => b'f',
                b'\r' => b'r',
                same @ (b'"' | b'\\' | b'/') => same,
                other => {
                    let [high, low] = [other >> 4, other & 15].map(|digit| HEX[usize::from(digit)]);
                    self.out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high]);
                    self.out.push(low);
                    rest = &rest[plain + 1..];
                    continue;
                }
            };
            self.out.extend_from_slice(&[b'\\', short]);
            rest = &rest[plain + 1..];
        }
        self.out.extend_from_slice(rest);
        self.out.push(b'"');
    }

    fn number(&mut self, number: f64) -> Result<(), String> {
        if !number.is_finite() {
            match self.settings.encode_invalid_numbers {
                InvalidNumbers::Refuse => return Err(refused("number", "must not be NaN or Inf")),
                InvalidNumbers::Null => self.out.extend_from_slice(b"null"),
                InvalidNumbers::Write if number.is_nan() => self.out.extend_from_slice(b"nan"),
                InvalidNumbers::Write if number > 0.0 => self.out.extend_from_slice(b"inf"),
                InvalidNumbers::Write => self.out.extend_from_slice(b"-inf"),
            }
            return Ok(());
        }
        write_general(self.out, number, self.settings.precision);
        Ok(())
    }
}

fn refused(kind: &str, reason: &str) -> String {
    format!("Cannot serialise {kind}: {reason}")
}

fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || matches!(byte, b'"' | b'\\' | b'/' | 0x7f)
}

/// Appends a finite number as C's `%.<digits>g` does.
pub(super) fn write_general(out: &mut Vec<u8>, number: f64, digits: usize) {
    const INFALLIBLE: &str = "writing to a Vec cannot fail";
    let exact = 10f64.powi(digits.min(15) as i32);
    if number.fract() == 0.0 && number.abs() < exact && (number != 0.0 || number.is_sign_positive()) {
        out.extend_from_slice(itoa::Buffer::new().format(number as i64).as_bytes());
        return;
    }
    let scientific = format!("{number:.*e}", digits - 1);
    let (mantissa, exponent) = scientific.split_once('e').expect("written with an exponent");
    let exponent: i32 = exponent.parse().expect("written as a number");
    let trimmed = |text: &str| -> usize {
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').len() } else { text.len() }
    };
    if exponent < -4 || exponent >= digits as i32 {
        out.extend_from_slice(&mantissa.as_bytes()[..trimmed(mantissa)]);
        let sign = if exponent < 0 { '-' } else { '+' };
        write!(out, "e{sign}{:02}", exponent.unsigned_abs()).expect(INFALLIBLE);
    } else {
        let decimals = (digits as i32 - 1 - exponent).unsigned_abs() as usize;
        let fixed = format!("{number:.decimals$}");
        out.extend_from_slice(&fixed.as_bytes()[..trimmed(&fixed)]);
    }
}

#[cfg(test)]
mod tests {
    use super::write_general;

    #[test]
    fn numbers_are_written_as_c_does() {
        for (number, digits, text) in [
            (0.0, 14, "0"),
            (-0.0, 14, "-0"),
            (1.0, 14, "1"),
            (-15.0, 14, "-15"),
            (0.1 + 0.2, 14, "0.3"),
            (3.7, 14, "3.7"),
            (1e14, 14, "1e+14"),
            (99999999999999.0, 14, "99999999999999"),
            (9007199254740992.0, 14, "9.007199254741e+15"),
            (9007199254740992.0, 17, "9007199254740992"),
            (1e-5, 14, "1e-05"),
            (0.0001, 14, "0.0001"),
            (1.5e300, 14, "1.5e+300"),
            (123456.0, 3, "1.23e+05"),
            (0.5, 1, "0.5"),
            (0.1, 17, "0.10000000000000001"),
            (99.95, 3, "100"),
        ] {
            let mut out = Vec::new();
            write_general(&mut out, number, digits);
            assert_eq!(String::from_utf8(out).unwrap(), text, "%.{digits}g of {number:?}");
        }
    }
}
