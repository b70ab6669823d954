//! How a referral is written: names, forms, presence, defaults, and what comes back of what was sent. Spec 5.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod resource;
mod support;

use serde_json::{Value, json};

use resource::{assert_holds, at, full, text_at, with};
use support::{
    BASE, CONTOSO, CONTOSO_LOCATION, FABRIKAM_LOCATION, MICROSOFT, World, example, instant, invitation,
    small_deal,
};

/// An example on another public address.
fn on_this_base(example: &Value) -> Value {
    let text = example.to_string().replace("https://api.partner.microsoft.com", BASE);
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn a_referral_is_printed_whole_and_in_the_order_of_the_wire() {
    // REF-058 REF-059 REF-061 REF-063 REF-078 REF-079 REF-085 REF-090 REF-092
    let world = World::new().await;
    let published = on_this_base(&example("get-by-id.response.full.json"));
    world.plant_new(published.clone(), None).await;
    let answer = world.contoso().gets(text_at(&published, "/id")).await.expect(200);
    // As text: the order of the members is compared too.
    assert_eq!(answer.body.to_string(), published.to_string());
}

#[tokio::test]
async fn the_least_referral_has_every_member_and_its_default() {
    // REF-058 REF-064 REF-069 REF-070 REF-077 REF-085 REF-090 REF-092 REF-102 REF-293
    let world = World::new().await;
    let created = world.contoso().creates(resource::least()).await;
    let seen = world.contoso().sees(&created.id).await.body;
    assert_eq!(seen, created.body);
    for id in ["/id", "/engagementId"] {
        let id = text_at(&seen, id);
        let form: Vec<usize> = id.split('-').map(str::len).collect();
        assert_eq!(form, [8, 4, 4, 4, 12], "{id}");
        assert!(id.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit()), "{id}");
    }
    let nulls = [
        "name",
        "lastModifiedVia",
        "lastRunId",
        "externalReferenceId",
        "expirationDateTime",
        "statusReason",
        "referralSource",
        "campaignId",
        "salesStage",
        "customerMarketplaceIntent",
        "referralProgram",
        "createdVia",
        "closedDateTime",
        "callToAction",
        "customerProfile/size",
        "customerProfile/address/addressLine1",
        "customerProfile/address/addressLine2",
        "customerProfile/address/city",
        "customerProfile/address/state",
        "customerProfile/address/postalCode",
        "customerProfile/address/country",
        "customerProfile/address/region",
        "details/notes",
        "details/dealValue",
        "details/currency",
        "details/closingDateTime",
        "details/customerRequestedContact",
        "details/customerAction",
        "details/incentiveLevel",
        "details/requirements/additionalRequirements/iot/customerLicenseAgreementNumber",
        "details/requirements/additionalRequirements/iot/deviceCategory",
        "details/requirements/additionalRequirements/iot/siliconType",
        "inviteContext/notes",
        "trackingInfo/microsoftMsxId",
        "trackingInfo/microsoftUSFedOpportunityId",
        "trackingInfo/microsoftUSFedLeadId",
        "trackingInfo/migratedPSCDealId",
        "trackingInfo/migratedPSCPartnerDealId",
    ];
    let lists = [
        "tags",
        "target",
        "team",
        "registrations",
        "customerProfile/team",
        "customerProfile/ids",
        "details/requirements/industries",
        "details/requirements/products",
        "details/requirements/services",
        "details/requirements/solutions",
        "details/requirements/offers",
        "details/requirements/salesPlays",
        "details/requirements/additionalRequirements/attributes",
    ];
    let falses = [
        "favorite",
        "isSpam",
        "customerProfile/isMatchingComplete",
        "consent/consentToToShareInfoWithOthers",
        "consent/consentToContact",
        "consent/consentToShareReferralWithMicrosoftSellers",
        "details/requirements/additionalRequirements/iot/azureCertifiedDevice",
        "details/requirements/additionalRequirements/iot/attachServices",
    ];
    let texts = [
        ("quality", "Unknown"),
        ("dealSensitivity", "None"),
        ("registrationStatus", "None"),
        ("qualification", "None"),
        ("inviteContext/assistanceRequestCode", "Unknown"),
        ("mpnId", "1234567"),
        ("inviteContext/invitedMpnId", "1234567"),
        ("organizationId", CONTOSO),
        ("organizationName", "Contoso Company"),
        ("links/self/method", "GET"),
        ("links/relatedReferrals/method", "GET"),
    ];
    let rows = nulls.iter().map(|name| (*name, Value::Null));
    let rows = rows.chain(lists.iter().map(|name| (*name, json!([]))));
    let rows = rows.chain(falses.iter().map(|name| (*name, json!(false))));
    let rows = rows.chain(texts.iter().map(|(name, text)| (*name, json!(text))));
    for (name, value) in rows {
        assert_eq!(at(&seen, &format!("/{name}")), &value, "{name}");
    }
    assert!(
        seen["consent"].as_object().unwrap().get("consentToMicrosoftToContactSpecificPartners").is_none()
    );
    for never in ["businessProfileId", "exception"] {
        assert!(seen.get(never).is_none(), "{never}");
    }
    assert!(seen["customerProfile"].get("id").is_none());
}

#[tokio::test]
async fn everything_a_caller_sends_comes_back() {
    // REF-068 REF-071 REF-072 REF-073 REF-074 REF-076 REF-086 REF-131 REF-155
    let world = World::new().await;
    let sent = full();
    let created = world.contoso().creates(sent.clone()).await;
    let seen = world.contoso().sees(&created.id).await.body;
    assert_eq!(seen, created.body);
    assert_holds(&seen, &sent, "");
    assert_eq!(seen["details"]["dealValue"].to_string(), "50000.25");
    // Nothing beside what was sent, where the members of an entry are counted.
    for (entry, members) in [("/team/0", 6), ("/customerProfile/team/1", 6), ("/target/0", 2)] {
        assert_eq!(at(&seen, entry).as_object().unwrap().len(), members, "{entry}");
    }
}

#[tokio::test]
async fn every_team_entry_is_filled_up_with_null() {
    // REF-071 REF-072
    let world = World::new().await;
    let body = with(small_deal(), "/team", json!([{}, { "email": "a@b.example", "contactPreference": {} }]));
    let body = with(body, "/customerProfile/team", json!([{ "lastName": "Doe" }]));
    let seen = world.contoso().creates(body).await.body;
    let empty = json!({
        "firstName": null, "lastName": null, "phoneNumber": null, "email": null, "title": null,
        "contactPreference": { "locale": null, "disableNotifications": null },
    });
    assert_eq!(seen["team"], json!([empty, with(empty.clone(), "/email", json!("a@b.example"))]));
    assert_eq!(seen["customerProfile"]["team"], json!([with(empty.clone(), "/lastName", json!("Doe"))]));
}

#[tokio::test]
async fn a_tag_says_when_the_referral_was_written() {
    // REF-063 REF-064 REF-065
    let world = World::new().await;
    for time in ["2026-03-02T09:30:00.1234567Z", "2026-03-02T09:30:00.9999999Z", "2033-05-18T03:33:20Z"] {
        world.clock.set(time);
        let deal = world.contoso().creates(small_deal()).await;
        let tag = deal.etag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).expect("quotes");
        let parts: Vec<&str> = tag.split('-').collect();
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12], "{tag}");
        assert!(parts.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit())), "{tag}");
        let written = instant(text_at(&deal.body, "/updatedDateTime"));
        assert_eq!(i64::from_str_radix(&parts[4][..8], 16), Ok(written.unix_seconds()), "{tag}");
        assert_eq!(&parts[4][8..], "0000");
    }
}

#[tokio::test]
async fn request_members_and_values_match_in_any_case() {
    // REF-059 REF-060 REF-118
    let world = World::new().await;
    let sent = json!({
        "TYPE": "shared", "Status": "NEW", "Substatus": "pending", "StatusReason": "Why", "Qualification": "salesqualified",
        "CustomerProfile": { "NAME": "C", "Address": { "COUNTRY": "us" }, "IDs": [{ "ProfileType": "DUNS", "ID": "1" }] },
        "consent": { "CONSENTTOTOSHAREINFOWITHOTHERS": true }, "Details": { "Currency": "usd" },
        "Target": [{ "Type": "solutionprofile", "Id": "SOL-1" }],
        "InviteContext": { "AssistanceRequestCode": "quotesorlicensing" },
    });
    let seen = world.contoso().creates(sent).await.body;
    assert_holds(
        &seen,
        &json!({
            "type": "Shared", "statusReason": "Why", "qualification": "SalesQualified",
            "customerProfile": { "name": "C", "address": { "country": "US" }, "ids": [{ "profileType": "Duns", "id": "1" }] },
            "consent": { "consentToToShareInfoWithOthers": true }, "details": { "currency": "USD" },
            "target": [{ "type": "SolutionProfile", "id": "SOL-1" }],
            "inviteContext": { "assistanceRequestCode": "QuotesOrLicensing" },
        }),
        "",
    );
    // Only the contract's own names come back.
    let whole = world.contoso().creates(full()).await.body;
    assert_same_names(&seen, &whole, "");
}

/// The same members at every depth; lists are looked at by their first entries.
fn assert_same_names(one: &Value, other: &Value, at: &str) {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let names = |of: &serde_json::Map<String, Value>| -> Vec<String> {
                let names = of.keys().filter(|name| *name != "consentToMicrosoftToContactSpecificPartners");
                names.cloned().collect()
            };
            assert_eq!(names(one), names(other), "{at}");
            for (name, value) in one {
                assert_same_names(value, &other[name], &format!("{at}/{name}"));
            }
        }
        (Value::Array(one), Value::Array(other)) => {
            if let (Some(one), Some(other)) = (one.first(), other.first()) {
                assert_same_names(one, other, &format!("{at}/0"));
            }
        }
        _ => {}
    }
}

#[tokio::test]
async fn links_and_location_lead_to_the_referral_on_the_public_address() {
    // REF-041 REF-061 REF-062 REF-080 REF-082 REF-083
    let world =
        World::with(|options, _| options.public_url = "https://referrals.contoso.example/".into()).await;
    let base = "https://referrals.contoso.example";
    let answer = world.call("POST", "/v1.0/engagements/referrals").as_user(support::CONTOSO_ADMIN);
    // The request's own host is never taken.
    let answer = answer.without("host").header("Host", "evil.example").json(small_deal()).await.expect(201);
    let (id, engagement) = (answer.text("id"), answer.text("engagementId"));
    let own = format!("{base}/v1.0/engagements/referrals/{id}");
    assert_eq!(answer.header("location"), Some(own.as_str()));
    let context = format!("{base}/v1.0/engagements/referrals/$metadata#Referrals/$entity");
    let related = format!("{base}/v1.0/engagements/referrals?$filter=engagementId eq '{engagement}'");
    let put = world.contoso().puts(&id, "*", json!({ "name": "By PUT" })).await.expect(200);
    let seen = world.contoso().gets(&id).await.expect(200);
    for answer in [&answer, &put, &seen] {
        assert_eq!(answer.text("@odata.context"), context);
        assert_eq!(answer.body["links"]["self"], json!({ "uri": own, "method": "GET" }));
        assert_eq!(answer.body["links"]["relatedReferrals"], json!({ "uri": related, "method": "GET" }));
    }
    let followed = world.call("GET", own.strip_prefix(base).unwrap()).as_user(support::CONTOSO_ADMIN).await;
    assert_eq!(followed.expect(200).body, seen.body);

    let list = world.contoso().lists("").await.expect(200).body;
    assert_eq!(list["@odata.context"], format!("{base}/v1.0/$metadata#Referrals"));
    let item = &list["value"][0];
    assert_eq!(item["links"], seen.body["links"]);
    assert!(item.get("@odata.context").is_none());
}

#[tokio::test]
async fn the_owner_is_named_and_who_sent_it() {
    // REF-084 REF-093
    let world = World::new().await;
    let sent = world.microsoft().creates(invitation(CONTOSO_LOCATION)).await;
    let seen = world.contoso().sees(&sent.id).await.body;
    assert_eq!(
        (text_at(&seen, "/organizationId"), text_at(&seen, "/organizationName")),
        (CONTOSO, "Contoso Company")
    );
    let invited_by = json!({ "organizationId": "msft", "organizationName": "Microsoft" });
    assert_eq!(seen["inviteContext"]["invitedBy"], invited_by);

    // The old sample claims to come from Microsoft; the server knows better.
    let claimed = with(small_deal(), "/inviteContext", json!({ "invitedBy": invited_by }));
    let own = world.contoso().creates(claimed).await.body;
    let contoso = json!({ "organizationId": CONTOSO, "organizationName": "Contoso Company" });
    assert_eq!(own["inviteContext"]["invitedBy"], contoso);

    for location in [MICROSOFT, FABRIKAM_LOCATION] {
        let sent = world.contoso().creates(invitation(location)).await.body;
        assert_eq!(sent["inviteContext"]["invitedBy"], contoso, "{location}");
        assert_ne!(sent["organizationId"], CONTOSO);
    }
}
