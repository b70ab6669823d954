//! `$skiptoken`: where the next page begins, sealed. Source: spec 11.1.
//!
//! A token says its place in the order of the list and carries a MAC over caller, list, question and place: it cannot
//! be made up, used by somebody else, or used elsewhere or with other options. It needs no memory of the server's, so
//! it lives as long as the key does.

use aws_lc_rs::{constant_time, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use exchange::{Caller, Continuation, Cursor, ListRequest, SortValue};
use referral::ReferralId;

/// The first byte of every token: its form.
const FORMAT_VERSION: u8 = 1;
/// The MAC's length in bytes: HMAC-SHA-256, cut in half (RFC 2104, section 5).
const MAC_BYTES: usize = 16;
/// The longest token read, in characters.
const MAX_TOKEN_BYTES: usize = 65_536;

/// Seals and opens tokens.
pub(crate) struct PageTokens(hmac::Key);

impl PageTokens {
    pub(crate) fn new(key: &[u8]) -> PageTokens {
        PageTokens(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The token of a place in the list of this name, for this caller and this question.
    pub(crate) fn seal(
        &self,
        caller: &Caller,
        list: &str,
        list_request: &ListRequest,
        next: &Continuation,
    ) -> String {
        let mut bytes = vec![FORMAT_VERSION];
        write(next, &mut bytes);
        let mac = self.mac(caller, list, list_request, &bytes);
        bytes.extend_from_slice(&mac.as_ref()[..MAC_BYTES]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The place of a token; `None` where it was not made for this caller, this list and this question.
    pub(crate) fn open(
        &self,
        caller: &Caller,
        list: &str,
        list_request: &ListRequest,
        token: &str,
    ) -> Option<Continuation> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (payload, mac) = bytes.split_at_checked(bytes.len().checked_sub(MAC_BYTES)?)?;
        let expected = self.mac(caller, list, list_request, payload);
        constant_time::verify_slices_are_equal(&expected.as_ref()[..MAC_BYTES], mac).ok()?;
        let (form, rest) = payload.split_first()?;
        if *form != FORMAT_VERSION {
            return None;
        }
        TokenReader(rest).continuation()
    }

    fn mac(&self, caller: &Caller, list: &str, list_request: &ListRequest, payload: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        let fingerprint = list_request.fingerprint();
        // Each part with its length before it, so that no two lists of parts look alike.
        for part in [
            caller.organization().as_bytes(),
            caller.user().as_bytes(),
            list.as_bytes(),
            fingerprint.as_bytes(),
            payload,
        ] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        context.sign()
    }
}

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INTEGER: u8 = 3;
const DECIMAL: u8 = 4;
const REAL: u8 = 5;
const TEXT: u8 = 6;
const BYTES: u8 = 7;

const OFFSET: u8 = 0;
const AFTER: u8 = 1;
const AFTER_WITH_TOP: u8 = 2;

fn write(next: &Continuation, out: &mut Vec<u8>) {
    match next {
        Continuation::Offset(done) => {
            out.push(OFFSET);
            out.extend_from_slice(&done.to_be_bytes());
        }
        Continuation::After(place, left) => {
            out.push(if left.is_some() { AFTER_WITH_TOP } else { AFTER });
            if let Some(left) = left {
                out.extend_from_slice(&left.to_be_bytes());
            }
            out.extend_from_slice(place.id.as_bytes());
            place.keys.iter().for_each(|key| write_key(key, out));
        }
    }
}

fn write_key(key: &SortValue, out: &mut Vec<u8>) {
    let mut long = |kind: u8, bytes: &[u8]| {
        out.push(kind);
        out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
        out.extend_from_slice(bytes);
    };
    match key {
        SortValue::Null => out.push(NULL),
        SortValue::Boolean(value) => out.push(if *value { TRUE } else { FALSE }),
        SortValue::Integer(number) => {
            out.push(INTEGER);
            out.extend_from_slice(&number.to_be_bytes());
        }
        SortValue::Decimal(number) => long(DECIMAL, number.to_string().as_bytes()),
        SortValue::Real(number) => {
            out.push(REAL);
            out.extend_from_slice(&number.to_bits().to_be_bytes());
        }
        SortValue::Text(text) => long(TEXT, text.as_bytes()),
        SortValue::Bytes(bytes) => long(BYTES, bytes),
    }
}

/// Reads what [`write`] wrote. The MAC has vouched for it, and still nothing here trusts a length.
struct TokenReader<'a>(&'a [u8]);

impl<'a> TokenReader<'a> {
    fn continuation(mut self) -> Option<Continuation> {
        let next = match self.byte()? {
            OFFSET => Continuation::Offset(self.number()?),
            kind @ (AFTER | AFTER_WITH_TOP) => {
                let left = if kind == AFTER_WITH_TOP { Some(self.number()?) } else { None };
                let id = ReferralId::from_bytes(*self.array::<16>()?);
                let mut keys = Vec::new();
                while !self.0.is_empty() {
                    keys.push(self.key()?);
                }
                Continuation::After(Cursor { keys, id }, left)
            }
            _ => return None,
        };
        self.0.is_empty().then_some(next)
    }

    fn key(&mut self) -> Option<SortValue> {
        Some(match self.byte()? {
            NULL => SortValue::Null,
            FALSE => SortValue::Boolean(false),
            TRUE => SortValue::Boolean(true),
            INTEGER => SortValue::Integer(i64::from_be_bytes(*self.array()?)),
            DECIMAL => SortValue::Decimal(std::str::from_utf8(self.long()?).ok()?.parse().ok()?),
            REAL => SortValue::Real(f64::from_bits(self.number()?)),
            TEXT => SortValue::Text(std::str::from_utf8(self.long()?).ok()?.to_owned()),
            BYTES => SortValue::Bytes(self.long()?.to_vec()),
            _ => return None,
        })
    }

    fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| *byte)
    }

    fn number(&mut self) -> Option<u64> {
        self.array().map(|bytes| u64::from_be_bytes(*bytes))
    }

    fn long(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_be_bytes(*self.array()?);
        let (bytes, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(bytes)
    }

    fn array<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_place_is_read_back_and_nothing_shorter_or_longer() {
        let keys = vec![
            SortValue::Null,
            SortValue::Boolean(true),
            SortValue::Boolean(false),
            SortValue::Integer(i64::MIN),
            SortValue::Decimal("-12.50".parse().unwrap_or_default()),
            SortValue::Real(f64::NEG_INFINITY),
            SortValue::Text("ä\0'".to_owned()),
            SortValue::Bytes(vec![0, 255]),
        ];
        let place = Cursor { keys, id: ReferralId::from_bytes([7; 16]) };
        for next in [
            Continuation::Offset(u64::MAX),
            Continuation::After(place.clone(), None),
            Continuation::After(place, Some(3)),
        ] {
            let mut bytes = Vec::new();
            write(&next, &mut bytes);
            assert_eq!(TokenReader(&bytes).continuation(), Some(next));
            bytes.pop();
            assert_eq!(TokenReader(&bytes).continuation(), None);
        }
    }
}
