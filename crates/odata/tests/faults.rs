//! Expressions without a value: what is an error, what is null, and when an error occurs.

mod model;

use std::sync::Arc;

use model::{expr, item, query, schema};
use odata::*;
use serde_json::{Value as Json, json};

fn now() -> DateTimeOffset {
    DateTimeOffset { ticks: 0, offset: 0 }
}

/// Returns the value of an expression over a document, or the error of binding or evaluating it.
fn outcome(text: &str, item: &Json, fold_constants: bool) -> Result<String, String> {
    let (schema, settings) = (schema(), BindSettings { fold_constants, ..BindSettings::default() });
    let typed = Binder::new(&schema, "Item", &settings).bind(&expr(text)).map_err(|error| {
        assert_eq!(error.kind, BindErrorKind::Value, "{text}: {error}");
        error.message
    })?;
    let evaluator = Evaluator { schema: &schema, now: now(), work: None };
    match evaluator.value(&typed, item) {
        Ok(value) => Ok(value.to_text().unwrap_or_else(|| "null".to_owned())),
        Err(EvalError::Fault { message, at }) => {
            assert!(at.is_some(), "{text}: {message}");
            Err(message)
        }
        Err(other) => panic!("{text}: {other}"),
    }
}

/// An item whose members have the extreme values of their types.
fn edges() -> Json {
    let number = |text: &str| serde_json::from_str::<Json>(text).expect("a number");
    json!({
        "count": i64::MAX, "weight": 1e308, "price": number("79228162514264337593543950335"),
        "lasts": "P10675199DT2H48M5.4775807S", "made": "20000-12-31T23:59:59Z", "day": "20000-12-31",
        "name": "", "ready": true, "state": "Open", "address": {"city": "x"},
        "people": [{"age": 0}, {"age": 2147483647}]
    })
}

#[test]
fn arithmetic_has_a_value_or_a_fault_and_null_only_of_null() {
    let zero = |op: &str| Err(format!("'{op}' by zero"));
    let beyond = |op: &str, ty: &str| Err(format!("the result of '{op}' is out of the range of Edm.{ty}"));
    let value = |text: &str| Ok(text.to_owned());
    // Constants, members, and both. `zero` is a member with the value zero.
    let rows: Vec<(&str, Result<String, String>)> = vec![
        // Integers.
        ("1 div 0", zero("div")),
        ("1 mod 0", zero("mod")),
        ("1 divby 0", zero("divby")),
        ("count div 0", zero("div")),
        ("count mod 0", zero("mod")),
        ("count div length(name)", zero("div")),
        ("count mod length(name)", zero("mod")),
        ("count divby length(name)", zero("divby")),
        ("0 div length(name)", zero("div")),
        ("count add 1", beyond("add", "Int64")),
        ("-2 sub count", beyond("sub", "Int64")),
        ("count mul 2", beyond("mul", "Int64")),
        ("9223372036854775807 add 1", beyond("add", "Int64")),
        ("(-1 sub count) div -1", beyond("div", "Int64")),
        ("(-1 sub count) mod -1", value("0")),
        ("-(-1 sub count)", beyond("-", "Int64")),
        ("count add -1", value("9223372036854775806")),
        ("-7 div 2", value("-3")),
        ("-7 mod 2", value("-1")),
        // Exact numbers.
        ("1.5 div 0", zero("div")),
        ("price div 0.0", zero("div")),
        ("price mod 0", zero("mod")),
        ("price divby length(name)", zero("divby")),
        ("price add 1", beyond("add", "Decimal")),
        ("price mul 2", beyond("mul", "Decimal")),
        ("0 sub price sub price", beyond("sub", "Decimal")),
        ("price div 0.1", beyond("div", "Decimal")),
        ("0.000 mul -1", value("0")),
        // Floating point has values for these.
        ("cast(1,Edm.Double) div 0", value("INF")),
        ("cast(-1,Edm.Double) div 0", value("-INF")),
        ("cast(0,Edm.Double) div 0", value("NaN")),
        ("cast(1,Edm.Double) mod 0", value("NaN")),
        ("1 div cast(0,Edm.Double)", value("INF")),
        ("weight mul 10", value("INF")),
        ("weight div length(name)", value("INF")),
        ("-weight mul 10", value("-INF")),
        ("INF sub INF", value("NaN")),
        // Durations and instants.
        ("lasts add duration'PT1S'", beyond("add", "Duration")),
        ("-lasts sub lasts", beyond("sub", "Duration")),
        ("lasts mul 2", beyond("mul", "Duration")),
        ("lasts mul INF", beyond("mul", "Duration")),
        ("lasts mul NaN", beyond("mul", "Duration")),
        ("duration'P1D' div 0", zero("div")),
        ("duration'P1D' div length(name)", zero("div")),
        ("lasts div 0.5", beyond("div", "Duration")),
        ("duration'P1D' div 2", value("PT12H")),
        ("made add duration'P1D'", beyond("add", "DateTimeOffset")),
        ("day add duration'P1D'", beyond("add", "Date")),
        ("day sub duration'P10000000D' sub duration'P10000000D'", beyond("sub", "Date")),
        ("2026-01-02 sub duration'PT1H'", value("2026-01-01")),
        ("2026-01-02 add duration'PT23H59M59.9S'", value("2026-01-02")),
        ("2026-01-02 add duration'PT24H'", value("2026-01-03")),
        ("2026-01-02 add duration'-PT0.0000001S'", value("2026-01-01")),
        ("2026-01-02 sub 2026-01-03", value("-P1D")),
        ("day sub -20000-01-01", beyond("sub", "Duration")),
        ("null add 1", value("null")),
    ];
    for (text, expected) in rows {
        for fold in [true, false] {
            assert_eq!(outcome(text, &edges(), fold), expected, "{text}");
        }
    }
    assert_eq!(outcome("count div length(name)", &json!({"name": ""}), true), value("null"));
    assert_eq!(outcome("count div length(name)", &json!({"count": 1}), true), value("null"));
}

#[test]
fn every_operation_on_every_pair_of_edges_has_a_value_or_a_fault() {
    let numbers = ["0", "1", "-1", "count", "-count", "length(name)", "price", "0.0", "weight", "NaN", "INF"];
    let spans = ["lasts", "-lasts", "duration'PT0S'", "duration'P1D'"];
    let instants = ["made", "day", "2026-01-02", "-20000-01-01", "0001-01-01T00:00:00Z"];
    let all: Vec<&str> = [&numbers[..], &spans[..], &instants[..]].concat();
    let (mut values, mut faults) = (0, 0);
    for op in Arithmetic::ALL {
        for left in &all {
            for right in &all {
                let text = format!("{left} {} {right}", op.name());
                let (schema, settings) =
                    (schema(), BindSettings { fold_constants: false, ..Default::default() });
                let typed = match Binder::new(&schema, "Item", &settings).bind(&expr(&text)) {
                    Ok(typed) => typed,
                    Err(error) if error.kind == BindErrorKind::Value => {
                        assert!(error.message.ends_with("by zero"), "{text}: {error}");
                        continue;
                    }
                    Err(error) => {
                        assert_eq!(error.kind, BindErrorKind::Type, "{text}: {error}");
                        continue;
                    }
                };
                let evaluator = Evaluator { schema: &schema, now: now(), work: None };
                match evaluator.value(&typed, &edges()) {
                    Ok(value) => {
                        assert!(!value.is_null(), "{text}");
                        values += 1;
                    }
                    Err(EvalError::Fault { .. }) => faults += 1,
                    Err(other) => panic!("{text}: {other}"),
                }
                // With null as an operand, the result is null.
                for text in [format!("null {} {right}", op.name()), format!("{left} {} null", op.name())] {
                    if let Ok(typed) = Binder::new(&schema, "Item", &settings).bind(&expr(&text)) {
                        assert_eq!(evaluator.value(&typed, &item()), Ok(Value::Null), "{text}");
                    }
                }
            }
        }
    }
    assert!(values > 300 && faults > 100, "{values} values, {faults} faults");
}

#[test]
fn what_a_type_does_not_hold_is_null_when_cast_to_it() {
    for (operand, ty, expected) in [
        ("300", "Byte", "null"),
        ("255", "Byte", "255"),
        ("-1", "Byte", "null"),
        ("255.9", "Byte", "255"),
        ("256.0", "Byte", "null"),
        ("127", "SByte", "127"),
        ("128", "SByte", "null"),
        ("-128", "SByte", "-128"),
        ("-129", "SByte", "null"),
        ("32767", "Int16", "32767"),
        ("32768", "Int16", "null"),
        ("-32769", "Int16", "null"),
        ("2147483647", "Int32", "2147483647"),
        ("2147483648", "Int32", "null"),
        ("-2147483649", "Int32", "null"),
        ("9223372036854775807", "Int64", "9223372036854775807"),
        ("9223372036854775808", "Int64", "null"),
        ("1e30", "Int64", "null"),
        ("1e-30", "Int64", "0"),
        ("INF", "Int64", "null"),
        ("NaN", "Decimal", "null"),
        ("1e300", "Decimal", "null"),
        ("79228162514264337593543950335", "Decimal", "79228162514264337593543950335"),
        ("79228162514264337593543950336", "Decimal", "null"),
        ("1e300", "Single", "null"),
        ("-1e39", "Single", "null"),
        ("INF", "Single", "INF"),
        ("16777217", "Single", "16777216"),
        ("0.1", "Single", "0.1"),
        ("'300'", "Byte", "null"),
        ("'255'", "Byte", "255"),
        ("'x'", "Byte", "null"),
        ("'-129'", "SByte", "null"),
        ("'32768'", "Int16", "null"),
        ("'2147483648'", "Int32", "null"),
        ("'9223372036854775808'", "Int64", "null"),
        ("'1e400'", "Decimal", "null"),
        ("'2023-02-29'", "Date", "null"),
        ("'2024-02-29'", "Date", "2024-02-29"),
        ("'20001-01-01'", "Date", "null"),
        ("'24:00'", "TimeOfDay", "null"),
        ("'2024-02-30T00:00:00Z'", "DateTimeOffset", "null"),
        ("'P1Y'", "Duration", "null"),
        ("'x'", "Guid", "null"),
        ("'01234567-89ab-cdef-0123-456789abcdef'", "Guid", "01234567-89ab-cdef-0123-456789abcdef"),
        ("'yes'", "Boolean", "null"),
        ("'A'", "Binary", "null"),
        ("count", "Int32", "null"),
        ("count", "Byte", "null"),
        ("weight", "Single", "null"),
        ("weight", "Decimal", "null"),
        ("price", "Int64", "null"),
    ] {
        let text = format!("cast({operand},Edm.{ty})");
        for fold in [true, false] {
            assert_eq!(outcome(&text, &edges(), fold), Ok(expected.to_owned()), "{text}");
        }
    }
    // A cast number is not converted back to the wider type.
    for text in ["cast(count,Edm.Byte) eq null", "cast(300,Edm.Byte) add 1 eq null"] {
        assert_eq!(outcome(text, &edges(), true), Ok("true".to_owned()), "{text}");
    }
}

#[test]
fn a_fault_is_met_where_it_is_evaluated_from_left_to_right() {
    let fault = "10 div length(name)";
    for (text, met) in [
        (format!("{fault} gt 1"), true),
        (format!("not ({fault} gt 1)"), true),
        ("not (length(name) div length(name) eq 1)".to_owned(), true),
        // The first term that decides stops the evaluation.
        (format!("length(name) gt 0 and {fault} gt 1"), false),
        (format!("{fault} gt 1 and length(name) gt 0"), true),
        (format!("length(name) eq 0 or {fault} gt 1"), false),
        (format!("{fault} gt 1 or length(name) eq 0"), true),
        (format!("null and {fault} gt 1"), true),
        // Branches, members and lists.
        (format!("case(length(name) eq 0:0,true:{fault}) eq 0"), false),
        (format!("case({fault} eq 0:0,true:1) eq 0"), true),
        ("people/any(p:2 div p/age eq 1)".to_owned(), true),
        ("people/any(p:p/age eq 0 or 2 div p/age eq 1)".to_owned(), false),
        ("people/all(p:p/age ne 0 and 2 div p/age eq 1)".to_owned(), false),
        ("people/$count($filter=2 div age eq 0)".to_owned(), true),
        // One operand is null, and the other has an error.
        (format!("day add duration'P1D' mul {fault} eq null"), true),
    ] {
        let found = outcome(&text, &edges(), true);
        assert_eq!(found.is_err(), met, "{text}: {found:?}");
    }
    // Errors that do not depend on the item are found while binding, wherever they occur.
    for text in ["false and 1 div 0 eq 1", "case(true:1,true:1 div 0)", "true or count div 0 eq 1"] {
        let (schema, settings) = (schema(), BindSettings::default());
        let error = Binder::new(&schema, "Item", &settings).bind(&expr(text)).expect_err(text);
        assert_eq!(error.kind, BindErrorKind::Value, "{text}");
    }
}

#[test]
fn a_fault_ends_sorts_aggregates_and_projections() {
    let (schema, settings) = (schema(), BindSettings::default());
    let evaluator = Evaluator { schema: &schema, now: now(), work: None };
    let rows: Vec<Arc<Json>> = [json!({"name": "a", "count": i64::MAX}), json!({"name": "", "count": 1})]
        .into_iter()
        .map(Arc::new)
        .collect();
    for apply in [
        "filter(1 div length(name) eq 1)",
        "compute(1 div length(name) as n)",
        "orderby(1 div length(name))",
        "topcount(1,1 div length(name))",
        "aggregate(count with sum as s)",
        "aggregate(1 div length(name) with max as s)",
        "groupby((state),aggregate(count with sum as s))",
        "groupby((name),filter(1 div length(name) eq 1))",
        "concat(aggregate($count as n),filter(1 div length(name) eq 1))",
    ] {
        let options = query(&format!("$apply={apply}"));
        let bound =
            Binder::new(&schema, "Item", &settings).options(&options).expect(apply).apply.expect("given");
        let made = evaluator.apply(&bound, rows.clone(), &|_, _| Ok(true));
        assert!(matches!(made, Err(EvalError::Fault { .. })), "{apply}: {made:?}");
    }
    for options in [
        "$compute=1 div length(name) as n",
        "$select=people($filter=1 div age eq 1)",
        "$select=people($orderby=1 div age)",
        "$select=people($compute=1 div age as n)",
    ] {
        let options = query(options);
        let bound = Binder::new(&schema, "Item", &settings).options(&options).expect("meaningful");
        let item = json!({"name": "", "people": [{"age": 1}, {"age": 0}]});
        assert!(matches!(evaluator.project(&bound, &item), Err(EvalError::Fault { .. })), "{bound:?}");
    }
}

#[test]
fn a_pattern_that_is_none_is_a_fault_wherever_it_comes_from() {
    for (pattern, kind) in [
        ("(", BindErrorKind::Value),
        ("[b-a]", BindErrorKind::Value),
        ("a{2,1}", BindErrorKind::Value),
        ("*", BindErrorKind::Value),
        (r"(a)\1", BindErrorKind::Unsupported),
        ("(?=a)", BindErrorKind::Unsupported),
        ("(?<!a)", BindErrorKind::Unsupported),
        (r"\p{L}", BindErrorKind::Unsupported),
        ("(?i)a", BindErrorKind::Unsupported),
        ("((a{100}){100}){100}", BindErrorKind::Limit),
    ] {
        let (schema, settings) = (schema(), BindSettings::default());
        let text = format!("matchesPattern(name,'{pattern}')");
        let error = Binder::new(&schema, "Item", &settings).bind(&expr(&text)).expect_err(pattern);
        assert_eq!(error.kind, kind, "{pattern}: {error}");
        let member =
            Binder::new(&schema, "Item", &settings).bind(&expr("matchesPattern('a',name)")).expect("bound");
        let evaluator = Evaluator { schema: &schema, now: now(), work: None };
        let value = evaluator.value(&member, &json!({"name": pattern}));
        assert!(matches!(value, Err(EvalError::Fault { .. })), "{pattern}: {value:?}");
    }
}

#[test]
fn patterns_are_those_of_ecmascript_without_backtracking() {
    for (pattern, text, found) in [
        ("", "", true),
        ("a", "bab", true),
        ("^a", "ba", false),
        ("^a$", "a", true),
        ("a$", "ab", false),
        ("^[a-c]+$", "abcab", true),
        ("^(a|bc)*$", "abcbca", true),
        ("^(a|bc)*$", "abcb", false),
        ("^a{2,3}$", "aaaa", false),
        ("^a{2,3}$", "aaa", true),
        ("^.$", "ä", true),
        ("^.$", "日本", false),
        ("^[^a]$", "é", true),
        ("^[à-ü]+$", "éü", true),
        (r"^\d$", "٣", false),
        (r"^\w$", "é", false),
        (r"^[\w.]+$", "a_1.", true),
        (r"^\W$", "é", true),
        (r"^\D$", "é", true),
        (r"\bcat\b", "a cat.", true),
        (r"\bcat\b", "concat", false),
        (r"\Bcat", "concat", true),
        (r"\s", "a\tb", true),
        (r"^a\.b$", "a.b", true),
        (r"^a\.b$", "axb", false),
        ("(?s)a.b", "a\nb", true),
        ("a.b", "a\nb", false),
        ("(?m)^b$", "a\nb\nc", true),
        ("é", "cafés", true),
        ("(x+x+)+y", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", false),
    ] {
        let read = Pattern::parse(pattern).unwrap_or_else(|error| panic!("{pattern}: {error:?}"));
        assert_eq!(read.matches(text, None), Ok(found), "{pattern} in {text}");
    }
}
