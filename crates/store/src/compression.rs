//! Long texts as their columns hold them: the documents of referrals, the changes of log entries and remembered
//! answers, each as it is or compressed by zstd with a dictionary (ADR 0027).
//!
//! The first byte of a column tells: `0`, and what follows is the text; a dictionary's number, and what follows is a
//! zstd frame that was made with it; `31`, and the text is in two parts, of which the second is a column of its own; any
//! other byte begins the text itself. A dictionary that a release wrote rows with stays as it is for ever; a better one
//! gets the next number.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::LazyLock;

use bytes::Bytes;
use zstd::bulk::{Compressor, Decompressor};
use zstd::dict::{DecoderDictionary, EncoderDictionary};

/// Made by `examples/train_dictionary.rs`.
static DICTIONARY_1: &[u8] = include_bytes!("dictionary_1.bin");

/// Before a text whose own first byte would be taken for one of these marks.
const PLAIN: u8 = 0;
/// Before a frame of the first dictionary.
const FIRST: u8 = 1;
/// Before a text in two parts: a checksum of four bytes over what comes up to the second part, the length of the first as
/// two bytes, the first as it is, the second as a column with a frame, which has a checksum of its own.
const PARTS: u8 = 31;
/// Marks are below this byte: a text of JSON begins with none.
const MARKS: u8 = 32;

/// Measured: a tenth less than level 1 for a seventh more time; level 5 takes twice as long for some hundredths.
const LEVEL: i32 = 3;
/// Shorter texts are stored as they are.
const SHORTEST: usize = 64;
/// Longer texts, in bytes, are stored as they are. So a frame that claims to be longer is damaged.
const LONGEST: usize = 2 << 20;

static ENCODER: LazyLock<EncoderDictionary<'static>> =
    LazyLock::new(|| EncoderDictionary::copy(DICTIONARY_1, LEVEL));
static DECODER: LazyLock<DecoderDictionary<'static>> =
    LazyLock::new(|| DecoderDictionary::copy(DICTIONARY_1));

thread_local! {
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// How long texts are written. Both forms are always read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    /// As they are.
    Plain,
    /// Compressed, where it makes them shorter.
    Compressed,
}

impl Compression {
    /// By the option of an engine.
    pub(crate) fn new(compression: bool) -> Compression {
        if compression { Compression::Compressed } else { Compression::Plain }
    }

    /// Encodes a stored response. Most responses end with the document that the change wrote, whose
    /// column is encoded already: compressing it again would take as long as the rest of the response.
    pub(crate) fn encode_response(self, answer: &Bytes, document: &[u8], column: &[u8]) -> Bytes {
        let head = answer.strip_suffix(document).filter(|_| column.first() == Some(&FIRST));
        match head.and_then(|head| Some((head, u16::try_from(head.len()).ok()?))) {
            Some((head, length)) => {
                let head = [&length.to_be_bytes(), head].concat();
                [&[PARTS], &checksum(&head).to_be_bytes()[..], &head, column].concat().into()
            }
            None => self.encode(answer),
        }
    }

    /// A text as its column holds it.
    pub(crate) fn encode(self, text: &Bytes) -> Bytes {
        let worthwhile = self == Compression::Compressed && (SHORTEST..=LONGEST).contains(&text.len());
        if let Some(frame) = worthwhile.then(|| compressed(text)).flatten() {
            return frame.into();
        }
        match text.first() {
            Some(&first) if first < MARKS => [&[PLAIN], &text[..]].concat().into(),
            _ => text.clone(),
        }
    }
}

/// A column with a frame; `None` where it would not be shorter by an eighth.
fn compressed(text: &[u8]) -> Option<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|compressor| {
        let compressor = match compressor {
            Some(compressor) => compressor,
            None => compressor.insert(new_compressor().ok()?),
        };
        let frame = compressor.compress(text).ok()?;
        (frame.len() < text.len() - text.len() / 8).then(|| [&[FIRST], &frame[..]].concat())
    })
}

fn new_compressor() -> std::io::Result<Compressor<'static>> {
    let mut compressor = Compressor::with_prepared_dictionary(&ENCODER)?;
    // The mark tells the dictionary.
    compressor.include_dictid(false)?;
    // A damaged frame is known as one, where damaged text might pass for text.
    compressor.include_checksum(true)?;
    Ok(compressor)
}

/// The reason why a column cannot be decoded.
#[derive(Debug, thiserror::Error)]
#[error("damaged: {0}")]
pub(crate) struct DecodeError(String);

/// The text of a column.
///
/// # Errors
/// The frame is damaged, was made with an unknown dictionary, or is longer than any frame this program writes.
pub(crate) fn decode(column: &[u8]) -> Result<Cow<'_, [u8]>, DecodeError> {
    match column.split_first() {
        Some((&PARTS, parts)) => {
            let (head, rest) =
                split_parts(parts).ok_or_else(|| DecodeError("the parts do not fit".to_owned()))?;
            Ok(Cow::Owned([head, &decode_whole(rest)?].concat()))
        }
        _ => decode_whole(column),
    }
}

/// The first part of a text and the column of the second.
fn split_parts(parts: &[u8]) -> Option<(&[u8], &[u8])> {
    let (sum, parts) = parts.split_first_chunk()?;
    let (length, _) = parts.split_first_chunk()?;
    let (head, rest) = parts.split_at_checked(2 + usize::from(u16::from_be_bytes(*length)))?;
    let whole = checksum(head) == u32::from_be_bytes(*sum) && rest.first() == Some(&FIRST);
    whole.then(|| (&head[2..], rest))
}

/// FNV-1a of 32 bits: a change of any single byte changes it.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// The text of a column that is not in parts.
fn decode_whole(column: &[u8]) -> Result<Cow<'_, [u8]>, DecodeError> {
    match column.split_first() {
        Some((&PLAIN, text)) => Ok(Cow::Borrowed(text)),
        Some((&FIRST, frame)) => match decompressed(frame) {
            // No empty text is compressed, and no bytes at all pass for a frame.
            Ok(text) if text.is_empty() => Err(DecodeError("the frame is empty".to_owned())),
            Ok(text) => Ok(Cow::Owned(text)),
            Err(error) => Err(DecodeError(error.to_string())),
        },
        Some((&mark, _)) if mark < MARKS => Err(DecodeError(format!("no dictionary has the number {mark}"))),
        _ => Ok(Cow::Borrowed(column)),
    }
}

fn decompressed(frame: &[u8]) -> std::io::Result<Vec<u8>> {
    DECOMPRESSOR.with_borrow_mut(|decompressor| {
        let decompressor = match decompressor {
            Some(decompressor) => decompressor,
            None => decompressor.insert(Decompressor::with_prepared_dictionary(&DECODER)?),
        };
        decompressor.decompress(frame, LONGEST)
    })
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// As a referral begins and ends, with text of its own.
    fn document(notes: &str) -> Bytes {
        Bytes::from(format!(
            r#"{{"id":"c5fbb3b6-be74-4795-9fb5-4324c73fed37","engagementId":"65edc0b5-3485-41b7-a17e-dfa9ef4706e2","name":null,"organizationId":"7d23e5ca-19dc-4eaa-aac8-5e6b559f0d1d","organizationName":"Contoso Company","lastModifiedVia":null,"lastRunId":null,"externalReferenceId":null,"createdDateTime":"2020-10-30T21:03:00Z","updatedDateTime":"2020-10-30T21:03:00Z","expirationDateTime":null,"status":"New","substatus":"Pending","statusReason":null,"details":{{"notes":"{notes}","dealValue":10000,"currency":"USD"}},"inviteContext":{{"notes":null,"assistanceRequestCode":"Unknown","invitedMpnId":null,"invitedBy":{{"organizationId":"msft","organizationName":"Microsoft"}}}},"links":null,"trackingInfo":{{"microsoftMsxId":null,"microsoftUSFedOpportunityId":null,"microsoftUSFedLeadId":null,"migratedPSCDealId":null,"migratedPSCPartnerDealId":null}},"registrations":[]}}"#
        ))
    }

    #[test]
    fn a_document_takes_a_third_of_its_bytes_and_comes_back() {
        let text = document("Fabrikam asks for a workshop on site.");
        let column = Compression::Compressed.encode(&text);
        assert!(column.len() * 3 < text.len(), "{} of {}", column.len(), text.len());
        assert_eq!(decode(&column).unwrap(), &text[..]);
        assert_eq!(Compression::Plain.encode(&text), text, "and can be left readable for everybody's tools");
        assert_eq!(decode(&text).unwrap(), &text[..]);
    }

    /// The dictionary, the marks and the frames on disk are for ever: this column was written by the first release.
    #[test]
    fn what_was_written_once_is_read_for_ever() {
        let column: Vec<u8> = (0..FIRST_COLUMN.len() / 2)
            .map(|place| u8::from_str_radix(&FIRST_COLUMN[2 * place..2 * place + 2], 16).unwrap())
            .collect();
        assert_eq!(decode(&column).unwrap(), &document("The first one.")[..]);
    }

    #[test]
    fn damage_is_told_and_is_never_taken_for_text() {
        let text = document("The customer wants to begin in May.");
        let column = Compression::Compressed.encode(&text);
        for place in 1..column.len() {
            for bit in 0..8 {
                let mut damaged = column.to_vec();
                damaged[place] ^= 1 << bit;
                if let Ok(other) = decode(&damaged) {
                    assert_eq!(other, &text[..], "byte {place}, bit {bit}");
                }
            }
            assert!(decode(&column[..place]).is_err(), "{place} bytes of it");
        }
        let error = decode(&[30, 1, 2, 3]).unwrap_err().to_string();
        assert_eq!(error, "damaged: no dictionary has the number 30");
    }

    #[test]
    fn an_answer_shares_the_column_of_its_document() {
        let text = document("Fabrikam asks for a workshop on site.");
        let column = Compression::Compressed.encode(&text);
        let answer = Bytes::from([b"{\"head\":1}", &text[..]].concat());
        let packed = Compression::Compressed.encode_response(&answer, &text, &column);
        assert_eq!(packed.len(), 1 + 4 + 2 + 10 + column.len());
        assert_eq!(decode(&packed).unwrap(), &answer[..]);
        for place in 1..packed.len() {
            assert!(decode(&packed[..place]).is_err(), "{place} bytes of it");
            for bit in 0..8 {
                let mut damaged = packed.to_vec();
                damaged[place] ^= 1 << bit;
                if let Ok(other) = decode(&damaged) {
                    assert_eq!(other, &answer[..], "byte {place}, bit {bit}");
                }
            }
        }
        let other = Compression::Compressed.encode_response(&answer, b"another", &column);
        assert_eq!(decode(&other).unwrap(), &answer[..], "an answer without the document");
        assert_eq!(
            Compression::Plain.encode_response(&answer, &text, &text),
            answer,
            "readable for everybody's tools"
        );
        let head = [0, 0];
        let nested = [&[PARTS], &checksum(&head).to_be_bytes()[..], &head, &packed].concat();
        assert!(decode(&nested).is_err(), "parts have no parts");
    }

    #[test]
    fn a_frame_that_would_be_longer_than_any_is_refused_before_it_is_read() {
        let zeros = vec![0; LONGEST + 1];
        let frame = new_compressor().unwrap().compress(&zeros).unwrap();
        assert!(frame.len() < 1000);
        assert!(decode(&[&[FIRST], &frame[..]].concat()).unwrap_err().to_string().contains("too small"));
        // One that does not say how long it is meets the same bound.
        let mut compressor = new_compressor().unwrap();
        compressor.include_contentsize(false).unwrap();
        let frame = compressor.compress(&zeros).unwrap();
        assert!(decode(&[&[FIRST], &frame[..]].concat()).is_err());
    }

    #[test]
    fn what_would_not_get_shorter_stays_as_it_is() {
        for text in ["", "{}", r#"{"status":["New","Active"]}"#] {
            assert_eq!(Compression::Compressed.encode(&Bytes::from_static(text.as_bytes())), text);
        }
        let long = Bytes::from(vec![b'x'; LONGEST + 1]);
        assert_eq!(Compression::Compressed.encode(&long), long);
    }

    proptest! {
        #[test]
        fn any_bytes_come_back(text in vec(any::<u8>(), 0..300), times in 1..20usize) {
            let text = Bytes::from(text.repeat(times));
            for compression in [Compression::Plain, Compression::Compressed] {
                let column = compression.encode(&text);
                prop_assert_eq!(decode(&column).unwrap(), &text[..]);
            }
        }

        #[test]
        fn any_column_is_read_or_refused(column in vec(any::<u8>(), 0..300), mark in 0..MARKS) {
            let _ = decode(&column);
            let _ = decode(&[&[mark], &column[..]].concat());
        }
    }

    const FIRST_COLUMN: &str = concat!(
        "0128b52ffd6455028d0500538815cd190d48c9184e55d039fe1e079bf3e6aaabdad9b3d3564a68be6c15dfdbeefd",
        "d870b6de2e960f5fa6efa7a351bfbd3ab7a77e1b853c3659236c127238bf9c14e6d790e2f8606c12d2b6494b638b",
        "f4a1362108415a061efcd715c726c7656dbd804c12dd2c67c21804924d68a2e9346cbc9a803073c59fd87120d8f7",
        "ac0624ec1ac85e49515e87631d4fcefedcfd23e9b8f2187f64f6f3acb25703896f5008c2da763996a465ae972b7d",
        "b278a013e613c01e",
    );
}
