//! Every bound expression can be evaluated over any document without a panic, and the laws of logic hold.

mod model;

use model::{item, schema};
use odata::*;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value as Json, json};

fn value() -> impl Strategy<Value = String> {
    select(vec![
        "name",
        "count",
        "price",
        "weight",
        "made",
        "day",
        "opens",
        "lasts",
        "state",
        "colors",
        "ready",
        "id",
        "null",
        "0",
        "-1",
        "9223372036854775807",
        "79228162514264337593543950335",
        "0.0000000000000000000000000001",
        "1e300",
        "INF",
        "NaN",
        "'x'",
        "''",
        "2024-02-29",
        "20000-12-31",
        "-20000-01-01",
        "9999-12-31T23:59:59.9999999Z",
        "20000-12-31T23:59:59Z",
        "-20000-01-01T00:00:00Z",
        "duration'P10675199D'",
        "duration'-P10675199D'",
        "23:59:59.9999999",
        "people/$count",
        "address/city",
        "now()",
    ])
    .prop_map(str::to_owned)
}

fn operand() -> BoxedStrategy<String> {
    value()
        .prop_recursive(3, 12, 3, |inner| {
            let operator = select(vec!["add", "sub", "mul", "div", "divby", "mod"]);
            let one = select(vec![
                "-",
                "length",
                "year",
                "month",
                "day",
                "hour",
                "minute",
                "second",
                "fractionalseconds",
                "date",
                "time",
                "totalseconds",
                "totaloffsetminutes",
                "round",
                "floor",
                "ceiling",
                "tolower",
                "toupper",
                "trim",
            ]);
            let ty = select(vec![
                "String",
                "Int32",
                "Int64",
                "Byte",
                "Decimal",
                "Double",
                "Date",
                "DateTimeOffset",
                "TimeOfDay",
                "Duration",
                "Guid",
                "Boolean",
                "Binary",
            ]);
            prop_oneof![
                (inner.clone(), operator, inner.clone()).prop_map(|(l, op, r)| format!("({l} {op} {r})")),
                (one, inner.clone()).prop_map(|(function, operand)| format!("{function}({operand})")),
                (inner.clone(), ty).prop_map(|(operand, ty)| format!("cast({operand},Edm.{ty})")),
                (inner.clone(), inner.clone(), inner.clone())
                    .prop_map(|(t, a, b)| format!("substring({t},{a},{b})")),
                (inner.clone(), inner).prop_map(|(a, b)| format!("case(ready:{a},true:{b})")),
            ]
        })
        .boxed()
}

fn condition() -> BoxedStrategy<String> {
    let comparison = select(vec!["eq", "ne", "gt", "ge", "lt", "le"]);
    let text = select(vec!["contains", "startswith", "endswith"]);
    prop_oneof![
        (operand(), comparison, operand()).prop_map(|(l, op, r)| format!("{l} {op} {r}")),
        (text, operand(), operand()).prop_map(|(function, l, r)| format!("{function}({l},{r})")),
        (operand(), operand(), operand())
            .prop_map(|(l, a, b)| format!("people/any(p:p/age eq {l}) or {a} eq {b}")),
        Just("ready".to_owned()),
        Just("null".to_owned()),
    ]
    .boxed()
}

fn documents() -> [Json; 4] {
    let odd = json!({
        "name": 5, "count": 1.5e300, "price": "12", "made": "never", "day": true, "state": "Nowhere", "colors": 9,
        "people": {"email": 1}, "address": [], "tags": [null, {}, 1], "lasts": "P", "opens": "24:00", "id": "x"
    });
    [item(), json!({}), odd, json!([])]
}

fn evaluate(text: &str) -> Option<Vec<Value>> {
    let expr = Expr::parse(text, &Limits::default()).unwrap_or_else(|error| panic!("{text}: {error}"));
    let (schema, settings) = (schema(), BindSettings::default());
    let typed = Binder::new(&schema, "Item", &settings).bind(&expr).ok()?;
    let evaluator =
        Evaluator { schema: &schema, now: DateTimeOffset { ticks: i64::MAX / 2, offset: 60 }, work: None };
    documents().iter().map(|document| evaluator.value(&typed, document).ok()).collect()
}

proptest! {
    #[test]
    fn no_expression_panics_over_any_document(text in operand()) {
        for value in evaluate(&text).into_iter().flatten() {
            let _ = value.to_text();
        }
    }

    #[test]
    fn logic_is_three_valued_throughout(left in condition(), right in condition()) {
        let truth = |text: String| evaluate(&text);
        let Some(both) = truth(format!("({left}) and ({right})")) else { return Ok(()) };
        let neither = truth(format!("not (not ({left}) or not ({right}))")).expect("binds as before");
        prop_assert_eq!(both, neither, "{} | {}", left, right);
        let excluded = truth(format!("({left}) or not ({left})")).expect("binds as before");
        prop_assert!(excluded.iter().all(|value| *value != Value::Boolean(false)), "{}", left);
    }

    #[test]
    fn a_comparison_is_its_own_mirror(left in operand(), right in operand()) {
        for (op, mirror) in [("eq", "eq"), ("ne", "ne"), ("gt", "lt"), ("ge", "le")] {
            let one = evaluate(&format!("{left} {op} {right}"));
            let other = evaluate(&format!("{right} {mirror} {left}"));
            prop_assert_eq!(one, other, "{} {} {}", left, op, right);
        }
    }
}
