//! Printed trees parse to the same tree: print ∘ parse is the identity on trees, parse ∘ print on canonical text.

use odata::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

fn at() -> Position {
    Position::default()
}

fn name() -> impl Strategy<Value = String> {
    // Also names that are keywords of the grammar elsewhere.
    select(vec![
        "Name", "price", "x_1", "eq", "date", "contains", "desc", "INFO", "Ärger", "nullable", "e5", "as",
    ])
    .prop_map(str::to_owned)
}

fn qualified() -> impl Strategy<Value = String> {
    (name(), name()).prop_map(|(namespace, name)| format!("{namespace}.{name}"))
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[a-c'\";/()&#%+ ]{0,6}"]
}

fn literal() -> impl Strategy<Value = Literal> {
    let ticks = -5000 * 365 * DAY..5000 * 365 * DAY;
    let number = "(0|[1-9][0-9]{0,20})\\.[0-9]{1,12}(e-?[0-9]{1,3})?";
    prop_oneof![
        Just(Literal::Null),
        any::<bool>().prop_map(Literal::Boolean),
        any::<i64>().prop_map(Literal::Integer),
        (any::<bool>(), number).prop_map(|(minus, text)| {
            Literal::parse(&format!("{}{text}", if minus { "-" } else { "" })).expect("a number")
        }),
        Just(Literal::Infinity),
        Just(Literal::NegativeInfinity),
        Just(Literal::NotANumber),
        text().prop_map(Literal::String),
        any::<u128>().prop_map(|guid| Literal::Guid(Guid(guid))),
        (-2_000_000..2_000_000).prop_map(|days| Literal::Date(Date(days))),
        (ticks, -1439i16..1440)
            .prop_map(|(ticks, offset)| Literal::DateTimeOffset(DateTimeOffset { ticks, offset })),
        (0..DAY).prop_map(|ticks| Literal::TimeOfDay(TimeOfDay(ticks))),
        any::<i64>().prop_map(|ticks| Literal::Duration(Duration(ticks))),
        vec(any::<u8>(), 0..8).prop_map(Literal::Binary),
        (
            qualified(),
            vec(
                prop_oneof![name().prop_map(EnumMember::Name), any::<i64>().prop_map(EnumMember::Value)],
                1..3
            )
        )
            .prop_map(|(type_name, members)| Literal::Enum(EnumLiteral { type_name, members })),
        any::<bool>()
            .prop_map(|plane| Literal::Geo(GeoLiteral { plane, text: "SRID=0;Point(142.1 64.1)".into() })),
    ]
}

fn segment(expr: BoxedStrategy<Expr>) -> impl Strategy<Value = Vec<Segment>> {
    let one = |kind| vec![Segment { at: at(), kind }];
    let lambda = (name(), expr.clone())
        .prop_map(|(variable, predicate)| Lambda { at: at(), variable, predicate: Box::new(predicate) })
        .boxed();
    prop_oneof![
        4 => name().prop_map(move |name| one(SegmentKind::Name(name))),
        1 => qualified().prop_map(move |name| one(SegmentKind::Qualified(name))),
        1 => (qualified(), option::of(name()))
            .prop_map(move |(term, qualifier)| one(SegmentKind::Annotation { term, qualifier })),
        1 => (qualified(), arguments(expr.clone())).prop_map(move |(name, arguments)| {
            let mut both = one(SegmentKind::Qualified(name));
            both.push(Segment { at: at(), kind: SegmentKind::Arguments(arguments) });
            both
        }),
        1 => (option::of(expr.clone()), option::of(search())).prop_map(move |(filter, search)| {
            one(SegmentKind::Count { filter: filter.map(Box::new), search: search.map(Box::new) })
        }),
        1 => expr.clone().prop_map(move |predicate| one(SegmentKind::Filter(Box::new(predicate)))),
        1 => option::of(lambda.clone()).prop_map(move |lambda| one(SegmentKind::Any(lambda))),
        1 => lambda.prop_map(move |lambda| one(SegmentKind::All(lambda))),
    ]
}

fn arguments(expr: BoxedStrategy<Expr>) -> impl Strategy<Value = Vec<Argument>> {
    let key = literal().prop_map(|literal| {
        vec![Argument { at: at(), name: None, value: Expr::new(ExprKind::Literal(literal)) }]
    });
    let named =
        vec((name(), expr).prop_map(|(name, value)| Argument { at: at(), name: Some(name), value }), 0..3);
    prop_oneof![key, named]
}

fn path(expr: BoxedStrategy<Expr>) -> impl Strategy<Value = Path> {
    let root = prop_oneof![
        4 => Just(Root::Implicit),
        1 => Just(Root::It),
        1 => Just(Root::This),
        1 => Just(Root::Service),
        1 => name().prop_map(Root::Alias),
    ];
    (root, name(), vec(segment(expr), 0..3)).prop_map(|(root, first, rest)| {
        let mut segments = Vec::new();
        if matches!(root, Root::Implicit | Root::Service) {
            segments.push(Segment { at: at(), kind: SegmentKind::Name(first) });
        }
        segments.extend(rest.into_iter().flatten());
        Path { root, segments }
    })
}

fn expr() -> BoxedStrategy<Expr> {
    let leaf = prop_oneof![
        literal().prop_map(ExprKind::Literal),
        name().prop_map(|name| ExprKind::Path(Path {
            root: Root::Implicit,
            segments: vec![Segment { at: at(), kind: SegmentKind::Name(name) }]
        })),
    ]
    .prop_map(Expr::new);
    leaf.prop_recursive(5, 40, 4, |inner| {
        let inner = inner.boxed();
        let one = || inner.clone().prop_map(Box::new);
        let comparison = select(vec![
            Comparison::Eq,
            Comparison::Ne,
            Comparison::Gt,
            Comparison::Ge,
            Comparison::Lt,
            Comparison::Le,
        ]);
        let arithmetic = select(vec![
            Arithmetic::Add,
            Arithmetic::Sub,
            Arithmetic::Mul,
            Arithmetic::Div,
            Arithmetic::DivBy,
            Arithmetic::Mod,
        ]);
        let type_name = (prop_oneof![name(), qualified()], any::<bool>())
            .prop_map(|(name, collection)| TypeName { at: at(), name, collection });
        let literals = vec(literal().prop_map(|l| Expr::new(ExprKind::Literal(l))), 0..4);
        prop_oneof![
            path(inner.clone()).prop_map(ExprKind::Path),
            one().prop_map(ExprKind::Not),
            one().prop_map(ExprKind::Negate),
            vec(inner.clone(), 2..4).prop_map(ExprKind::And),
            vec(inner.clone(), 2..4).prop_map(ExprKind::Or),
            (comparison, one(), one()).prop_map(|(op, l, r)| ExprKind::Compare(op, l, r)),
            (arithmetic, one(), one()).prop_map(|(op, l, r)| ExprKind::Arithmetic(op, l, r)),
            (one(), one()).prop_map(|(l, r)| ExprKind::Has(l, r)),
            (one(), literals.prop_map(|l| Box::new(Expr::new(ExprKind::List(l)))))
                .prop_map(|(l, r)| ExprKind::In(l, r)),
            (one(), one()).prop_map(|(l, r)| ExprKind::In(l, r)),
            (select(Function::ALL.to_vec()), vec(inner.clone(), 3), any::<bool>()).prop_map(
                |(function, mut arguments, most)| {
                    let (fewest, highest) = function.arity();
                    arguments.truncate(if most { highest } else { fewest });
                    ExprKind::Call(function, arguments)
                }
            ),
            (option::of(one()), type_name.clone()).prop_map(|(o, name)| ExprKind::Cast(o, name)),
            (option::of(one()), type_name).prop_map(|(o, name)| ExprKind::IsOf(o, name)),
            vec((inner.clone(), inner.clone()), 1..3).prop_map(ExprKind::Case),
            vec(inner.clone(), 0..3).prop_map(ExprKind::Array),
            vec((text(), inner), 0..3).prop_map(ExprKind::Object),
        ]
        .prop_map(Expr::new)
    })
    .boxed()
}

fn search() -> impl Strategy<Value = Search> {
    let word =
        prop_oneof![select(vec!["blue", "O'Neil", "!*+,:@/?$", "Δ", "a=b", "é"]).prop_map(str::to_owned),];
    let leaf = prop_oneof![
        word.prop_map(SearchKind::Word),
        "[a-z ;&%#'()é]{1,6}|AND|OR|NOT".prop_map(SearchKind::Phrase),
    ]
    .prop_map(|kind| Search { at: at(), kind });
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|operand| SearchKind::Not(Box::new(operand))),
            vec(inner.clone(), 2..4).prop_map(SearchKind::And),
            vec(inner, 2..4).prop_map(SearchKind::Or),
        ]
        .prop_map(|kind| Search { at: at(), kind })
    })
}

fn item_path() -> impl Strategy<Value = Vec<ItemSegment>> {
    vec(
        prop_oneof![
            3 => name().prop_map(ItemSegmentKind::Name),
            1 => qualified().prop_map(ItemSegmentKind::Qualified),
            1 => (qualified(), option::of(name())).prop_map(|(t, q)| ItemSegmentKind::Annotation(t, q)),
        ]
        .prop_map(|kind| ItemSegment { at: at(), kind }),
        1..3,
    )
}

fn order() -> impl Strategy<Value = Vec<OrderBy>> {
    vec((expr(), any::<bool>()).prop_map(|(expr, descending)| OrderBy { expr, descending }), 1..3)
}

fn computes() -> impl Strategy<Value = Vec<Compute>> {
    vec((expr(), name()).prop_map(|(expr, name)| Compute { at: at(), expr, name }), 1..3)
}

fn pipeline() -> BoxedStrategy<Vec<Transformation>> {
    let aggregate =
        (expr(), select(vec![Method::Sum, Method::CountDistinct, Method::Custom("a.b".into())]), name())
            .prop_map(|(expr, method, name)| Aggregate {
                at: at(),
                expr,
                method: Some(method),
                name: Some(name),
            });
    let group = path(expr()).prop_map(|path| Grouping::Path(Expr::new(ExprKind::Path(path)))).boxed();
    let leaf = prop_oneof![
        Just(TransformationKind::Identity),
        expr().prop_map(TransformationKind::Filter),
        search().prop_map(TransformationKind::Search),
        vec(aggregate, 1..3).prop_map(TransformationKind::Aggregate),
        computes().prop_map(TransformationKind::Compute),
        order().prop_map(TransformationKind::OrderBy),
        any::<u64>().prop_map(TransformationKind::Skip),
        any::<u64>().prop_map(TransformationKind::Top),
        (select(RankMethod::ALL.to_vec()), expr(), expr())
            .prop_map(|(kind, amount, by)| TransformationKind::Ranked { kind, amount, by }),
    ]
    .prop_map(|kind| vec![Transformation { at: at(), kind }]);
    leaf.prop_recursive(2, 8, 3, move |inner| {
        prop_oneof![
            (vec(group.clone(), 1..3), prop_oneof![Just(Vec::new()), inner.clone()])
                .prop_map(|(by, apply)| TransformationKind::GroupBy { by, apply }),
            vec(inner, 2..3).prop_map(TransformationKind::Concat),
        ]
        .prop_map(|kind| vec![Transformation { at: at(), kind }])
    })
    .boxed()
}

fn nested() -> BoxedStrategy<QueryOptions> {
    (
        option::of(expr()),
        option::of(search()),
        option::of(order()),
        option::of(any::<u64>()),
        option::of((name(), expr())),
    )
        .prop_map(|(filter, search, orderby, top, alias)| {
            let mut options = QueryOptions { filter, search, orderby, top, ..QueryOptions::default() };
            options.aliases.extend(alias);
            given(options)
        })
        .prop_filter("parentheses hold an option", |options| {
            !options.given.is_empty() || !options.aliases.is_empty()
        })
        .boxed()
}

fn given(mut options: QueryOptions) -> QueryOptions {
    let all = [
        (options.apply.is_some(), SystemOption::Apply),
        (options.compute.is_some(), SystemOption::Compute),
        (options.count.is_some(), SystemOption::Count),
        (options.expand.is_some(), SystemOption::Expand),
        (options.filter.is_some(), SystemOption::Filter),
        (options.orderby.is_some(), SystemOption::OrderBy),
        (options.search.is_some(), SystemOption::Search),
        (options.select.is_some(), SystemOption::Select),
        (options.skiptoken.is_some(), SystemOption::SkipToken),
        (options.top.is_some(), SystemOption::Top),
    ];
    options.given = all.into_iter().filter(|(set, _)| *set).map(|(_, option)| option).collect();
    options
}

fn query() -> impl Strategy<Value = QueryOptions> {
    let select_items = vec(
        (item_path(), option::of(nested())).prop_map(|(path, options)| SelectItem {
            at: at(),
            path,
            parameters: None,
            options: options.map(Box::new),
        }),
        1..3,
    );
    let expand_items = vec(
        (item_path(), option::of(nested())).prop_map(|(path, options)| ExpandItem {
            at: at(),
            path,
            options: options.map(Box::new),
        }),
        1..3,
    );
    let custom = option::of((select(vec!["pagesize", "x y", "a&b=c", "!z"]), option::of(text())));
    (
        (option::of(pipeline()), option::of(computes()), option::of(any::<bool>()), option::of(expr())),
        (option::of(select_items), option::of(expand_items), option::of(search()), option::of(order())),
        (option::of("[a-z&=+%/ ]{1,8}"), option::of((name(), expr())), custom),
    )
        .prop_map(
            |(
                (apply, compute, count, filter),
                (select, expand, search, orderby),
                (skiptoken, alias, custom),
            )| {
                let mut options = QueryOptions {
                    apply,
                    compute,
                    count,
                    filter,
                    select,
                    expand,
                    search,
                    orderby,
                    skiptoken,
                    ..QueryOptions::default()
                };
                options.aliases.extend(alias);
                options.custom.extend(custom.map(|(name, value)| (name.to_owned(), value)));
                given(options)
            },
        )
}

proptest! {
    #[test]
    fn every_expression_reads_back_as_itself(expr in expr()) {
        let text = expr.to_string();
        let read = Expr::parse(&text, &Limits::default());
        let read = read.map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
        prop_assert!(read == expr, "{} became {}: {:?}", text, read, read);
        prop_assert_eq!(read.to_string(), text);
    }

    #[test]
    fn every_query_reads_back_as_itself_whatever_plus_means(query in query(), plus_is_blank in any::<bool>()) {
        let text = query.to_query();
        let settings = ParseSettings { plus_is_blank, ..ParseSettings::default() };
        let read = QueryOptions::parse(&text, &settings);
        let read = read.map_err(|error| TestCaseError::fail(format!("{text}: {error}, {}", error.raw_at)))?;
        prop_assert!(read == query, "{}\n{:?}\nbecame\n{:?}", text, query, read);
    }

    #[test]
    fn any_text_is_read_or_refused_within_itself(text in any::<String>()) {
        if let Err(error) = Expr::parse(&text, &Limits::default()) {
            prop_assert!(error.at <= text.len() && text.is_char_boundary(error.at), "{}: {}", text, error);
        }
        let _ = QueryOptions::parse(&text, &ParseSettings::default());
        let _ = ResourcePath::parse(&text, &Limits::default());
        let _ = Context::parse(&text);
        let _ = Header::parse(&text);
    }

    #[test]
    fn nearly_a_query_is_read_or_refused_within_itself(
        query in "(\\$(filter|select|expand|apply|compute|search|orderby)=)([a-c]|/|\\(|\\)|'|,|;|:| (eq|and|in|not|as|with) |any|groupby|aggregate|\\$count|\\$filter=|[0-9]|-|%2[0-9]|@|\\.|\\[|\\{|\"){0,25}"
    ) {
        match QueryOptions::parse(&query, &ParseSettings::default()) {
            Ok(read) => {
                let again = QueryOptions::parse(&read.to_query(), &ParseSettings::default());
                prop_assert_eq!(again.as_ref(), Ok(&read), "{} -> {}", query, read.to_query());
            }
            Err(error) => prop_assert!(error.raw_at <= query.len(), "{}: {}", query, error),
        }
    }
}
