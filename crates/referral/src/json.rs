//! Reading request bodies: strict JSON first, then with the one tolerance of spec 5.1.

use serde_json::Value;

use crate::invalid::{Invalid, Rule};

/// Reads a body. With `tolerant`, a comma before `}` or `]` is passed over, as the published PUT sample has one.
///
/// Strict JSON is tried first, so that the tolerance costs well-formed bodies nothing. Of duplicate members the
/// last one counts. Nesting beyond 127 levels, invalid UTF-8 and lone surrogates are malformed.
///
/// # Errors
/// [`Rule::MalformedJson`] with the position of the fault.
pub fn parse_json(body: &[u8], tolerant: bool) -> Result<Value, Invalid> {
    let error = match serde_json::from_slice(body) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    if tolerant && let Some(blanked) = blank_trailing_commas(body) {
        return serde_json::from_slice(&blanked).map_err(|error| malformed(&error));
    }
    Err(malformed(&error))
}

fn malformed(error: &serde_json::Error) -> Invalid {
    let position = format!("line {} column {}", error.line(), error.column());
    Invalid::new(
        Rule::MalformedJson,
        "body",
        format!("The request body is not valid JSON: {error}."),
        position,
    )
}

/// Replaces each comma that only white space parts from a following `}` or `]`, and that follows a value, by a
/// blank; `None` when there is none. Bytes keep their places, so that positions in errors stay true.
fn blank_trailing_commas(body: &[u8]) -> Option<Vec<u8>> {
    let mut blanked = body.to_vec();
    let mut found = false;
    let mut in_string = false;
    let mut comma: Option<usize> = None;
    let mut last = b'{'; // the last byte that is no white space; a comma after an opening bracket stays an error
    let mut at = 0;
    while at < body.len() {
        let byte = body[at];
        if in_string {
            match byte {
                b'\\' => at += 1,
                b'"' => in_string = false,
                _ => {}
            }
        } else {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => {
                    at += 1;
                    continue;
                }
                b',' => comma = (!matches!(last, b'{' | b'[' | b',' | b':')).then_some(at),
                b'}' | b']' => {
                    if let Some(place) = comma.take().filter(|_| last == b',') {
                        blanked[place] = b' ';
                        found = true;
                    }
                }
                b'"' => in_string = true,
                _ => {}
            }
            last = byte;
        }
        at += 1;
    }
    found.then_some(blanked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, tolerant: Option<&str>) {
        let read = parse_json(body.as_bytes(), true).ok().map(|value| value.to_string());
        assert_eq!(read.as_deref(), tolerant, "{body}");
    }

    #[test]
    fn a_trailing_comma_is_passed_over_and_nothing_else() {
        // REF-095 REF-096
        check(r#"{"a":1,}"#, Some(r#"{"a":1}"#));
        check("{\"a\":[1,2 ,\n\t]\r\n,}", Some(r#"{"a":[1,2]}"#));
        check(r#"{"a":",}",}"#, Some(r#"{"a":",}"}"#));
        check(r#"{"a":"\",]",}"#, Some(r#"{"a":"\",]"}"#));
        check(r#"{"a":"\\",}"#, Some(r#"{"a":"\\"}"#));
        for body in [
            "{,}",
            "[,]",
            "{\"a\":1,,}",
            "[1,,]",
            "{\"a\":,}",
            "{'a':1}",
            "{a:1}",
            "{\"a\":1} // no",
            "[1,2",
            "[1,",
            "",
            "{\"a\":1,}x",
            "{\"a\" 1,}",
            "nul",
        ] {
            check(body, None);
        }
        assert!(parse_json(br#"{"a":1,}"#, false).is_err());
    }

    /// With serde_json's feature `raw_value`, a member of this private name has its text read as JSON of its own,
    /// with a nesting limit of its own: nested in one another, 20 kB end the process by its stack.
    #[test]
    fn no_member_name_escapes_the_limit_of_nesting() {
        let name = "$serde_json::private::RawValue";
        let body = format!(r#"{{"{name}":"[1]"}}"#);
        assert_eq!(parse_json(body.as_bytes(), true).unwrap().to_string(), body, "a member as any other");
        let escaped = |text: &str| text.replace('\\', "\\u005c").replace('"', "\\u0022");
        let nested =
            (0..200).fold(String::new(), |inner, _| format!(r#"[[[[{{"{name}":"{}"}}]]]]"#, escaped(&inner)));
        assert!(parse_json(nested.as_bytes(), true).is_ok(), "a text is a text, whatever it holds");
    }

    #[test]
    fn hostile_bodies_have_decided_answers() {
        let deep = "[".repeat(100_000);
        for body in [deep.as_bytes(), b"\"\xff\"", br#""\ud800""#, b"\"\0\"", b"\xef\xbb\xbf{}"] {
            assert_eq!(parse_json(body, true).unwrap_err().rule, Rule::MalformedJson);
        }
        let value = parse_json(br#"{"a":1,"a":1e400,"n":"\u0000"}"#, true).unwrap();
        assert_eq!(value.to_string(), r#"{"a":1e+400,"n":"\u0000"}"#, "the last of two members counts");
    }
}
