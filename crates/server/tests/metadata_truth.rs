//! What `$metadata` says is what the server answers and takes: its types, its annotations, its capabilities.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use support::*;

/// The document as JSON, and ways to look into it.
struct Metadata(Value);

impl Metadata {
    async fn of(world: &World) -> Metadata {
        Metadata(world.call("GET", "/v1.0/$metadata?$format=json").await.expect(200).body)
    }

    fn types(&self) -> &Map<String, Value> {
        self.0["Cosell.Referrals"].as_object().unwrap()
    }

    fn container(&self) -> &Value {
        &self.types()["Container"]
    }

    /// An annotation of the entity set.
    fn capability(&self, term: &str) -> &Value {
        let found = &self.container()["Referrals"][format!("@Capabilities.{term}")];
        assert!(!found.is_null(), "{term}");
        found
    }

    /// A member of such an annotation that is a list of texts.
    fn listed(&self, term: &str, member: &str) -> Vec<String> {
        let list = self.capability(term)[member].as_array().into_iter().flatten();
        list.map(|item| item.as_str().unwrap().to_owned()).collect()
    }

    /// The members of a type with what is said of each.
    fn members(&self, of: &str) -> impl Iterator<Item = (&String, &Value)> {
        let members = self.types()[of].as_object().unwrap().iter();
        members.filter(|(name, _)| !name.starts_with(['$', '@']))
    }

    /// Every structural path that leads through no collection, with what is said of it.
    fn paths(&self, of: &str, before: &str) -> Vec<(String, &Value)> {
        let mut found = Vec::new();
        for (name, member) in self.members(of) {
            let path = format!("{before}{name}");
            if member["$Kind"] == "NavigationProperty" {
                continue;
            }
            if let Some(inner) = own_type(member).filter(|_| member["$Collection"] != true)
                && self.types()[inner]["$Kind"] == "ComplexType"
            {
                found.extend(self.paths(inner, &format!("{path}/")));
            }
            found.push((path, member));
        }
        found
    }

    /// Fails unless a value is one of its declared type; notes every member that was seen.
    fn holds(&self, of: &str, value: &Value, at: &str, seen: &mut BTreeSet<String>) {
        let members = value.as_object().unwrap_or_else(|| panic!("{at}: {value}"));
        for (name, value) in members.iter().filter(|(name, _)| !name.starts_with('@')) {
            let at = format!("{at}/{name}");
            let member = &self.types()[of][name];
            assert!(member.is_object(), "{at} is not declared in {of}");
            seen.insert(format!("{of}/{name}"));
            match value {
                Value::Array(items) => {
                    assert_eq!(member["$Collection"], true, "{at}");
                    items.iter().for_each(|item| self.fits(member, item, &at, seen));
                }
                value => {
                    assert_ne!(member["$Collection"], true, "{at}");
                    self.fits(member, value, &at, seen);
                }
            }
        }
    }

    fn fits(&self, member: &Value, value: &Value, at: &str, seen: &mut BTreeSet<String>) {
        if value.is_null() {
            assert_eq!(member["$Nullable"], true, "{at} is null");
            return;
        }
        let text = || value.as_str().unwrap_or_else(|| panic!("{at}: {value}"));
        match member["$Type"].as_str().unwrap_or("Edm.String") {
            "Edm.String" => {
                let longest = member["$MaxLength"].as_u64().unwrap_or(u64::MAX);
                assert!(text().chars().count() as u64 <= longest, "{at}");
            }
            "Edm.Guid" => assert!(uuid::Uuid::parse_str(text()).is_ok(), "{at}"),
            "Edm.DateTimeOffset" => assert!(text().parse::<referral::Timestamp>().is_ok(), "{at}"),
            "Edm.Boolean" => assert!(value.is_boolean(), "{at}"),
            "Edm.Decimal" => assert!(value.is_number(), "{at}"),
            _ => {
                let of = own_type(member).unwrap_or_else(|| panic!("{at}: {member}"));
                match self.types()[of]["$Kind"].as_str() {
                    Some("EnumType") => assert!(self.types()[of][text()].is_number(), "{at}: {value}"),
                    _ => self.holds(of, value, at, seen),
                }
            }
        }
    }
}

/// The name of a type of this service.
fn own_type(member: &Value) -> Option<&str> {
    member["$Type"].as_str()?.strip_prefix("Cosell.Referrals.")
}

fn temperaments() -> [bool; 2] {
    [false, true]
}

async fn world_of(extended: bool) -> World {
    if extended { World::extended().await } else { World::new().await }
}

/// What no call of this version sets: numbers of other systems, and a registration.
fn set_elsewhere(document: &mut Value) {
    document["tags"] = json!(["vip"]);
    document["customerProfile"]["ids"] = json!([{ "profileType": "Duns", "id": "123456789" }]);
    document["customerProfile"]["team"][0]["emailValidationStatus"] = "Valid".into();
    document["customerProfile"]["team"][0]["phoneValidationStatus"] = "Valid".into();
    document["registrations"] = json!([{
        "id": "R-1",
        "registrationDateTime": "2026-03-02T00:00:00Z",
        "type": "AzureIPCoSell",
        "status": "Approved",
        "statusReason": null,
        "contract": {
            "value": 30000.5, "currency": "USD", "startDateTime": "2026-03-02T00:00:00Z",
            "endDateTime": null, "signDateTime": "2026-03-01T00:00:00Z", "term": "Perpetual",
        },
        "solutionDetails": [{
            "id": "SOL-1", "name": "A solution", "currency": "USD", "value": 30000.5,
            "isDeployedOnAzure": true, "primaryDeploymentOn": "Customer", "pricingModel": "PayAsYouGo",
            "marketplaceTransactionDetails": {
                "isMarketplaceTransacted": false, "marketplaceTransactionDateTime": null,
            },
        }],
        "statusHistory": {
            "reviewPendingDateTime": "2026-03-02T00:00:00Z", "actionRequiredDateTime": null,
            "passedDateTime": null, "failedDateTime": null, "approvedDateTime": "2026-03-02T00:00:00Z",
        },
    }]);
}

/// A deal with something in every list.
fn full_deal() -> Value {
    let mut body = example("create.services-cosell.request.json");
    body["consent"]["consentToMicrosoftToContactSpecificPartners"] = true.into();
    body["target"] = json!([{ "type": "SolutionProfile", "id": "SOL-34104-EBB" }]);
    let requirements = &mut body["details"]["requirements"];
    requirements["industries"] = json!([{ "id": "Education" }]);
    requirements["products"] = json!([{ "id": "Azure" }]);
    requirements["services"] = json!([{ "id": "Integration" }]);
    requirements["solutions"] = json!([{ "id": "SOL-34104-EBB", "name": "A solution", "type": "Name", "price": "12.5", "quantity": 2 }]);
    body
}

#[tokio::test]
async fn answers_hold_the_declared_members_with_values_of_their_types_and_no_others() {
    for extended in temperaments() {
        let world = world_of(extended).await;
        let metadata = Metadata::of(&world).await;
        let deal = world.contoso().creates(full_deal()).await;
        world
            .plant(&deal.id, |stored| {
                let mut document: Value = serde_json::from_slice(&stored.document).unwrap();
                set_elsewhere(&mut document);
                stored.document = document.to_string().into();
            })
            .await;
        let mut seen = BTreeSet::new();
        let one = world.contoso().gets(&deal.id).await.expect(200).body;
        metadata.holds("Referral", &one, "", &mut seen);
        let page = world.contoso().lists("").await.expect(200).body;
        metadata.holds("Referral", &page["value"][0], "value/0", &mut seen);

        let mut declared = BTreeSet::new();
        for (of, definition) in metadata.types() {
            if matches!(definition["$Kind"].as_str(), Some("EntityType" | "ComplexType")) {
                declared.extend(metadata.members(of).map(|(name, _)| format!("{of}/{name}")));
            }
        }
        assert!(declared.remove("Referral/relatedReferrals"), "the navigation is shown when expanded");
        assert_eq!(seen, declared);
        if extended {
            let page = world.contoso().lists("?$expand=relatedReferrals").await.expect(200).body;
            metadata.holds("Referral", &page["value"][0], "value/0", &mut seen);
            assert!(seen.contains("Referral/relatedReferrals"));
        }
    }
}

/// The status of a list, asked by Contoso's Referral Admin.
async fn lists(world: &World, query: &str) -> u16 {
    let query = query.replace(' ', "%20").replace('#', "%23");
    world.call("GET", &format!("{REFERRALS}?{query}")).as_user(CONTOSO_ADMIN).await.status
}

#[tokio::test]
async fn members_are_filtered_and_sorted_by_where_it_says_so() {
    for extended in temperaments() {
        let world = world_of(extended).await;
        let metadata = Metadata::of(&world).await;
        world.contoso().creates(full_deal()).await;
        let unfiltered = metadata.listed("FilterRestrictions", "NonFilterableProperties");
        let unsorted = metadata.listed("SortRestrictions", "NonSortableProperties");
        let within = |list: &[String], path: &str| {
            list.iter().any(|closed| path == closed || path.starts_with(&format!("{closed}/")))
        };
        let mut wrong = Vec::new();
        for (path, member) in metadata.paths("Referral", "") {
            let complex = own_type(member).is_some_and(|of| metadata.types()[of]["$Kind"] == "ComplexType");
            let filter = match member["$Collection"] == true {
                true => format!("$filter={path}/any()"),
                false if complex => continue,
                false => format!("$filter={path} eq null"),
            };
            let orderby = format!("$orderby={path}");
            for (query, closed) in [(filter, &unfiltered), (orderby, &unsorted)] {
                let status = lists(&world, &query).await;
                if (status == 200) == within(closed, &path) {
                    wrong.push(format!("{query}: {status}"));
                }
            }
        }
        assert!(wrong.is_empty(), "extended: {extended}, {wrong:#?}");
    }
}

/// A filter for every function and operator there is.
const FILTERS: [(&str, &str); 51] = [
    ("eq", "name eq 'a'"),
    ("ne", "name ne 'a'"),
    ("gt", "details/dealValue gt 1"),
    ("ge", "details/dealValue ge 1"),
    ("lt", "details/dealValue lt 1"),
    ("le", "details/dealValue le 1"),
    ("and", "favorite and favorite"),
    ("or", "favorite or favorite"),
    ("not", "not favorite"),
    ("in", "status in ('New','Active')"),
    ("any", "team/any(t:t/email eq 'a@contoso.example')"),
    ("all", "team/all(t:t/email eq 'a@contoso.example')"),
    ("has", "status has 'New'"),
    ("add", "details/dealValue add 1 eq 2"),
    ("sub", "details/dealValue sub 1 eq 2"),
    ("mul", "details/dealValue mul 1 eq 2"),
    ("div", "details/dealValue div 1 eq 2"),
    ("divby", "details/dealValue divby 1 eq 2"),
    ("mod", "details/dealValue mod 2 eq 1"),
    ("cast", "cast(details/dealValue,Edm.String) eq '1'"),
    ("isof", "isof(name,Edm.String)"),
    ("case", "case(favorite:1,true:2) eq 2"),
    ("concat", "concat(name,'a') eq 'a'"),
    ("contains", "contains(name,'a')"),
    ("endswith", "endswith(name,'a')"),
    ("indexof", "indexof(name,'a') eq 1"),
    ("length", "length(name) eq 1"),
    ("startswith", "startswith(name,'a')"),
    ("substring", "substring(name,1) eq 'a'"),
    ("matchesPattern", "matchesPattern(name,'a')"),
    ("tolower", "tolower(name) eq 'a'"),
    ("toupper", "toupper(name) eq 'A'"),
    ("trim", "trim(name) eq 'a'"),
    ("hassubset", "hassubset(tags,['vip'])"),
    ("hassubsequence", "hassubsequence(tags,['vip'])"),
    ("year", "year(createdDateTime) eq 2026"),
    ("month", "month(createdDateTime) eq 3"),
    ("day", "day(createdDateTime) eq 2"),
    ("hour", "hour(createdDateTime) eq 2"),
    ("minute", "minute(createdDateTime) eq 2"),
    ("second", "second(createdDateTime) eq 2"),
    ("fractionalseconds", "fractionalseconds(createdDateTime) lt 1"),
    ("totalseconds", "totalseconds(duration'PT1S') eq 1"),
    ("totaloffsetminutes", "totaloffsetminutes(createdDateTime) eq 0"),
    ("date", "date(createdDateTime) eq 2026-03-02"),
    ("time", "time(createdDateTime) eq 09:30:00"),
    ("now", "createdDateTime le now()"),
    ("mindatetime", "createdDateTime ge mindatetime()"),
    ("maxdatetime", "createdDateTime le maxdatetime()"),
    ("round", "round(details/dealValue) eq 1"),
    ("floor", "floor(details/dealValue) eq 1 and ceiling(details/dealValue) eq 1"),
];

#[tokio::test]
async fn the_functions_it_names_are_those_that_filters_take() {
    for extended in temperaments() {
        let world = world_of(extended).await;
        world.contoso().creates(full_deal()).await;
        let metadata = Metadata::of(&world).await;
        let named: Vec<&str> = metadata
            .capability("FilterFunctions")
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_str)
            .collect();
        let mut wrong = Vec::new();
        for (name, filter) in FILTERS {
            let status = lists(&world, &format!("$filter={filter}")).await;
            if (status == 200) != named.contains(&name) {
                wrong.push(format!("{filter}: {status}"));
            }
        }
        assert!(wrong.is_empty(), "extended: {extended}, {wrong:#?}");
        let tried = |name: &&str| *name == "ceiling" || FILTERS.iter().any(|(known, _)| known == name);
        assert!(named.iter().all(tried), "{named:?}");
        let geo = lists(&world, "$filter=geo.length(null) eq 1").await;
        assert_ne!(geo, 200);
    }
}

/// Every transformation of the data aggregation extension that works on a list alone.
const TRANSFORMATIONS: [(&str, &str); 16] = [
    ("aggregate", "aggregate(details/dealValue with sum as total)"),
    ("bottomcount", "bottomcount(1,details/dealValue)"),
    ("bottompercent", "bottompercent(1,details/dealValue)"),
    ("bottomsum", "bottomsum(1,details/dealValue)"),
    ("compute", "compute(length(name) as l)"),
    ("concat", "concat(aggregate($count as all),groupby((status)))"),
    ("filter", "filter(favorite)"),
    ("groupby", "groupby((status),aggregate($count as n))"),
    ("identity", "identity"),
    ("orderby", "orderby(name)"),
    ("search", "search(deal)"),
    ("skip", "skip(1)"),
    ("top", "top(1)"),
    ("topcount", "topcount(1,details/dealValue)"),
    ("toppercent", "toppercent(1,details/dealValue)"),
    ("topsum", "topsum(1,details/dealValue)"),
];

#[tokio::test]
async fn the_options_it_claims_are_those_that_the_list_takes() {
    for extended in temperaments() {
        let world = world_of(extended).await;
        world.contoso().creates(full_deal()).await;
        let metadata = Metadata::of(&world).await;
        let claims = |term: &str, member: &str| metadata.capability(term)[member] == true;
        let select = |member: &str| claims("SelectSupport", member);
        let applies = metadata.container()["Referrals"].get("@Aggregation.ApplySupported").is_some();
        let mut wrong = Vec::new();
        for (claimed, query) in [
            (metadata.capability("TopSupported") == true, "$top=1"),
            (metadata.capability("SkipSupported") == true, "$skip=1"),
            (metadata.capability("ComputeSupported") == true, "$compute=length(name) as l&$select=l"),
            (claims("CountRestrictions", "Countable"), "$count=true"),
            (claims("FilterRestrictions", "Filterable"), "$filter=favorite eq true"),
            (claims("SearchRestrictions", "Searchable"), "$search=deal"),
            (claims("ExpandRestrictions", "Expandable"), "$expand=relatedReferrals"),
            (applies, "$apply=aggregate($count as n)"),
            (select("Supported"), "$select=id,team"),
            (select("Filterable"), "$select=team($filter=email ne null)"),
            (select("Searchable"), "$select=team($search=jo)"),
            (select("TopSupported"), "$select=team($top=1)"),
            (select("SkipSupported"), "$select=team($skip=1)"),
            (select("ComputeSupported"), "$select=team($compute=length(email) as l;$select=l)"),
            (select("Countable"), "$select=team($count=true)"),
            (select("Sortable"), "$select=team($orderby=email)"),
            (select("Expandable"), "$select=team($expand=relatedReferrals)"),
        ] {
            let status = lists(&world, query).await;
            if (status == 200) != claimed {
                wrong.push(format!("{query}: {status}"));
            }
        }
        let set = &metadata.container()["Referrals"];
        let transformations = set["@Aggregation.ApplySupported"]["Transformations"].as_array();
        let claimed: Vec<&str> = transformations.into_iter().flatten().filter_map(Value::as_str).collect();
        for (name, apply) in TRANSFORMATIONS {
            let status = lists(&world, &format!("$apply={apply}")).await;
            if (status == 200) != claimed.contains(&name) {
                wrong.push(format!("$apply={apply}: {status}"));
            }
        }
        assert!(
            claimed.iter().all(|name| TRANSFORMATIONS.iter().any(|(known, _)| known == name)),
            "{claimed:?}"
        );
        assert!(wrong.is_empty(), "extended: {extended}, {wrong:#?}");
    }
}

#[tokio::test]
async fn the_paths_it_claims_are_there_and_the_others_are_not() {
    for extended in temperaments() {
        let world = world_of(extended).await;
        let metadata = Metadata::of(&world).await;
        let deal = world.contoso().creates(full_deal()).await;
        let asked = async |path: &str| world.call("GET", path).as_user(CONTOSO_ADMIN).await.status;
        let uncounted = metadata.listed("CountRestrictions", "NonCountableProperties");
        for (path, member) in metadata.paths("Referral", "") {
            if member["$Collection"] == true {
                let expected = if uncounted.contains(&path) { 404 } else { 200 };
                let at = format!("{}/{path}/$count", deal.path());
                assert_eq!(asked(&at).await, expected, "extended: {extended}, {at}");
            }
        }
        let navigable =
            metadata.container()["Referrals"].get("@Capabilities.NavigationRestrictions").is_none();
        assert_eq!(asked(&format!("{}/relatedReferrals", deal.path())).await == 200, navigable);
        assert_eq!(asked(&format!("{}/relatedReferrals/$count", deal.path())).await == 200, navigable);
        assert_eq!(metadata.capability("IndexableByKey"), true);
        assert_eq!(metadata.container()["@Capabilities.KeyAsSegmentSupported"], true);
        assert_eq!(asked(&deal.path()).await, 200);
        let batches = metadata.container()["@Capabilities.BatchSupported"] == true;
        let none = json!({ "requests": [] });
        let status = world.call("POST", "/v1.0/$batch").as_user(CONTOSO_ADMIN).json(none).await.status;
        assert_eq!(status == 200, batches, "extended: {extended}, $batch: {status}");
    }
}

#[tokio::test]
async fn what_it_says_of_changes_holds() {
    let world = World::new().await;
    let metadata = Metadata::of(&world).await;
    for path in metadata.listed("InsertRestrictions", "RequiredProperties") {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", &path));
        let mut body = full_deal();
        let parent = if parent.is_empty() { String::new() } else { format!("/{parent}") };
        body.pointer_mut(&parent).unwrap().as_object_mut().unwrap().remove(name).unwrap();
        world.contoso().posts(body).await.refused(400, "invalidRequest", &path, "missingProperty");
    }
    let deal = world.contoso().creates(full_deal()).await;
    let allow = world.call("OPTIONS", &deal.path()).await.expect(204);
    let allow: Vec<&str> = allow.header("allow").unwrap().split(", ").collect();
    for method in metadata.capability("UpdateRestrictions")["UpdateMethod"].as_str().unwrap().split(',') {
        assert!(allow.contains(&method), "{method} in {allow:?}");
    }
    assert_eq!(metadata.capability("DeleteRestrictions")["Deletable"], false);
    assert!(!allow.contains(&"DELETE"));
    let unknown = "00000000-0000-4000-8000-00000000abcd";
    assert_eq!(metadata.capability("UpdateRestrictions")["Upsertable"], false);
    world.contoso().puts(unknown, "*", json!({ "name": "New" })).await.expect(404);
}

/// Another value of the same form.
fn another(member: &Value, value: &Value) -> Value {
    match value {
        Value::Bool(value) => json!(!value),
        Value::Array(_) => json!(["other"]),
        Value::Object(members) => json!({ members.keys().next().unwrap(): "Other" }),
        _ if member["$Type"] == "Edm.Guid" => json!("00000000-0000-4000-8000-00000000abcd"),
        _ if member["$Type"] == "Edm.DateTimeOffset" => json!("2001-01-01T00:00:00Z"),
        _ => json!("Other"),
    }
}

#[tokio::test]
async fn what_is_computed_or_immutable_cannot_be_changed() {
    let worlds = [(World::new().await, full_deal()), (World::program().await, program_deal())];
    for (world, body) in worlds {
        let metadata = Metadata::of(&world).await;
        let deal = world.contoso().creates(body).await;
        let mut closed = 0;
        for (name, member) in metadata.members("Referral") {
            let is_closed = member["@Core.Computed"] == true || member["@Core.Immutable"] == true;
            if !is_closed || member["$Kind"] == "NavigationProperty" {
                continue;
            }
            let value = another(member, &deal.body[name]);
            let refused = world.contoso().replaces(&deal.id, &format!("/{name}"), value.clone()).await;
            assert_eq!(refused.status, 400, "{name} = {value}: {}", refused.body);
            closed += 1;
        }
        assert!(closed > 20, "{closed}");
    }
}

/// A deal that the program profile takes.
fn program_deal() -> Value {
    let mut body = full_deal();
    body["customerMarketplaceIntent"] = "Yes".into();
    body
}
