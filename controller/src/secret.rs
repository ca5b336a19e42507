// SPDX-License-Identifier: Apache-2.0
//! The secret of a cluster, which keys identities and cookies.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// Known to everybody who reads this: for trying out, where nobody attacks.
const DEVELOPMENT_KEY: [u8; 32] = *b"culvert development key: public!";

/// The secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("--cluster-secret-file {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The file does not hold a secret.
    #[error(
        "--cluster-secret-file {}: it must hold 64 hexadecimal digits and nothing else; make one with \
         `openssl rand -hex 32`", path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
    },
}

/// The secret in this file, or the development key.
///
/// # Errors
/// See [`SecretError`].
pub fn load(path: Option<&Path>) -> Result<[u8; 32], SecretError> {
    let Some(path) = path else {
        tracing::warn!(
            "no --cluster-secret-file: a key that everybody knows is used; who can create Pods can \
             forge identities"
        );
        return Ok(DEVELOPMENT_KEY);
    };
    let text = fs::read_to_string(path).map_err(|source| SecretError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    parse(text.trim()).ok_or_else(|| SecretError::Malformed {
        path: path.to_owned(),
    })
}

fn parse(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut secret = [0; 32];
    for (byte, pair) in secret.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixty_four_digits_are_a_secret() {
        let text = "00ff".repeat(16);
        let secret = parse(&text).unwrap();
        assert_eq!(secret.first_chunk::<4>(), Some(&[0, 0xff, 0, 0xff]));
        for bad in [
            String::new(),
            "0".repeat(63),
            "g".repeat(64),
            "+f".repeat(32),
        ] {
            assert_eq!(parse(&bad), None, "{bad}");
        }
    }

    #[test]
    fn an_error_names_the_file_and_the_cure() {
        let error = load(Some(Path::new("/nonexistent/secret")))
            .unwrap_err()
            .to_string();
        assert!(error.contains("/nonexistent/secret"), "{error}");
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = load(Some(file.path())).unwrap_err().to_string();
        assert!(error.contains("openssl rand -hex 32"), "{error}");
    }
}
