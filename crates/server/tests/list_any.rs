//! Whatever is asked gets an answer: 200, 400 or, in the extended temperament, 501; never 500. The error's form is held
//! to the contract by every answer's check.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use proptest::prelude::*;
use proptest::sample::select;
use support::*;
use tokio::runtime::Runtime;

const OPTIONS: [&str; 11] = [
    "$filter",
    "$orderby",
    "$select",
    "$apply",
    "$search",
    "$compute",
    "$expand",
    "$top",
    "$skip",
    "$count",
    "$skiptoken",
];

/// What queries are made of, with blanks as they come.
const WORDS: [&str; 96] = [
    "name",
    "status",
    "id",
    "engagementId",
    "createdDateTime",
    "updatedDateTime",
    "team",
    "tags",
    "details",
    "details/dealValue",
    "customerProfile/address/country",
    "target",
    "favorite",
    "email",
    "links",
    "eTag",
    "relatedReferrals",
    "unheard",
    "$it",
    "$this",
    "$count",
    "@p",
    "t",
    "t/email",
    "Cosell.Referrals.Referral",
    " eq ",
    " ne ",
    " gt ",
    " le ",
    " and ",
    " or ",
    "not ",
    " in ",
    " has ",
    " add ",
    " sub ",
    " mul ",
    " div ",
    " divby ",
    " mod ",
    "-",
    "(",
    ")",
    "()",
    ",",
    ";",
    "=",
    ":",
    "/",
    "/any(t:",
    "/all(t:",
    "/$count",
    "/$count($filter=",
    "$filter=",
    "$select=",
    "$expand=",
    "$orderby=",
    "$top=",
    "$levels=",
    "&@p=",
    "&$top=",
    "*",
    "'x'",
    "''",
    "'New'",
    "'b@x.example'",
    "null",
    "true",
    "false",
    "0",
    "1",
    "-1",
    "2.5",
    "9223372036854775808",
    "1e400",
    "INF",
    "NaN",
    "2026-03-02",
    "2026-03-02T00:00:00Z",
    "duration'P1D'",
    "65edc0b5-3485-41b7-a17e-dfa9ef4706e2",
    "contains(",
    "length(",
    "substring(",
    "matchesPattern(",
    "cast(",
    "case(",
    "now()",
    "concat(",
    "aggregate(",
    "groupby((",
    " with sum as ",
    "topcount(",
    " as x",
    " desc",
    "\u{0}",
];

/// A text of anything, or of what queries are made of.
fn text() -> impl Strategy<Value = String> {
    let words = proptest::collection::vec(select(&WORDS[..]), 0..14).prop_map(|words| words.concat());
    prop_oneof![1 => any::<String>(), 4 => words]
}

/// Runs the cases of one property in one world: the answers leave nothing behind.
struct Bench {
    runtime: Runtime,
    world: World,
    served: [u16; 3],
}

impl Bench {
    fn new(extended: bool) -> Bench {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let world = runtime.block_on(async {
            let world = if extended { World::extended().await } else { World::new().await };
            world
                .plants(4, |at, one| {
                    one["name"] = ["ada", "bob", "cyd", "dan"][at].into();
                    one["team"] = serde_json::json!([member("b@x.example")]);
                    if at == 2 {
                        one["details"]["dealValue"] = serde_json::Value::Null;
                    }
                })
                .await;
            world
        });
        Bench { runtime, world, served: if extended { [200, 400, 501] } else { [200, 400, 400] } }
    }

    fn holds(&self, query: &str) -> Result<(), TestCaseError> {
        // The address is no longer than one that can be sent.
        if query.len() > 60_000 {
            return Ok(());
        }
        let answer = self.runtime.block_on(self.world.contoso().lists(query));
        prop_assert!(self.served.contains(&answer.status), "{query}: {} {}", answer.status, answer.body);
        Ok(())
    }
}

/// The option by itself, and beside a filter that widens the list to an engagement, and on the count.
fn queries(option: &str, text: &str) -> Vec<String> {
    // What stands behind an `&` is another option.
    let value =
        text.split('&').map(escaped).collect::<Vec<_>>().join("&").replace("%3D", "=").replace("%40", "@");
    let engagement = "$filter=engagementId%20eq%2000000000-0000-4000-a000-000000000001";
    let mut queries = vec![format!("?{option}={value}")];
    if option != "$filter" {
        queries.push(format!("?{engagement}&{option}={value}"));
    } else {
        queries.push(format!("?{engagement}%20and%20({value})"));
        queries.push(format!("/$count?$filter={value}"));
    }
    queries
}

fn any_text_is_answered(extended: bool) {
    let bench = Bench::new(extended);
    proptest!(|(option in select(&OPTIONS[..]), text in text())| {
        for query in queries(option, &text) {
            if extended || !query.starts_with('/') {
                bench.holds(&query)?;
            }
        }
    });
}

#[test]
fn any_text_behind_an_option_is_answered_in_strict() {
    any_text_is_answered(false);
}

#[test]
fn any_text_behind_an_option_is_answered_in_extended() {
    any_text_is_answered(true);
}

/// Every option has its share of cases.
fn any_text_behind(option: &'static str, temperaments: &[bool]) {
    for extended in temperaments {
        let bench = Bench::new(*extended);
        proptest!(|(text in text())| {
            for query in queries(option, &text).into_iter().filter(|query| query.starts_with('?')) {
                bench.holds(&query)?;
            }
        });
    }
}

#[test]
fn any_text_behind_filter_is_answered() {
    any_text_behind("$filter", &[false, true]);
}

#[test]
fn any_text_behind_orderby_is_answered() {
    any_text_behind("$orderby", &[true]);
}

#[test]
fn any_text_behind_select_is_answered() {
    any_text_behind("$select", &[true]);
}

#[test]
fn any_text_behind_apply_is_answered() {
    any_text_behind("$apply", &[true]);
}

#[test]
fn any_text_behind_search_is_answered() {
    any_text_behind("$search", &[true]);
}

#[test]
fn any_text_behind_compute_is_answered() {
    any_text_behind("$compute", &[true]);
}

#[test]
fn any_text_behind_expand_is_answered() {
    any_text_behind("$expand", &[true]);
}

/// Filters that are well-formed more often than not.
fn filter() -> impl Strategy<Value = String> {
    let number = || {
        select(
            &[
                "details/dealValue",
                "1",
                "2.5",
                "length(name)",
                "team/$count",
                "null",
                "-3",
                "indexof(name,'a')",
            ][..],
        )
        .prop_map(str::to_owned)
    };
    let words = || {
        select(
            &[
                "name",
                "'a'",
                "tolower(name)",
                "customerProfile/address/city",
                "concat(name,'x')",
                "substring(name,1)",
                "null",
                "campaignId",
            ][..],
        )
        .prop_map(str::to_owned)
    };
    let times = || {
        select(
            &[
                "createdDateTime",
                "2026-03-02T09:30:00Z",
                "now()",
                "closedDateTime",
                "maxdatetime()",
                "'2026-01-01'",
            ][..],
        )
        .prop_map(str::to_owned)
    };
    let compare = || select(&["eq", "ne", "gt", "ge", "lt", "le"][..]);
    let arithmetic = select(&["add", "sub", "mul", "div", "divby", "mod"][..]);
    let number = prop_oneof![
        number(),
        (number(), arithmetic, number()).prop_map(|(l, o, r)| format!("({l} {o} {r})"))
    ];
    let leaf = prop_oneof![
        (number.clone(), compare(), number).prop_map(|(l, o, r)| format!("{l} {o} {r}")),
        (words(), compare(), words()).prop_map(|(l, o, r)| format!("{l} {o} {r}")),
        (times(), compare(), times()).prop_map(|(l, o, r)| format!("{l} {o} {r}")),
        (words(), words()).prop_map(|(l, r)| format!("contains({l},{r})")),
        select(
            &[
                "favorite",
                "status eq 'Active'",
                "status in ('New','Active')",
                "email eq 'b@x.example'",
                "team/any(t:t/email eq name)",
                "team/all(t:contains(t/email,'x'))",
                "tags/any()",
                "engagementId ne null"
            ][..]
        )
        .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(5, 40, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(l, r)| format!("({l}) and ({r})")),
            (inner.clone(), inner.clone()).prop_map(|(l, r)| format!("({l}) or ({r})")),
            inner.clone().prop_map(|inner| format!("not ({inner})")),
            (inner.clone(), inner.clone()).prop_map(|(l, r)| format!("({l}) eq ({r})")),
            inner.prop_map(|inner| format!("team/any(m:m/email ne null and ({inner}))")),
        ]
    })
}

/// Whether an answer is the refusal of a value that an expression does not have, such as a quotient by zero.
fn is_fault(answer: &Answer) -> bool {
    let message = answer.body["error"]["message"].as_str().unwrap_or_default();
    answer.status == 400 && (message.contains(" by zero") || message.contains(" is out of the range of Edm."))
}

/// What a list found: its answers, or that it met an arithmetic fault.
enum Outcome {
    Found(Vec<Answer>),
    Fault,
}

impl Bench {
    /// All pages of a list, which may meet a fault on any of them.
    fn pages(&self, query: &str) -> Result<Outcome, TestCaseError> {
        let ask = |query: &str| self.runtime.block_on(self.world.contoso().lists(query));
        let mut pages = Vec::new();
        let mut next_query = Some(encoded(query));
        while let Some(query) = next_query {
            prop_assert!(pages.len() < 10, "{query}: no end");
            let answer = ask(&query);
            if is_fault(&answer) {
                return Ok(Outcome::Fault);
            }
            prop_assert_eq!(answer.status, 200, "{}: {}", query, answer.body);
            next_query = next(&answer);
            pages.push(answer);
        }
        Ok(Outcome::Found(pages))
    }
}

/// A filter may be refused for any reason. Once it is answered, its pages and its negation have the same values to
/// work with, so they are answered too, but for one exception: an arithmetic fault. A fault is met only where an
/// expression is evaluated, and SQL decides by itself which terms of `and` and `or` it evaluates, in which order and
/// for which rows; the negation and the later pages are other statements than the first.
///
/// When one executor evaluates every list from left to right, as the evaluator does, the negation and the pages
/// meet exactly the faults of the filter. Then `Outcome::Fault` is an error here.
#[test]
fn a_filter_and_its_negation_and_its_pages_part_the_list() {
    let bench = Bench::new(true);
    const ORDERS: [&str; 4] =
        ["name", "details/dealValue desc", "createdDateTime", "length(name),status desc"];
    proptest!(|(filter in filter(), order in select(&ORDERS[..]))| {
        let query = format!("?$filter={filter}&$orderby={order}");
        let answer = bench.runtime.block_on(bench.world.contoso().asks(&query));
        prop_assert!([200, 400].contains(&answer.status), "{filter}: {}", answer.body);
        if answer.status != 200 {
            return Ok(());
        }
        let matches = ids(&answer);
        prop_assert_eq!(&answer.body["@odata.count"], matches.len(), "{}", filter);
        if let Outcome::Found(pages) = bench.pages(&format!("{query}&pagesize=1"))? {
            prop_assert_eq!(&pages.iter().flat_map(ids).collect::<Vec<_>>(), &matches, "{}", filter);
        }
        // True, or false, or null: the last two are what `ne true` leaves.
        if let Outcome::Found(pages) = bench.pages(&format!("?$filter=({filter}) ne true&$orderby={order}"))? {
            let others: Vec<String> = pages.iter().flat_map(ids).collect();
            prop_assert_eq!(matches.len() + others.len(), 4, "{}", filter);
            prop_assert!(others.iter().all(|id| !matches.contains(id)), "{}", filter);
        }
    });
}

/// The faults that the property above passes over are told by their messages; what else is refused is not.
#[test]
fn arithmetic_faults_are_told_from_other_refusals() {
    let bench = Bench::new(true);
    let asked =
        |filter: &str| bench.runtime.block_on(bench.world.contoso().asks(&format!("?$filter={filter}")));
    for filter in [
        "length(name) div 0 eq 1",
        "length(name) mod (length(name) sub 3) eq 1",
        "details/dealValue divby (length(name) sub 3) eq 1",
        "length(name) add 9223372036854775807 eq 1",
    ] {
        let answer = asked(filter);
        assert!(is_fault(&answer), "{filter}: {} {}", answer.status, answer.body);
    }
    for filter in ["unheard eq 1", "name eq", "name div 2 eq 1", "true"] {
        assert!(!is_fault(&asked(filter)), "{filter}");
    }
}
