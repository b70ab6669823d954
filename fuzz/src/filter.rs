//! Any bytes as a query string and as a filter: refused at a place within them, or a tree that reads back as itself,
//! binds or not, and evaluates.

use odata::{
    BindSettings, Binder, DateTimeOffset, EnumType, Evaluator, Expr, Limits, ParseSettings, Primitive,
    Property, QueryOptions, ResourceUri, Schema, Type,
};
use serde_json::json;

/// Any bytes as a query string, as a URL and as a filter.
pub fn filter(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let settings = ParseSettings::default();
    match QueryOptions::parse(text, &settings) {
        Ok(options) => {
            let printed = options.to_query();
            assert_eq!(QueryOptions::parse(&printed, &settings).as_ref(), Ok(&options), "{printed}");
            let (schema, settings) = (schema(), BindSettings::default());
            let _ = Binder::new(&schema, "T", &settings).options(&options);
        }
        Err(error) => assert!(error.raw_at <= text.len()),
    }
    let _ = ResourceUri::parse(text, &settings);
    match Expr::parse(text, &Limits::default()) {
        Ok(expr) => answer(&expr),
        Err(error) => assert!(text.is_char_boundary(error.at)),
    }
}

fn answer(expr: &Expr) {
    let printed = expr.to_string();
    assert_eq!(Expr::parse(&printed, &Limits::default()).as_ref(), Ok(expr), "{printed}");
    let (schema, settings) = (schema(), BindSettings::default());
    if let Ok(typed) = Binder::new(&schema, "T", &settings).bind(expr) {
        let evaluator =
            Evaluator { schema: &schema, now: DateTimeOffset { ticks: 0, offset: 0 }, work: None };
        for item in
            [json!({}), json!({"s": "a", "n": 1.5, "e": "A", "d": "2024-02-29T00:00:00Z", "c": [{"s": "b"}]})]
        {
            let _ = evaluator.value(&typed, &item);
        }
    }
}

fn schema() -> Schema {
    Schema::new("S").enumeration(EnumType::new("E", &["A", "B"])).structured(
        "T",
        vec![
            Property::new("s", Primitive::String).ignoring_case(),
            Property::new("n", Primitive::Decimal),
            Property::new("i", Primitive::Int64),
            Property::new("e", Type::Enum("E".into())),
            Property::new("d", Primitive::DateTimeOffset),
            Property::new("t", Type::Structured("T".into())),
            Property::new("c", Type::Structured("T".into()).collection()),
        ],
    )
}
