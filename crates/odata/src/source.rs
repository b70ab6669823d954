//! Percent-decoding of one option. Positions of encoded bytes are kept.
//!
//! The grammar is defined over encoded text. Decoding first is equivalent, except where a character counts only if it
//! is not encoded (`;` in a search word, `/` in a string of a path). For these, the positions of encoded bytes are
//! needed.

use crate::error::{ParseError, ParseErrorKind};

/// A decoded text, with the positions of bytes that were percent-encoded.
#[derive(Clone, Debug, Default)]
pub(crate) struct DecodedText {
    pub text: String,
    /// Offsets in `text` of bytes that were `%xx`, ascending.
    pub escaped: Vec<u32>,
}

impl DecodedText {
    /// Wraps a text without decoding it.
    pub fn plain(text: &str) -> DecodedText {
        DecodedText { text: text.to_owned(), escaped: Vec::new() }
    }

    /// Decodes `%xx`, and `+` to a space if `plus_is_blank`. Refuses a `%` without two hex digits, and invalid UTF-8.
    /// The position of the error is in `raw`.
    pub fn decode(raw: &str, plus_is_blank: bool) -> Result<DecodedText, ParseError> {
        let bytes = raw.as_bytes();
        let mut decoded = Vec::with_capacity(raw.len());
        let mut escaped = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            match bytes[at] {
                b'%' => {
                    let digits = (hex(bytes.get(at + 1)), hex(bytes.get(at + 2)));
                    let (Some(high), Some(low)) = digits else {
                        let message = "expected two hexadecimal digits after '%'";
                        return Err(ParseError::new(at, ParseErrorKind::Encoding, message));
                    };
                    escaped.push(u32::try_from(decoded.len()).unwrap_or(u32::MAX));
                    decoded.push(high * 16 + low);
                    at += 3;
                }
                b'+' if plus_is_blank => {
                    decoded.push(b' ');
                    at += 1;
                }
                other => {
                    decoded.push(other);
                    at += 1;
                }
            }
        }
        match String::from_utf8(decoded) {
            Ok(text) => Ok(DecodedText { text, escaped }),
            Err(error) => {
                let wrong = error.utf8_error().valid_up_to();
                let raw_at = wrong + 2 * escaped.iter().filter(|&&e| (e as usize) < wrong).count();
                Err(ParseError::new(raw_at, ParseErrorKind::Encoding, "the decoded text is not UTF-8"))
            }
        }
    }

    /// Returns the position in the encoded text for a position in the decoded text.
    pub fn raw_position(&self, at: usize) -> usize {
        at + 2 * self.escaped.partition_point(|&escaped| (escaped as usize) < at)
    }
}

fn hex(byte: Option<&u8>) -> Option<u8> {
    char::from(*byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Percent-encodes characters that are not allowed in a query option; with `all`, also those that have a meaning there.
pub(crate) fn encode(text: &str, all: bool, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in text.as_bytes() {
        let literal = byte.is_ascii_alphanumeric()
            || b"-._~".contains(&byte)
            || (!all && b"!$'()*,/:;=?@".contains(&byte));
        if literal {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{DecodedText, encode};

    #[test]
    fn decoding_keeps_the_way_back() {
        let source = DecodedText::decode("a%20b%CE%94+c", true).expect("well-formed");
        assert_eq!(source.text, "a bΔ c");
        for (at, raw) in [(0, 0), (1, 1), (2, 4), (3, 5), (5, 11), (6, 12)] {
            assert_eq!(source.raw_position(at), raw, "{at}");
        }
        assert_eq!(DecodedText::decode("a+b", false).expect("well-formed").text, "a+b");
    }

    #[test]
    fn broken_encoding_is_refused_where_it_breaks() {
        for (raw, at) in [("a%2", 1), ("a%zz", 1), ("%", 0), ("a%20%FFb", 4), ("%C3", 0)] {
            assert_eq!(DecodedText::decode(raw, true).expect_err("broken").at, at, "{raw}");
        }
    }

    #[test]
    fn encoding_survives_decoding() {
        let text = "a b;c&d=e+f%'\u{394}\"#\u{0}";
        for all in [true, false] {
            let mut raw = String::new();
            encode(text, all, &mut raw);
            assert!(raw.is_ascii() && !raw.contains(['&', '#', ' ', '+', '"']), "{raw}");
            assert_eq!(DecodedText::decode(&raw, true).expect("well-formed").text, text);
        }
    }
}
