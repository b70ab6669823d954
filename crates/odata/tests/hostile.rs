//! Hostile texts: each is parsed or refused in bounded time and memory, without a panic.

use std::time::{Duration, Instant};

use odata::{
    Context, Expr, Limits, ParseError, ParseErrorKind, ParseSettings, Preference, QueryOptions, ResourceUri,
    limits,
};

/// More than each of them takes in a debug build, and far less than superlinear work would take.
const PATIENCE: Duration = Duration::from_secs(5);

fn parse(text: &str) -> Result<Expr, ParseError> {
    let began = Instant::now();
    let read = Expr::parse(text, &Limits { option_length: usize::MAX, ..Limits::default() });
    assert!(began.elapsed() < PATIENCE, "{} bytes took {:?}", text.len(), began.elapsed());
    read
}

fn limited(text: &str) {
    let error = parse(text).map(drop).expect_err("beyond a limit");
    assert_eq!(error.kind, ParseErrorKind::Limit, "{error}");
}

#[test]
fn nesting_of_every_sort_ends_at_the_limit() {
    let deep = |before: &str, after: &str, inner: &str| {
        format!("{}{inner}{}", before.repeat(100_000), after.repeat(100_000))
    };
    for text in [
        deep("(", ")", "a"),
        deep("not (", ")", "a"),
        deep("not ", "", "a"),
        deep("-", "", "a"),
        deep("- ", "", "a"),
        deep("[", "]", "1"),
        deep("{\"a\":", "}", "1"),
        deep("tolower(", ")", "a"),
        deep("concat(a,", ")", "a"),
        deep("cast(", ",Edm.String)", "a"),
        deep("case(a:", ")", "a"),
        deep("case(", ":1)", "a"),
        deep("a/any(x:", ")", "x"),
        deep("a/$filter(", ")", "x"),
        deep("a/$count($filter=", ")", "x"),
        deep("a.b(c=", ")", "x"),
        deep("a in (", ")", "b"),
        "(".repeat(100_000),
    ] {
        limited(&text);
    }
    assert!(parse(&deep("", "", "a")).is_ok());
    let settings = ParseSettings::default();
    for text in [
        format!("$expand={}a{}", "a($expand=".repeat(5_000), ")".repeat(5_000)),
        format!("$select={}a{}", "a($select=".repeat(5_000), ")".repeat(5_000)),
        format!("$search={}a", "NOT ".repeat(10_000)),
        format!("$search={}a{}", "(".repeat(10_000), ")".repeat(10_000)),
        format!("$apply={}identity", "concat(".repeat(5_000)),
        format!("$apply={}identity", "groupby((a),".repeat(3_000)),
        format!("$filter=a eq geography'SRID=0;{}'", "GeometryCollection(".repeat(3_000)),
    ] {
        let error = QueryOptions::parse(&text, &settings).expect_err("beyond a limit");
        assert_eq!(error.error.kind, ParseErrorKind::Limit, "{error}");
    }
    let list = format!("#a{}", "(a".repeat(10_000));
    assert_eq!(Context::parse(&list).expect_err("beyond a limit").kind, ParseErrorKind::Limit);
}

#[test]
fn chains_are_flat_and_bounded_by_their_number() {
    let chain = |operator: &str, terms: usize| vec!["a"; terms].join(&format!(" {operator} "));
    assert!(parse(&chain("and", 2_000)).is_ok());
    assert!(parse(&chain("or", 2_000)).is_ok());
    limited(&chain("and", 100_000));
    limited(&chain("add", 1_000));
    limited(&chain("eq", 1_000));
    limited(&format!("a{}", "/b".repeat(100_000)));
    limited(&format!("a in ({}1)", "1,".repeat(limits::LIST)));
    assert!(parse(&format!("a in ({}1)", "1,".repeat(limits::LIST - 1))).is_ok());
    limited(&format!("[{}1]", "1,".repeat(limits::LIST)));
    limited(&"x".repeat(limits::IDENTIFIER + 1));
    assert!(parse(&"x".repeat(limits::IDENTIFIER)).is_ok());
}

#[test]
fn a_tree_at_the_limits_can_be_walked_printed_and_dropped_on_a_small_stack() {
    let work = || {
        let half = limits::DEPTH / 2 - 2;
        let text = format!("{}a{}", "not (".repeat(half), ")".repeat(half));
        let tree = parse(&text).expect("within the limits");
        let mut nodes = 0;
        tree.walk(&mut |_| nodes += 1);
        assert_eq!(nodes, half + 1);
        assert_eq!(parse(&tree.to_string()), Ok(tree));
    };
    let small = std::thread::Builder::new().stack_size(1 << 20).spawn(work).expect("a thread");
    small.join().expect("no overflow");
}

#[test]
fn long_texts_are_read_in_one_pass() {
    let mega = 1 << 20;
    assert!(parse(&format!("a eq '{}'", "x".repeat(mega))).is_ok());
    assert!(parse(&format!("a eq '{}'", "''".repeat(mega))).is_ok());
    assert!(parse(&format!("[\"{}\"]", "\\n".repeat(mega))).is_ok());
    assert!(parse(&format!("a eq {}", "9".repeat(mega))).is_ok());
    assert!(parse(&format!("a eq binary'{}'", "A".repeat(mega))).is_ok());
    assert!(parse(&" ".repeat(mega)).is_err());
    assert!(parse(&"'".repeat(mega)).is_ok(), "an even number of quotes is one text of quotes");
    assert!(parse(&"'".repeat(mega + 1)).is_err());
    assert!(parse(&"a ".repeat(mega)).is_err());
    assert!(parse(&"\u{394}".repeat(mega)).is_err());
    assert!(parse(&format!("a eq 1{}", " ".repeat(mega))).is_err());
    assert!(parse(&format!("(a{}", " ".repeat(mega))).is_err());
}

#[test]
fn an_option_beyond_its_length_is_refused_before_it_is_read() {
    let settings = ParseSettings::default();
    for text in [
        format!("$filter='{}'", "x".repeat(1 << 20)),
        format!("$filter='{}'", "%41".repeat(limits::OPTION_LENGTH)),
        format!("{}=1", "x".repeat(1 << 20)),
        format!("x={}", "y".repeat(1 << 20)),
        "a&".repeat(1 << 19),
    ] {
        let error = QueryOptions::parse(&text, &settings).expect_err("too long");
        assert_eq!(error.error.kind, ParseErrorKind::Limit, "{error}");
    }
    assert!(ResourceUri::parse(&"a/".repeat(1 << 19), &settings).is_err());
    assert_eq!(Preference::read_all(&"maxpagesize=1,".repeat(100_000)), [Preference::MaxPageSize(1)]);
}

#[test]
fn the_nodes_of_all_options_count_together() {
    let one = vec!["a eq 1"; 2_000].join(" or ");
    let query = format!("$filter={one}&@b={one}&@c={one}");
    assert_eq!(
        QueryOptions::parse(&query, &ParseSettings::default()).expect_err("too many").error.kind,
        ParseErrorKind::Limit
    );
}

#[test]
fn odd_bytes_are_read_or_refused() {
    let settings = ParseSettings::default();
    for (text, good) in [
        ("$filter=a eq '%00'", true),
        ("$filter=a eq %00", false),
        ("$filter=%00", false),
        ("$filter=a%C2%A0eq 1", false),
        ("$filter=%EF%BB%BFa eq 1", false),
        ("$filter=a eq '%ED%A0%80'", false),
        ("$filter=a eq '%F0%9F%98%80'", true),
        ("$filter=a eq '\u{202e}'", true),
        ("$filter=a\r\neq 1", false),
        ("$search=%00", false),
        ("&&&", true),
        ("=", true),
        ("@=1", false),
        ("$=1", false),
    ] {
        assert_eq!(QueryOptions::parse(text, &settings).is_ok(), good, "{text:?}");
    }
}
