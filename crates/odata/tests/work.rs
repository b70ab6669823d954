//! Budgets: an evaluation ends when its nodes or its bytes are exhausted or it is interrupted.

mod model;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use model::{expr, query, schema};
use odata::*;
use serde_json::{Value as Json, json};

fn now() -> DateTimeOffset {
    DateTimeOffset { ticks: 0, offset: 0 }
}

fn bound(text: &str) -> Result<Typed, BindError> {
    let (schema, settings) = (schema(), BindSettings::default());
    Binder::new(&schema, "Item", &settings).bind(&expr(text))
}

fn evaluate(text: &str, item: &Json, work: &Work) -> Result<Value, EvalError> {
    let schema = schema();
    Evaluator { schema: &schema, now: now(), work: Some(work) }.value(&bound(text).expect(text), item)
}

/// Expressions that take long over [`long`], one for each expensive operation.
const EXPENSIVE: [&str; 15] = [
    "people/any(a:people/any(b:people/any(c:people/any(d:contains(a/email,'zzz')))))",
    "people/all(a:people/all(b:people/$count($filter=age gt 1) gt 1))",
    "people/$count($filter=$it/people/any(p:p/age gt 1000))",
    "matchesPattern(name,'(a?){300}b')",
    "people/any(p:matchesPattern(name,'(a|aa|aaa)+b'))",
    "people/all(p:people/all(q:people/all(r:matchesPattern(p/email,concat('.|',q/email)))))",
    "people/any(p:contains(tolower(name),toupper(p/email)))",
    "people/any(p:indexof(name,p/email) gt 0)",
    "people/any(p:people/any(q:q/email eq concat(p/email,name)))",
    "people/any(p:substring(name,5) eq p/email)",
    "people/any(p:length(trim(name)) eq p/age)",
    "people/any(p:cast(name,Edm.Decimal) eq p/age)",
    "people/any(p:people/any(q:people/any(r:r/email in tags)))",
    "people/$count($search=zzz OR \"a b\" OR NOT c) gt 1 and people/any(p:people/$count($search=a) gt 5000)",
    "people/any(p:people/any(q:q/age div 7 mod 3 add p/age gt 9000000))",
];

fn long() -> Json {
    let people: Vec<Json> =
        (0..300).map(|n| json!({"email": format!("{n}@Example.org"), "age": n})).collect();
    json!({"people": people, "tags": vec!["x"; 50], "name": "a".repeat(100_000)})
}

#[test]
fn whatever_takes_long_ends_with_its_nodes() {
    for text in EXPENSIVE {
        let work = Work::new(100_000, 1 << 30);
        assert_eq!(evaluate(text, &long(), &work), Err(EvalError::Exhausted), "{text}");
        assert_eq!(work.take(1), Err(EvalError::Exhausted), "{text}: once and for all");
    }
}

#[test]
fn whatever_takes_long_asks_often_whether_to_go_on() {
    /// Minimum number of nodes per millisecond.
    const MILLISECOND: u64 = 25_000;
    for text in EXPENSIVE {
        let asked = Arc::new(AtomicU64::new(0));
        let nodes = 20 * MILLISECOND;
        let counting = Arc::clone(&asked);
        let work = Work::new(nodes, 1 << 30).interrupted_by(move || {
            counting.fetch_add(1, Relaxed);
            false
        });
        assert_eq!(evaluate(text, &long(), &work), Err(EvalError::Exhausted), "{text}");
        assert!(asked.load(Relaxed) >= 20, "{text}: asked {} times", asked.load(Relaxed));
        let work = Work::new(u64::MAX, 1 << 30).interrupted_by(|| true);
        assert_eq!(evaluate(text, &long(), &work), Err(EvalError::Interrupted), "{text}");
    }
}

#[test]
fn texts_that_are_put_together_are_bounded_and_those_let_go_do_not_count() {
    let item = json!({"name": "a".repeat(1000), "people": vec![json!({"email": "e".repeat(100)}); 300]});
    let doubled =
        |times: usize| (0..times).fold("name".to_owned(), |text, _| format!("concat({text},{text})"));
    let work = || Work::new(u64::MAX, 64 << 10);
    assert_eq!(evaluate(&format!("length({})", doubled(4)), &item, &work()), Ok(Value::Integer(16_000)));
    assert_eq!(evaluate(&doubled(7), &item, &work()), Err(EvalError::Exhausted));
    for text in ["toupper(name)", "tolower(name)", "substring(name,1)", "trim(name)"] {
        assert_eq!(evaluate(text, &item, &Work::new(u64::MAX, 500)), Err(EvalError::Exhausted), "{text}");
        assert!(evaluate(text, &item, &Work::new(u64::MAX, 4000)).is_ok(), "{text}");
    }
    // 300 members with a text of one kilobyte each, one after the other.
    let work = work();
    let text = "people/all(p:length(concat(p/email,name)) eq 1100)";
    assert_eq!(evaluate(text, &item, &work), Ok(Value::Boolean(true)));
    assert_eq!(work.held(), 0);
}

#[test]
fn what_sorts_groups_and_projections_keep_is_bounded() {
    let (schema, settings) = (schema(), BindSettings::default());
    let rows = || -> Vec<Arc<Json>> {
        (0..2000).map(|n| Arc::new(json!({"name": format!("{n:0>100}"), "count": n}))).collect()
    };
    for apply in [
        "orderby(concat(name,'x'))",
        "compute(concat(name,name) as n)",
        "groupby((name))",
        "groupby((name),aggregate($count as n))",
        "aggregate(name with countdistinct as n)",
        "topcount(1,concat(name,'x'))",
        "concat(identity,identity)/concat(identity,identity)/concat(identity,identity)/concat(identity,identity)",
    ] {
        let options = query(&format!("$apply={apply}"));
        let bound =
            Binder::new(&schema, "Item", &settings).options(&options).expect(apply).apply.expect("given");
        let apply_within = |bytes| {
            let work = Work::new(u64::MAX, bytes);
            let evaluator = Evaluator { schema: &schema, now: now(), work: Some(&work) };
            evaluator.apply(&bound, rows(), &|_, _| Ok(true)).map(|made| made.len())
        };
        assert_eq!(apply_within(50_000), Err(EvalError::Exhausted), "{apply}");
        assert!(apply_within(16 << 20).is_ok(), "{apply}");
    }
    let options = query("$compute=concat(name,name) as a,concat(name,name) as b");
    let bound = Binder::new(&schema, "Item", &settings).options(&options).expect("meaningful");
    let work = Work::new(u64::MAX, 3000);
    let evaluator = Evaluator { schema: &schema, now: now(), work: Some(&work) };
    assert!(evaluator.project(&bound, &json!({"name": "a".repeat(100)})).is_ok());
    assert_eq!(evaluator.project(&bound, &json!({"name": "a".repeat(1000)})), Err(EvalError::Exhausted));
}

#[test]
fn groups_and_distinct_values_are_found_without_looking_at_all_others() {
    let (schema, settings) = (schema(), BindSettings::default());
    let rows: Vec<Arc<Json>> = (0..20_000).map(|n| Arc::new(json!({"name": format!("{n}")}))).collect();
    for apply in ["groupby((name))/aggregate($count as n)", "aggregate(name with countdistinct as n)"] {
        let options = query(&format!("$apply={apply}"));
        let bound =
            Binder::new(&schema, "Item", &settings).options(&options).expect(apply).apply.expect("given");
        let work = Work::new(3_000_000, 1 << 30);
        let evaluator = Evaluator { schema: &schema, now: now(), work: Some(&work) };
        let made = evaluator.apply(&bound, rows.clone(), &|_, _| Ok(true)).expect(apply);
        assert_eq!(*made[0], json!({"n": 20_000}), "{apply}");
    }
}

#[test]
fn an_alias_that_is_used_a_thousand_times_is_one_constant() {
    let text = "x".repeat(40_000);
    let uses = vec!["name eq @t"; 1000].join(" or ");
    let (schema, settings) = (schema(), BindSettings::default());
    let options =
        query(&format!("$filter={uses}&@t='{text}'&$compute=@t as c0,@t as c1,concat(name,@t) as c2"));
    let mut binder = Binder::new(&schema, "Item", &settings);
    let bound = binder.options(&options).expect("within the limits");
    let mut constants = std::collections::BTreeSet::new();
    bound.filter.expect("given").walk(&mut |typed| {
        if let TypedKind::Value(value) = &typed.kind {
            constants.insert(Arc::as_ptr(value));
        }
    });
    assert_eq!(constants.len(), 1);
    assert!(binder.bytes() < 2 << 20, "{}", binder.bytes());
}

#[test]
fn aliases_of_aliases_take_no_more_than_the_constants_of_a_request_may() {
    let text = "x".repeat(40_000);
    let (schema, settings) = (schema(), BindSettings::default());
    let balanced = |mut terms: Vec<String>| {
        while terms.len() > 1 {
            terms = terms
                .chunks(2)
                .map(|pair| match pair {
                    [one, other] => format!("concat({one},{other})"),
                    rest => rest.concat(),
                })
                .collect();
        }
        terms.concat()
    };
    let doubled: Vec<String> = (1..30).map(|n| format!("@a{n}=concat(@a{},@a{})", n - 1, n - 1)).collect();
    for options in [
        // A tree of constants, written out, and by aliases of aliases.
        format!("$filter=name eq {}&@t='{text}'", balanced(vec!["@t".to_owned(); 1000])),
        format!("$filter=name eq @a29&@a0='{text}'&{}", doubled.join("&")),
        // Expressions that are not constant copy their constants each time.
        format!("$filter={}&@s=concat(name,'{text}')", vec!["name eq @s"; 500].join(" or ")),
        format!(
            "$compute={}&@s=concat(name,'{text}')",
            (0..100).map(|n| format!("@s as c{n}")).collect::<Vec<_>>().join(",")
        ),
    ] {
        let read = query(&options);
        let mut binder = Binder::new(&schema, "Item", &settings);
        let error = binder.options(&read).map(|_| ()).expect_err(&options[..60]);
        assert_eq!(error.kind, BindErrorKind::Limit, "{error}");
        assert!(binder.bytes() < 5 << 20, "{}", binder.bytes());
    }
    // Neither repeated constants, nor expressions that no row makes longer than the limit.
    let kept = format!(
        "$compute={}&@t='{text}'",
        (0..100).map(|n| format!("@t as c{n}")).collect::<Vec<_>>().join(",")
    );
    let kept = query(&kept);
    let mut binder = Binder::new(&schema, "Item", &settings);
    let bound = binder.options(&kept).expect("one constant");
    let work = Work::new(u64::MAX, 1 << 20);
    let evaluator = Evaluator { schema: &schema, now: now(), work: Some(&work) };
    assert_eq!(evaluator.project(&bound, &json!({})), Err(EvalError::Exhausted));
}

#[test]
fn the_patterns_of_a_request_are_made_ready_once_and_bounded_together() {
    let (schema, settings) = (schema(), BindSettings::default());
    // One pattern for many rows costs less than compiling it for each row.
    let typed = bound("matchesPattern(name,'(a|b){200}c')").expect("a filter");
    let work = Work::new(200_000, 1 << 20);
    let evaluator = Evaluator { schema: &schema, now: now(), work: Some(&work) };
    for _ in 0..1000 {
        assert_eq!(evaluator.matches(&typed, &json!({"name": "xyz"})), Ok(false));
    }
    // Many patterns of one request, before any row is evaluated.
    let all: Vec<String> = (0..500).map(|n| format!("matchesPattern(name,'(a?){{600}}b{n}')")).collect();
    let error = Binder::new(&schema, "Item", &settings).bind(&expr(&all.join(" or "))).expect_err("too many");
    assert_eq!(error.kind, BindErrorKind::Limit, "{error}");
    let same = vec!["matchesPattern(name,'(a?){600}b')"; 500].join(" or ");
    assert!(Binder::new(&schema, "Item", &settings).bind(&expr(&same)).is_ok());
}
