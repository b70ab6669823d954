//! Lists, media ranges and weights in header values. Source: RFC 9110, 5.6, 8.3.1, 12.4.2 and 12.5.1.
//!
//! No library reads what the two modes need: which parameter of which range is unknown, and whether a weight is one.

use std::borrow::Cow;

/// One member of `Accept`, or the value of `Content-Type`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MediaRange<'a> {
    /// `application/json`, `application/*` or `*/*`, in lower case.
    pub name: String,
    /// The parameters but `q`: names in lower case, values without quotes.
    pub parameters: Vec<(String, Cow<'a, str>)>,
    /// In thousandths; `None`: `q` is there and is no weight.
    pub weight: Option<u16>,
    /// Something between its semicolons is no parameter.
    pub malformed: bool,
}

impl<'a> MediaRange<'a> {
    /// Reads one range; `None` where it does not begin with one.
    pub(crate) fn parse(text: &'a str) -> Option<MediaRange<'a>> {
        let mut pieces = split(text, ';');
        let name = pieces.next()?.trim();
        let (kind, subtype) = name.split_once('/')?;
        if !is_token(kind) || !is_token(subtype) || (kind == "*" && subtype != "*") {
            return None;
        }
        let name = name.to_ascii_lowercase();
        let mut range = MediaRange { name, parameters: Vec::new(), weight: Some(1000), malformed: false };
        for piece in pieces.map(str::trim).filter(|piece| !piece.is_empty()) {
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            match (name.trim(), unquoted(value.trim())) {
                (name, value) if name.eq_ignore_ascii_case("q") => {
                    range.weight = value.and_then(|value| weight(&value));
                }
                (name, Some(value)) if is_token(name) => {
                    range.parameters.push((name.to_ascii_lowercase(), value));
                }
                _ => range.malformed = true,
            }
        }
        Some(range)
    }

    /// How closely it names a media type, from 1; `None`: not at all.
    pub(crate) fn rank(&self, media_type: &str) -> Option<u8> {
        match self.name.strip_suffix("/*") {
            None => (self.name == media_type).then_some(3),
            Some("*") => Some(1),
            Some(kind) => (media_type.split('/').next() == Some(kind)).then_some(2),
        }
    }
}

/// `qvalue`: 0 or 1 with at most three decimals, in thousandths.
pub(crate) fn weight(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = decimals.len() <= 3 && decimals.bytes().all(|byte| byte.is_ascii_digit());
    let thousandths = format!("{decimals:0<3}").parse::<u16>().ok().filter(|_| digits)?;
    match whole {
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(1000),
        _ => None,
    }
}

/// The members of a list, at its commas outside of quotes.
pub(crate) fn members(list: &str) -> impl Iterator<Item = &str> {
    split(list, ',').map(str::trim).filter(|member| !member.is_empty())
}

/// The pieces of a text between a delimiter that stands outside of quotes.
pub(crate) fn split(text: &str, delimiter: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c| {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        c == delimiter && !quoted
    })
}

/// A token as it is, or what a quoted string says; `None` for neither.
pub(crate) fn unquoted(value: &str) -> Option<Cow<'_, str>> {
    let Some(inside) = value.strip_prefix('"') else {
        return is_token(value).then_some(Cow::Borrowed(value));
    };
    let inside = inside.strip_suffix('"')?;
    if !inside.contains(['"', '\\']) {
        return Some(Cow::Borrowed(inside));
    }
    let mut text = String::new();
    let mut all = inside.chars();
    while let Some(c) = all.next() {
        match c {
            '"' => return None,
            '\\' => text.push(all.next()?),
            _ => text.push(c),
        }
    }
    Some(text.into())
}

fn is_token(text: &str) -> bool {
    let tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(tchar)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_with_its_parameters_and_its_weight() {
        type Told<'a> = Option<(&'a str, &'a [(&'a str, &'a str)], Option<u16>)>;
        let cases: [(&str, Told<'_>); 18] = [
            ("*/*", Some(("*/*", &[], Some(1000)))),
            ("Text/*;Q=0.5", Some(("text/*", &[], Some(500)))),
            ("a/b;q=0", Some(("a/b", &[], Some(0)))),
            ("a/b;q=0.", Some(("a/b", &[], Some(0)))),
            ("a/b;q=1.000", Some(("a/b", &[], Some(1000)))),
            ("a/b;q=0.125;x=1", Some(("a/b", &[("x", "1")], Some(125)))),
            ("a/b;q=\"0.5\"", Some(("a/b", &[], Some(500)))),
            ("a/b;q=1.001", Some(("a/b", &[], None))),
            ("a/b;q=0.1234", Some(("a/b", &[], None))),
            ("a/b;q=2", Some(("a/b", &[], None))),
            ("a/b;q=-0", Some(("a/b", &[], None))),
            ("a/b;q=x", Some(("a/b", &[], None))),
            ("a/b ; X = y ; ;", Some(("a/b", &[("x", "y")], Some(1000)))),
            (r#"a/b;x="a,b;c\"d""#, Some(("a/b", &[("x", "a,b;c\"d")], Some(1000)))),
            (r#"a/b;x="""#, Some(("a/b", &[("x", "")], Some(1000)))),
            ("a", None),
            ("*/b", None),
            ("a/", None),
        ];
        for (text, expected) in cases {
            let range = MediaRange::parse(text);
            let told = range.as_ref().map(|range| {
                let parameters: Vec<_> = range.parameters.iter().map(|(n, v)| (n.as_str(), &**v)).collect();
                (range.name.as_str(), parameters, range.weight)
            });
            let expected = expected.map(|(name, parameters, weight)| (name, parameters.to_vec(), weight));
            assert_eq!(told, expected, "{text}");
        }
    }

    #[test]
    fn a_range_with_something_else_than_parameters_is_malformed() {
        for text in ["a/b;x", "a/b;x=", "a/b;x=\"", "a/b;x=y z", "a/b;x y=z", r#"a/b;x="a"b""#] {
            let range = MediaRange::parse(text);
            assert!(range.is_some_and(|range| range.malformed && range.parameters.is_empty()), "{text}");
        }
    }

    #[test]
    fn a_list_is_split_at_commas_outside_of_quotes() {
        for (list, expected) in [
            ("a, b ,,c", &["a", "b", "c"][..]),
            (r#"x="a, b", c"#, &[r#"x="a, b""#, "c"]),
            (r#"x="a\", b", c"#, &[r#"x="a\", b""#, "c"]),
            (r#"x="a, b"#, &[r#"x="a, b"#]),
            ("", &[]),
        ] {
            assert_eq!(members(list).collect::<Vec<_>>(), expected, "{list}");
        }
    }
}
