//! Lists of an engagement: `engagementId eq …` shows what the caller may see of it (spec 11.3), and what it may not
//! see is empty in filters and orders too (spec 8.6).
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod resource;
mod support;

use resource::{full, with};
use serde_json::{Value, json};
use support::*;

const CONSENT: &str = "/consent/consentToToShareInfoWithOthers";
const SELLERS: &str = "/consent/consentToShareReferralWithMicrosoftSellers";

/// Everything a caller can send, the own notes among it, with these consents.
fn body(name: &str, consent: bool, sellers: bool) -> Value {
    let body = with(full(), "/name", json!(name));
    let body = with(body, "/externalReferenceId", json!("SECRET"));
    with(with(body, CONSENT, json!(consent)), SELLERS, json!(sellers))
}

fn invitation_to(name: &str, engagement: &str, location: &str) -> Value {
    let body = with(body(name, true, false), "/target", invitation(location)["target"].clone());
    with(body, "/engagementId", json!(engagement))
}

/// Fills every member that only the owner sees.
async fn with_secrets(world: &World, id: &str) {
    world
        .bends(id, |document| {
            for (name, value) in [
                ("externalReferenceId", json!("SECRET")),
                ("campaignId", json!("SECRET")),
                ("favorite", json!(true)),
                ("salesStage", json!("40")),
                ("mpnId", json!("555")),
                ("lastModifiedVia", json!("SECRET")),
                ("lastRunId", json!("SECRET")),
                ("createdVia", json!("SECRET")),
                ("quality", json!("High")),
                ("isSpam", json!(true)),
                ("dealSensitivity", json!("SECRET")),
                ("referralProgram", json!("SECRET")),
                ("registrationStatus", json!("Approved")),
                ("registrations", json!([{ "id": "SECRET" }])),
                ("tags", json!(["SECRET"])),
            ] {
                document[name] = value;
            }
            for name in [
                "microsoftMsxId",
                "microsoftUSFedOpportunityId",
                "microsoftUSFedLeadId",
                "migratedPSCDealId",
                "migratedPSCPartnerDealId",
            ] {
                document["trackingInfo"][name] = json!("SECRET");
            }
        })
        .await;
}

/// Contoso's own deal, what it sent to Fabrikam, and what it sent to Microsoft.
struct Engagement {
    world: World,
    id: String,
    own: Deal,
    fabrikams: Deal,
}

impl Engagement {
    /// Contoso's own with this consent; what is sent to others always has it (spec 8.3).
    async fn new(extended: bool, consent: bool) -> Engagement {
        let world = if extended { World::extended().await } else { World::new().await };
        let own = world.contoso().creates(body("contosos", consent, false)).await;
        let id = own.engagement.clone();
        world.clock.advance(1);
        let fabrikams = world.contoso().creates(invitation_to("fabrikams", &id, FABRIKAM_LOCATION)).await;
        world.clock.advance(1);
        let microsofts = world.contoso().creates(invitation_to("microsofts", &id, MICROSOFT)).await;
        for deal in [&own, &fabrikams, &microsofts] {
            with_secrets(&world, &deal.id).await;
        }
        // Beside them, what has nothing to do with it.
        for person in [world.contoso(), world.fabrikam(), world.microsoft(), world.northwind()] {
            person.creates(body("alone", true, false)).await;
        }
        Engagement { world, id, own, fabrikams }
    }

    async fn accepts(&self) {
        let accept = example("patch.request.accept.json");
        self.world.fabrikam().patches(&self.fabrikams.id, accept).await.expect(204);
    }

    /// The names of what the caller sees of the engagement where this is true too, oldest first.
    async fn where_true(&self, who: &str, predicate: &str) -> String {
        let filter = format!("engagementId eq {} and {predicate}", self.id);
        let query = format!("?$filter={}&$orderby=createdDateTime", escaped(&filter));
        let answer = self.world.person(who).lists(&query).await.expect(200);
        let names = names(&answer);
        assert_eq!(answer.body["@odata.count"], names.len(), "{who}: {predicate}");
        names.join(" ")
    }

    async fn sorted(&self, who: &str, order: &str) -> String {
        let query = format!("?$filter=engagementId eq {}&$orderby={order}", self.id);
        names(&self.world.person(who).asks(&query).await.expect(200)).join(" ")
    }
}

const EVERYONE: &str = "contosos fabrikams microsofts";

#[tokio::test]
async fn an_engagement_is_listed_for_those_who_take_part() {
    for extended in [false, true] {
        let engagement = Engagement::new(extended, true).await;
        for (who, expected) in [
            (CONTOSO_ADMIN, EVERYONE), // REF-228 REF-230
            (CONTOSO_GLOBAL, EVERYONE),
            (FABRIKAM_ADMIN, EVERYONE),
            (MICROSOFT_SELLER, EVERYONE),
            (NORTHWIND_ADMIN, ""), // REF-231
            (NORTHWIND_USER, ""),
        ] {
            for literal in
                [engagement.id.clone(), format!("'{}'", engagement.id), engagement.id.to_uppercase()]
            {
                // REF-229
                let query = format!("?$filter=engagementId eq {literal}&$orderby=createdDateTime");
                let answer = engagement.world.person(who).asks(&query).await.expect(200);
                assert_eq!(names(&answer).join(" "), expected, "{who} {literal}");
                assert_eq!(answer.body["@odata.count"], expected.split_whitespace().count(), "{who}");
            }
        }
        // Newest first without an order, as everywhere.
        let query = format!("?$filter=engagementId eq {}", engagement.id);
        let answer = engagement.world.contoso().asks(&query).await.expect(200);
        assert_eq!(names(&answer), ["microsofts", "fabrikams", "contosos"]);
    }
}

#[tokio::test]
async fn each_item_is_what_get_shows_of_it() {
    for extended in [false, true] {
        let engagement = Engagement::new(extended, true).await;
        engagement.accepts().await;
        for who in [CONTOSO_ADMIN, CONTOSO_USER, FABRIKAM_ADMIN, MICROSOFT_SELLER] {
            let query = format!("?$filter=engagementId eq {}", engagement.id);
            let list = engagement.world.person(who).asks(&query).await.expect(200);
            assert_eq!(list.body["value"].as_array().unwrap().len(), 3, "{who}");
            for item in list.body["value"].as_array().unwrap() {
                let id = item["id"].as_str().unwrap();
                let mut alone = engagement.world.person(who).gets(id).await.expect(200).body;
                alone.as_object_mut().unwrap().shift_remove("@odata.context").unwrap();
                assert_eq!(item, &alone, "{who}");
            }
        }
    }
}

#[tokio::test]
async fn the_related_link_of_a_referral_lists_its_engagement() {
    // REF-081
    for extended in [false, true] {
        let engagement = Engagement::new(extended, true).await;
        let referral = engagement.world.contoso().gets(&engagement.own.id).await.expect(200).body;
        let link = &referral["links"]["relatedReferrals"];
        assert_eq!(link["method"], "GET");
        let uri = link["uri"].as_str().unwrap().replace(' ', "%20");
        let target = uri.strip_prefix(BASE).unwrap();
        let answer = engagement.world.call("GET", target).as_user(CONTOSO_ADMIN).await.expect(200);
        assert_eq!(names(&answer), ["microsofts", "fabrikams", "contosos"]);
    }
}

#[tokio::test]
async fn a_referral_user_sees_the_others_when_on_a_team_there() {
    // REF-027
    for extended in [false, true] {
        let engagement = Engagement::new(extended, true).await;
        let world = &engagement.world;
        let seen = async |who: &str| engagement.where_true(who, "true").await;
        // Contoso's user is on the team of Contoso's own; nobody of Fabrikam is on any.
        assert_eq!(seen(CONTOSO_USER).await, EVERYONE);
        assert_eq!(seen(FABRIKAM_USER).await, "");
        world
            .bends(&engagement.fabrikams.id, |one| one["team"] = json!([member("User@Fabrikam.Example")]))
            .await;
        assert_eq!(seen(FABRIKAM_USER).await, EVERYONE);
        // The list without that filter holds the own ones alone.
        let own = world.person(FABRIKAM_USER).asks("").await.expect(200);
        assert_eq!(ids(&own), std::slice::from_ref(&engagement.fabrikams.id));
        // On the team of what was sent, and of no own one: the own one is not its to see, the others are.
        world.bends(&engagement.own.id, |one| one["team"] = json!([])).await;
        assert_eq!(seen(CONTOSO_USER).await, "fabrikams microsofts");
        // Off every team: nothing.
        for name in ["fabrikams", "microsofts"] {
            let id = ids(&world
                .contoso()
                .asks(&format!("?$filter=engagementId eq {} and name eq '{name}'", engagement.id))
                .await);
            world.bends(&id[0], |one| one["team"] = json!([])).await;
        }
        assert_eq!(seen(CONTOSO_USER).await, "");
        assert_eq!(seen(CONTOSO_ADMIN).await, EVERYONE);
    }
}

#[tokio::test]
async fn only_a_term_of_the_outermost_and_chain_widens_the_list() {
    for extended in [false, true] {
        let engagement = Engagement::new(extended, true).await;
        let (world, id) = (&engagement.world, &engagement.id);
        for (filter, expected) in [
            (format!("engagementId eq {id}"), EVERYONE),
            (format!("(engagementId eq {id})"), EVERYONE),
            (format!("{id} eq engagementId"), EVERYONE),
            (format!("'{id}' eq engagementId"), EVERYONE),
            (format!("status ne 'None' and engagementId eq {id}"), EVERYONE),
            (
                format!("status eq 'New' and engagementId eq '{id}' and direction eq 'Incoming'"),
                "fabrikams microsofts",
            ),
            (
                format!("engagementId eq {id} and (status eq 'Active' or name eq 'fabrikams')"),
                "contosos fabrikams",
            ),
            (format!("engagementId eq {id} and not (name eq 'contosos')"), "fabrikams microsofts"),
            // Everywhere else only the own ones count.
            (format!("engagementId eq {id} or false"), "contosos"),
            (format!("engagementId eq {id} or engagementId eq {id}"), "contosos"),
            (format!("not (engagementId ne {id})"), "contosos"),
            (format!("not not (engagementId eq {id})"), "contosos"),
            (format!("engagementId in ({id})"), "contosos"),
            (format!("engagementId ge {id} and engagementId le {id}"), "contosos"),
            (format!("(engagementId eq {id}) eq true"), "contosos"),
            (format!("team/any(t:engagementId eq {id})"), "contosos"),
            // Two engagements at once hold no referral.
            (format!("engagementId eq {id} and engagementId eq 65edc0b5-3485-41b7-a17e-dfa9ef4706e2"), ""),
            (format!("engagementId eq 65edc0b5-3485-41b7-a17e-dfa9ef4706e2 and engagementId eq {id}"), ""),
            ("engagementId eq null".to_owned(), ""),
        ] {
            let query = format!("?$filter={}&$orderby=createdDateTime", escaped(&filter));
            let answer = world.contoso().lists(&query).await;
            // Whether GUIDs are ordered is no matter here.
            if answer.status == 400 && filter.contains(" ge ") {
                continue;
            }
            let answer = answer.expect(200);
            assert_eq!(names(&answer).join(" "), expected, "{filter}");
            assert_eq!(answer.body["@odata.count"], expected.split_whitespace().count(), "{filter}");
        }
    }
}

/// Every member that the owner alone sees: where it is the secret, and where it is empty.
const OWNERS_OWN: [(&str, &str); 20] = [
    ("externalReferenceId eq 'SECRET'", "externalReferenceId eq null"),
    ("campaignId eq 'SECRET'", "campaignId eq null"),
    ("favorite eq true", "favorite eq false"),
    ("salesStage eq '40'", "salesStage eq null"),
    ("mpnId eq '555'", "mpnId eq null"),
    ("lastModifiedVia eq 'SECRET'", "lastModifiedVia eq null"),
    ("lastRunId eq 'SECRET'", "lastRunId eq null"),
    ("createdVia eq 'SECRET'", "createdVia eq null"),
    ("quality eq 'High'", "quality eq 'Unknown'"),
    ("isSpam eq true", "isSpam eq false"),
    ("dealSensitivity eq 'SECRET'", "dealSensitivity eq 'None'"),
    ("referralProgram eq 'SECRET'", "referralProgram eq null"),
    ("registrationStatus eq 'Approved'", "registrationStatus eq 'None'"),
    ("registrations/any(r:r/id eq 'SECRET')", "not registrations/any()"),
    ("tags/any(t:t eq 'SECRET')", "not tags/any()"),
    ("trackingInfo/microsoftMsxId eq 'SECRET'", "trackingInfo/microsoftMsxId eq null"),
    (
        "trackingInfo/microsoftUSFedOpportunityId eq 'SECRET'",
        "trackingInfo/microsoftUSFedOpportunityId eq null",
    ),
    ("trackingInfo/microsoftUSFedLeadId eq 'SECRET'", "trackingInfo/microsoftUSFedLeadId eq null"),
    ("trackingInfo/migratedPSCDealId eq 'SECRET'", "trackingInfo/migratedPSCDealId eq null"),
    ("trackingInfo/migratedPSCPartnerDealId eq 'SECRET'", "trackingInfo/migratedPSCPartnerDealId eq null"),
];

/// Those of them that spec 11.2 lets everybody filter by.
fn is_of_the_contract(predicate: &str) -> bool {
    ["externalReferenceId", "campaignId", "favorite", "mpnId", "registrationStatus"]
        .iter()
        .any(|name| predicate.starts_with(name))
}

#[tokio::test]
async fn the_owners_own_members_are_empty_to_the_filters_of_others() {
    for extended in [false, true] {
        let engagement = Engagement::new(extended, true).await;
        engagement.accepts().await;
        for (secret, empty) in OWNERS_OWN {
            if !extended && !is_of_the_contract(secret) {
                continue;
            }
            for (who, own, others) in [
                (CONTOSO_ADMIN, "contosos", "fabrikams microsofts"),
                (FABRIKAM_ADMIN, "fabrikams", "contosos microsofts"),
                (MICROSOFT_SELLER, "microsofts", "contosos fabrikams"),
            ] {
                assert_eq!(engagement.where_true(who, secret).await, own, "{who}: {secret}");
                assert_eq!(engagement.where_true(who, empty).await, others, "{who}: {empty}");
                assert_eq!(
                    engagement.where_true(who, &format!("not ({secret})")).await,
                    others,
                    "{who}: not {secret}"
                );
            }
        }
        // What is not named in the table is seen by all.
        for seen in
            ["details/dealValue gt 1", "customerProfile/name ne null", "consent/consentToContact eq true"]
        {
            assert_eq!(engagement.where_true(FABRIKAM_ADMIN, seen).await, EVERYONE, "{seen}");
        }
    }
}

#[tokio::test]
async fn the_customers_people_are_empty_to_the_filters_of_those_who_may_not_see_them() {
    for extended in [false, true] {
        for consent in [true, false] {
            let engagement = Engagement::new(extended, consent).await;
            let predicates: &[&str] = match extended {
                true => &[
                    "customerProfile/team/any(c:c/email eq 'Sue@contoso.example')",
                    "customerProfile/team/any()",
                    "customerProfile/ids/any(i:i/id eq '795986822')",
                    "customerProfile/team/$count gt 0",
                ],
                false => &[
                    "customerProfile/team/any(c:c/email eq 'Sue@contoso.example')",
                    "customerProfile/team/any()",
                ],
            };
            for predicate in predicates {
                let context = format!("{consent} {predicate}");
                // The inviting side sees them as the owner holds them; the invited not before it accepts.
                assert_eq!(engagement.where_true(CONTOSO_ADMIN, predicate).await, EVERYONE, "{context}");
                assert_eq!(engagement.where_true(FABRIKAM_ADMIN, predicate).await, "fabrikams", "{context}");
                assert_eq!(
                    engagement.where_true(MICROSOFT_SELLER, predicate).await,
                    "microsofts",
                    "{context}"
                );
            }
            engagement.accepts().await;
            // After that it sees Contoso's too, if that consents.
            for predicate in predicates {
                let expected = if consent { EVERYONE } else { "fabrikams microsofts" };
                assert_eq!(
                    engagement.where_true(FABRIKAM_ADMIN, predicate).await,
                    expected,
                    "{consent} {predicate}"
                );
                assert_eq!(
                    engagement.where_true(MICROSOFT_SELLER, predicate).await,
                    "microsofts",
                    "{predicate}"
                );
            }
        }
    }
}

#[tokio::test]
async fn the_phone_numbers_of_a_team_are_empty_to_the_filters_of_others() {
    for extended in [false, true] {
        let engagement = Engagement::new(extended, true).await;
        engagement.accepts().await;
        for (who, own, others) in [
            (CONTOSO_ADMIN, "contosos", "fabrikams microsofts"),
            (FABRIKAM_ADMIN, "fabrikams", "contosos microsofts"),
            (MICROSOFT_SELLER, "microsofts", "contosos fabrikams"),
        ] {
            assert_eq!(engagement.where_true(who, "team/any(t:t/phoneNumber ne null)").await, own, "{who}");
            assert_eq!(
                engagement.where_true(who, "team/any(t:t/phoneNumber eq null)").await,
                others,
                "{who}"
            );
            assert_eq!(
                engagement.where_true(who, "team/any(t:t/email eq 'ADMIN@contoso.example')").await,
                EVERYONE
            );
            assert_eq!(engagement.where_true(who, "email eq 'user@Contoso.example'").await, EVERYONE);
        }
    }
}

#[tokio::test]
async fn what_one_may_not_see_is_empty_in_orders_too() {
    let engagement = Engagement::new(true, true).await;
    engagement.accepts().await;
    // Ids rise with the time of making: ties are contosos, fabrikams, microsofts.
    for member in [
        "externalReferenceId",
        "campaignId",
        "favorite",
        "salesStage",
        "mpnId",
        "lastModifiedVia",
        "isSpam",
        "trackingInfo/microsoftMsxId",
        "registrationStatus",
        "registrations/$count",
        "length(campaignId)",
    ] {
        for (who, up, down) in [
            (CONTOSO_ADMIN, "fabrikams microsofts contosos", "contosos fabrikams microsofts"),
            (FABRIKAM_ADMIN, "contosos microsofts fabrikams", "fabrikams contosos microsofts"),
            (MICROSOFT_SELLER, "contosos fabrikams microsofts", "microsofts contosos fabrikams"),
        ] {
            assert_eq!(engagement.sorted(who, member).await, up, "{who} {member}");
            assert_eq!(engagement.sorted(who, &format!("{member} desc")).await, down, "{who} {member} desc");
        }
    }
}

#[tokio::test]
async fn microsoft_lists_a_partner_led_deal_and_nothing_beside_it() {
    for extended in [false, true] {
        let world = if extended { World::extended().await } else { World::new().await };
        for (sellers, consent) in [(true, true), (true, false), (false, true)] {
            let own = world.contoso().creates(body("led", consent, sellers)).await;
            with_secrets(&world, &own.id).await;
            // A private deal of the same engagement stays unseen.
            let private = with(body("private", true, false), "/engagementId", json!(own.engagement));
            world.contoso().creates(private).await;
            let seen = async |predicate: &str| {
                let query = format!("?$filter=engagementId eq {} and {predicate}", own.engagement);
                names(&world.microsoft().asks(&query).await.expect(200)).join(" ")
            };
            let led = if sellers { "led" } else { "" };
            assert_eq!(seen("true").await, led);
            assert_eq!(seen("externalReferenceId eq 'SECRET'").await, "");
            assert_eq!(seen("externalReferenceId eq null").await, led);
            assert_eq!(seen("team/any(t:t/phoneNumber ne null)").await, "");
            let customers = if sellers && consent { "led" } else { "" };
            assert_eq!(seen("customerProfile/team/any()").await, customers);
            // Without the engagement it is none of Microsoft's own.
            assert_eq!(world.microsoft().asks("").await.expect(200).body["@odata.count"], 0);
            // Nobody else profits from that consent.
            let query = format!("?$filter=engagementId eq {}", own.engagement);
            assert_eq!(world.northwind().asks(&query).await.expect(200).body["@odata.count"], 0);
        }
    }
}

#[tokio::test]
async fn who_sent_a_lead_lists_it_by_its_engagement() {
    for extended in [false, true] {
        let world = if extended { World::extended().await } else { World::new().await };
        let lead =
            with(body("lead", true, false), "/target", invitation(FABRIKAM_LOCATION)["target"].clone());
        let lead = world.contoso().creates(lead).await;
        with_secrets(&world, &lead.id).await;
        let seen = async |who: &'static str, predicate: &str| {
            let query = format!("?$filter=engagementId eq {} and {predicate}", lead.engagement);
            names(&world.person(who).asks(&query).await.expect(200)).join(" ")
        };
        for (predicate, sender, owner) in [
            ("true", "lead", "lead"),
            ("campaignId eq 'SECRET'", "", "lead"),
            ("customerProfile/team/any()", "lead", "lead"),
            ("team/any(t:t/phoneNumber ne null)", "", "lead"),
        ] {
            assert_eq!(seen(CONTOSO_ADMIN, predicate).await, sender, "{predicate}");
            assert_eq!(seen(FABRIKAM_ADMIN, predicate).await, owner, "{predicate}");
            assert_eq!(seen(NORTHWIND_ADMIN, predicate).await, "", "{predicate}");
        }
        assert_eq!(world.contoso().asks("").await.body["@odata.count"], 0);
    }
}

#[tokio::test]
async fn no_answer_about_an_engagement_holds_what_the_caller_may_not_see() {
    let engagement = Engagement::new(true, false).await;
    engagement.accepts().await;
    // The caller's own is left out, of the page and of what is expanded.
    let others = "$filter=name ne 'fabrikams'";
    for query in [
        String::new(),
        "&$select=externalReferenceId,campaignId,trackingInfo,registrations,tags".to_owned(),
        "&$select=name,trackingInfo/microsoftMsxId".to_owned(),
        "&$compute=externalReferenceId as copy".to_owned(),
        "&$compute=concat(name,campaignId) as both&$select=both".to_owned(),
        format!("&$expand=relatedReferrals({others})"),
        format!("&$expand=relatedReferrals({others};$select=tags;$expand=relatedReferrals({others}))"),
        format!("&$expand=relatedReferrals({others};$compute=campaignId as copy;$select=copy)"),
    ] {
        let query = format!("?$filter=engagementId eq {} and name ne 'fabrikams'{query}", engagement.id);
        let answer = engagement.world.fabrikam().asks(&query).await.expect(200);
        assert_eq!(answer.body["value"].as_array().unwrap().len(), 2, "{query}");
        let text = String::from_utf8_lossy(&answer.bytes);
        assert!(!text.contains("SECRET"), "{query}: {text}");
    }
}
