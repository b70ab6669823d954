//! `application/x-www-form-urlencoded`, as the token endpoints parse it.

/// Maximum number of fields of a form: each field is compared with those before it. Token requests have about ten.
const MAX_FIELDS: usize = 100;

/// The decoded fields of a form. No field may occur twice (RFC 6749, 3.2); an empty field counts as absent.
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    /// Returns `None` if the bytes are not text, a field occurs twice, or there are more than [`MAX_FIELDS`].
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut fields: Vec<(String, String)> = Vec::new();
        for pair in bytes.split(|b| *b == b'&').filter(|pair| !pair.is_empty()) {
            let (name, value) = match pair.iter().position(|b| *b == b'=') {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &[][..]),
            };
            let (name, value) = (decode(name)?, decode(value)?);
            if fields.len() == MAX_FIELDS || fields.iter().any(|(known, _)| *known == name) {
                return None;
            }
            fields.push((name, value));
        }
        Some(Self(fields))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let field = self.0.iter().find(|(known, _)| known == name);
        field.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }
}

/// `+` is a space. A `%` without two hexadecimal digits after it stands for itself (WHATWG URL, 5.1).
fn decode(bytes: &[u8]) -> Option<String> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, tail)) = rest.split_first() {
        let escaped = if *first == b'%' { tail.first_chunk().and_then(hex) } else { None };
        decoded.push(match (first, escaped) {
            (_, Some(byte)) => byte,
            (b'+', None) => b' ',
            (byte, None) => *byte,
        });
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8(decoded).ok()
}

fn hex([high, low]: &[u8; 2]) -> Option<u8> {
    let digit = |b: u8| char::from(b).to_digit(16);
    u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
}

#[cfg(test)]
mod tests {
    use super::{Form, MAX_FIELDS};

    #[test]
    fn forms_are_decoded_as_browsers_encode_them() {
        let form = Form::parse(b"a=b+c&d=%C3%A4%2b&e=&f&&g=1=2&h=100%&i=%zz").expect("a form");
        for (name, value) in [
            ("a", Some("b c")),
            ("d", Some("ä+")),
            ("e", None),
            ("f", None),
            ("g", Some("1=2")),
            ("h", Some("100%")),
            ("i", Some("%zz")),
            ("j", None),
        ] {
            assert_eq!(form.get(name), value, "{name}");
        }
        assert!(Form::parse(b"a=1&a=2").is_none());
        assert!(Form::parse(b"a=%ff").is_none());
        let of = |fields: usize| (0..fields).map(|n| format!("f{n}=&")).collect::<String>();
        assert!(Form::parse(of(MAX_FIELDS).as_bytes()).is_some());
        assert!(Form::parse(of(MAX_FIELDS + 1).as_bytes()).is_none());
        assert!(Form::parse(b"").is_some_and(|form| form.get("").is_none()));
    }
}
