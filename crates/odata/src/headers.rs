//! The headers of OData, mainly `Prefer`. Source: ABNF section 8, "Header values"; RFC 7240.

use crate::error::{ParseError, ParseErrorKind};
use crate::limits::Limits;
use crate::parse::Parser;
use crate::source::DecodedText;

/// One preference of the `Prefer` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Preference {
    /// `allow-entityreferences`
    AllowEntityReferences,
    /// `callback; url="…"`
    Callback(String),
    /// `continue-on-error`, `continue-on-error=false`
    ContinueOnError(bool),
    /// `include-annotations="…"`: patterns in order.
    IncludeAnnotations(Vec<AnnotationPattern>),
    /// `maxpagesize=50`; at least one
    MaxPageSize(u64),
    /// `omit-values=nulls` (true) or `defaults`
    OmitValues(OmitValues),
    /// `respond-async`
    RespondAsync,
    /// `return=representation` or `minimal`
    Return(Return),
    /// `track-changes`
    TrackChanges,
    /// `wait=10`, in seconds
    Wait(u64),
}

/// What a response may leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OmitValues {
    /// Members that are null.
    Nulls,
    /// Members that have their default value.
    Defaults,
}

/// The response to a successful change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Return {
    /// The changed resource.
    Representation,
    /// Headers only.
    Minimal,
}

/// A pattern of `include-annotations`: `-Namespace.*#qualifier`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnotationPattern {
    /// A leading `-`: exclude these.
    pub exclude: bool,
    /// `*`, `Namespace.*` or `Namespace.Term`
    pub name: String,
    /// The text after `#`.
    pub qualifier: Option<String>,
}

/// A header of OData with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Header {
    /// `AsyncResult`: the status of the finished request.
    AsyncResult(u64),
    /// `Content-ID`
    ContentId(String),
    /// `Isolation: snapshot`
    Isolation,
    /// `OData-EntityID`
    EntityId(String),
    /// `OData-Error`: a JSON object in one line.
    Error(String),
    /// `OData-MaxVersion`
    MaxVersion(ODataVersion),
    /// `OData-Version`
    Version(ODataVersion),
    /// `Prefer`
    Prefer(Vec<Preference>),
}

/// A version of the protocol; 4.01 comes after 4.0.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ODataVersion {
    /// The number before the dot.
    pub major: u64,
    /// The digits after the dot, as a decimal fraction: `01` of 4.01.
    pub minor: String,
}

type ParseResult<T> = Result<T, ParseError>;

impl Preference {
    /// Parses one preference by the grammar. An unknown one is an error, which the parser of a header ignores.
    pub fn parse(text: &str) -> Result<Preference, ParseError> {
        whole(text, preference)
    }

    /// Parses the value of a `Prefer` header as RFC 7240 says: unknown and malformed preferences are ignored, and of
    /// duplicates the first counts. Unknown parameters of a known preference are ignored too.
    pub fn read_all(value: &str) -> Vec<Preference> {
        let mut found: Vec<Preference> = Vec::new();
        for piece in pieces(value) {
            if let Some(preference) = Preference::read(piece) {
                let known =
                    found.iter().any(|f| std::mem::discriminant(f) == std::mem::discriminant(&preference));
                if !known && found.len() < 32 {
                    found.push(preference);
                }
            }
        }
        found
    }

    /// Parses one preference with any parameters: as it is, otherwise without the part after its second or first `;`.
    fn read(piece: &str) -> Option<Preference> {
        let (mut quoted, mut escaped) = (false, false);
        let ends = piece.char_indices().filter_map(|(at, c)| {
            match c {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                _ => {}
            }
            (c == ';' && !quoted).then_some(at)
        });
        let ends: Vec<usize> = ends.take(2).collect();
        let ends = std::iter::once(piece.len()).chain(ends.into_iter().rev());
        ends.filter_map(|end| piece.get(..end)).find_map(|part| Preference::parse(part.trim()).ok())
    }
}

impl Header {
    /// Parses `Name: value`. Source: ABNF `header`.
    pub fn parse(line: &str) -> Result<Header, ParseError> {
        whole(line, header)
    }

    /// `request-id = 1*unreserved`, the value of `Content-ID`.
    pub fn parse_request_id(text: &str) -> Result<String, ParseError> {
        whole(text, |p| run(p, "an id", |b| b.is_ascii_alphanumeric() || b"-._~".contains(&b)))
    }
}

impl ODataVersion {
    /// Parses `4.01`.
    pub fn parse(text: &str) -> Result<ODataVersion, ParseError> {
        whole(text, version)
    }
}

fn whole<T>(text: &str, read: impl FnOnce(&mut Parser<'_>) -> ParseResult<T>) -> ParseResult<T> {
    let source = DecodedText::plain(text);
    let limits = Limits::default();
    let mut parser = Parser::new(&source, &limits);
    let value = read(&mut parser)?;
    parser.end()?;
    Ok(value)
}

/// Splits a list at its commas, except those in double quotes.
fn pieces(value: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    value.split(move |c| {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        c == ',' && !quoted
    })
}

fn run(p: &mut Parser<'_>, what: &str, takes: impl Fn(u8) -> bool) -> ParseResult<String> {
    let from = p.pos;
    while p.peek().is_some_and(&takes) {
        p.pos += 1;
    }
    if p.pos == from { Err(p.expected(what)) } else { Ok(p.slice(from).to_owned()) }
}

/// `EQ-h = BWS-h "=" BWS-h`
fn equals(p: &mut Parser<'_>) -> ParseResult<()> {
    p.skip_blanks();
    p.expect(b'=')?;
    p.skip_blanks();
    Ok(())
}

fn preference(p: &mut Parser<'_>) -> ParseResult<Preference> {
    let at = p.pos;
    p.eat_text("odata.");
    let name = run(p, "a preference", |b| b.is_ascii_alphanumeric() || b == b'-')?.to_ascii_lowercase();
    Ok(match name.as_str() {
        "allow-entityreferences" => Preference::AllowEntityReferences,
        "callback" => Preference::Callback(callback(p)?),
        "continue-on-error" => Preference::ContinueOnError(if p.at_end() || p.peek() == Some(b',') {
            true
        } else {
            equals(p)?;
            choice(p, &[("true", true), ("false", false)])?
        }),
        "include-annotations" => {
            equals(p)?;
            Preference::IncludeAnnotations(annotations(p)?)
        }
        "maxpagesize" => {
            equals(p)?;
            if !matches!(p.peek(), Some(b'1'..=b'9')) {
                return Err(p.expected("a number from 1"));
            }
            Preference::MaxPageSize(p.unsigned_integer()?)
        }
        "omit-values" => {
            equals(p)?;
            let values = [("nulls", OmitValues::Nulls), ("defaults", OmitValues::Defaults)];
            Preference::OmitValues(choice(p, &values)?)
        }
        "respond-async" => Preference::RespondAsync,
        "return" => {
            equals(p)?;
            let values = [("representation", Return::Representation), ("minimal", Return::Minimal)];
            Preference::Return(choice(p, &values)?)
        }
        "track-changes" => Preference::TrackChanges,
        "wait" => {
            equals(p)?;
            Preference::Wait(p.unsigned_integer()?)
        }
        _ => {
            return Err(ParseError::new(
                at,
                ParseErrorKind::UnknownOption,
                format!("unknown preference '{name}'"),
            ));
        }
    })
}

fn choice<T: Copy>(p: &mut Parser<'_>, choices: &[(&str, T)]) -> ParseResult<T> {
    for (word, value) in choices {
        if p.eat_text(word) {
            return Ok(*value);
        }
    }
    let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
    Err(p.expected(words.join(" or ")))
}

/// `callbackPreference = [ "odata." ] "callback" OWS ";" OWS "url" EQ-h DQUOTE URI DQUOTE`
fn callback(p: &mut Parser<'_>) -> ParseResult<String> {
    p.skip_blanks();
    p.expect(b';')?;
    p.skip_blanks();
    if !p.eat_text("url") {
        return Err(p.expected("url"));
    }
    equals(p)?;
    p.expect(b'"')?;
    let from = p.pos;
    // Only the scheme is checked here; the code that calls back checks the rest.
    if !p.peek().is_some_and(|b| b.is_ascii_alphabetic()) {
        return Err(p.expected("a URL"));
    }
    run(p, "a scheme", |b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))?;
    p.expect(b':')?;
    run(p, "a URL", |b| b.is_ascii_graphic() && b != b'"')?;
    let url = p.slice(from).to_owned();
    p.expect(b'"')?;
    Ok(url)
}

/// `annotationsList = annotationIdentifier *( "," annotationIdentifier )` in double quotes
fn annotations(p: &mut Parser<'_>) -> ParseResult<Vec<AnnotationPattern>> {
    p.expect(b'"')?;
    let mut patterns = Vec::new();
    loop {
        p.check_list_length(patterns.len())?;
        let exclude = p.eat(b'-');
        let from = p.pos;
        if !p.eat(b'*') {
            p.identifier("a namespace or '*'")?;
            p.expect(b'.')?;
            while !p.eat(b'*') {
                p.identifier("a term or '*'")?;
                if !p.eat(b'.') {
                    break;
                }
            }
        }
        let name = p.slice(from).to_owned();
        let qualifier = if p.eat(b'#') { Some(p.identifier("a qualifier")?.to_owned()) } else { None };
        patterns.push(AnnotationPattern { exclude, name, qualifier });
        if !p.eat(b',') {
            break;
        }
    }
    p.expect(b'"')?;
    Ok(patterns)
}

/// `1*DIGIT "." 1*DIGIT`
fn version(p: &mut Parser<'_>) -> ParseResult<ODataVersion> {
    let major = p.unsigned_integer()?;
    p.expect(b'.')?;
    let minor = run(p, "a digit", |b| b.is_ascii_digit())?;
    Ok(ODataVersion { major, minor })
}

fn header(p: &mut Parser<'_>) -> ParseResult<Header> {
    let at = p.pos;
    let name = run(p, "a header", |b| b.is_ascii_alphanumeric() || b == b'-')?.to_ascii_lowercase();
    p.expect(b':')?;
    p.skip_blanks();
    Ok(match name.as_str() {
        "asyncresult" => Header::AsyncResult(p.unsigned_integer()?),
        "content-id" => {
            Header::ContentId(run(p, "an id", |b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))?)
        }
        "isolation" | "odata-isolation" => {
            choice(p, &[("snapshot", ())])?;
            Header::Isolation
        }
        "odata-entityid" => Header::EntityId(run(p, "an id", |b| b > b' ' && b != 0x7f)?),
        "odata-error" => {
            let from = p.pos;
            p.expect(b'{')?;
            if !p.eat_exact("\"code\":") {
                return Err(p.expected("\"code\":"));
            }
            run(p, "a value", |b| b == b' ' || b.is_ascii_graphic())?;
            Header::Error(p.slice(from).to_owned())
        }
        "odata-maxversion" => Header::MaxVersion(version(p)?),
        "odata-version" => {
            let at = p.pos;
            let version = version(p)?;
            let minor = version.minor.as_bytes();
            if version.major != 4 || minor[0] != b'0' || minor.len() > 2 || minor.get(1) == Some(&b'0') {
                return Err(ParseError::expected(at, "4.0 or 4.01"));
            }
            Header::Version(version)
        }
        "prefer" => {
            let mut preferences = vec![preference(p)?];
            while p.comma() {
                p.check_list_length(preferences.len())?;
                preferences.push(preference(p)?);
            }
            Header::Prefer(preferences)
        }
        _ => return Err(ParseError::new(at, ParseErrorKind::UnknownOption, "not a header of OData")),
    })
}

#[cfg(test)]
mod tests {
    use super::{ODataVersion, Preference, Return};

    #[test]
    fn unknown_preferences_are_left_out_and_the_first_of_a_kind_counts() {
        let value = r#"handling=strict, odata.maxpagesize=5,maxpagesize=6, return=minimal , foo="a,b""#;
        let expected = vec![Preference::MaxPageSize(5), Preference::Return(Return::Minimal)];
        assert_eq!(Preference::read_all(value), expected);
        assert_eq!(Preference::read_all("maxpagesize=0, ,,=\""), vec![]);
        assert_eq!(Preference::read_all(r#"x="a\", maxpagesize=5, b""#), vec![]);
    }

    #[test]
    fn unknown_parameters_of_a_preference_are_left_out() {
        let callback = Preference::Callback("http://x.example/".to_owned());
        for (value, expected) in [
            ("odata.maxpagesize=2; x=1", vec![Preference::MaxPageSize(2)]),
            (
                r#"maxpagesize=2 ;x="a;,b"; y; z=3, wait=1"#,
                vec![Preference::MaxPageSize(2), Preference::Wait(1)],
            ),
            ("return=minimal;", vec![Preference::Return(Return::Minimal)]),
            (r#"callback; url="http://x.example/"; x=1"#, vec![callback]),
            ("maxpagesize; x=2", vec![]),
        ] {
            assert_eq!(Preference::read_all(value), expected, "{value}");
        }
    }

    #[test]
    fn versions_order_as_decimal_fractions() {
        let version = |text| ODataVersion::parse(text).expect("a version");
        assert!(version("4.01") > version("4.0"));
        assert!(version("4.0") > version("3.9"));
        assert!(version("4.01") < version("4.1"));
    }
}
