// SPDX-License-Identifier: Apache-2.0
//! The 128-bit identity of a row.

use std::fmt;
use std::str::FromStr;

/// The identity of a row (RFC 4122), chosen by the server when the row is inserted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(u128);

impl Uuid {
    /// The UUID with all bits zero, the default of a scalar UUID column.
    pub const ZERO: Self = Self(0);

    /// The UUID whose text is the big-endian hexadecimal form of `bits`.
    pub const fn from_bits(bits: u128) -> Self {
        Self(bits)
    }

    /// The inverse of [`Uuid::from_bits`].
    pub const fn to_bits(self) -> u128 {
        self.0
    }
}

/// `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` in lower case.
impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.0;
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            bits >> 96,
            (bits >> 80) & 0xffff,
            (bits >> 64) & 0xffff,
            (bits >> 48) & 0xffff,
            bits & 0xffff_ffff_ffff
        )
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Uuid {
    type Err = InvalidUuid;

    fn from_str(text: &str) -> Result<Self, InvalidUuid> {
        if text.len() != 36 {
            return Err(InvalidUuid);
        }
        let mut bits = 0u128;
        for (at, byte) in text.bytes().enumerate() {
            let digit = match (at, byte) {
                (8 | 13 | 18 | 23, b'-') => continue,
                (8 | 13 | 18 | 23, _) => return Err(InvalidUuid),
                (_, byte) => char::from(byte).to_digit(16).ok_or(InvalidUuid)?,
            };
            bits = (bits << 4) | u128::from(digit);
        }
        Ok(Self(bits))
    }
}

/// The text is not `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a UUID is written xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx")]
pub struct InvalidUuid;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_uuid_parses_back_to_it() {
        let text = "632072e1-5bc2-4f0e-bfaf-450d43b61217";
        let uuid: Uuid = text.parse().unwrap();
        assert_eq!(uuid.to_string(), text);
        assert_eq!(uuid.to_bits(), 0x632072e1_5bc2_4f0e_bfaf_450d43b61217);
        assert_eq!(text.to_uppercase().parse(), Ok(uuid));
    }

    #[test]
    fn text_of_another_shape_is_refused() {
        for text in [
            "",
            "632072e1-5bc2-4f0e-bfaf-450d43b6121",
            "632072e1-5bc2-4f0e-bfaf-450d43b612177",
            "632072e105bc2-4f0e-bfaf-450d43b61217",
            "632072e1-5bc2-4f0e-bfaf-450d43b6121g",
            "+32072e1-5bc2-4f0e-bfaf-450d43b61217",
            "632072e1-5bc2-4f0e-bfaf-450d43b612é",
        ] {
            assert_eq!(text.parse::<Uuid>(), Err(InvalidUuid), "{text}");
        }
    }
}
