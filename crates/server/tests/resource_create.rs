//! POST of own deals: what must be there, what is refused, what the server makes of it. Spec 7.3, 8.4, 8.5.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod resource;
mod support;

use serde_json::{Value, json};

use resource::{at, full, text_at, with, without};
use support::{
    BASE, BEGINNING, CONTOSO, CONTOSO_USER, MICROSOFT, World, deal, example, instant, member, small_deal,
};

/// The published answer with what the server alone chooses taken from ours: ids, and the tag's first groups.
fn as_published(published: &str, ours: &Value) -> Value {
    let example = example(published);
    let text = example.to_string().replace("https://api.partner.microsoft.com", BASE);
    let text = text.replace(text_at(&example, "/id"), text_at(ours, "/id"));
    let text = text.replace(text_at(&example, "/engagementId"), text_at(ours, "/engagementId"));
    let mut expected: Value = serde_json::from_str(&text).unwrap();
    let (theirs, tag) = (text_at(&expected, "/eTag").to_owned(), text_at(ours, "/eTag"));
    assert_eq!(theirs[24..], tag[24..], "the tag's last group is the time");
    expected["eTag"] = tag.into();
    expected
}

#[tokio::test]
async fn the_published_requests_get_the_published_answers() {
    // REF-003 REF-103..107 REF-109 REF-110 REF-112 REF-113 REF-126
    let world = World::new().await;
    let contoso = world.contoso();
    for name in ["independent-private", "partner-led", "shared"] {
        let published = example(&format!("create.{name}.response.json"));
        world.clock.set(text_at(&published, "/createdDateTime"));
        let request = example(&format!("create.{name}.request.json"));
        let created = contoso.posts(request).await.expect(201);
        let expected = as_published(&format!("create.{name}.response.json"), &created.body);
        assert_eq!(created.body.to_string(), expected.to_string());
        assert_eq!(contoso.gets(&created.text("id")).await.body, created.body);
        assert_eq!(created.header("etag"), Some(created.text("eTag").as_str()));
        if name == "shared" {
            world
                .clock
                .set(text_at(&example("create.connected-microsoft.response.json"), "/createdDateTime"));
            let mut request = example("create.connected-microsoft.request.json");
            request["engagementId"] = created.body["engagementId"].clone();
            let connected = contoso.posts(request).await.expect(201).body;
            let expected = as_published("create.connected-microsoft.response.json", &connected);
            assert_eq!(connected.to_string(), expected.to_string());
        }
    }
    let services = example("create.services-cosell.request.json");
    let created = contoso.posts(services.clone()).await.expect(201).body;
    let attributes = "/details/requirements/additionalRequirements/attributes";
    assert_eq!(at(&created, attributes), at(&services, attributes)); // REF-131
}

#[tokio::test]
async fn a_missing_required_member_is_named() {
    // REF-098 REF-099 REF-100 REF-101 REF-102
    let world = World::new().await;
    for (pointer, target) in [
        ("/type", "type"),
        ("/customerProfile", "customerProfile"),
        ("/consent", "consent"),
        ("/details", "details"),
        ("/customerProfile/name", "customerProfile/name"),
    ] {
        for body in [without(small_deal(), pointer), with(small_deal(), pointer, Value::Null)] {
            let answer = world.contoso().posts(body).await;
            answer.refused(400, "invalidRequest", target, "missingProperty");
        }
    }
    let answer = world.contoso().posts(with(small_deal(), "/customerProfile/name", json!(""))).await;
    answer.refused(400, "invalidRequest", "customerProfile/name", "invalidValue");
    assert_eq!(world.count(CONTOSO).await, 0);

    let answer = world.contoso().posts(example("create.missing-required.request.json")).await.expect(400);
    let published = example("error.400.missing-required.json");
    assert_eq!(answer.body["error"]["target"], published["error"]["target"]);
    assert_eq!(answer.body["error"]["innerError"]["code"], published["error"]["innerError"]["code"]);
    for name in ["type", "consent", "details"] {
        assert!(answer.body["error"]["message"].as_str().unwrap().contains(name), "{}", answer.body);
    }
    world.contoso().creates(resource::least()).await;
}

#[tokio::test]
async fn an_own_deal_begins_accepted_whatever_open_standing_was_sent() {
    // REF-103 REF-104 REF-105 REF-106 REF-107
    let world = World::new().await;
    for (status, substatus) in [
        (None, None),
        (Some("New"), None),
        (Some("Active"), None),
        (Some("New"), Some("Pending")),
        (Some("New"), Some("Received")),
        (Some("Active"), Some("Accepted")),
        (Some("New"), Some("Accepted")),
        (None, Some("Pending")),
        (None, Some("Received")),
        (None, Some("Accepted")),
    ] {
        world.clock.advance(60);
        let body = with(with(small_deal(), "/status", json!(status)), "/substatus", json!(substatus));
        let created = world.contoso().creates(body).await.body;
        let standing = [&created["status"], &created["substatus"], &created["direction"]];
        assert_eq!(standing, ["Active", "Accepted", "Outgoing"], "{status:?} {substatus:?}");
        assert_eq!(created["expirationDateTime"], Value::Null);
        assert_eq!(created["closedDateTime"], Value::Null);
        for time in ["updatedDateTime", "acceptedDateTime"] {
            assert_eq!(created[time], created["createdDateTime"], "{time}");
        }
        assert_eq!(instant(text_at(&created, "/createdDateTime")), world.clock.time());
    }
}

#[tokio::test]
async fn a_referral_cannot_begin_closed_or_in_another_pair() {
    // REF-117 REF-119
    let world = World::new().await;
    for (status, substatus, target) in [
        (Some("Closed"), None, "status"),
        (Some("Closed"), Some("Won"), "substatus"),
        (Some("Closed"), Some("Pending"), "substatus"),
        (Some("None"), None, "status"),
        (Some("None"), Some("None"), "substatus"),
        (Some("New"), Some("Won"), "substatus"),
        (Some("New"), Some("None"), "substatus"),
        (Some("Active"), Some("Pending"), "substatus"),
        (Some("Active"), Some("Lost"), "substatus"),
        (None, Some("Won"), "substatus"),
        (None, Some("None"), "substatus"),
    ] {
        let body = with(with(small_deal(), "/status", json!(status)), "/substatus", json!(substatus));
        let answer = world.contoso().posts(body).await;
        answer.refused(400, "invalidRequest", target, "invalidStatusSubstatus");
    }
    assert_eq!(world.count(CONTOSO).await, 0);
}

#[tokio::test]
async fn a_value_that_breaks_its_row_is_named() {
    // REF-117 REF-120 REF-121 REF-122 REF-124 REF-125 REF-142 REF-254
    let world = World::new().await;
    let long = |length: usize| json!("ü".repeat(length));
    for (target, value) in [
        ("qualification", json!("Good")),
        ("type", json!("Partner")),
        ("status", json!("Open")),
        ("substatus", json!("Engaged")),
        ("details/currency", json!("EURO")),
        ("details/currency", json!("E1")),
        ("details/currency", json!("€€€")),
        ("customerProfile/address/country", json!("Poland")),
        ("customerProfile/address/country", json!("XXY")),
        ("customerProfile/address/country", json!("U1")),
        ("details/dealValue", json!(-1)),
        ("details/dealValue", json!("-0.01")),
        ("details/dealValue", json!("ten")),
        ("details/dealValue", json!("1,000")),
        ("details/dealValue", json!(0.00001)),
        ("details/dealValue", json!("99999999999999999999999999999")),
        ("details/closingDateTime", json!("tomorrow")),
        ("details/closingDateTime", json!("2026-13-01T00:00:00Z")),
        ("details/closingDateTime", json!("2026-02-30T00:00:00Z")),
        ("details/closingDateTime", json!("01/02/2026")),
        ("details/closingDateTime", json!(1767225600)),
        ("engagementId", json!("37ef26aa")),
        ("mpnId", json!("12a")),
        ("salesStage", json!("200")),
        ("name", long(257)),
        ("externalReferenceId", long(257)),
        ("statusReason", long(1025)),
        ("details/notes", long(10_001)),
        ("campaignId", long(1025)),
        ("customerProfile/address/city", long(1025)),
        ("favorite", json!("yes")),
    ] {
        let answer = world.contoso().posts(with(small_deal(), &format!("/{target}"), value.clone())).await;
        assert_eq!(answer.status, 400, "{target} {value}");
        answer.refused(400, "invalidRequest", target, "invalidValue");
    }
    for (list, value, target) in [
        ("team", json!([member("a@b.example"), { "email": "nobody" }]), "team/1/email"),
        ("team", json!([{ "email": "a@b@c" }]), "team/0/email"),
        ("team", json!([{ "email": "@c" }]), "team/0/email"),
        ("team", json!([{ "email": format!("{}@b.example", "a".repeat(311)) }]), "team/0/email"),
        ("team", json!([{ "phoneNumber": "1".repeat(65) }]), "team/0/phoneNumber"),
        ("target", json!([{ "type": "Somebody", "id": "1" }]), "target/0/type"),
        ("target", json!(vec![json!({ "type": "SolutionProfile", "id": "1" }); 51]), "target"),
        ("customerProfile/team", json!([{ "email": "x" }]), "customerProfile/team/0/email"),
        (
            "customerProfile/ids",
            json!([{ "profileType": "Tax", "id": "1" }]),
            "customerProfile/ids/0/profileType",
        ),
        (
            "details/requirements",
            json!({ "industries": [{ "id": "" }] }),
            "details/requirements/industries/0/id",
        ),
        (
            "details/requirements",
            json!({ "solutions": [{ "id": "x", "type": "Thing" }] }),
            "details/requirements/solutions/0/type",
        ),
        ("inviteContext", json!({ "assistanceRequestCode": "Help" }), "inviteContext/assistanceRequestCode"),
    ] {
        let answer = world.contoso().posts(with(small_deal(), &format!("/{list}"), value)).await;
        answer.refused(400, "invalidRequest", target, "invalidValue");
    }
    assert_eq!(world.count(CONTOSO).await, 0);
}

#[tokio::test]
async fn values_at_their_limits_are_taken() {
    // REF-097
    let world = World::new().await;
    let long = |length: usize| json!("ü".repeat(length));
    for (pointer, value) in [
        ("/name", long(256)),
        ("/externalReferenceId", long(256)),
        ("/statusReason", long(1024)),
        ("/details/notes", long(10_000)),
        ("/details/dealValue", json!("9999999999999999999999999999")),
        (
            "/team",
            json!([{ "email": format!("{}@b.example", "a".repeat(310)) }, { "email": "" }, { "phoneNumber": "1".repeat(64) }]),
        ),
        ("/target", json!(vec![json!({ "type": "None", "id": "1" }); 50])),
        ("/customerProfile/size", json!("10001+employees")),
        ("/details/requirements/industries", json!([{ "id": "i".repeat(256) }])),
    ] {
        world.contoso().creates(with(small_deal(), pointer, value)).await;
    }
}

#[tokio::test]
async fn server_members_in_the_body_are_not_applied() {
    // REF-108 REF-109
    let world = World::new().await;
    let sent = json!({
        "@odata.context": "x", "id": "11111111-2222-4333-8444-555555555555", "organizationId": "msft",
        "organizationName": "Evil", "createdDateTime": "2001-01-01T00:00:00Z",
        "updatedDateTime": "2001-01-01T00:00:00Z", "acceptedDateTime": "2001-01-01T00:00:00Z",
        "closedDateTime": "2001-01-01T00:00:00Z", "expirationDateTime": "2001-01-01T00:00:00Z",
        "eTag": "\"2500ec5a-0000-0000-0000-5bf4967d0000\"", "links": { "self": { "uri": "x" } },
        "direction": "Incoming", "quality": "High", "isSpam": true, "referralSource": "AppSource",
        "callToAction": "Test drive", "dealSensitivity": "High", "tags": ["x"], "createdVia": "x",
        "registrationStatus": "Approved", "registrations": [{ "id": "x" }],
        "trackingInfo": { "microsoftMsxId": "x" }, "referralProgram": "x", "lastRunId": "x",
        "lastModifiedVia": "x",
    });
    let mut body = small_deal();
    body.as_object_mut().unwrap().extend(sent.as_object().unwrap().clone());
    body["customerProfile"]["isMatchingComplete"] = true.into();
    body["team"] = json!([{ "emailValidationStatus": "Valid" }]);
    let made = world.contoso().creates(body).await.body;
    for (name, value) in sent.as_object().unwrap() {
        assert_ne!(&made[name], value, "{name}");
    }
    assert_eq!(made["organizationId"], CONTOSO);
    assert_eq!(made["createdDateTime"], BEGINNING);
    assert_eq!(made["customerProfile"]["isMatchingComplete"], false);
    assert!(made["team"][0].get("emailValidationStatus").is_none());
    let another = world.contoso().creates(small_deal()).await.body;
    assert_ne!(made["engagementId"], another["engagementId"]);
}

#[tokio::test]
async fn the_type_is_kept_as_sent_and_the_partner_ids_are_filled_in() {
    // REF-116
    let world = World::new().await;
    for kind in ["Independent", "Shared"] {
        for seller_consent in [true, false] {
            let body = with(small_deal(), "/type", json!(kind));
            let body =
                with(body, "/consent/consentToShareReferralWithMicrosoftSellers", json!(seller_consent));
            assert_eq!(world.contoso().creates(body).await.body["type"], kind);
        }
    }
    for (sent, made) in [
        ((Value::Null, Value::Null), ("1234567", "1234567")),
        ((json!("42"), Value::Null), ("42", "42")),
        ((Value::Null, json!("77")), ("1234567", "77")),
        ((json!("42"), json!("77")), ("42", "77")),
    ] {
        let body = with(small_deal(), "/mpnId", sent.0);
        let body = with(body, "/inviteContext/invitedMpnId", sent.1);
        let made_of = world.contoso().creates(body).await.body;
        assert_eq!(made_of["mpnId"], made.0);
        assert_eq!(made_of["inviteContext"]["invitedMpnId"], made.1);
    }
    let sellers_own = world.microsoft().creates(small_deal()).await.body;
    assert_eq!(sellers_own["organizationId"], MICROSOFT);
    assert_eq!(sellers_own["mpnId"], Value::Null);
}

#[tokio::test]
async fn a_referral_user_creates_only_with_itself_on_the_team() {
    // REF-028 REF-030
    let world = World::new().await;
    let user = world.person(CONTOSO_USER);
    for team in [json!([]), json!([member("admin@contoso.example")]), json!([{ "email": "" }])] {
        let answer = user.posts(with(deal(), "/team", team)).await;
        answer.refused(403, "accessDenied", "referral", "notOnTeam");
    }
    assert_eq!(world.count(CONTOSO).await, 0);
    for email in [CONTOSO_USER, "USER@Contoso.Example"] {
        let made = user.creates(with(deal(), "/team", json!([member("x@y.example"), member(email)]))).await;
        assert_eq!(user.sees(&made.id).await.body, made.body);
    }
}

#[tokio::test]
async fn every_creation_is_a_referral_of_its_own_with_one_log_entry() {
    // REF-057
    let world = World::new().await;
    let (one, other) = (world.contoso().creates(full()).await, world.contoso().creates(full()).await);
    assert_ne!(one.id, other.id);
    let log = world.log(CONTOSO).await;
    let told: Vec<_> =
        log.iter().map(|entry| (entry.position, entry.referral_id.to_string(), entry.entry.action)).collect();
    assert_eq!(told, [(1, one.id, store::Action::Created), (2, other.id, store::Action::Created)]);
}
