//! The syntax in tables: precedence, literals, functions, positions and messages of errors.

use odata::{Expr, ExprKind, Limits, Literal, OrderBy, ParseSettings, QueryOptions};

fn parse(text: &str) -> Expr {
    Expr::parse(text, &Limits::default()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn query(text: &str) -> QueryOptions {
    QueryOptions::parse(text, &ParseSettings::default()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The tree of a text, with every operator and its operands in brackets.
fn shape(expr: &Expr) -> String {
    let all =
        |members: &[Expr], by: &str| format!("[{}]", members.iter().map(shape).collect::<Vec<_>>().join(by));
    match &expr.kind {
        ExprKind::And(terms) => all(terms, " and "),
        ExprKind::Or(terms) => all(terms, " or "),
        ExprKind::Not(operand) => format!("[not {}]", shape(operand)),
        ExprKind::Negate(operand) => format!("[-{}]", shape(operand)),
        ExprKind::Compare(op, l, r) => format!("[{} {} {}]", shape(l), op.name(), shape(r)),
        ExprKind::Arithmetic(op, l, r) => format!("[{} {} {}]", shape(l), op.name(), shape(r)),
        ExprKind::Has(l, r) => format!("[{} has {}]", shape(l), shape(r)),
        ExprKind::In(l, r) => format!("[{} in {}]", shape(l), shape(r)),
        _ => expr.to_string(),
    }
}

#[test]
fn operators_bind_as_the_standard_orders_them() {
    for (text, expected) in [
        ("a or b and c", "[a or [b and c]]"),
        ("a and b or c and d", "[[a and b] or [c and d]]"),
        ("a and b and c", "[a and b and c]"),
        ("(a and b) and c", "[[a and b] and c]"),
        ("a and (b or c)", "[a and [b or c]]"),
        ("not a and b", "[[not a] and b]"),
        ("not a eq b", "[[not a] eq b]"),
        ("not (a eq b)", "[not [a eq b]]"),
        ("not(a eq b)", "[not [a eq b]]"),
        ("not a in (1)", "[not [a in (1)]]"),
        ("not style has Sales.Pattern'Yellow'", "[not [style has Sales.Pattern'Yellow']]"),
        ("a eq b gt c", "[a eq [b gt c]]"),
        ("a gt b eq c", "[[a gt b] eq c]"),
        ("a add b mul c", "[a add [b mul c]]"),
        ("a sub b sub c", "[[a sub b] sub c]"),
        ("a div b divby c mod d", "[[[a div b] divby c] mod d]"),
        ("-a mul b", "[[-a] mul b]"),
        ("a sub -1", "[a sub -1]"),
        ("a eq b and c ne d", "[[a eq b] and [c ne d]]"),
        ("a in (1,2) and b", "[[a in (1,2)] and b]"),
        ("A EQ 1 AND B Lt 2", "[[A eq 1] and [B lt 2]]"),
        ("a in(1) or b", "[[a in (1)] or b]"),
    ] {
        assert_eq!(shape(&parse(text)), expected, "{text}");
    }
}

#[test]
fn literals_of_every_kind_are_told_apart() {
    for (text, kind) in [
        ("null", "Null"),
        ("true", "Boolean(true)"),
        ("tRUe", "Boolean(true)"),
        ("42", "Integer(42)"),
        ("+42", "Integer(42)"),
        ("-9223372036854775808", "Integer(-9223372036854775808)"),
        ("9223372036854775808", "Number(Number { text: \"9223372036854775808\" })"),
        ("50000.00", "Number(Number { text: \"50000.00\" })"),
        ("1e-101", "Number(Number { text: \"1e-101\" })"),
        ("INF", "Infinity"),
        ("-INF", "NegativeInfinity"),
        ("NaN", "NotANumber"),
        ("'O''Neil'", "String(\"O'Neil\")"),
        ("''", "String(\"\")"),
        ("01234567-89AB-cdef-0123-456789abcdef", "Guid(Guid(1512366075204170929049582354406559215))"),
        ("2012-09-03", "Date(Date(15586))"),
        (
            "2012-09-03T14:53+02:00",
            "DateTimeOffset(DateTimeOffset { ticks: 13466767800000000, offset: 120 })",
        ),
        ("1969-12-31T23:59:59.9999999Z", "DateTimeOffset(DateTimeOffset { ticks: -1, offset: 0 })"),
        (
            "9999-12-31T23:59:59.9999999Z",
            "DateTimeOffset(DateTimeOffset { ticks: 2534023007999999999, offset: 0 })",
        ),
        ("23:59:59.123456789012", "TimeOfDay(TimeOfDay(863991234567))"),
        ("duration'PT1M0.5S'", "Duration(Duration(605000000))"),
        ("binary'Zm9v'", "Binary([102, 111, 111])"),
        (
            "Sales.Pattern'Yellow,4'",
            "Enum(EnumLiteral { type_name: \"Sales.Pattern\", members: [Name(\"Yellow\"), Value(4)] })",
        ),
    ] {
        let literal = Literal::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(format!("{literal:?}"), kind, "{text}");
        assert_eq!(parse(text).kind, ExprKind::Literal(literal), "{text}");
    }
    let number = |text| match Literal::parse(text) {
        Ok(Literal::Number(number)) => number,
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(number("50000.00").decimal().map(|d| d.to_string()), Some("50000.00".to_owned()));
    assert_eq!(number("1.5e3").decimal().map(|d| d.normalize().to_string()), Some("1500".to_owned()));
    assert_eq!(number("1e-101").decimal(), None);
    assert_eq!(
        number("0.12345678901234567890123456789012").decimal(),
        None,
        "more digits than a decimal holds"
    );
    assert!((number("1e-101").double() - 1e-101).abs() < 1e-110);
}

#[test]
fn a_fault_names_its_place_and_what_was_expected() {
    for (text, expected) in [
        ("", "at 0: expected a value"),
        ("name eq ", "at 8: expected a value"),
        ("name eq'x'", "at 7: expected a space after 'eq'"),
        ("status eq \"New\"", "at 10: expected a value; strings are in single quotes"),
        ("status eq 'New", "at 14: expected a quote at the end of the text"),
        ("status equals 'New'", "at 7: expected an operator, found 'equals'"),
        ("status neq 'New'", "at 7: expected an operator, found 'neq'; did you mean 'eq'?"),
        ("status = 'New'", "at 7: expected an operator, found '='; did you mean 'eq'?"),
        ("a && b", "at 2: expected an operator, found '&&'; did you mean 'and'?"),
        ("(a = b)", "at 3: expected an operator, found '='; did you mean 'eq'?"),
        ("(a eq b", "at 7: expected ')'"),
        ("a eq b)", "at 6: expected the end of the text"),
        ("a eq 5x", "at 6: expected the end of the text"),
        ("contains(name)", "at 13: expected ',': contains takes 2 arguments"),
        ("contains()", "at 9: expected an argument of contains"),
        ("tolower(name,'x')", "at 12: expected ')': tolower takes 1 argument"),
        ("now(1)", "at 4: expected ')'"),
        ("contians(name,'x')", "at 0: unknown function 'contians'; did you mean 'contains'?"),
        ("a eq 1 and startWith(name,'x')", "at 11: unknown function 'startWith'; did you mean 'startswith'?"),
        ("frobnicate(name)", "at 0: unknown function 'frobnicate'"),
        ("any(x:x eq 1)", "at 3: expected a collection before 'any'"),
        ("team/all()", "at 9: expected a variable: 'all' asks something of each member"),
        ("team/any(t)", "at 10: expected ':'"),
        ("team/$cnt gt 1", "at 5: expected $count or $filter"),
        ("$its/x eq 1", "at 0: expected $it, $this or $root"),
        ("a eq 2023-02-29", "at 5: the calendar has no day 2023-02-29"),
        ("a eq 2023-13-01", "at 11: expected a month"),
        ("a eq 2023-12-01T24:00Z", "at 17: expected an hour"),
        ("a eq 2023-12-01T12:00", "at 21: expected 'Z' or an offset"),
        ("a in (b,c)", "at 7: expected ')'"),
        ("a in ('b',c)", "at 10: expected a literal"),
        ("a in 'b','c'", "at 8: expected the end of the text"),
        ("a eq ('b','c')", "at 9: expected ')'"),
        ("Model.Type", "at 10: expected '/' or '(' after a qualified name"),
        (
            "a eq geography'SRID=0;Piont(1 2)'",
            "at 22: expected Point, LineString, Polygon, MultiPoint, MultiLineString, MultiPolygon or GeometryCollection",
        ),
        ("a eq {\"b\" 1}", "at 10: expected ':'"),
        ("[\"\\ud800\"]", "at 2: half a surrogate pair is not a character"),
        ("a eq duration'P999999999999999999999D'", "at 14: expected a duration of less than 29,000 years"),
    ] {
        let said = Expr::parse(text, &Limits::default())
            .map_or_else(|error| error.to_string(), |_| "no fault".into());
        assert_eq!(said, expected, "{text}");
    }
}

#[test]
fn a_fault_of_an_option_names_the_option_and_the_place_in_the_query_as_sent() {
    for (text, option, raw_at, message) in [
        ("$filter=name%20eq%20", "$filter", 20, "at 8: expected a value"),
        ("$top=5&$filter=a%20eq%20%27x", "$filter", 28, "at 7: expected a quote at the end of the text"),
        ("$top=-1", "$top", 5, "at 0: expected a whole number that is not negative"),
        ("$top=five", "$top", 5, "at 0: expected a whole number that is not negative"),
        ("$top=5.0", "$top", 6, "at 1: expected the end of the text"),
        ("$count=yes", "$count", 7, "at 0: expected true or false"),
        ("$top=1&$top=2", "$top", 7, "at 0: given twice"),
        ("$top=1&top=2", "$top", 7, "at 0: given twice"),
        ("@a=1&@a=2", "@a", 5, "at 0: given twice"),
        ("$fliter=a", "$fliter", 0, "at 0: no such option; did you mean '$filter'?"),
        ("$levels=1", "$levels", 0, "at 0: $levels belongs inside the parentheses of $expand"),
        ("$filter", "$filter", 7, "at 0: expected '='"),
        ("$filter=%zz", "$filter", 8, "at 0: expected two hexadecimal digits after '%'"),
        ("$filter=%FF", "$filter", 8, "at 0: the decoded text is not UTF-8"),
        ("$expand=a($fliter=b)", "$expand", 10, "at 2: unknown option '$fliter'; did you mean 'filter'?"),
        ("$expand=a($top=1;$top=2)", "$expand", 17, "at 9: $top is given twice"),
        (
            "$expand=a($skiptoken=x)",
            "$expand",
            10,
            "at 2: expected an option that belongs here, found $skiptoken",
        ),
        ("$orderby=a down", "$orderby", 11, "at 2: expected an operator, found 'down'"),
        ("$compute=a", "$compute", 10, "at 1: expected ' as ' and a name"),
        (
            "$apply=agregate($count as n)",
            "$apply",
            7,
            "at 0: unknown transformation 'agregate'; did you mean 'aggregate'?",
        ),
        ("$apply=join(a as b)", "$apply", 7, "at 0: the transformation 'join' is not supported"),
        (
            "$apply=aggregate(a with summ as b)",
            "$apply",
            24,
            "at 17: unknown method 'summ'; did you mean 'sum'?",
        ),
    ] {
        let error = QueryOptions::parse(text, &ParseSettings::default()).expect_err(text);
        assert_eq!((error.option.as_str(), error.raw_at), (option, raw_at), "{text}: {error}");
        assert_eq!(error.error.to_string(), message, "{text}");
    }
}

#[test]
fn names_without_dollar_and_plus_signs_are_settings() {
    let options = query("filter=a+eq+1&TOP=5&%24skip=2&pagesize=10&$COUNT=true&empty");
    assert_eq!(options.filter, Some(parse("a eq 1")));
    assert_eq!((options.top, options.skip, options.count), (Some(5), Some(2), Some(true)));
    assert_eq!(
        (options.custom("pagesize"), options.custom("empty"), options.custom("x")),
        (Some("10"), Some(""), None)
    );

    let strict = ParseSettings { bare_names: false, plus_is_blank: false, ..ParseSettings::default() };
    let options = QueryOptions::parse("filter=a+eq+1&$filter=a%20eq%20%2B1", &strict).expect("well-formed");
    assert_eq!(options.filter, Some(parse("a eq 1")));
    assert_eq!(options.custom("filter"), Some("a+eq+1"));

    let ignoring =
        ParseSettings { empty_is_absent: vec![odata::SystemOption::Expand], ..ParseSettings::default() };
    assert_eq!(QueryOptions::parse("$expand=", &ignoring).expect("well-formed"), QueryOptions::default());
    assert!(QueryOptions::parse("$expand=", &ParseSettings::default()).is_err());
}

#[test]
fn a_plus_in_an_offset_that_became_a_blank_is_an_offset() {
    let sent = query("$filter=a ge 2020-01-01T00:00:00+02:00");
    assert_eq!(sent.filter, Some(parse("a ge 2020-01-01T00:00:00+02:00")));
}

#[test]
fn the_options_of_a_query_come_apart_as_written() {
    let options = query(
        "$filter=team/any(t:t/email eq @who)&$orderby=a/b desc,tolower(c)&$top=18446744073709551616&$skip=3&$search=a OR b\
         &$select=a,b/c,d($select=e;$top=2)&$expand=r($filter=x eq 1;$levels=max),s/$ref,*&$compute=a add 1 as b\
         &$apply=filter(a eq 1)/groupby((b,c/d),aggregate(e with sum as t,$count as n))/topcount(3,t)\
         &$skiptoken=abc&$format=json&$index=-1&@who='x'",
    );
    let text = options.to_string();
    assert_eq!(
        text,
        "$filter=team/any(t:t/email eq @who)&$orderby=a/b desc,tolower(c)&$top=18446744073709551615&$skip=3\
         &$search=a OR b&$select=a,b/c,d($select=e;$top=2)&$expand=r($filter=x eq 1;$levels=max),s/$ref,*\
         &$compute=a add 1 as b&$apply=filter(a eq 1)/groupby((b,c/d),aggregate(e with sum as t,$count as n))\
         /topcount(3,t)&$skiptoken=abc&$format=json&$index=-1&@who='x'"
    );
    assert_eq!(query(&options.to_query()), options);
    assert_eq!(options.alias("who"), Some(&parse("'x'")));
    assert!(options.has(odata::SystemOption::Apply) && !options.has(odata::SystemOption::Count));
    let keys: Vec<bool> =
        options.orderby.iter().flatten().map(|OrderBy { descending, .. }| *descending).collect();
    assert_eq!(keys, [true, false]);
}

#[test]
fn the_outermost_and_chain_is_seen_through_parentheses_and_nowhere_else() {
    let engagement = |text: &str| {
        parse(text).conjuncts().iter().any(|term| {
            term.as_comparison().is_some_and(|(members, op, literal)| {
                members == ["id"] && op == odata::Comparison::Eq && *literal == Literal::Integer(1)
            })
        })
    };
    for (text, found) in [
        ("id eq 1", true),
        ("1 eq id", true),
        ("a and id eq 1", true),
        ("(a and (id eq 1)) and b", true),
        ("$it/id eq 1", true),
        ("a or id eq 1", false),
        ("not (id eq 1)", false),
        ("id in (1)", false),
        ("x/any(y:y/id eq 1)", false),
        ("x/id eq 1", false),
        ("id ne 1", false),
    ] {
        assert_eq!(engagement(text), found, "{text}");
    }
}

#[test]
fn every_node_knows_its_place() {
    let expr = parse("not (name eq 'x') and team/any(t: t/email ne 'y')");
    let mut places = Vec::new();
    expr.walk(&mut |node| places.push((node.at.0, node.to_string())));
    assert_eq!(
        places.iter().map(|(at, text)| (*at, text.as_str())).collect::<Vec<_>>(),
        [
            (0, "not (name eq 'x') and team/any(t:t/email ne 'y')"),
            (0, "not (name eq 'x')"),
            (10, "name eq 'x'"),
            (5, "name"),
            (13, "'x'"),
            (22, "team/any(t:t/email ne 'y')"),
            (42, "t/email ne 'y'"),
            (34, "t/email"),
            (45, "'y'"),
        ]
    );
}

#[test]
fn a_name_can_be_replaced_by_what_it_stands_for() {
    let filter = parse("not (email eq 'x' and a eq 1)").map(&mut |expr| match expr.as_comparison() {
        Some((members, op, literal)) if members == ["email"] => {
            parse(&format!("team/any(t:t/email {} {literal})", op.name()))
        }
        _ => expr,
    });
    assert_eq!(filter.to_string(), "not (team/any(t:t/email eq 'x') and a eq 1)");
}

#[test]
fn what_is_printed_nests_no_deeper_than_what_was_read() {
    for text in [
        format!("{}2", "-".repeat(63)),
        format!("{}2", "- ".repeat(63)),
        format!("{}INF", "- ".repeat(63)),
        format!("{}a", "not ".repeat(63)),
    ] {
        let expr = parse(&text);
        assert_eq!(parse(&expr.to_string()), expr, "{text}");
    }
    for text in
        [format!("{}NOT", "NOT ".repeat(61)), format!("{}AND", "NOT ".repeat(61)), "OR AND OR".to_owned()]
    {
        let options = query(&format!("$search={text}"));
        assert_eq!(query(&options.to_query()), options, "{text}");
    }
}
