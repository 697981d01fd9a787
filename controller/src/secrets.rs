//! Random identifiers and secrets, and the hashing of passwords.

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash};

/// A random identifier of 48 bits after a letter.
pub fn random_id(letter: &str) -> String {
    let bytes: [u8; 6] = rand::random();
    format!("{letter}{}", hex::encode(bytes))
}

/// A secret of 256 random bits.
pub fn random_secret() -> String {
    let bytes: [u8; 32] = rand::random();
    hex::encode(bytes)
}

/// A password for a person to type once.
pub fn random_password() -> String {
    const LETTERS: &[u8] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let bytes: [u8; 20] = rand::random();
    bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect()
}

/// The text form of a password's hash (Argon2id). Takes tens of milliseconds: not for a task.
pub fn hash_password(password: &str) -> String {
    let hash = Argon2::default().hash_password(password.as_bytes());
    hash.expect("default parameters fit any password").to_string()
}

/// Whether a password fits its hash. Takes as long where there is no hash, so that time does not
/// tell whether a user exists.
pub fn verify_password(password: &str, hash: Option<&str>) -> bool {
    let Some(parsed) = hash.and_then(|hash| PasswordHash::new(hash).ok()) else {
        let _ = hash_password(password);
        return false;
    };
    Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords() {
        let hash = hash_password("correct horse");
        assert!(hash.starts_with("$argon2id$"));
        assert!(verify_password("correct horse", Some(&hash)));
        assert!(!verify_password("wrong horse", Some(&hash)));
        assert!(!verify_password("correct horse", None));
        assert_ne!(random_password(), random_password());
        assert_eq!(random_id("j").len(), 13);
    }
}
