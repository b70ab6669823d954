//! Referrals and queries made of random bytes: every choice takes one, and where they end the simplest is chosen.

use bytes::Bytes;
use referral::{Kind, ObjectType, OrganizationId, PropertyDefinition, Referral, ReferralId};
use serde_json::{Map, Value as Json, json};

use super::{Columns, StoredReferral};

/// Random bytes, read one by one.
pub struct Choices<'a> {
    bytes: std::slice::Iter<'a, u8>,
}

impl<'a> Choices<'a> {
    pub fn new(bytes: &'a [u8]) -> Choices<'a> {
        Choices { bytes: bytes.iter() }
    }

    fn below(&mut self, count: usize) -> usize {
        usize::from(self.bytes.next().copied().unwrap_or(0)) % count
    }

    fn one<'b>(&mut self, of: &'b [&'b str]) -> &'b str {
        of[self.below(of.len())]
    }
}

const TEXTS: &[&str] = &[
    "Contoso",
    "",
    "contoso",
    "Ärger im Haus",
    "ä",
    "STRASSE straße",
    "b c",
    " 12 ",
    "İstanbul",
    "日本語",
    "it's",
    "2020-02-29",
    "1.50",
    "true",
    "100%_",
    "2021-03-04T05:06:07+02:00",
    "f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
    "1e300",
    "PT1H30M",
    "Active",
];
const EMAILS: &[&str] =
    &["ann@contoso.example", "Ann@Contoso.example", "BOB@fabrikam.example", "", "ärna@x.example"];
const INSTANTS: &[&str] = &[
    "2020-10-30T21:03:00Z",
    "2018-11-06T18:40:42.6178337Z",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.9999999Z",
    "2020-10-30T21:03:00.0000001Z",
    "1969-12-31T23:59:59Z",
    "2024-02-29T00:00:00Z",
];
const AMOUNTS: &[&str] =
    &["0", "0.1", "12.5", "7", "50000", "9999999999999999999999999999", "0.0001", "7.0001"];
const GUIDS: &[&str] = &[
    "00000000-0000-0000-0000-000000000000",
    "f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
    "aaaaaaaa-0000-4000-8000-000000000001",
];

/// The owner of every random referral.
pub fn owner() -> OrganizationId {
    GUIDS[1].parse().expect("a GUID")
}

/// So many referrals, with documents as the program writes them and the columns that belong to them.
pub fn referrals(choices: &mut Choices<'_>, count: u8) -> Vec<StoredReferral> {
    (0..count).map(|number| referral(choices, number)).collect()
}

fn referral(choices: &mut Choices<'_>, number: u8) -> StoredReferral {
    let mut document = object(choices, &Referral::TYPE);
    document["id"] = json!(ReferralId::from_bytes([number.reverse_bits(); 16]).to_string());
    document["organizationId"] = json!(owner().to_string());
    let referral: Referral = serde_json::from_value(document).expect("the table says what a referral is");
    let mut team: Vec<String> = Vec::new();
    for email in referral.team.iter().filter_map(|member| member.email.as_deref()) {
        let email = odata::fold(email);
        if !email.is_empty() && !team.contains(&email) {
            team.push(email);
        }
    }
    StoredReferral {
        owner: owner(),
        id: referral.id,
        engagement_id: referral.engagement_id,
        version: 1,
        etag: referral.etag,
        columns: Columns {
            status: referral.status,
            substatus: referral.substatus,
            direction: referral.direction,
            qualification: referral.qualification,
            referral_type: referral.referral_type,
            country: referral.customer_profile.address.country.clone(),
            created: referral.created_date_time,
            updated: referral.updated_date_time,
            expires: referral.expiration_date_time,
            accepted: referral.accepted_date_time,
            sender: None,
            offer_lead: false,
            shared_with_microsoft: referral.consent.share_with_microsoft_sellers,
            team,
        },
        document: Bytes::from(referral.to_document()),
    }
}

fn object(choices: &mut Choices<'_>, of: &'static ObjectType) -> Json {
    let members = of.properties.iter().map(|row| (row.name.to_owned(), member(choices, row)));
    Json::Object(members.collect::<Map<String, Json>>())
}

fn member(choices: &mut Choices<'_>, row: &PropertyDefinition) -> Json {
    if row.name == "links" || (row.nullable && choices.below(3) == 1) {
        return Json::Null;
    }
    match &row.kind {
        Kind::Guid | Kind::Organization => choices.one(GUIDS).into(),
        Kind::DateTime => choices.one(INSTANTS).into(),
        Kind::Amount => serde_json::from_str(choices.one(AMOUNTS)).expect("a number"),
        Kind::Boolean | Kind::Flag => (choices.below(2) == 1).into(),
        Kind::Enumeration(list) => choices.one(list.spellings).into(),
        Kind::ETag => json!("\"0100ae4b-0000-0000-0000-5b4f3c1c0000\""),
        Kind::Email => choices.one(EMAILS).into(),
        Kind::Country => choices.one(&["DE", "US", "FR"]).into(),
        Kind::Object(inner) => object(choices, inner),
        Kind::Texts => (0..choices.below(3)).map(|_| choices.one(TEXTS)).collect(),
        Kind::List(inner) | Kind::ProfileIds(inner) => {
            (0..choices.below(3)).map(|_| object(choices, inner)).collect()
        }
        Kind::Unknown => json!([]),
        Kind::Text(_)
        | Kind::NonEmpty(_)
        | Kind::Phone
        | Kind::Currency
        | Kind::Digits
        | Kind::SalesStage => choices.one(TEXTS).into(),
    }
}

/// A referral without amounts whose sums depend on the order of adding.
pub fn small(mut referral: StoredReferral) -> StoredReferral {
    let document = String::from_utf8(referral.document.to_vec()).expect("JSON is text");
    referral.document = Bytes::from(document.replace("9999999999999999999999999999", "99999999"));
    referral
}

/// Equal but for the last digits of what was added up in another order.
pub fn same(one: &Json, other: &Json) -> bool {
    match (one, other) {
        (Json::Number(one), Json::Number(other)) => {
            let (one, other): (f64, f64) =
                (one.as_str().parse().expect("a number"), other.as_str().parse().expect("a number"));
            (one - other).abs() <= 1e-12 * one.abs().max(other.abs())
        }
        (Json::Object(one), Json::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, value)| other.get(name).is_some_and(|other| same(value, other)))
        }
        (Json::Array(one), Json::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        _ => one == other,
    }
}

/// What names mean where an expression stands: paths by their type, and collections.
#[derive(Clone, Default)]
struct Names {
    texts: Vec<String>,
    numbers: Vec<String>,
    instants: Vec<String>,
    booleans: Vec<String>,
    enums: Vec<(String, &'static [&'static str])>,
    guids: Vec<String>,
    /// Paths to arrays, and what is in them; `None` for texts.
    arrays: Vec<(String, Option<&'static ObjectType>)>,
}

impl Names {
    fn of_item() -> Names {
        let mut names = Names::default();
        names.add("", &Referral::TYPE);
        names
    }

    fn add(&mut self, before: &str, of: &'static ObjectType) {
        for row in of.properties.iter().filter(|row| row.name != "links") {
            let path = format!("{before}{}", row.name);
            match &row.kind {
                Kind::Guid => self.guids.push(path),
                Kind::DateTime => self.instants.push(path),
                Kind::Amount => self.numbers.push(path),
                Kind::Boolean | Kind::Flag => self.booleans.push(path),
                Kind::Enumeration(list) => self.enums.push((path, list.spellings)),
                Kind::Object(inner) => self.add(&format!("{path}/"), inner),
                Kind::Texts => self.arrays.push((path, None)),
                Kind::List(inner) | Kind::ProfileIds(inner) => self.arrays.push((path, Some(inner))),
                Kind::Unknown => {}
                _ => self.texts.push(path),
            }
        }
    }
}

/// A filter.
pub fn filter(choices: &mut Choices<'_>) -> String {
    Query { choices, names: vec![Names::of_item()] }.boolean(3)
}

/// An expression of any type.
pub fn expression(choices: &mut Choices<'_>) -> String {
    Query { choices, names: vec![Names::of_item()] }.anything(3)
}

/// Keys of an order, some of them descending.
pub fn order(choices: &mut Choices<'_>) -> String {
    let mut query = Query { choices, names: vec![Names::of_item()] };
    let keys: Vec<String> = (0..1 + query.choices.below(3))
        .map(|_| {
            let key = query.anything(1);
            let direction = query.choices.one(&["", " desc", " asc"]);
            format!("{key}{direction}")
        })
        .collect();
    keys.join(",")
}

struct Query<'a, 'b> {
    choices: &'a mut Choices<'b>,
    names: Vec<Names>,
}

impl Query<'_, '_> {
    /// A path of one sort, of the item or of a member around.
    fn path(&mut self, of: impl Fn(&Names) -> Vec<String>) -> String {
        let mut all: Vec<String> = self.names.iter().rev().flat_map(of).collect();
        if all.is_empty() {
            return "null".to_owned();
        }
        let at = self.choices.below(all.len());
        all.swap_remove(at)
    }

    fn quoted(&mut self, texts: &[&str]) -> String {
        format!("'{}'", self.choices.one(texts).replace('\'', "''"))
    }

    fn anything(&mut self, depth: usize) -> String {
        match self.choices.below(9) {
            0 => self.text(depth),
            1 => self.number(depth),
            2 => self.instant(depth),
            3 => self.boolean(depth),
            4 => self.named().0,
            5 => self.guid(depth),
            6 => self.date(depth),
            7 => self.time(depth),
            _ => self.duration(depth),
        }
    }

    fn boolean(&mut self, depth: usize) -> String {
        if depth == 0 {
            return match self.choices.below(6) {
                0 => self.path(|names| names.booleans.clone()),
                1 => format!("{} ne null", self.path(|names| names.texts.clone())),
                2 => self.choices.one(&["true", "false", "null"]).to_owned(),
                3 => format!("isof({},Edm.String)", self.path(|names| names.texts.clone())),
                4 => {
                    let (path, values) = self.named();
                    format!("{path} eq '{}'", self.choices.one(values))
                }
                _ => format!(
                    "{} eq null",
                    self.path(|names| names.arrays.iter().map(|(path, _)| path.clone()).collect())
                ),
            };
        }
        let below = depth - 1;
        match self.choices.below(20) {
            0 | 1 => self.compare(below),
            2 => format!("({} and {})", self.boolean(below), self.boolean(below)),
            3 => format!("({} or {})", self.boolean(below), self.boolean(below)),
            4 | 5 => format!("not ({})", self.boolean(below)),
            6..=9 => self.any(below),
            10 => {
                let function = self.choices.one(&["contains", "startswith", "endswith"]);
                format!("{function}({},{})", self.text(below), self.text(below))
            }
            11 => {
                let pattern = self.choices.one(&["'^[a-z]+'", "'o'", "'^$'", "'(?i)CON'"]);
                format!("matchesPattern({},{pattern})", self.text(below))
            }
            12 | 13 => self.contained(below),
            14 => {
                let array = self.path(texts_of);
                format!("{} in {array}", self.text(below))
            }
            15 => {
                let (path, values) = self.named();
                format!("{path} has '{}'", self.choices.one(values))
            }
            16 => {
                format!("case({}:{},true:{})", self.boolean(below), self.boolean(below), self.boolean(below))
            }
            17 => format!("cast({},Edm.Boolean)", self.text(below)),
            18 => format!("({}) eq ({})", self.boolean(below), self.boolean(below)),
            _ => self.boolean(0),
        }
    }

    fn compare(&mut self, depth: usize) -> String {
        let op = self.choices.one(&["eq", "ne", "lt", "le", "gt", "ge"]).to_owned();
        let pair = |left: String, right: String| format!("{left} {op} {right}");
        match self.choices.below(10) {
            0 | 1 => pair(self.text(depth), self.text(depth)),
            2 | 3 => pair(self.number(depth), self.number(depth)),
            4 => pair(self.instant(depth), self.instant(depth)),
            5 => {
                let (path, values) = self.named();
                let value = self.choices.one(values);
                pair(path, format!("'{value}'"))
            }
            6 => pair(self.guid(depth), self.guid(depth)),
            7 => pair(self.date(depth), self.date(depth)),
            8 => pair(self.time(depth), self.time(depth)),
            _ => pair(self.duration(depth), self.duration(depth)),
        }
    }

    fn contained(&mut self, depth: usize) -> String {
        let count = self.choices.below(4);
        let list = |members: Vec<String>| format!("({})", members.join(","));
        match self.choices.below(4) {
            0 => {
                let left = self.text(depth);
                let mut members: Vec<String> = (0..count).map(|_| self.quoted(TEXTS)).collect();
                if self.choices.below(3) == 0 {
                    members.push("null".to_owned());
                }
                format!("{left} in {}", list(members))
            }
            1 => {
                let left = self.number(depth);
                let members = (0..count).map(|_| self.literal_number()).collect();
                format!("{left} in {}", list(members))
            }
            2 => {
                let (left, values) = self.named();
                let members = (0..count).map(|_| format!("'{}'", self.choices.one(values))).collect();
                format!("{left} in {}", list(members))
            }
            _ => {
                let left = self.guid(depth);
                let members = (0..count).map(|_| self.choices.one(GUIDS).to_owned()).collect();
                format!("{left} in {}", list(members))
            }
        }
    }

    /// A question to a collection, with a predicate about its members in most cases.
    fn any(&mut self, depth: usize) -> String {
        let arrays: Vec<_> = self.names.iter().rev().flat_map(|names| names.arrays.clone()).collect();
        if arrays.is_empty() {
            return self.boolean(depth);
        }
        let (path, of) = arrays[self.choices.below(arrays.len())].clone();
        let shape = self.choices.below(7);
        let variable = format!("v{}", self.names.len());
        let mut inner = Names::default();
        let implicit = shape >= 4;
        match (of, implicit) {
            (Some(of), false) => inner.add(&format!("{variable}/"), of),
            (Some(of), true) => inner.add("", of),
            (None, false) => inner.texts.push(variable.clone()),
            (None, true) => inner.texts.push("$this".to_owned()),
        }
        // Inside `$filter(…)` names belong to the member alone.
        let around = if implicit { std::mem::take(&mut self.names) } else { Vec::new() };
        self.names.push(inner);
        let predicate = self.boolean(depth);
        self.names.pop();
        if implicit {
            self.names = around;
        }
        match shape {
            0 | 1 => format!("{path}/any({variable}:{predicate})"),
            2 => format!("{path}/all({variable}:{predicate})"),
            3 => format!("{path}/any()"),
            4 => format!("{path}/$count gt {}", self.choices.below(2)),
            5 => format!("{path}/$filter({predicate})/$count ge {}", self.choices.below(3)),
            _ => format!("{path}/$filter({predicate})/any()"),
        }
    }

    fn named(&mut self) -> (String, &'static [&'static str]) {
        let all: Vec<_> = self.names.iter().rev().flat_map(|names| names.enums.clone()).collect();
        if all.is_empty() {
            return ("null".to_owned(), &["x"]);
        }
        all[self.choices.below(all.len())].clone()
    }

    fn text(&mut self, depth: usize) -> String {
        if depth == 0 {
            return match self.choices.below(5) {
                0..=2 => self.path(|names| names.texts.clone()),
                3 => self.quoted(TEXTS),
                _ => self.quoted(EMAILS),
            };
        }
        let below = depth - 1;
        match self.choices.below(10) {
            0 => format!("tolower({})", self.text(below)),
            1 => format!("toupper({})", self.text(below)),
            2 => format!("trim({})", self.text(below)),
            3 => format!("concat({},{})", self.text(below), self.text(below)),
            4 => format!("substring({},{})", self.text(below), self.number(below)),
            5 => format!(
                "substring({},{},{})",
                self.text(below),
                self.choices.below(4) as i64 - 2,
                self.choices.below(5)
            ),
            6 => format!("cast({},Edm.String)", self.anything(below)),
            7 => format!("case({}:{},true:{})", self.boolean(below), self.text(below), self.text(below)),
            _ => self.text(0),
        }
    }

    fn literal_number(&mut self) -> String {
        let odd = ["-1", "12.50", "9223372036854775807", "1e300", "INF", "0.5", "1"];
        self.choices.one(&[AMOUNTS, &odd].concat()).to_owned()
    }

    fn number(&mut self, depth: usize) -> String {
        if depth == 0 {
            return match self.choices.below(2) {
                0 => self.path(|names| names.numbers.clone()),
                _ => self.literal_number(),
            };
        }
        let below = depth - 1;
        match self.choices.below(14) {
            0..=2 => {
                let op = self.choices.one(&["add", "sub", "mul", "div", "divby", "mod"]);
                format!("({} {op} {})", self.number(below), self.number(below))
            }
            3 => format!("-({})", self.number(below)),
            4 => format!("length({})", self.text(below)),
            5 => format!("indexof({},{})", self.text(below), self.text(below)),
            6 => {
                let part = self.choices.one(&[
                    "year",
                    "month",
                    "day",
                    "hour",
                    "minute",
                    "second",
                    "fractionalseconds",
                    "totaloffsetminutes",
                ]);
                format!("{part}({})", self.instant(below))
            }
            7 => format!("totalseconds({})", self.duration(below)),
            8 => {
                let round = self.choices.one(&["round", "floor", "ceiling"]);
                format!("{round}({})", self.number(below))
            }
            9 => {
                let ty = self.choices.one(&["Decimal", "Int32", "Double", "Int64"]);
                format!("cast({},Edm.{ty})", self.number(below))
            }
            10 => {
                let ty = self.choices.one(&["Decimal", "Int64", "Double"]);
                format!("cast({},Edm.{ty})", self.text(below))
            }
            11 => format!("case({}:{},true:{})", self.boolean(below), self.number(below), self.number(below)),
            12 => format!("{}(date({}))", self.choices.one(&["year", "month", "day"]), self.instant(below)),
            _ => self.number(0),
        }
    }

    fn instant(&mut self, depth: usize) -> String {
        if depth == 0 {
            return match self.choices.below(4) {
                0 | 1 => self.path(|names| names.instants.clone()),
                2 => self.choices.one(INSTANTS).to_owned(),
                _ => self
                    .choices
                    .one(&["now()", "mindatetime()", "maxdatetime()", "2020-10-30T23:03:00+02:00"])
                    .to_owned(),
            };
        }
        let below = depth - 1;
        match self.choices.below(5) {
            0 => format!("({} add {})", self.instant(below), self.duration(below)),
            1 => format!("({} sub {})", self.instant(below), self.duration(below)),
            2 => {
                format!("case({}:{},true:{})", self.boolean(below), self.instant(below), self.instant(below))
            }
            3 => format!("cast({},Edm.DateTimeOffset)", self.text(below)),
            _ => self.instant(0),
        }
    }

    fn date(&mut self, depth: usize) -> String {
        match self.choices.below(if depth == 0 { 2 } else { 5 }) {
            0 => self.choices.one(&["2020-10-30", "0001-01-01", "2024-02-29"]).to_owned(),
            1 => format!("date({})", self.instant(0)),
            2 => format!("date({})", self.instant(depth - 1)),
            3 => format!("({} add {})", self.date(depth - 1), self.duration(depth - 1)),
            _ => format!("cast({},Edm.Date)", self.text(depth - 1)),
        }
    }

    fn time(&mut self, depth: usize) -> String {
        match self.choices.below(if depth == 0 { 2 } else { 4 }) {
            0 => self.choices.one(&["21:03:00", "00:00:00", "23:59:59.9999999"]).to_owned(),
            1 => format!("time({})", self.instant(0)),
            2 => format!("time({})", self.instant(depth - 1)),
            _ => format!("cast({},Edm.TimeOfDay)", self.instant(depth - 1)),
        }
    }

    fn duration(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self
                .choices
                .one(&["duration'PT1H'", "duration'-P1DT0.0000001S'", "duration'P400000D'"])
                .to_owned();
        }
        let below = depth - 1;
        match self.choices.below(7) {
            0 => format!("({} sub {})", self.instant(below), self.instant(below)),
            1 => format!("({} sub {})", self.date(below), self.date(below)),
            2 => format!("({} add {})", self.duration(below), self.duration(below)),
            3 => format!("({} mul {})", self.duration(below), self.number(below)),
            4 => format!("-({})", self.duration(below)),
            5 => format!("cast({},Edm.Duration)", self.text(below)),
            _ => self.duration(0),
        }
    }

    fn guid(&mut self, depth: usize) -> String {
        match self.choices.below(if depth == 0 { 3 } else { 4 }) {
            0 | 1 => self.path(|names| names.guids.clone()),
            2 => self.choices.one(GUIDS).to_owned(),
            _ => format!("cast({},Edm.Guid)", self.text(depth - 1)),
        }
    }
}

fn texts_of(names: &Names) -> Vec<String> {
    names.arrays.iter().filter(|(_, of)| of.is_none()).map(|(path, _)| path.clone()).collect()
}

/// The steps of `$apply`, and a filter and an order of what they leave; either may be empty.
pub fn pipeline(choices: &mut Choices<'_>) -> (String, String, String) {
    let mut query = Query { choices, names: vec![Names::of_item()] };
    let steps = query.steps(3);
    let filter = if query.choices.below(3) == 0 { query.boolean(1) } else { String::new() };
    let order = if query.choices.below(3) == 0 { query.ranked() } else { String::new() };
    (steps, filter, order)
}

impl Query<'_, '_> {
    fn steps(&mut self, most: usize) -> String {
        let steps: Vec<String> = (0..1 + self.choices.below(most)).map(|_| self.step()).collect();
        steps.join("/")
    }

    fn step(&mut self) -> String {
        match self.choices.below(14) {
            0..=3 => self.group_by(),
            4 => {
                let aggregates = self.aggregates();
                self.names = vec![aggregates.1];
                format!("aggregate({})", aggregates.0)
            }
            5 | 6 => format!("filter({})", self.boolean(1)),
            7 => {
                let name = self.new_name();
                let computed = self.number(1);
                self.names[0].numbers.push(name.clone());
                format!("compute({computed} as {name})")
            }
            8 => format!("orderby({} desc)", self.ranked()),
            9 => format!("top({})", self.choices.below(4)),
            10 => format!("skip({})", self.choices.below(3)),
            11 => format!("topcount({},{})", self.choices.below(4), self.ranked()),
            12 => format!("bottomcount({},{})", self.choices.below(4), self.ranked()),
            _ => self.concat(),
        }
    }

    /// Something to rank by that is not always the same.
    fn ranked(&mut self) -> String {
        match self.choices.below(3) {
            0 => self.path(|names| names.numbers.clone()),
            1 => self.path(|names| names.texts.clone()),
            _ => self.named().0,
        }
    }

    /// A name that no member has.
    fn new_name(&mut self) -> String {
        format!("n{}", self.names[0].numbers.len() + 100 * self.choices.below(100))
    }

    fn aggregates(&mut self) -> (String, Names) {
        let mut made = Names::default();
        let mut written = Vec::new();
        for number in 0..1 + self.choices.below(3) {
            let name = format!("a{number}{}", self.choices.below(9));
            written.push(match self.choices.below(6) {
                0 | 1 => format!("$count as {name}"),
                2 => format!("{} with countdistinct as {name}", self.ranked()),
                3 => format!("{} with average as {name}", self.number(1)),
                4 => format!("{} with sum as {name}", self.number(1)),
                _ => format!("{} with {} as {name}", self.number(0), self.choices.one(&["min", "max"])),
            });
            made.numbers.push(name);
        }
        (written.join(","), made)
    }

    fn group_by(&mut self) -> String {
        let mut made = Names::default();
        let mut keys = Vec::new();
        for _ in 0..1 + self.choices.below(2) {
            match self.choices.below(4) {
                0 | 1 => {
                    let (path, values) = self.named();
                    made.enums.push((path.clone(), values));
                    keys.push(path);
                }
                2 => {
                    let path = self.path(|names| names.texts.clone());
                    made.texts.push(path.clone());
                    keys.push(path);
                }
                _ => {
                    let path = self.path(|names| names.numbers.clone());
                    made.numbers.push(path.clone());
                    keys.push(path);
                }
            }
        }
        let keys = keys.join(",");
        let apply = match self.choices.below(4) {
            0 => String::new(),
            1 => {
                let filter = self.boolean(1);
                let (aggregates, names) = self.aggregates();
                made.numbers.extend(names.numbers);
                format!(",filter({filter})/aggregate({aggregates})")
            }
            _ => {
                let (aggregates, names) = self.aggregates();
                made.numbers.extend(names.numbers);
                format!(",aggregate({aggregates})")
            }
        };
        self.names = vec![made];
        format!("groupby(({keys}){apply})")
    }

    fn concat(&mut self) -> String {
        let before = self.names.clone();
        let first = self.group_by();
        let between = std::mem::replace(&mut self.names, before);
        let second = match self.choices.below(2) {
            0 => self.group_by(),
            _ => {
                let (aggregates, names) = self.aggregates();
                self.names = vec![names];
                format!("aggregate({aggregates})")
            }
        };
        let second_names = std::mem::replace(&mut self.names, between);
        self.names[0].numbers.extend(second_names.into_iter().flat_map(|names| names.numbers));
        format!("concat({first},{second})")
    }
}
