//! The 840 published test cases of the OData grammar. Valid texts must parse, and invalid ones must fail at the
//! position that the case names.
//!
//! Source: `tests/vectors/odata-abnf` (OASIS). Cases that this crate does not parse, or that it refuses at another
//! position, are listed by name with the reason. The lists must not grow.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use odata::{
    Context, EnumMember, Expr, Header, Limits, Literal, ParseSettings, Preference, Primitive, QueryOptions,
    ResourcePath, ResourceUri, Search,
};
use serde_json::Value;

/// The position of an error, as an offset in the encoded text.
type Outcome = Result<(), usize>;

/// Invalid cases that follow the grammar: only a model can refuse them. The binder or the routes of the service refuse
/// them. (input, reason)
const LEFT_OUT: [(&str, &str); 5] = [
    ("Categories/TheBestProduct()", "whether a function is bound or imported is the model's knowledge"),
    (
        "Categories(1)/Address/$value",
        "Address is complex in the suite's model; of a primitive, $value is right",
    ),
    (
        "Categories(1)/Thumbnail/$value",
        "Thumbnail is a stream in the suite's model; of a primitive, $value is right",
    ),
    (
        "Products(1)/Model.BestSellingProduct/Model.BestSellingProduct",
        "the second name may be a function without parentheses",
    ),
    ("#Customers(Address/AddressWithLocation,Orders)", "the second name may be a property"),
];

/// Invalid cases that fail at another position. (input, our position, reason)
const DIFFERENCES: [(&str, usize, &str); 2] = [
    (
        "Products/all()",
        13,
        "the suite first takes all() for a function of the service; we miss the variable where it should stand",
    ),
    (
        "Categories(ID=wrong)",
        14,
        "the suite stops after the name; we report the position of the invalid literal",
    ),
];

fn cases() -> (Vec<Value>, Value) {
    let path =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/odata-abnf/odata-abnf-testcases.json");
    let file: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    (file["TestCases"].as_array().unwrap().clone(), file["Constraints"].clone())
}

/// Percent-decoding with the positions in the encoded text.
fn decode(raw: &str) -> (String, Vec<usize>) {
    let (bytes, mut text, mut places, mut at) = (raw.as_bytes(), Vec::new(), Vec::new(), 0);
    while at < bytes.len() {
        places.push(at);
        let encoded = (bytes[at] == b'%').then(|| raw.get(at + 1..at + 3)).flatten();
        match encoded.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                text.push(byte);
                at += 3;
            }
            None => {
                text.push(bytes[at]);
                at += 1;
            }
        }
    }
    places.push(at);
    (String::from_utf8(text).unwrap(), places)
}

fn decoded(raw: &str, read: impl FnOnce(&str) -> Result<(), odata::ParseError>) -> Outcome {
    let (text, places) = decode(raw);
    read(&text).map_err(|error| places[error.at])
}

fn literal(primitive: Primitive, raw: &str) -> Outcome {
    decoded(raw, |text| Literal::parse_as(primitive, text).map(drop))
}

fn value(primitive: Primitive, text: &str) -> Outcome {
    Literal::parse_value(primitive, text).map(drop).map_err(|error| error.at)
}

/// An expression, or a part of one in the context that it needs.
fn expression(before: &str, raw: &str, after: &str) -> Outcome {
    let (text, places) = decode(raw);
    let whole = format!("{before}{text}{after}");
    Expr::parse(&whole, &Limits::default()).map(drop).map_err(|error| {
        let at = error.at.saturating_sub(before.len()).min(text.len());
        places[at]
    })
}

fn settings() -> ParseSettings {
    // The suite repeats options, and uses `+` for itself.
    ParseSettings { repeatable: true, plus_is_blank: false, ..ParseSettings::default() }
}

fn query(raw: &str, constraints: &Value) -> Outcome {
    let options = QueryOptions::parse(raw, &settings()).map_err(|error| error.raw_at)?;
    let known = |name: &str| {
        ["customName", "parameterName"]
            .iter()
            .any(|list| constraints[list].as_array().unwrap().iter().any(|known| known == name))
    };
    for (name, _) in &options.custom {
        if !known(name) {
            return Err(raw.find(&format!("&{name}")).map_or(0, |at| at + 1 + name.len()));
        }
    }
    Ok(())
}

/// One option: an `&` cannot begin another.
fn option(raw: &str) -> Outcome {
    let one = raw.split('&').next().unwrap();
    QueryOptions::parse(one, &settings()).map_err(|error| error.raw_at)?;
    if one.len() < raw.len() { Err(one.len()) } else { Ok(()) }
}

/// `primitiveValue`: the alternative that gets furthest.
fn any_value(text: &str) -> Outcome {
    let mut furthest = EnumMember::parse_list(text).map(drop).map_err(|error| error.at);
    for primitive in Primitive::ALL {
        if !matches!(primitive, Primitive::String | Primitive::Stream) {
            match (value(*primitive, text), furthest) {
                (Ok(()), _) | (_, Ok(())) => furthest = Ok(()),
                (Err(at), Err(before)) => furthest = Err(at.max(before)),
            }
        }
    }
    furthest
}

fn relative(raw: &str) -> Outcome {
    ResourceUri::parse(raw, &settings()).map(drop).map_err(|error| error.at)
}

/// The end of the service root is not marked in a URL: it may be any slash.
fn absolute(raw: &str) -> Outcome {
    let path = ResourceUri::path_of_absolute(raw).map_err(|error| error.at)?;
    let slashes = raw.char_indices().skip(path).filter(|(_, c)| *c == '/').map(|(at, _)| at + 1);
    let mut furthest = 0;
    for at in slashes {
        match relative(&raw[at..]) {
            Ok(()) => return Ok(()),
            Err(_) if at == raw.len() => return Ok(()),
            Err(failed) => furthest = furthest.max(at + failed),
        }
    }
    Err(furthest)
}

/// The text of one case by its start rule; `None` for rules that this crate does not parse.
fn check(rule: &str, raw: &str, constraints: &Value) -> Option<Outcome> {
    use Primitive as P;
    Some(match rule {
        "queryOptions" => query(raw, constraints),
        "filter" | "expand" | "select" | "orderby" | "orderBy" | "compute" | "search" | "deltatoken"
        | "skiptoken" | "systemQueryOption" | "customQueryOption" => option(raw),
        "searchExpr" => {
            Search::parse(raw, &Limits::default()).map(drop).map_err(|error| decode(raw).1[error.at])
        }
        "commonExpr" | "boolCommonExpr" | "boolcommonExpr" | "firstMemberExpr" | "propertyPathExpr"
        | "notExpr" | "isofExpr" => expression("", raw, ""),
        "anyExpr" => expression("Products/", raw, ""),
        "functionParameter" => expression("Model.ProductsByColor(", raw, ")"),
        "stringInUrl" => expression("[", raw, "]"),
        "odataIdentifier" | "entitySetName" => {
            QueryOptions::parse(&format!("@{raw}=1"), &settings()).map(drop).map_err(|error| error.raw_at - 1)
        }
        "primitiveLiteral" | "enumLiteral" | "null" => decoded(raw, |text| Literal::parse(text).map(drop)),
        "boolean" => literal(P::Boolean, raw),
        "guid" => literal(P::Guid, raw),
        "stringLiteral" => literal(P::String, raw),
        "durationLiteral" => literal(P::Duration, raw),
        "binaryLiteral" => literal(P::Binary, raw),
        "date" => literal(P::Date, raw),
        "dateTimeOffsetLiteral" | "dateTimeOffsetValueInUrl" => literal(P::DateTimeOffset, raw),
        "timeOfDayLiteral" => literal(P::TimeOfDay, raw),
        "decimalLiteral" => literal(P::Decimal, raw),
        "doubleLiteral" => literal(P::Double, raw),
        "singleLiteral" => literal(P::Single, raw),
        "sbyteLiteral" => literal(P::SByte, raw),
        "int16Literal" => literal(P::Int16, raw),
        "int32Literal" => literal(P::Int32, raw),
        "int64Literal" => literal(P::Int64, raw),
        "booleanValue" => value(P::Boolean, raw),
        "dateValue" => value(P::Date, raw),
        "dateTimeOffsetValue" => value(P::DateTimeOffset, raw),
        "timeOfDayValue" => value(P::TimeOfDay, raw),
        "durationValue" => value(P::Duration, raw),
        "decimalValue" => value(P::Decimal, raw),
        "doubleValue" => value(P::Double, raw),
        "singleValue" => value(P::Single, raw),
        "byteValue" => value(P::Byte, raw),
        "sbyteValue" => value(P::SByte, raw),
        "int16Value" => value(P::Int16, raw),
        "int32Value" => value(P::Int32, raw),
        "int64Value" => value(P::Int64, raw),
        "enumValue" => EnumMember::parse_list(raw).map(drop).map_err(|error| error.at),
        "primitiveValue" => any_value(raw),
        "header" | "prefer" => Header::parse(raw).map(drop).map_err(|error| error.at),
        "request-id" => Header::parse_request_id(raw).map(drop).map_err(|error| error.at),
        "preference" | "includeAnnotationsPreference" | "maxpagesizePreference" => {
            Preference::parse(raw).map(drop).map_err(|error| error.at)
        }
        "context" => Context::parse(raw).map(drop).map_err(|error| error.at),
        "resourcePath" => ResourcePath::parse(raw, &Limits::default()).map(drop).map_err(|error| error.at),
        "odataRelativeUri" => relative(raw),
        "odataUri" => absolute(raw),
        _ if rule.starts_with("geo") => {
            let name = format!("{}{}", rule[..1].to_uppercase(), &rule[1..]);
            literal(Primitive::from_name(&name).unwrap(), raw)
        }
        _ => return None,
    })
}

#[test]
fn every_published_case_parses_or_fails_where_it_must() {
    let (cases, constraints) = cases();
    assert_eq!(cases.len(), 840);
    let mut wrong = Vec::new();
    for case in &cases {
        let (name, rule) = (case["Name"].as_str().unwrap(), case["Rule"].as_str().unwrap());
        let input = case["Input"].as_str().unwrap();
        let expected = case["FailAt"].as_u64().map_or(Ok(()), |at| Err(usize::try_from(at).unwrap()));
        let Some(outcome) = check(rule, input, &constraints) else {
            panic!("{rule}: a start rule that nothing reads");
        };
        let expected = match DIFFERENCES.iter().find(|(listed, ..)| *listed == input) {
            Some((_, ours, _)) => Err(*ours),
            None => expected,
        };
        let left_out = LEFT_OUT.iter().any(|(listed, _)| *listed == input);
        if left_out == (outcome == expected) {
            wrong.push(format!("{rule} | {name} | {input} | expected {expected:?}, got {outcome:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
    let named = |input: &str| cases.iter().any(|case| case["Input"] == input);
    assert!(LEFT_OUT.iter().all(|(input, reason)| named(input) && !reason.is_empty()));
    assert!(DIFFERENCES.iter().all(|(input, _, reason)| named(input) && !reason.is_empty()));
}

/// Every published text with one character removed, or with a character of the grammar inserted, is refused at a
/// position inside it, or parses and prints back.
#[test]
fn every_published_text_with_one_slip_is_read_or_refused_within_itself() {
    let (cases, _) = cases();
    for case in &cases {
        let input = case["Input"].as_str().unwrap();
        let ends: Vec<usize> = input.char_indices().map(|(at, _)| at).chain([input.len()]).collect();
        for (index, &at) in ends.iter().enumerate() {
            let next = ends.get(index + 1).copied().unwrap_or(at);
            slip(&format!("{}{}", &input[..at], &input[next..]));
            for sign in ["'", "(", ")", "/", " ", "-", "\"", "%", "$", "\u{394}"] {
                slip(&format!("{}{sign}{}", &input[..at], &input[at..]));
            }
        }
    }
}

fn slip(text: &str) {
    match Expr::parse(text, &Limits::default()) {
        Ok(expr) => {
            assert_eq!(Expr::parse(&expr.to_string(), &Limits::default()).as_ref(), Ok(&expr), "{text}")
        }
        Err(error) => assert!(text.is_char_boundary(error.at), "{text}: {error}"),
    }
    match QueryOptions::parse(text, &settings()) {
        Ok(read) => {
            let again = QueryOptions::parse(&read.to_query(), &settings());
            assert_eq!(again.as_ref(), Ok(&read), "{text} -> {}", read.to_query());
        }
        Err(error) => assert!(error.raw_at <= text.len(), "{text}: {error}"),
    }
    let _ = ResourceUri::parse(text, &settings())
        .map_err(|error| assert!(error.at <= text.len(), "{text}: {error}"));
    let _ = Context::parse(text).map_err(|error| assert!(text.is_char_boundary(error.at), "{text}: {error}"));
    let _ = Header::parse(text).map_err(|error| assert!(text.is_char_boundary(error.at), "{text}: {error}"));
    let _ =
        Preference::parse(text).map_err(|error| assert!(text.is_char_boundary(error.at), "{text}: {error}"));
}
