//! The program profile: the rows of the user pages over the wire contract's own. Spec 5.5, 6.7, 8.4, 8.5, T14.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod resource;
mod support;

use serde_json::{Value, json};

use resource::{replace, with, without};
use support::{CONTOSO, Deal, World, deal, example, member, path};

/// A record that the program takes.
fn complete() -> Value {
    let body = with(deal(), "/customerMarketplaceIntent", json!("Yes"));
    with(body, "/customerProfile/ids", json!([{ "profileType": "Duns", "id": "795986822" }]))
}

const ATTRIBUTES: &str = "/details/requirements/additionalRequirements/attributes";

fn attributes(names: &[&str]) -> Value {
    names.iter().map(|name| json!({ "type": name, "id": "x" })).collect()
}

#[tokio::test]
async fn a_record_must_be_complete() {
    // REF-127 REF-128 REF-130
    let world = World::program().await;
    world.contoso().creates(complete()).await;
    let one = member("a@b.example");
    for (pointer, value, target, inner) in [
        ("/name", Value::Null, "name", "missingProperty"),
        ("/name", json!(" "), "name", "missingProperty"),
        (
            "/customerProfile/address/country",
            Value::Null,
            "customerProfile/address/country",
            "missingProperty",
        ),
        (
            "/customerProfile/address/addressLine1",
            Value::Null,
            "customerProfile/address/addressLine1",
            "missingProperty",
        ),
        ("/customerProfile/address/city", json!(""), "customerProfile/address/city", "missingProperty"),
        ("/details/dealValue", Value::Null, "details/dealValue", "missingProperty"),
        ("/details/currency", Value::Null, "details/currency", "missingProperty"),
        ("/details/closingDateTime", Value::Null, "details/closingDateTime", "missingProperty"),
        (
            "/details/closingDateTime",
            json!("2026-03-01T23:59:59Z"),
            "details/closingDateTime",
            "invalidValue",
        ),
        ("/details/requirements/solutions", json!([]), "details/requirements/solutions", "missingProperty"),
        ("/details/requirements", json!({}), "details/requirements/solutions", "missingProperty"),
        (
            "/details/requirements/solutions",
            json!(vec![json!({ "id": "x" }); 51]),
            "details/requirements/solutions",
            "invalidValue",
        ),
        ("/team", json!([]), "team", "missingProperty"),
        ("/team", json!(vec![one.clone(); 51]), "team", "invalidValue"),
        (
            "/team",
            json!([one, without(one.clone(), "/phoneNumber")]),
            "team/1/phoneNumber",
            "missingProperty",
        ),
        ("/team/0/email", json!(""), "team/0/email", "missingProperty"),
        (
            "/consent/consentToToShareInfoWithOthers",
            json!(false),
            "consent/consentToToShareInfoWithOthers",
            "invalidValue",
        ),
        ("/customerMarketplaceIntent", Value::Null, "customerMarketplaceIntent", "missingProperty"),
        ("/customerProfile/size", json!("Unknown"), "customerProfile/size", "invalidValue"),
        ("/target", json!([{ "type": "None", "id": "x" }]), "target/0/type", "invalidValue"),
        (
            "/details/requirements/industries",
            json!([{ "id": "Space" }]),
            "details/requirements/industries/0/id",
            "invalidValue",
        ),
        (
            "/details/requirements/products",
            json!([{ "id": "Azure" }, { "id": "Clippy" }]),
            "details/requirements/products/1/id",
            "invalidValue",
        ),
        (
            "/details/requirements/services",
            json!([{ "id": "None" }]),
            "details/requirements/services/0/id",
            "invalidValue",
        ),
        (
            "/details/requirements/solutions",
            json!([{ "id": "Own", "type": "Category" }]),
            "details/requirements/solutions/0/id",
            "invalidValue",
        ),
    ] {
        let body = with(complete(), pointer, value.clone());
        let answer = world.contoso().posts(body.clone()).await;
        assert_eq!(answer.status, 400, "{pointer} {value}");
        answer.refused(400, "invalidRequest", target, inner);
        // The wire profile takes the very same.
        if pointer == "/name" {
            World::new().await.contoso().creates(body).await;
        }
    }
    for (pointer, value) in [
        ("/details/closingDateTime", json!("2026-03-02T00:00:00Z")),
        ("/details/requirements/solutions", json!(vec![json!({ "id": "x" }); 50])),
        ("/team", json!(vec![one.clone(); 50])),
        ("/customerProfile/size", json!("Morethan20000employees")),
        ("/details/requirements/solutions", json!([{ "id": "BigData", "type": "Category" }])),
    ] {
        world.contoso().creates(with(complete(), pointer, value)).await;
    }
    assert_eq!(world.count(CONTOSO).await, 6);
}

#[tokio::test]
async fn a_services_co_sell_deal_names_role_area_and_play_together() {
    // REF-129
    let world = World::program().await;
    for (names, taken) in [
        (&[][..], true),
        (&["Other"], true),
        (&["PartnerRole", "SolutionArea", "SolutionPlay"], true),
        (&["solutionplay", "PartnerRole", "SolutionArea", "Other"], true),
        (&["PartnerRole"], false),
        (&["PartnerRole", "SolutionArea"], false),
        (&["SolutionArea", "SolutionPlay"], false),
        (&["PartnerRole", "SolutionPlay"], false),
    ] {
        let answer = world.contoso().posts(with(complete(), ATTRIBUTES, attributes(names))).await;
        match taken {
            true => drop(answer.expect(201)),
            false => drop(answer.refused(400, "invalidRequest", &ATTRIBUTES[1..], "missingProperty")),
        }
    }
    let published =
        with(example("create.services-cosell.request.json"), "/customerMarketplaceIntent", json!("No"));
    world.contoso().creates(published).await;
}

#[tokio::test]
async fn help_from_microsoft_needs_a_complete_customer_contact() {
    let world = World::program().await;
    let to = |location: &str, team: Value| {
        let body =
            with(complete(), "/target", json!([{ "type": "BusinessProfileLocation", "id": location }]));
        with(body, "/customerProfile/team", team)
    };
    let answer = world.contoso().posts(to("msft", json!([]))).await;
    answer.refused(400, "invalidRequest", "customerProfile/team", "missingProperty");
    for part in ["firstName", "lastName", "phoneNumber", "email"] {
        let contact = with(member("sue@x.example"), &format!("/{part}"), Value::Null);
        let answer = world.contoso().posts(to("msft", json!([contact]))).await;
        answer.refused(400, "invalidRequest", &format!("customerProfile/team/0/{part}"), "missingProperty");
    }
    world.contoso().creates(to("msft", json!([member("sue@x.example"), {}]))).await;
    // A private deal, and one for another partner, need none.
    world.contoso().creates(to("nowhere", json!([]))).await;
    world.contoso().creates(to(support::FABRIKAM_LOCATION, json!([]))).await;
}

#[tokio::test]
async fn the_order_of_refusals_of_a_create_holds() {
    // 404 and 403 go before the program's rules, those before 409.
    let world = World::program().await;
    let own = world.contoso().creates(complete()).await;
    let incomplete = with(complete(), "/customerProfile/address/city", Value::Null);
    let joins = |engagement: &str| with(incomplete.clone(), "/engagementId", json!(engagement));
    let answer = world.contoso().posts(joins("37ef26aa-1d15-4533-9f93-a69bd33ab1e5")).await;
    answer.refused(404, "itemNotFound", "engagementId", "");
    let answer = world.person(support::CONTOSO_USER).posts(joins(&own.engagement)).await;
    answer.refused(403, "accessDenied", "referral", "notOnTeam");
    let sent =
        with(joins(&own.engagement), "/target", json!([{ "type": "BusinessProfileLocation", "id": "msft" }]));
    world.contoso().creates(with(sent.clone(), "/customerProfile/address/city", json!("Redmond"))).await;
    let answer = world.contoso().posts(sent).await;
    answer.refused(400, "invalidRequest", "customerProfile/address/city", "missingProperty");
}

#[tokio::test]
async fn what_is_fixed_at_creation_stays_and_the_rest_is_free() {
    let world = World::program().await;
    let deal = world.contoso().creates(complete()).await;
    for (pointer, value) in [
        ("/type", json!("Shared")),
        ("/qualification", json!("Direct")),
        ("/target", json!([{ "type": "SolutionProfile", "id": "x" }])),
        ("/mpnId", json!("42")),
        ("/customerProfile/name", json!("Other")),
        ("/customerProfile/address/addressLine1", json!("Other")),
        ("/customerProfile/address/addressLine2", Value::Null),
        ("/customerProfile/address/city", json!("Other")),
        ("/customerProfile/address/country", json!("PL")),
        ("/customerProfile/address/region", json!("Other")),
        ("/customerProfile/ids", json!([])),
        ("/customerProfile/ids", json!([{ "profileType": "Duns", "id": "1" }])),
    ] {
        let answer = world.contoso().patches(&deal.id, replace(&[(pointer, value.clone())])).await;
        answer.refused(400, "invalidRequest", pointer, "readOnlyProperty");
        let answer = world.contoso().puts(&deal.id, "*", with(json!({}), pointer, value)).await;
        answer.refused(400, "invalidRequest", &pointer[1..], "readOnlyProperty");
    }
    assert_eq!(world.contoso().sees(&deal.id).await.body, deal.body);
    for (pointer, value) in [
        ("/name", json!("Other")),
        ("/externalReferenceId", json!("Other")),
        ("/details/dealValue", json!(1)),
        ("/details/notes", Value::Null),
        ("/campaignId", json!("Other")),
        ("/salesStage", json!("80")),
        ("/customerProfile/size", json!("1to9employees")),
        ("/customerProfile/team", json!([])),
        (
            "/customerProfile/ids",
            json!([{ "profileType": "External", "id": "6-X" }, { "profileType": "Duns", "id": "795986822" }]),
        ),
        ("/inviteContext/notes", json!("Please.")),
        ("/inviteContext/notes", json!("Please!")),
        ("/team", json!([member("x@y.example")])),
    ] {
        world.contoso().patches(&deal.id, replace(&[(pointer, value)])).await.expect(204);
    }
    // The equal value in another spelling is no change.
    world.contoso().replaces(&deal.id, "/type", json!("independent")).await.expect(204);
    world.contoso().replaces(&deal.id, "/customerProfile/address/country", json!("usa")).await.expect(204);
}

#[tokio::test]
async fn what_microsoft_has_seen_stays_as_it_was() {
    let world = World::program().await;
    let sellers = "/consent/consentToShareReferralWithMicrosoftSellers";
    let body = with(
        complete(),
        "/inviteContext",
        json!({ "notes": "Please.", "assistanceRequestCode": "QuotesOrLicensing" }),
    );
    let deal = world.contoso().creates(body).await;
    world.contoso().replaces(&deal.id, sellers, json!(true)).await.expect(204);
    let contact = deal.body["customerProfile"]["team"][0].clone();
    for (pointer, value) in [
        ("/customerProfile/team/0/email", json!("other@x.example")),
        ("/customerProfile/team/0/phoneNumber", Value::Null),
        ("/customerProfile/team/0/firstName", json!("Other")),
        ("/customerProfile/team", json!([])),
        ("/inviteContext/notes", json!("Other")),
        ("/inviteContext/notes", Value::Null),
        ("/inviteContext/assistanceRequestCode", json!("GeneralOrOther")),
    ] {
        let answer = world.contoso().patches(&deal.id, replace(&[(pointer, value)])).await;
        answer.refused(400, "invalidRequest", pointer, "readOnlyProperty");
    }
    world.contoso().replaces(&deal.id, "/customerProfile/team/0/title", json!("Dr.")).await.expect(204);
    let more = json!([with(contact, "/title", json!("Prof.")), member("more@x.example")]);
    world.contoso().replaces(&deal.id, "/customerProfile/team", more).await.expect(204);
}

#[tokio::test]
async fn an_update_is_held_to_the_rules_of_what_it_touches() {
    let world = World::program().await;
    let deal = world.contoso().creates(complete()).await;
    for (pointer, value, inner) in [
        ("/name", Value::Null, "missingProperty"),
        ("/details/dealValue", Value::Null, "missingProperty"),
        ("/details/closingDateTime", json!("2026-03-01"), "invalidValue"),
        ("/details/requirements/solutions", json!([]), "missingProperty"),
        ("/team", json!([]), "missingProperty"),
        ("/customerMarketplaceIntent", Value::Null, "missingProperty"),
        ("/consent/consentToToShareInfoWithOthers", json!(false), "invalidValue"),
        ("/customerProfile/size", json!("Unknown"), "invalidValue"),
    ] {
        let answer = world.contoso().patches(&deal.id, replace(&[(pointer, value)])).await;
        assert_eq!(answer.status, 400, "{pointer}");
        answer.refused(400, "invalidRequest", pointer, inner);
    }
    assert_eq!(world.contoso().sees(&deal.id).await.body, deal.body);
    // A record from before, incomplete, is still worked on: only what is touched is judged.
    let old =
        with(example("get-by-id.response.full.json"), "/consent/consentToToShareInfoWithOthers", json!(true));
    let id = old["id"].as_str().unwrap().to_owned();
    world.plant_new(old, None).await;
    world.contoso().replaces(&id, "/details/notes", json!("x")).await.expect(204);
    world.contoso().replaces(&id, "/team", json!([{}])).await.expect(400);
    // Without the consent to share no record is updated.
    let other = "c5fbb3b6-be74-4795-9fb5-4324c73fed38";
    world.plant_new(with(example("get-by-id.response.full.json"), "/id", json!(other)), None).await;
    let answer = world.contoso().replaces(other, "/details/notes", json!("x")).await.expect(400);
    assert_eq!(answer.body["error"]["innerError"]["code"], "invalidValue");
    assert!(answer.body["error"]["message"].as_str().unwrap().contains("consent"));
}

#[tokio::test]
async fn a_bad_end_needs_a_reason() {
    // REF-155
    let world = World::program().await;
    for (substatus, needs) in
        [("Won", false), ("Expired", false), ("Lost", true), ("Declined", true), ("Error", true)]
    {
        let deal: Deal = world.contoso().creates(complete()).await;
        let closing = [("/status", json!("Closed")), ("/substatus", json!(substatus))];
        let answer = world.contoso().patches(&deal.id, replace(&closing)).await;
        if !needs {
            answer.expect(204);
            continue;
        }
        answer.refused(400, "invalidRequest", "statusReason", "missingProperty");
        let reason = [closing.as_slice(), &[("/statusReason", json!("Their budget was cut."))]].concat();
        world.contoso().patches(&deal.id, replace(&reason)).await.expect(204);
    }
    // Expiry by the clock asks nobody.
    let sent = with(complete(), "/target", json!([{ "type": "BusinessProfileLocation", "id": CONTOSO }]));
    let lead = world.fabrikam().creates(sent).await;
    world.clock.advance(20 * 24 * 3600);
    let seen = world.call("GET", &path(&lead.id)).as_user(support::CONTOSO_ADMIN).await.expect(200);
    assert_eq!(seen.text("substatus"), "Expired");
}
