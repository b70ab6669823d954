//! Binding of names and types against a schema, and the error messages.

mod model;

use model::{expr, query, schema};
use odata::*;

fn bind(text: &str) -> Result<Typed, BindError> {
    let (schema, settings) = (schema(), BindSettings::default());
    Binder::new(&schema, "Item", &settings).filter(&expr(text))
}

fn options(text: &str) -> Result<TypedOptions, BindError> {
    let (schema, settings) = (schema(), BindSettings::default());
    Binder::new(&schema, "Item", &settings).options(&query(text))
}

#[test]
fn a_fault_of_meaning_names_its_place_and_what_might_have_been_meant() {
    use BindErrorKind as K;
    for (text, kind, message) in [
        ("nmae eq 'x'", K::UnknownName, "at 0: unknown property 'nmae'; did you mean 'name'?"),
        ("Name eq 'x'", K::UnknownName, "at 0: unknown property 'Name'; did you mean 'name'?"),
        ("address/cty eq 'x'", K::UnknownName, "at 8: unknown property 'cty'; did you mean 'city'?"),
        ("frob eq 1", K::UnknownName, "at 0: unknown property 'frob'"),
        ("contians('x')", K::UnknownName, "at 0: unknown function 'contians'; did you mean 'contains'?"),
        ("people/email eq 'x'", K::Type, "at 7: 'people' is a collection: use any or all"),
        ("name/any()", K::Type, "at 5: any needs a collection, 'name' is a string"),
        ("name/city eq 'x'", K::Type, "at 5: 'name' is a string: it has no 'city'"),
        ("name eq 5", K::Type, "at 5: a string cannot be compared with a number"),
        ("count eq 'x'", K::Type, "at 6: a number cannot be compared with a string"),
        ("ready eq 1", K::Type, "at 6: a boolean cannot be compared with a number"),
        ("made eq 5", K::Type, "at 5: a date-time cannot be compared with a number"),
        ("id eq 5", K::Type, "at 3: a GUID cannot be compared with a number"),
        ("id eq 'x'", K::Value, "at 6: 'x' is not a GUID"),
        ("made gt 'yesterday'", K::Value, "at 8: 'yesterday' is not a date-time"),
        ("state eq 'Opne'", K::Value, "at 9: State has no member 'Opne'; did you mean 'Open'?"),
        ("state eq 'no such'", K::Value, "at 9: State has no member 'no such'"),
        ("state eq 'Draft,Open'", K::Value, "at 9: State takes one member at a time"),
        ("state eq Shop.Stat'Open'", K::UnknownName, "at 9: unknown enumeration 'Shop.Stat'"),
        (
            "state eq Shop.Colors'Red'",
            K::Type,
            "at 6: an enumeration value cannot be compared with an enumeration value",
        ),
        ("state has 'Open' and name has 'x'", K::Type, "at 21: 'has' needs an enumeration, found a string"),
        ("name", K::Type, "at 0: expected a boolean, found a string: the filter"),
        ("name and ready", K::Type, "at 0: expected a boolean, found a string: 'and'"),
        (
            "not name eq 'x'",
            K::Type,
            "at 4: expected a boolean, found a string: 'not'; it binds tighter than comparisons, so put these in parentheses",
        ),
        ("contains(count,'x')", K::Type, "at 9: contains needs a string, found a number"),
        ("year(name) eq 1", K::Type, "at 5: year needs a date or a date-time, found a string"),
        ("round(name) eq 1", K::Type, "at 6: round needs a number, found a string"),
        ("name add 1 eq 2", K::Type, "at 5: 'add' cannot take a string and a number"),
        ("made add made eq made", K::Type, "at 5: 'add' cannot take a date-time and a date-time"),
        ("-name eq 1", K::Type, "at 1: '-' needs a number or a duration"),
        ("cast(ready,Edm.Int32) eq 1", K::Type, "at 0: a boolean cannot be cast to a number"),
        ("cast(name,Edm.Frob) eq 1", K::UnknownName, "at 10: unknown type 'Edm.Frob'"),
        ("case(name:1) eq 1", K::Type, "at 5: expected a boolean, found a string: a condition of case"),
        ("case(ready:1,true:'x') eq 1", K::Type, "at 18: the values of case are a number and a string"),
        ("name in name", K::Type, "at 8: expected a list or a collection after 'in', found a string"),
        ("name in (1)", K::Type, "at 5: a string cannot be compared with a number"),
        (
            "people/any(p:p/emial eq 'x')",
            K::UnknownName,
            "at 15: unknown property 'emial'; did you mean 'email'?",
        ),
        ("people/any(p:q/email eq 'x')", K::UnknownName, "at 13: unknown property 'q'"),
        ("people/any(p:p/age)", K::Type, "at 13: expected a boolean, found a number: the filter"),
        ("@p eq 1", K::UnknownName, "at 0: no value is given for @p"),
        (
            "matchesPattern(name,'(?=a)')",
            K::Unsupported,
            "at 20: lookahead or lookbehind in a pattern is not supported",
        ),
        (
            "address eq address",
            K::Unsupported,
            "at 8: the comparison of objects and collections is not supported",
        ),
        ("$root/Items/$count gt 1", K::Unsupported, "at 0: $root is not supported"),
        ("related(1)/name eq 'x'", K::Unsupported, "at 7: a key or a function in a path is not supported"),
        ("Shop.f() eq 1", K::Unsupported, "at 0: a function of the service is not supported"),
        ("geo.length(name) eq 1", K::Unsupported, "at 0: the function geo.length is not supported"),
        ("hassubset(tags,['x'])", K::Unsupported, "at 0: the function hassubset is not supported"),
        ("name/@Shop.Term eq 1", K::Unsupported, "at 5: an annotation is not supported"),
        ("people/$filter(age gt 1)/$count/x eq 1", K::Type, "at 32: nothing may follow $count, any or all"),
    ] {
        let error = bind(text).expect_err(text);
        assert_eq!((error.to_string().as_str(), error.kind), (message, kind), "{text}");
    }
}

#[test]
fn literals_become_what_they_meet() {
    let value = |text: &str| {
        let typed = bind(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let (path, op, value) = typed.as_comparison().unwrap_or_else(|| panic!("{text}: {typed:?}"));
        format!("{} {} {value:?}", path.wire(), op.name())
    };
    let guid = "id eq Guid(Guid(1512366075204170929049582354406559215))";
    let open = "state eq Enum { name: \"Open\", value: 1 }";
    let midnight = "made gt DateTimeOffset(DateTimeOffset { ticks: 15776640000000000, offset: 0 })";
    for (text, expected) in [
        ("id eq 01234567-89ab-cdef-0123-456789abcdef", guid),
        ("id eq '01234567-89AB-CDEF-0123-456789abcdef'", guid),
        ("'01234567-89ab-cdef-0123-456789abcdef' eq id", guid),
        ("state eq 'Open'", open),
        ("state eq 'open'", open),
        ("state eq Shop.State'OPEN'", open),
        ("state eq State'1'", open),
        ("made gt 2019-12-30", midnight),
        ("made gt '2019-12-30'", midnight),
        ("made gt '2019-12-30T00:00:00Z'", midnight),
        ("made gt 2019-12-30T00:00Z", midnight),
        ("2019-12-30 lt made", midnight),
        (
            "name eq 01234567-89ab-cdef-0123-456789abcdef",
            "name eq String(\"01234567-89ab-cdef-0123-456789abcdef\")",
        ),
        ("price ge 50000.00", "price ge Decimal(50000.00)"),
        ("price ge 50000", "price ge Integer(50000)"),
        ("address/country eq 'de'", "address/country eq String(\"de\")"),
        ("$it/address/city ne null", "address/city ne Null"),
        ("lasts lt 'PT1H'", "lasts lt Duration(Duration(36000000000))"),
        ("colors eq 'Red,Blue'", "colors eq Enum { name: \"Red,Blue\", value: 5 }"),
    ] {
        assert_eq!(value(text), expected, "{text}");
    }
    let settings = BindSettings {
        quoted_literals: false,
        bare_literals: false,
        ignore_enum_case: false,
        ..BindSettings::default()
    };
    let schema = schema();
    for text in ["id eq '01234567-89ab-cdef-0123-456789abcdef'", "made gt 2019-12-30", "state eq 'open'"] {
        assert!(Binder::new(&schema, "Item", &settings).filter(&expr(text)).is_err(), "{text}");
    }
    let lenient = BindSettings { ignore_property_case: true, ..BindSettings::default() };
    let typed = Binder::new(&schema, "Item", &lenient).filter(&expr("ADDRESS/City eq 'x'")).expect("found");
    assert_eq!(typed.item_paths(), ["address/city"]);
}

#[test]
fn a_pinned_property_is_seen_in_the_outermost_and_chain_alone() {
    for (text, pinned) in [
        ("count eq 1", true),
        ("ready and (name eq 'x' and 1 eq count)", true),
        ("ready or count eq 1", false),
        ("not (count eq 1)", false),
        ("count in (1)", false),
        ("related/any(r:r/count eq 1)", false),
    ] {
        let typed = bind(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(typed.equality_value("count"), pinned.then_some(&Value::Integer(1)), "{text}");
    }
}

#[test]
fn paths_keep_their_steps_flags_and_types() {
    let typed = bind("people/any(p:p/email eq 'x' and address/city eq p/address/city)").expect("meaningful");
    assert_eq!(typed.item_paths(), ["people", "address/city"]);
    let mut comparisons = Vec::new();
    typed.walk(&mut |node| {
        if let TypedKind::Compare { ignore_case, .. } = &node.kind {
            comparisons.push(*ignore_case);
        }
    });
    assert_eq!(comparisons, [true, false]);
}

#[test]
fn options_are_bound_with_computed_names_aliases_and_nesting() {
    let bound = options(
        "$compute=price mul count as total&$filter=total gt @least&@least=5&$orderby=total desc,address/country\
         &$select=name,total,address/city,people($filter=age gt 1;$orderby=email),tags($filter=endswith($this,'x'))\
         &$expand=related($filter=count gt 1;$select=name;$expand=owner),owner/$ref,related/$count&$top=3&$skip=1&$count=true",
    )
    .expect("meaningful");
    assert_eq!(bound.compute.len(), 1);
    assert_eq!(bound.filter.expect("given").item_paths(), ["price", "count"]);
    assert_eq!(
        bound.orderby.iter().map(|key| (key.descending, key.ignore_case)).collect::<Vec<_>>(),
        [(true, false), (false, true)]
    );
    assert_eq!((bound.top, bound.skip, bound.count), (Some(3), Some(1), Some(true)));
    let select = bound.select.expect("given");
    assert_eq!(select.len(), 5);
    assert_eq!(select[1], TypedSelect::Computed("total".into()));
    let kinds: Vec<ExpandKind> = bound.expand.iter().map(|expand| expand.what).collect();
    assert_eq!(kinds, [ExpandKind::Entities, ExpandKind::References, ExpandKind::Count]);
    assert_eq!(bound.expand[0].options.expand.len(), 1);
}

#[test]
fn a_fault_in_options_names_the_option_and_the_place_in_it() {
    for (text, expected) in [
        ("$orderby=nmae", "$orderby, at 0: unknown property 'nmae'; did you mean 'name'?"),
        ("$orderby=people", "$orderby, at 0: a collection cannot be sorted"),
        ("$select=name,nmae", "$select, at 5: unknown property 'nmae'; did you mean 'name'?"),
        ("$select=people($filter=agee gt 1)", "$select, at 15: unknown property 'agee'; did you mean 'age'?"),
        ("$expand=name", "$expand, at 0: 'name' is not a navigation property: use $select, not $expand"),
        ("$expand=relatde", "$expand, at 0: unknown property 'relatde'; did you mean 'related'?"),
        ("$compute=price as name", "$compute, at 9: 'name' exists already"),
        ("$filter=a eq 1", "$filter, at 0: unknown property 'a'"),
        ("$apply=groupby((people/email))", "$apply, at 16: 'people' is a collection: use any or all"),
        ("$apply=aggregate(name with sum as n)", "$apply, at 10: sum needs numbers, found a string"),
        (
            "$apply=aggregate(price with sum as n)&$filter=price gt 1",
            "$filter, at 0: unknown property 'price'",
        ),
        ("$apply=groupby((rollup($all,name)))", "$apply, at 21: rollup is not supported"),
    ] {
        assert_eq!(options(text).expect_err(text).to_string(), expected, "{text}");
    }
}

#[test]
fn what_is_named_twice_and_names_that_are_taken_are_refused() {
    let settings = BindSettings { ignore_property_case: true, ..BindSettings::default() };
    let refused = |text: &str| {
        let schema = schema();
        let options = query(text);
        match Binder::new(&schema, "Item", &settings).options(&options) {
            Ok(_) => None,
            Err(error) => Some(error.message),
        }
    };
    for (text, expected) in [
        ("$select=name,name", "'name' is named twice"),
        ("$select=name,Name", "'name' is named twice"),
        ("$select=*,*", "'*' is named twice"),
        ("$select=people,people($top=1)", "'people' is named twice"),
        ("$select=people($top=1),people($top=2)", "'people' is named twice"),
        ("$select=address/city,id,address/city", "'address/city' is named twice"),
        (
            "$select=people($top=1),people/email",
            "'people/email' must be selected in the parentheses of 'people'",
        ),
        ("$compute=1 as x&$select=x,x", "'x' is named twice"),
        ("$select=people($select=email,email)", "'email' is named twice"),
        ("$select=people($compute=1 as x,2 as x)", "'x' exists already"),
        ("$select=people($compute=1 as email)", "'email' exists already"),
        ("$expand=related,related", "'related' is named twice"),
        ("$expand=related($top=1),owner,Related", "'related' is named twice"),
        ("$expand=related,related/$ref", "'related' is named twice"),
        ("$expand=*,*", "'*' is named twice"),
        ("$expand=related($expand=owner,owner)", "'owner' is named twice"),
        ("$expand=related($select=name,name)", "'name' is named twice"),
        ("$expand=related($compute=1 as name)", "'name' exists already"),
        ("$compute=1 as x,2 as x", "'x' exists already"),
        ("$compute=1 as x,2 as X", "'X' exists already"),
        ("$compute=1 as Name", "'Name' exists already"),
        ("$compute=1 as related", "'related' exists already"),
        ("$apply=aggregate(price with sum as name)", "'name' exists already"),
        ("$apply=aggregate(price with sum as related)", "'related' exists already"),
        ("$apply=aggregate($count as n,price with sum as n)", "two aggregates are named 'n'"),
        ("$apply=groupby((state),aggregate(price with sum as address))", "'address' exists already"),
        ("$apply=groupby((state),aggregate($count as state))", "'state' exists already"),
        ("$apply=groupby((state,state))", "'state' is named twice"),
        ("$apply=groupby((address/city,address/city))", "'address/city' is named twice"),
        ("$apply=compute(1 as x)/compute(2 as x)", "'x' exists already"),
        ("$apply=compute(1 as x)&$compute=2 as x", "'x' exists already"),
        ("$apply=compute(1 as x)/aggregate(x with sum as x)", "'x' exists already"),
        ("$apply=groupby((state),aggregate($count as n))/compute(1 as n)", "'n' exists already"),
        (
            "$apply=concat(aggregate($count as n),aggregate(name with max as n))",
            "'n' is a number in one part and a string in another",
        ),
    ] {
        assert_eq!(refused(text).as_deref(), Some(expected), "{text}");
    }
    for text in [
        "$select=*,name",
        "$select=*,people($top=1)",
        "$select=address,address/city",
        "$select=address/city,address/country,people/email",
        "$expand=*,related($top=1)",
        "$expand=related,related/$count,owner",
        "$expand=related($compute=1 as x)&$compute=1 as x",
        "$apply=groupby((state),aggregate($count as n))&$compute=n add 1 as m",
        "$apply=concat(aggregate($count as n),groupby((state),aggregate($count as n)))",
        "$apply=concat(groupby((address/city)),groupby((address/country)),groupby((address/city)))",
    ] {
        assert_eq!(refused(text), None, "{text}");
    }
}

#[test]
fn a_star_expands_what_is_not_named_beside_it() {
    let names = |text: &str| {
        let bound = options(text).expect(text);
        let name = |expand: &TypedExpand| {
            let wire: Vec<&str> = expand.steps.iter().map(|step| &*step.name).collect();
            (wire.join("/"), expand.item, expand.options.top)
        };
        bound.expand.iter().map(name).collect::<Vec<_>>()
    };
    let related = |item, top| ("related".to_owned(), item, top);
    let owner = |item| ("owner".to_owned(), item, None);
    assert_eq!(names("$expand=*"), [related(0, None), owner(0)]);
    assert_eq!(names("$expand=*,related($top=1)"), [related(1, Some(1)), owner(0)]);
    assert_eq!(names("$expand=related($top=1),owner,*"), [related(0, Some(1)), owner(1)]);
}

#[test]
fn a_computed_member_of_an_object_is_asked_for_its_members() {
    let bound = options(
        "$compute=address as home,people as others&$filter=home/city eq 'x' and others/any(p:p/age gt 1)",
    );
    let paths = bound.expect("meaningful").filter.expect("given").item_paths();
    assert_eq!(paths, ["address/city", "people"]);
    // Variables, and the members that a filter refers to, take precedence over a computed property.
    for filter in ["people/any(p:p/age gt 1)", "people/$count($filter=age gt 1) gt 0"] {
        options(&format!("$compute=1 as p,2 as age&$filter={filter}")).expect(filter);
    }
}

#[test]
fn what_aliases_and_computed_names_stand_for_counts_each_time() {
    let limit = |text: &str| {
        let error = options(text).expect_err("beyond a limit");
        assert_eq!(error.kind, BindErrorKind::Limit, "{error}");
    };
    limit("$filter=@a eq 1&@a=@b&@b=@a");
    let doubling: Vec<String> = (1..40).map(|n| format!("c{} add c{} as c{n}", n - 1, n - 1)).collect();
    limit(&format!("$compute=count as c0,{}", doubling.join(",")));
    let deeper: Vec<String> = (1..100).map(|n| format!("-c{} as c{n}", n - 1)).collect();
    limit(&format!("$compute=count as c0,{}", deeper.join(",")));
    let steps: Vec<String> = (0..200).map(|n| format!("compute(count as c{n})")).collect();
    limit(&format!("$apply={}", steps.join("/")));
    let steps: Vec<String> = (0..200).map(|_| "groupby((address/country,address/city))".to_owned()).collect();
    limit(&format!("$apply={}", steps.join("/")));
    let doubling: Vec<String> = (1..40).map(|n| format!("@a{n}=@a{} add @a{}", n - 1, n - 1)).collect();
    limit(&format!("$filter=@a39 gt 0&@a0=1&{}", doubling.join("&")));
}

#[test]
fn the_result_of_apply_is_what_later_options_speak_of() {
    let bound = options(
        "$apply=filter(ready)/groupby((address/country,state),aggregate(price with sum as total,$count as n))\
         &$filter=total gt 5 and address/country eq 'x' and state eq 'Open'&$orderby=n desc",
    )
    .expect("meaningful");
    let apply = bound.apply.expect("given");
    let names: Vec<&str> = apply.schema.properties(&apply.result).map(|property| &*property.name).collect();
    assert_eq!(names, ["address", "state", "total", "n"]);
    assert!(options("$apply=groupby((state))&$filter=name eq 'x'").is_err());
    assert!(options("$apply=groupby((address/country))&$filter=address/city eq 'x'").is_err());
}

#[test]
fn a_tree_at_the_limits_is_bound_and_evaluated_on_a_small_stack() {
    let work = || {
        let (schema, settings) = (schema(), BindSettings::default());
        let levels = limits::DEPTH / 2 - 3;
        let chain = |n: usize| format!("{}ready{}", "not (".repeat(n), ")".repeat(n));
        let lambda = |n: usize| format!("{}true{}", "people/any(p:".repeat(n), ")".repeat(n));
        let case = |n: usize| format!("{}ready{}", "case(true:".repeat(n), ")".repeat(n));
        for text in [chain(levels), lambda(levels), case(levels)] {
            let typed =
                Binder::new(&schema, "Item", &settings).filter(&expr(&text)).expect("within the limits");
            let evaluator =
                Evaluator { schema: &schema, now: DateTimeOffset { ticks: 0, offset: 0 }, work: None };
            let _ = evaluator.matches(&typed, &model::item());
            assert!(typed.height() > levels);
        }
        let aliases: Vec<String> = (1..60).map(|n| format!("@a{n}=not @a{}", n - 1)).collect();
        let error =
            options(&format!("$filter=@a59&@a0=ready&{}", aliases.join("&"))).expect_err("beyond a limit");
        assert_eq!(error.kind, BindErrorKind::Limit);
        let nested = format!("$expand={}owner{}", "related($expand=".repeat(levels), ")".repeat(levels));
        assert!(options(&nested).is_ok());
    };
    let small = std::thread::Builder::new().stack_size(1 << 20).spawn(work).expect("a thread");
    small.join().expect("no overflow");
}
