//! Properties of any referral, any body and any order of requests. Values are generated from the property table.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

#[expect(dead_code, reason = "the rules use more of it")]
#[path = "rules/support.rs"]
mod support;

use proptest::collection::vec;
use proptest::prelude::*;
use referral::{
    Access, Amount, CreateRequest, DecisionError, Edit, EditRequest, Kind, LifecycleState, ObjectType,
    PatchRequest, PropertyDefinition, PublicBase, Redaction, Referral, ReferralSubstatus, RequestOptions,
    Timestamp, ValidationProfile, parse_json,
};
use serde_json::{Map, Value, json};

use support::{
    EXTENDED, PROGRAM, WIRE, complete, contoso, microsoft, new_ids, own, properties, replace, value,
};

/// Texts with characters that are special in JSON, in pointers or in the store.
fn text(max: usize) -> BoxedStrategy<Value> {
    let mixed = vec(any::<char>().prop_filter("NUL is refused", |letter| *letter != '\0'), 1..12.min(max));
    prop_oneof![
        3 => "[a-z]{1,8}".prop_map(Value::from),
        1 => mixed.prop_map(|letters| Value::from(letters.into_iter().collect::<String>())),
        1 => Just(json!(",\"links\":null,\"~1/{}[]")),
    ]
    .boxed()
}

/// Generates a valid value of the kind, as a caller may write it.
fn legal(kind: &Kind) -> BoxedStrategy<Value> {
    match kind {
        Kind::Text(max) => prop_oneof![9 => text(*max), 1 => Just(json!(""))].boxed(),
        Kind::NonEmpty(max) => text(*max),
        Kind::Phone => "[0-9+ -]{0,20}".prop_map(Value::from).boxed(),
        Kind::Guid => any::<u128>().prop_map(|bits| json!(uuid::Uuid::from_u128(bits).to_string())).boxed(),
        Kind::Organization => Just(json!("msft")).boxed(),
        Kind::ETag => Just(json!("\"2500ec5a-0000-0000-0000-5bf4967d0000\"")).boxed(),
        Kind::DateTime => prop_oneof![
            instant().prop_map(|instant| json!(instant)),
            "20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])(T[01][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-]1[0-3]:30))?"
                .prop_map(Value::from),
        ]
        .boxed(),
        Kind::Amount => prop_oneof![
            "(0|[1-9][0-9]{0,20})(\\.[0-9]{1,4})?".prop_map(Value::from),
            any::<u32>().prop_map(Value::from),
        ]
        .boxed(),
        Kind::Boolean | Kind::Flag => any::<bool>().prop_map(Value::from).boxed(),
        Kind::Enumeration(list) => {
            let spellings = proptest::sample::select(list.spellings);
            (spellings, any::<bool>())
                .prop_map(|(text, upper)| json!(if upper { text.to_uppercase() } else { text.to_owned() }))
                .boxed()
        }
        Kind::Email => "[a-z]{1,4}@[a-z]{1,4}".prop_map(Value::from).boxed(),
        Kind::Country => proptest::sample::select(&["PL", "de", "USA"][..]).prop_map(Value::from).boxed(),
        Kind::Currency => "[A-Za-z]{3}".prop_map(Value::from).boxed(),
        Kind::Digits => "[0-9]{1,9}".prop_map(Value::from).boxed(),
        Kind::SalesStage => proptest::sample::select(&["Close", "42.5", "100"][..]).prop_map(Value::from).boxed(),
        Kind::Object(of) => object(of),
        Kind::List(of) | Kind::ProfileIds(of) => vec(object(of), 0..3).prop_map(Value::from).boxed(),
        Kind::Texts | Kind::Unknown => Just(json!([])).boxed(),
    }
}

/// Generates valid members. Some are left out, and some are null where the contract allows it.
fn object(of: &'static ObjectType) -> BoxedStrategy<Value> {
    let members: Vec<_> = of.properties.iter().filter(|property| is_callers(property)).map(member).collect();
    members.prop_map(|members| Value::Object(members.into_iter().flatten().collect::<Map<_, _>>())).boxed()
}

fn member(property: &'static PropertyDefinition) -> BoxedStrategy<Option<(String, Value)>> {
    let name = property.name.to_owned();
    let some = legal(&property.kind).prop_map(move |value| Some((name.clone(), value)));
    let name = property.name.to_owned();
    match (property.required, property.nullable) {
        (true, _) => some.boxed(),
        (false, true) => {
            prop_oneof![2 => some, 1 => Just(None), 1 => Just(Some((name, Value::Null)))].boxed()
        }
        (false, false) => prop_oneof![2 => some, 1 => Just(None)].boxed(),
    }
}

fn is_callers(property: &PropertyDefinition) -> bool {
    !matches!(property.access, Access::Server | Access::Derived | Access::Fixed)
}

fn instant() -> impl Strategy<Value = Timestamp> {
    (Timestamp::MIN.ticks()..=Timestamp::MAX.ticks()).prop_map(Timestamp::from_ticks)
}

/// A valid body of a create or an update, without status and substatus.
fn body() -> BoxedStrategy<Value> {
    object(&Referral::TYPE)
        .prop_map(|mut body| {
            let members = body.as_object_mut().unwrap();
            members.shift_remove("status");
            members.shift_remove("substatus");
            body
        })
        .boxed()
}

/// Generates a new referral: an own deal, or one that was sent to Contoso.
fn created() -> BoxedStrategy<Referral> {
    (body(), any::<bool>())
        .prop_map(|(mut body, sent)| {
            if sent {
                body["consent"]["consentToToShareInfoWithOthers"] = json!(true);
                let request = CreateRequest::parse(&body, &WIRE).unwrap();
                return request.connected_referral(new_ids(), &contoso(), &microsoft(), None, &WIRE).unwrap();
            }
            CreateRequest::parse(&body, &WIRE).unwrap().own_deal(new_ids(), &contoso(), &WIRE).unwrap()
        })
        .boxed()
}

/// Generates any JSON of moderate size.
fn any_json() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("JSON has no NaN", |number| number.is_finite()).prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inside| {
        prop_oneof![
            vec(inside.clone(), 0..3).prop_map(Value::from),
            vec((".{0,4}", inside), 0..3).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
    .boxed()
}

fn path() -> BoxedStrategy<String> {
    let known: Vec<String> = properties(&Referral::TYPE)
        .into_iter()
        .flat_map(|(path, property)| {
            let elements = match property.kind {
                Kind::List(of) | Kind::ProfileIds(of) => {
                    let inside = of.properties.iter().map(|inner| format!("/{path}/0/{}", inner.name));
                    inside.chain([format!("/{path}/0"), format!("/{path}/-")]).collect()
                }
                _ => Vec::new(),
            };
            [vec![format!("/{path}")], elements].concat()
        })
        .collect();
    prop_oneof![9 => proptest::sample::select(known), 1 => "(/[a-zA-Z0-9~]{0,5}){0,3}"].boxed()
}

fn operations() -> BoxedStrategy<Value> {
    let typed = proptest::sample::select(properties(&Referral::TYPE)).prop_flat_map(|(path, property)| {
        legal(&property.kind).prop_map(move |value| replace(&format!("/{path}"), value)[0].clone())
    });
    let name = proptest::sample::select(&["add", "replace", "remove", "test", "move", "copy"][..]);
    let wild = (name, path(), path(), any_json())
        .prop_map(|(op, path, from, value)| json!({ "op": op, "path": path, "from": from, "value": value }));
    let state = (proptest::sample::select(STATUSES), proptest::sample::select(SUBSTATUSES));
    prop_oneof![
        3 => vec(prop_oneof![4 => typed, 1 => wild], 0..4).prop_map(Value::from),
        1 => state.prop_map(|(status, substatus)| json!([
            { "op": "replace", "path": "/status", "value": status },
            { "op": "replace", "path": "/substatus", "value": substatus },
        ])),
    ]
    .boxed()
}

const STATUSES: &[&str] = &["None", "New", "Active", "Closed"];
const SUBSTATUSES: &[&str] =
    &["None", "Pending", "Received", "Accepted", "Won", "Lost", "Declined", "Expired", "Error"];

#[derive(Debug, Clone)]
enum Command {
    Put(Value),
    Merge(Value),
    Patch(Value),
    Expire,
}

/// A request, the options it is parsed with, and the movement of the clock before it (also backwards), in ticks.
fn command() -> BoxedStrategy<(Command, RequestOptions, i64)> {
    let state = (proptest::sample::select(STATUSES), proptest::sample::select(SUBSTATUSES))
        .prop_map(|(status, substatus)| json!({ "status": status, "substatus": substatus }));
    let members = proptest::sample::select(properties(&Referral::TYPE)).prop_flat_map(|(path, property)| {
        legal(&property.kind).prop_map(move |value| support::body_with(&path, value))
    });
    let bodies = prop_oneof![2 => body(), 2 => state, 4 => members, 1 => any_json()].boxed();
    let command = prop_oneof![
        3 => bodies.clone().prop_map(Command::Put),
        2 => bodies.prop_map(Command::Merge),
        4 => operations().prop_map(Command::Patch),
        1 => Just(Command::Expire),
    ];
    let options = proptest::sample::select(&[WIRE, EXTENDED, PROGRAM][..]);
    (command, options, -10_000_000..1_000_000_000_000_i64).boxed()
}

fn run(
    command: &Command,
    document: &[u8],
    version: u64,
    now: Timestamp,
    options: &RequestOptions,
) -> Result<Option<Edit>, DecisionError> {
    let request = match command {
        Command::Expire => return Referral::expire(document, version),
        Command::Put(body) => EditRequest::put(body, new_ids().id, options)?,
        Command::Merge(body) => EditRequest::merge(body, options)?,
        Command::Patch(operations) => EditRequest::Patch(PatchRequest::parse(operations, options)?),
    };
    request.decide(document, version, now, options)
}

/// Asserts what holds for every referral.
fn assert_sound(referral: &Referral) {
    let state = LifecycleState::from_pair(referral.status, referral.substatus).expect("a legal state");
    assert_eq!(state.is_closed(), referral.closed_date_time.is_some());
    if state.is_new() {
        assert_eq!(referral.accepted_date_time, None);
    }
    if state == LifecycleState::Active {
        assert!(referral.accepted_date_time.is_some());
    }
    if referral.substatus == ReferralSubstatus::Expired {
        assert!(referral.customer_profile.team.is_empty());
    }
    let document = referral.to_document();
    assert_eq!(&Referral::from_document(&document).unwrap(), referral);
    assert_eq!(Referral::from_document(&document).unwrap().to_document(), document);
}

/// Asserts what holds for every change.
fn assert_follows(before: &Referral, edit: &Edit, options: &RequestOptions) {
    let after = &edit.referral;
    assert!(after.updated_date_time > before.updated_date_time);
    assert_ne!(after.etag, before.etag);
    assert_eq!(after.etag.counter(), before.etag.counter() + 1);
    assert_eq!(before.lifecycle_state().transition_to(after.lifecycle_state()), Ok(after.lifecycle_state()));
    assert_eq!((after.id, after.engagement_id), (before.id, before.engagement_id));
    assert_eq!(after.organization_id, before.organization_id);
    assert_eq!(after.created_date_time, before.created_date_time);
    assert_eq!(after.expiration_date_time, before.expiration_date_time);
    assert_eq!(after.invite_context.invited_by, before.invite_context.invited_by);
    assert_eq!(after.registrations, before.registrations);
    assert!(after.consent.share_with_microsoft_sellers >= before.consent.share_with_microsoft_sellers);
    let changes = edit.changes.as_object().unwrap();
    assert!(!changes.is_empty());
    if before.lifecycle_state().is_closed() {
        assert!(
            changes.keys().all(|name| matches!(name.as_str(), "favorite" | "externalReferenceId")),
            "{changes:?}"
        );
    }
    if options.profile == ValidationProfile::Program && after.substatus != ReferralSubstatus::Expired {
        assert_eq!(after.target, before.target);
        assert!(after.consent.share_with_others);
    }
    // The changes name exactly what differs, except version, ETag and time.
    let (mut rebuilt, after) = (value(&before.to_document()), value(&after.to_document()));
    for (path, pair) in changes {
        let pointer = format!("/{path}");
        let (outer, member) = pointer.rsplit_once('/').unwrap();
        rebuilt.pointer_mut(outer).unwrap()[member] = pair[1].clone();
        assert_ne!(pair[0], pair[1]);
    }
    for mark in ["eTag", "updatedDateTime"] {
        rebuilt[mark] = after[mark].clone();
    }
    assert_eq!(without_optional(rebuilt), without_optional(after));
}

/// Removes the only member that is omitted when it is null.
fn without_optional(mut document: Value) -> Value {
    let consent = document["consent"].as_object_mut().unwrap();
    if consent.get("consentToMicrosoftToContactSpecificPartners").is_none_or(Value::is_null) {
        consent.shift_remove("consentToMicrosoftToContactSpecificPartners");
    }
    document
}

proptest! {
    #[test]
    fn any_sequence_of_commands_leaves_a_sound_referral(start in created(), commands in vec(command(), 1..8)) {
        // REF-188 REF-200
        assert_sound(&start);
        let (mut referral, mut now) = (start, new_ids().now);
        for (command, options, moved) in commands {
            now = Timestamp::from_ticks(now.ticks() + moved);
            let version = u64::from(referral.etag.counter());
            let document = referral.to_document();
            match run(&command, &document, version, now, &options) {
                Ok(Some(edit)) => {
                    if !matches!(command, Command::Expire) {
                        assert_follows(&referral, &edit, &options);
                    }
                    assert_sound(&edit.referral);
                    // Repeating a request changes nothing, unless its own test or move operation fails the second time.
                    if matches!(command, Command::Put(_) | Command::Merge(_)) {
                        let again = run(&command, &edit.referral.to_document(), version + 1, now, &options);
                        prop_assert!(matches!(again, Ok(None) | Err(_)), "{again:?}");
                    }
                    referral = edit.referral;
                }
                Ok(None) | Err(DecisionError::Rejected(_)) => {}
                Err(DecisionError::Damaged(error)) => prop_assert!(false, "{error}"),
            }
        }
    }

    #[test]
    fn the_answer_sent_back_is_a_put_without_effect(referral in created()) {
        let document = referral.to_document();
        let answer = PublicBase::new("https://x.example", false).entity(&document, referral.id, referral.engagement_id);
        let mut body = value(&answer);
        body.as_object_mut().unwrap().shift_remove("links");
        for options in [WIRE, PROGRAM, RequestOptions { reject_unknown: true, ..WIRE }] {
            let decided = EditRequest::put(&body, referral.id, &options).unwrap();
            prop_assert_eq!(decided.decide(&document, 1, new_ids().now, &options).unwrap(), None);
        }
    }

    #[test]
    fn one_member_changes_alike_by_put_merge_and_patch(referral in created(), other in body()) {
        let document = referral.to_document();
        for (path, property) in properties(&Referral::TYPE) {
            let Some(sent) = other.pointer(&format!("/{path}")) else { continue };
            if matches!(property.kind, Kind::Object(_)) {
                continue;
            }
            let now = new_ids().now;
            let body = support::body_with(&path, sent.clone());
            let merged = run(&Command::Merge(body.clone()), &document, 1, now, &WIRE).map_err(|error| support::refusal(&error));
            let put = run(&Command::Put(body), &document, 1, now, &WIRE).map_err(|error| support::refusal(&error));
            let patched = run(&Command::Patch(replace(&format!("/{path}"), sent.clone())), &document, 1, now, &WIRE)
                .map_err(|error| support::refusal(&error).replace(&format!(" /{path}"), &format!(" {path}")));
            prop_assert_eq!(&put, &merged, "{}", path);
            prop_assert_eq!(&put, &patched, "{}", path);
        }
    }

    /// A patch that only sets members takes the fast path. With one more operation, it does not.
    #[test]
    fn a_patch_changes_alike_with_a_test_that_holds(referral in created(), operations in operations()) {
        let document = referral.to_document();
        let mut longer = operations.clone();
        longer.as_array_mut().unwrap().insert(0, json!({ "op": "test", "path": "/id", "value": referral.id }));
        let [short, long] = [operations, longer].map(|operations| {
            match run(&Command::Patch(operations), &document, 1, new_ids().now, &EXTENDED) {
                Ok(edit) => Ok(edit),
                Err(error) => Err(support::refusal(&error)),
            }
        });
        prop_assert_eq!(short, long);
    }

    #[test]
    fn a_document_is_written_as_serde_would(referral in created()) {
        prop_assert_eq!(referral.to_document(), serde_json::to_vec(&referral).unwrap());
    }

    #[test]
    fn nobody_sees_more_than_the_owner(referral in created()) {
        for redaction in [Redaction::Inviting, Redaction::NotEntitled, Redaction::Entitled, Redaction::MicrosoftOnPartnerLed] {
            let seen = referral.clone().redact(redaction);
            prop_assert_eq!(seen.clone().redact(redaction), seen.clone());
            prop_assert_eq!((seen.etag, seen.updated_date_time), (referral.etag, referral.updated_date_time));
            prop_assert!(seen.team.iter().all(|member| member.phone_number.is_none()));
        }
    }

    #[test]
    fn a_legal_body_creates_and_any_other_is_refused_by_name(legal in body(), wild in any_json()) {
        prop_assert!(CreateRequest::parse(&legal, &WIRE).is_ok());
        if let Err(invalid) = CreateRequest::parse(&wild, &WIRE) {
            prop_assert!(!invalid.target.is_empty());
        }
    }

    #[test]
    fn an_instant_is_read_as_it_was_written(instant in instant()) {
        let written = instant.to_string();
        prop_assert_eq!(written.parse(), Ok(instant));
        prop_assert!(written.len() <= 28 && written.ends_with('Z') && !written.contains(".0Z"));
        prop_assert_eq!(serde_json::from_str::<Timestamp>(&serde_json::to_string(&instant).unwrap()).unwrap(), instant);
        prop_assert!(instant == Timestamp::MAX || instant.next() > instant);
        prop_assert!(instant.midnight_plus_days(0) <= instant);
    }

    #[test]
    fn any_text_as_an_instant_is_read_or_refused(text in "[0-9TtZz:.+ -]{0,32}|\\PC{0,24}") {
        if let Ok(read) = text.parse::<Timestamp>() {
            prop_assert_eq!(read.to_string().parse(), Ok(read));
        }
    }

    #[test]
    fn an_amount_is_read_as_it_was_written(number in 0..10_i128.pow(28), scale in 0..=4_u32) {
        let digits = format!("{number:05}");
        let (whole, fraction) = digits.split_at(digits.len() - scale as usize);
        let text = if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") };
        let amount: Amount = text.parse().unwrap();
        prop_assert_eq!(amount.to_string().parse(), Ok(amount));
        let written = serde_json::to_string(&amount).unwrap();
        prop_assert!(!written.contains('.') || !written.ends_with('0'));
        prop_assert_eq!(serde_json::from_str::<Amount>(&written).unwrap(), amount);
        // The same number with its decimal point moved by an exponent.
        let moved: Amount = format!("{number}e-{scale}").parse().unwrap();
        prop_assert_eq!(moved, amount);
    }

    #[test]
    fn any_text_as_an_amount_is_read_or_refused(text in "-?[0-9.eE+-]{0,40}|\\PC{0,12}") {
        if let Ok(amount) = text.parse::<Amount>() {
            prop_assert_eq!(amount.to_string().parse(), Ok(amount));
        }
    }

    #[test]
    fn any_bytes_are_json_or_refused(bytes in vec(any::<u8>(), 0..64), json in "[\\[\\]{},:\"\\\\a1 \n]{0,24}") {
        for body in [&bytes[..], json.as_bytes()] {
            let strict = parse_json(body, false);
            let plain = serde_json::from_slice::<Value>(body);
            prop_assert_eq!(strict.as_ref().ok().map(Value::from), plain.ok(), "{:?}", body);
            let tolerant = parse_json(body, true);
            if let Ok(value) = strict {
                prop_assert_eq!(tolerant.unwrap(), value);
            }
        }
    }

    #[test]
    fn trailing_commas_change_nothing_else(json in any_json(), white in "[ \t\r\n]{0,3}") {
        let strict = serde_json::to_vec_pretty(&json).unwrap();
        // A pretty printer puts the end of every non-empty array and object on a line of its own.
        let text = String::from_utf8(strict.clone()).unwrap();
        let lines: Vec<_> = text.lines().collect();
        let mut loose = String::new();
        for (at, line) in lines.iter().enumerate() {
            loose.push_str(line);
            let closes = lines.get(at + 1).is_some_and(|next| matches!(next.trim_start().chars().next(), Some(']' | '}')));
            if closes {
                loose.push_str(&format!("{white},"));
            }
            loose.push('\n');
        }
        prop_assert_eq!(parse_json(loose.as_bytes(), true).unwrap(), parse_json(&strict, false).unwrap());
        prop_assert_eq!(parse_json(loose.as_bytes(), false).is_err(), loose.contains(&format!("{white},\n")) && lines.len() > 1 && has_closing(&lines));
    }
}

fn has_closing(lines: &[&str]) -> bool {
    lines.iter().skip(1).any(|line| matches!(line.trim_start().chars().next(), Some(']' | '}')))
}

#[test]
fn a_refused_patch_is_refused_as_a_whole() {
    // REF-188
    let document = own(&complete());
    let good = json!({ "op": "replace", "path": "/name", "value": "x" });
    for bad in [
        json!({ "op": "replace", "path": "/team/9/title", "value": "x" }),
        json!({ "op": "replace", "path": "/createdDateTime", "value": "2001-01-01" }),
        json!({ "op": "replace", "path": "/status", "value": "New" }),
        json!({ "op": "test", "path": "/name", "value": "y" }),
    ] {
        for operations in [json!([good, bad]), json!([bad, good])] {
            let decided = run(&Command::Patch(operations.clone()), &document, 1, new_ids().now, &EXTENDED);
            assert!(decided.is_err(), "{operations}");
        }
    }
    assert!(run(&Command::Patch(json!([good])), &document, 1, new_ids().now, &EXTENDED).unwrap().is_some());
}
