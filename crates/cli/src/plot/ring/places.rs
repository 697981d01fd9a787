//! Identifiers as parts of the way around a ring.

use sha1::{Digest, Sha1};
use splay_runtime::view::{Peer, Place};

use super::overlay::{Overlay, Shown, address};
use crate::plot::PlotError;

/// How identifiers become places.
#[derive(Debug, PartialEq)]
pub enum Scale {
    /// No instance declares one: they follow from the addresses, as `dht.id` makes them.
    Derived,
    /// Identifiers are numbers below this one.
    Below {
        /// As a number or 2^bits.
        size: f64,
        /// Texts have hexadecimal digits.
        hexadecimal: bool,
    },
}

impl Scale {
    /// The scale of a run.
    pub fn of(overlay: &Overlay) -> Result<Scale, PlotError> {
        let ids: Vec<&Place> = overlay.nodes.iter().filter_map(|node| node.view.id.as_ref()).collect();
        if ids.is_empty() {
            return Ok(Scale::Derived);
        }
        let texts: Vec<&str> = ids.iter().filter_map(|id| digits(id)).collect();
        let longest = texts.iter().map(|text| hex_digits(text).len()).max().unwrap_or(0);
        let bits = overlay.nodes.iter().find_map(|node| node.view.bits);
        // A text of decimal digits alone may be hexadecimal: another one, or its length, tells.
        let hexadecimal = texts.iter().any(|text| {
            let by_length = bits.is_some_and(|bits| bits.div_ceil(4) as usize == text.len());
            by_length || text.starts_with("0x") || text.bytes().any(|byte| byte.is_ascii_alphabetic())
        });
        let declared = overlay.nodes.iter().find_map(|node| node.view.size);
        let size = declared.or(bits.map(|bits| 2f64.powi(bits.min(1000) as i32)));
        let size = size.or((hexadecimal && texts.len() == ids.len()).then(|| 16f64.powi(longest as i32)));
        Ok(Scale::Below { size: size.ok_or(PlotError::NoSize)?, hexadecimal })
    }

    /// Where an instance is; `None`: others declare an identifier and it does not.
    pub fn at(&self, node: &Shown) -> Result<Option<f64>, PlotError> {
        if *self == Scale::Derived {
            return Ok(Some(derived(&node.address())));
        }
        let Some(id) = &node.view.id else { return Ok(None) };
        match self.part(id) {
            Some(at) => Ok(Some(at)),
            None => Err(PlotError::Beyond { instance: node.instance }),
        }
    }

    /// Where a node is that another one names.
    pub fn of_peer(&self, peer: &Peer) -> Option<f64> {
        match self {
            Scale::Derived => Some(derived(&address(peer))),
            Scale::Below { .. } => peer.id.as_ref().and_then(|id| self.part(id)),
        }
    }

    fn part(&self, id: &Place) -> Option<f64> {
        let Scale::Below { size, hexadecimal } = self else { return None };
        let value = match id {
            Place::Number(value) => *value,
            Place::Digits(text) if *hexadecimal => hex_value(hex_digits(text)),
            Place::Digits(text) => text.parse().ok()?,
        };
        let part = value / size;
        // The greatest identifiers of many bits are rounded up to the size itself.
        (part <= 1.0 && (value < *size || *size > 2f64.powi(53))).then_some(part.min(1.0 - f64::EPSILON))
    }
}

fn digits(id: &Place) -> Option<&str> {
    match id {
        Place::Digits(text) => Some(text),
        Place::Number(_) => None,
    }
}

fn hex_digits(text: &str) -> &str {
    text.strip_prefix("0x").unwrap_or(text)
}

fn hex_value(digits: &str) -> f64 {
    digits.chars().filter_map(|c| c.to_digit(16)).fold(0.0, |value, digit| value * 16.0 + f64::from(digit))
}

/// The first bits of the SHA-1 digest of an address.
fn derived(address: &str) -> f64 {
    let digest = Sha1::digest(address.as_bytes());
    let head = digest.iter().take(6).fold(0u64, |value, &byte| value << 8 | u64::from(byte));
    head as f64 / 2f64.powi(48)
}

/// An identifier in a few characters.
pub fn short(id: &Place) -> String {
    match id {
        Place::Number(value) if *value < 1e7 => format!("{}", (value * 1000.0).round() / 1000.0),
        // As many digits would say no more than the place itself.
        Place::Number(_) => String::new(),
        Place::Digits(text) => crate::plot::svg::shortened(text, 9),
    }
}
