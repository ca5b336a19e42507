// SPDX-License-Identifier: Apache-2.0
//! A 48-bit link-layer address.

use std::fmt;
use std::str::FromStr;

/// A 48-bit link-layer address, right-aligned in the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddr(pub u64);

/// The text is not six hexadecimal bytes joined by colons.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a link-layer address; write it as 0a:58:0a:0a:01:02")]
pub struct ParseMacError(String);

impl From<MacAddr> for u128 {
    fn from(mac: MacAddr) -> Self {
        Self::from(mac.0)
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [_, _, a, b, c, d, e, g] = self.0.to_be_bytes();
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for MacAddr {
    type Err = ParseMacError;

    fn from_str(text: &str) -> Result<Self, ParseMacError> {
        let mut value = 0;
        let mut count = 0;
        for part in text.split(':') {
            // `from_str_radix` alone would take a sign.
            let digits = part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
            let byte = digits.then(|| u8::from_str_radix(part, 16).ok()).flatten();
            let Some(byte) = byte.filter(|_| count < 6) else {
                return Err(ParseMacError(text.to_owned()));
            };
            value = value << 8 | u64::from(byte);
            count += 1;
        }
        if count == 6 {
            Ok(Self(value))
        } else {
            Err(ParseMacError(text.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_number_agree() {
        let mac: MacAddr = "0a:58:a9:fe:01:01".parse().unwrap();
        assert_eq!(mac, MacAddr(0x0a58_a9fe_0101));
        assert_eq!(mac.to_string(), "0a:58:a9:fe:01:01");
    }

    #[test]
    fn what_is_not_six_bytes_is_refused() {
        for bad in [
            "",
            "0a:58:a9:fe:01",
            "0a:58:a9:fe:01:01:02",
            "0a58a9fe0101",
            "g0:00:00:00:00:00",
            "+a:00:00:00:00:00",
        ] {
            let parsed = bad.parse::<MacAddr>();
            assert!(parsed.is_err(), "{bad:?} gave {parsed:?}");
        }
    }
}
