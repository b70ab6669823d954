//! Who sees what of whose referral: spec 8.6, the last rows of 3.3, and that no refusal says more.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod resource;
mod support;

use serde_json::{Value, json};

use resource::{at, full, with};
use support::{
    Answer, CONTOSO_ADMIN, CONTOSO_GLOBAL, CONTOSO_LOCATION, CONTOSO_USER, Deal, FABRIKAM_ADMIN,
    FABRIKAM_LOCATION, FABRIKAM_USER, MICROSOFT_SELLER, NORTHWIND_ADMIN, NORTHWIND_LOCATION, NORTHWIND_USER,
    World, example, invitation, member, path,
};

/// What a caller sees of a referral.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Sight {
    /// 404
    Nothing,
    /// 403 `notOnTeam`
    Refused,
    /// All of it.
    Whole,
    /// Another organization's sight, with the customer's team and ids.
    Redacted,
    /// The same without them.
    WithoutCustomer,
}
use Sight::{Nothing, Redacted, Refused, Whole, WithoutCustomer};

/// The owner's own members, which nobody else sees, and what stands in their place.
fn owners_own() -> Vec<(&'static str, Value)> {
    let nulls = [
        "externalReferenceId",
        "campaignId",
        "salesStage",
        "mpnId",
        "lastModifiedVia",
        "lastRunId",
        "createdVia",
        "referralProgram",
    ];
    let tracking = json!({
        "microsoftMsxId": null, "microsoftUSFedOpportunityId": null, "microsoftUSFedLeadId": null,
        "migratedPSCDealId": null, "migratedPSCPartnerDealId": null,
    });
    let others = [
        ("favorite", json!(false)),
        ("quality", json!("Unknown")),
        ("isSpam", json!(false)),
        ("dealSensitivity", json!("None")),
        ("registrationStatus", json!("None")),
        ("registrations", json!([])),
        ("tags", json!([])),
        ("trackingInfo", tracking),
    ];
    nulls.into_iter().map(|name| (name, Value::Null)).chain(others).collect()
}

/// The whole referral as one sight shows it.
fn seen_with(sight: Sight, whole: &Value) -> Value {
    let mut seen = whole.clone();
    if sight == Whole {
        return seen;
    }
    for (name, value) in owners_own() {
        seen = with(seen, &format!("/{name}"), value);
    }
    for member in seen["team"].as_array_mut().unwrap() {
        member["phoneNumber"] = Value::Null;
    }
    if sight == WithoutCustomer {
        seen = with(with(seen, "/customerProfile/team", json!([])), "/customerProfile/ids", json!([]));
    }
    seen
}

fn assert_sees(sight: Sight, answer: Answer, whole: &Value, context: &str) {
    match sight {
        Nothing => drop(answer.refused(404, "itemNotFound", "referral", "")),
        Refused => drop(answer.refused(403, "accessDenied", "referral", "notOnTeam")),
        _ => {
            assert_eq!(answer.status, 200, "{context}: {}", answer.body);
            assert_eq!(answer.body.to_string(), seen_with(sight, whole).to_string(), "{context}");
            assert_eq!(answer.header("etag"), whole["eTag"].as_str(), "{context}");
        }
    }
}

/// Fills the members that only the server sets, so that there is something to hide.
async fn with_bookkeeping(world: &World, id: &str) {
    world
        .plant(id, |stored| {
            let mut document: Value = serde_json::from_slice(&stored.document).unwrap();
            for (name, value) in [
                ("lastModifiedVia", json!("SECRET")),
                ("lastRunId", json!("SECRET")),
                ("createdVia", json!("SECRET")),
                ("referralProgram", json!("SECRET")),
                ("quality", json!("High")),
                ("isSpam", json!(true)),
                ("dealSensitivity", json!("SECRET")),
                ("registrationStatus", json!("Approved")),
                ("registrations", json!([{ "id": "SECRET" }])),
                ("tags", json!(["SECRET"])),
            ] {
                document[name] = value;
            }
            document["trackingInfo"]["microsoftMsxId"] = json!("SECRET");
            let referral = referral::Referral::from_document(document.to_string().as_bytes()).unwrap();
            stored.document = referral.to_document().into();
        })
        .await;
}

fn secretive(consent: bool) -> Value {
    let body = with(full(), "/externalReferenceId", json!("SECRET"));
    let body = with(body, "/campaignId", json!("SECRET"));
    let body = with(body, "/consent/consentToToShareInfoWithOthers", json!(consent));
    with(body, "/consent/consentToShareReferralWithMicrosoftSellers", json!(false))
}

fn invite(own: &Deal, location: &str) -> Value {
    let body = with(secretive(true), "/target", invitation(location)["target"].clone());
    with(body, "/engagementId", json!(own.engagement))
}

/// An engagement of three: Contoso's own deal, and what it sent to Fabrikam and to Microsoft.
struct Engagement {
    world: World,
    own: Deal,
    fabrikams: Deal,
    microsofts: Deal,
}

impl Engagement {
    async fn new(consent: bool) -> Engagement {
        let world = World::new().await;
        let own = world.contoso().creates(secretive(consent)).await;
        let fabrikams = world.contoso().creates(invite(&own, FABRIKAM_LOCATION)).await;
        let microsofts = world.contoso().creates(invite(&own, "msft")).await;
        for (owner, deal) in [(FABRIKAM_ADMIN, &fabrikams), (MICROSOFT_SELLER, &microsofts)] {
            let own_notes = json!({ "externalReferenceId": "SECRET", "campaignId": "SECRET", "mpnId": "555", "favorite": true, "salesStage": "40" });
            world.person(owner).puts(&deal.id, "*", own_notes).await.expect(200);
        }
        for deal in [&own, &fabrikams, &microsofts] {
            with_bookkeeping(&world, &deal.id).await;
        }
        Engagement { world, own, fabrikams, microsofts }
    }

    async fn check(&self, rows: &[(&'static str, [Sight; 3])], context: &str) {
        let owners = [CONTOSO_ADMIN, FABRIKAM_ADMIN, MICROSOFT_SELLER];
        for ((deal, owner), column) in
            [&self.own, &self.fabrikams, &self.microsofts].into_iter().zip(owners).zip(0..)
        {
            let whole = self.world.person(owner).gets(&deal.id).await.expect(200).body;
            assert!(whole.to_string().contains("SECRET"));
            for (caller, sights) in rows {
                let context = format!("{context}: {caller} looks at the referral of {owner}");
                let answer = self.world.person(caller).gets(&deal.id).await;
                if sights[column] != Whole {
                    assert!(!String::from_utf8_lossy(&answer.bytes).contains("SECRET"), "{context}");
                }
                assert_sees(sights[column], answer, &whole, &context);
            }
        }
    }

    async fn accepts(&self, who: &str, deal: &Deal) {
        self.world.person(who).patches(&deal.id, example("patch.request.accept.json")).await.expect(204);
    }
}

#[tokio::test]
async fn each_caller_sees_its_part_of_an_engagement() {
    // REF-023 REF-024 REF-025 REF-026 REF-029
    for consent in [true, false] {
        let engagement = Engagement::new(consent).await;
        // Contoso's admin and user@ are on every team; Fabrikam's and Microsoft's people are on none.
        let before = [
            (CONTOSO_ADMIN, [Whole, Redacted, Redacted]),
            (CONTOSO_GLOBAL, [Whole, Redacted, Redacted]),
            (CONTOSO_USER, [Whole, Redacted, Redacted]),
            (FABRIKAM_ADMIN, [WithoutCustomer, Whole, WithoutCustomer]),
            (FABRIKAM_USER, [Nothing, Refused, Nothing]),
            (MICROSOFT_SELLER, [WithoutCustomer, WithoutCustomer, Whole]),
            (NORTHWIND_ADMIN, [Nothing, Nothing, Nothing]),
            (NORTHWIND_USER, [Nothing, Nothing, Nothing]),
        ];
        engagement.check(&before, "before").await;

        engagement.accepts(FABRIKAM_ADMIN, &engagement.fabrikams).await;
        let of_contosos = if consent { Redacted } else { WithoutCustomer };
        let after = [
            (CONTOSO_ADMIN, [Whole, Redacted, Redacted]),
            // The consent that counts is that of the referral looked at.
            (FABRIKAM_ADMIN, [of_contosos, Whole, Redacted]),
            (FABRIKAM_USER, [Nothing, Refused, Nothing]),
            (MICROSOFT_SELLER, [WithoutCustomer, WithoutCustomer, Whole]),
            (NORTHWIND_ADMIN, [Nothing, Nothing, Nothing]),
        ];
        engagement.check(&after, "after Fabrikam accepted").await;

        // Accepting counts for good: closing takes nothing away.
        let world = &engagement.world;
        let won = example("patch.request.close-as-won.json");
        world.fabrikam().patches(&engagement.fabrikams.id, won).await.expect(204);
        engagement.check(&after, "after Fabrikam closed").await;
    }
}

#[tokio::test]
async fn who_declined_without_accepting_still_sees_no_customer() {
    let engagement = Engagement::new(true).await;
    let declined = example("patch.request.decline.json");
    engagement.world.fabrikam().patches(&engagement.fabrikams.id, declined).await.expect(204);
    engagement.check(&[(FABRIKAM_ADMIN, [WithoutCustomer, Whole, WithoutCustomer])], "declined").await;
}

#[tokio::test]
async fn a_referral_user_of_a_guest_sees_the_engagement_when_on_the_team_there() {
    // REF-025 REF-030
    let engagement = Engagement::new(true).await;
    let team = json!({ "team": [member("User@Fabrikam.Example")] });
    engagement.world.fabrikam().puts(&engagement.fabrikams.id, "*", team).await.expect(200);
    engagement.check(&[(FABRIKAM_USER, [WithoutCustomer, Whole, WithoutCustomer])], "before").await;
    engagement.accepts(FABRIKAM_ADMIN, &engagement.fabrikams).await;
    engagement.check(&[(FABRIKAM_USER, [Redacted, Whole, Redacted])], "after").await;
    // Off the team of the host's own, the host's user still sees what was sent with it on the team.
    let off = json!({ "team": [member("x@contoso.example")] });
    engagement.world.contoso().puts(&engagement.own.id, "*", off).await.expect(200);
    engagement.check(&[(CONTOSO_USER, [Refused, Redacted, Redacted])], "off the own team").await;
}

#[tokio::test]
async fn who_sent_a_lead_sees_it_without_owning_one_there() {
    // REF-029
    let world = World::new().await;
    let lead = world
        .contoso()
        .creates(with(secretive(true), "/target", invitation(FABRIKAM_LOCATION)["target"].clone()))
        .await;
    with_bookkeeping(&world, &lead.id).await;
    let whole = world.fabrikam().gets(&lead.id).await.expect(200).body;
    assert!(whole.to_string().contains("SECRET"));
    for (caller, sight) in [
        (CONTOSO_ADMIN, Redacted),
        (CONTOSO_USER, Redacted),
        (FABRIKAM_USER, Refused),
        (MICROSOFT_SELLER, Nothing),
        (NORTHWIND_ADMIN, Nothing),
    ] {
        assert_sees(sight, world.person(caller).gets(&lead.id).await, &whole, caller);
    }
    // Fabrikam goes on with it: what it sends onward, the first sender sees with its contacts, for it began all this.
    world.fabrikam().patches(&lead.id, example("patch.request.accept.json")).await.expect(204);
    let onward = with(secretive(true), "/engagementId", json!(lead.engagement));
    let onward = with(onward, "/target", invitation(NORTHWIND_LOCATION)["target"].clone());
    let onward = world.fabrikam().creates(onward).await;
    let whole = world.northwind().gets(&onward.id).await.expect(200).body;
    for (caller, sight) in
        [(FABRIKAM_ADMIN, Redacted), (CONTOSO_ADMIN, Redacted), (MICROSOFT_SELLER, Nothing)]
    {
        assert_sees(sight, world.person(caller).gets(&onward.id).await, &whole, caller);
    }
}

#[tokio::test]
async fn microsoft_reads_partner_led_deals_and_no_private_ones() {
    // REF-029
    let world = World::new().await;
    let sellers = "/consent/consentToShareReferralWithMicrosoftSellers";
    for (shared, consent, sight) in [
        (true, true, Redacted),
        (true, false, WithoutCustomer),
        (false, true, Nothing),
        (false, false, Nothing),
    ] {
        let own = world.contoso().creates(with(secretive(consent), sellers, json!(shared))).await;
        with_bookkeeping(&world, &own.id).await;
        let whole = world.contoso().gets(&own.id).await.expect(200).body;
        assert_sees(sight, world.microsoft().gets(&own.id).await, &whole, &format!("{shared} {consent}"));
        // Nobody else profits from that consent.
        assert_sees(Nothing, world.fabrikam().gets(&own.id).await, &whole, "Fabrikam");
        // Giving it later opens the deal.
        if !shared {
            world.contoso().replaces(&own.id, sellers, json!(true)).await.expect(204);
            world.microsoft().gets(&own.id).await.expect(200);
        }
    }
    // It is a sight of those deals, not a part in the engagement: others' referrals there stay unseen.
    let own = world.contoso().creates(with(secretive(true), sellers, json!(true))).await;
    let private = with(with(secretive(true), "/engagementId", json!(own.engagement)), sellers, json!(false));
    let private = world.contoso().creates(private).await;
    world.microsoft().gets(&own.id).await.expect(200);
    world.microsoft().gets(&private.id).await.refused(404, "itemNotFound", "referral", "");
    assert_eq!(world.microsoft().lists("").await.expect(200).body["@odata.count"], 0);
}

#[tokio::test]
async fn a_claim_of_who_invited_opens_nothing() {
    // REF-029 REF-093
    let world = World::new().await;
    let claim =
        json!({ "invitedBy": { "organizationId": support::FABRIKAM, "organizationName": "Fabrikam" } });
    let own = world.contoso().creates(with(secretive(true), "/inviteContext", claim.clone())).await;
    world.fabrikam().gets(&own.id).await.expect(404);
    world
        .plant(&own.id, |stored| {
            let mut document: Value = serde_json::from_slice(&stored.document).unwrap();
            document["inviteContext"]["invitedBy"] = claim["invitedBy"].clone();
            stored.document = document.to_string().into();
        })
        .await;
    assert_eq!(world.contoso().sees(&own.id).await.body["inviteContext"]["invitedBy"], claim["invitedBy"]);
    world.fabrikam().gets(&own.id).await.refused(404, "itemNotFound", "referral", "");
}

#[tokio::test]
async fn the_answer_to_a_connected_post_is_what_the_sender_may_see() {
    // REF-113
    let world = World::new().await;
    let own = world.contoso().creates(secretive(true)).await;
    let answer = world.contoso().posts(invite(&own, FABRIKAM_LOCATION)).await.expect(201);
    let whole = world.fabrikam().gets(&answer.text("id")).await.expect(200).body;
    assert_eq!(answer.body.to_string(), seen_with(Redacted, &whole).to_string());
    assert_eq!(answer.body, world.contoso().gets(&answer.text("id")).await.body);
    // The owner has what was sent for it, the members included that the sender does not see again.
    assert_eq!((&whole["externalReferenceId"], &whole["mpnId"]), (&json!("SECRET"), &json!("42")));
    for name in ["externalReferenceId", "mpnId"] {
        assert_eq!(answer.body[name], Value::Null);
    }
    assert!(at(&whole, "/team/0/phoneNumber").is_string());
}

#[tokio::test]
async fn no_refusal_says_what_the_caller_may_not_see() {
    // REF-026 REF-029 REF-255
    for world in [World::new().await, World::extended().await] {
        let own = world.contoso().creates(secretive(true)).await;
        let alone = with(secretive(true), "/team", json!([member("SECRET@contoso.example")]));
        let alone = world.contoso().creates(alone).await;
        let sent = world.contoso().creates(invite(&own, FABRIKAM_LOCATION)).await;
        let unknown = "49d90c72-3326-4f61-aacc-2cb57970448c";
        let bodies = [
            json!([]),
            json!([{ "op": "replace", "path": "/externalReferenceId", "value": "x" }]),
            json!([{ "op": "replace", "path": "/team/9/email", "value": "a@b.example" }]),
            json!([{ "op": "replace", "path": "/createdDateTime", "value": null }]),
            json!([{ "op": "replace", "path": "/substatus", "value": "Won" }]),
            json!([{ "op": "test", "path": "/externalReferenceId", "value": "SECRET" }]),
            json!([{ "op": "test", "path": "/externalReferenceId", "value": "WRONG" }]),
        ];
        for (caller, id) in [
            (NORTHWIND_ADMIN, &own.id),
            (FABRIKAM_ADMIN, &own.id),
            (FABRIKAM_ADMIN, &alone.id),
            (CONTOSO_USER, &alone.id),
            (FABRIKAM_USER, &sent.id),
            (CONTOSO_ADMIN, &sent.id),
        ] {
            let mut refusals = Vec::new();
            for tag in [None, Some("*"), Some("\"stale\""), Some(own.etag.as_str())] {
                let call = |method: &str, id: &str| {
                    let call = world.call(method, &path(id)).as_user(caller);
                    tag.into_iter().fold(call, |call, tag| call.header("If-Match", tag))
                };
                for body in &bodies {
                    refusals.push((
                        call("PATCH", id).json(body.clone()).await,
                        call("PATCH", unknown).json(body.clone()).await,
                    ));
                }
                refusals.push((
                    call("PUT", id).json(json!({ "name": "x" })).await,
                    call("PUT", unknown).json(json!({ "name": "x" })).await,
                ));
                refusals.push((call("DELETE", id).await, call("DELETE", unknown).await));
            }
            for (answer, of_unknown) in refusals {
                assert!(answer.status >= 400, "{caller}: {}", answer.body);
                let text = String::from_utf8_lossy(&answer.bytes);
                assert!(!text.contains("SECRET") && !text.contains("Customer"), "{caller}: {text}");
                // To who takes no part it is as if it did not exist.
                if answer.status == 404 {
                    assert_eq!(answer.bytes, of_unknown.bytes);
                }
            }
        }
        for deal in [&own, &alone] {
            assert_eq!(world.contoso().sees(&deal.id).await.body, deal.body);
        }
    }
}

#[tokio::test]
async fn an_engagement_one_takes_no_part_in_is_as_unknown_as_one_that_is_not() {
    // REF-111
    let world = World::new().await;
    let own = world.contoso().creates(secretive(true)).await;
    let mut answers = Vec::new();
    for engagement in [own.engagement.as_str(), "37ef26aa-1d15-4533-9f93-a69bd33ab1e5"] {
        for location in ["msft", CONTOSO_LOCATION] {
            let body = with(invitation(location), "/engagementId", json!(engagement));
            answers.push(world.northwind().posts(body).await.expect(404).bytes);
        }
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]));
}

#[tokio::test]
async fn lists_show_the_callers_own_alone() {
    // REF-023 REF-062
    let engagement = Engagement::new(true).await;
    for (caller, deals) in [
        (CONTOSO_ADMIN, vec![&engagement.own]),
        (CONTOSO_USER, vec![&engagement.own]),
        (FABRIKAM_ADMIN, vec![&engagement.fabrikams]),
        (FABRIKAM_USER, vec![]),
        (MICROSOFT_SELLER, vec![&engagement.microsofts]),
        (NORTHWIND_ADMIN, vec![]),
    ] {
        let list = engagement.world.person(caller).lists("").await.expect(200).body;
        assert_eq!(list["@odata.count"], deals.len(), "{caller}");
        let ids: Vec<&Value> = list["value"].as_array().unwrap().iter().map(|item| &item["id"]).collect();
        assert_eq!(ids, deals.iter().map(|deal| &deal.id).collect::<Vec<_>>(), "{caller}");
    }
}

#[tokio::test]
async fn an_offer_lead_is_hidden_from_its_owner_and_from_the_others() {
    // REF-248
    let mut world = World::new().await;
    let lead = with(example("get-by-id.response.full.json"), "/referralSource", json!("AppSource"));
    let id = lead["id"].as_str().unwrap().to_owned();
    world.plant_new(lead.clone(), None).await;
    let own = world.contoso().creates(with(secretive(true), "/engagementId", Value::Null)).await;
    let answer = world.contoso().gets(&id).await;
    answer.refused(404, "itemNotFound", "referral", "");
    world.contoso().puts(&id, "*", json!({ "name": "x" })).await.expect(404);
    world.contoso().replaces(&id, "/name", json!("x")).await.expect(404);
    let listed = world.contoso().lists("").await.expect(200).body;
    assert_eq!((&listed["@odata.count"], &listed["value"][0]["id"]), (&json!(1), &json!(own.id)));
    world.restart_with(|_, policy| policy.offer_leads = true).await;
    assert_eq!(world.contoso().gets(&id).await.expect(200).body["referralSource"], "AppSource");
    assert_eq!(world.contoso().lists("").await.expect(200).body["@odata.count"], 2);
    world.contoso().replaces(&id, "/name", json!("x")).await.expect(204);
}
