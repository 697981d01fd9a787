//! `splay.base64_core`: base64 as MIME writes it.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::native;
use crate::vm::{Module, Return};

use super::function_table;

/// The module.
pub const MODULE: Module = Module {
    name: "splay.base64_core",
    open: |_, stack| function_table(stack, &[(c"encode", encode), (c"decode", decode)]),
};

/// Writes padding, does not insist on it when reading.
pub(super) const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

native! {
    /// `encode(bytes) -> text`
    fn encode(cx, stack) {
        let text = ENGINE.encode(stack.check_bytes(1)?);
        stack.push_str(&text);
        Ok(Return::Values(1))
    }

    /// `decode(text) -> bytes`, or no value if it is not base64. Blanks and line ends are ignored.
    fn decode(cx, stack) {
        let mut text = stack.check_bytes(1)?.to_vec();
        text.retain(|byte| !byte.is_ascii_whitespace());
        let Ok(bytes) = ENGINE.decode(&text) else { return Ok(Return::Values(0)) };
        stack.push_bytes(&bytes);
        Ok(Return::Values(1))
    }
}
