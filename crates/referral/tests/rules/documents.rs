//! The stored document and the response bodies made from it. Spec 5.6.

use referral::{Access, Kind, PublicBase, Referral};
use serde_json::{Value, json};

use crate::support::*;

#[test]
fn an_answer_carries_its_context_and_links_on_the_public_base() {
    // REF-058 REF-061 REF-082 REF-083 REF-084
    let document = own(&complete());
    let referral = Referral::from_document(&document).unwrap();
    for (url, misspelt, root) in [
        ("https://referrals.contoso.example", false, "https://referrals.contoso.example"),
        ("https://referrals.contoso.example/", true, "https://referrals.contoso.example"),
        ("http://127.0.0.1:8080/sub//", false, "http://127.0.0.1:8080/sub"),
        ("http://x/\"quoted\"\\", false, "http://x/\"quoted\"\\"),
    ] {
        let base = PublicBase::new(url, misspelt);
        assert_eq!(base.url(), root);
        let bytes = base.entity(&document, referral.id, referral.engagement_id);
        let answer: Value = serde_json::from_slice(&bytes).unwrap();
        let collection = if misspelt { "engagments" } else { "engagements" };
        let own = format!("{root}/v1.0/engagements/referrals/{}", referral.id);
        let context = format!("{root}/v1.0/{collection}/referrals/$metadata#Referrals/$entity");
        assert_eq!(answer["@odata.context"], json!(context));
        assert_eq!(answer.as_object().unwrap().keys().next().unwrap(), "@odata.context");
        let related =
            format!("{root}/v1.0/engagements/referrals?$filter=engagementId eq '{}'", referral.engagement_id);
        assert_eq!(
            answer["links"],
            json!({ "relatedReferrals": { "uri": related, "method": "GET" }, "self": { "uri": own, "method": "GET" } })
        );
        assert_eq!(base.referral(referral.id), own);
        assert_eq!(base.referrals(), format!("{root}/v1.0/engagements/referrals"));
        assert_eq!(base.list_context(), format!("{root}/v1.0/$metadata#Referrals"));
        let mut item = Vec::new();
        base.item(&document, referral.id, referral.engagement_id, &mut item);
        let mut expected = answer;
        expected.as_object_mut().unwrap().shift_remove("@odata.context");
        // REF-062
        assert_eq!(serde_json::from_slice::<Value>(&item).unwrap(), expected);
        assert_eq!(expected["organizationId"], json!(contoso().id));
        assert_eq!(expected["organizationName"], "Contoso Company");
    }
}

#[test]
fn a_text_that_looks_like_the_place_of_the_links_is_only_text() {
    let trap = "\",\"links\":null,\"x\":\"";
    let mut body = complete();
    for path in
        ["/name", "/externalReferenceId", "/customerProfile/name", "/details/notes", "/team/0/firstName"]
    {
        *body.pointer_mut(path).unwrap() = json!(trap);
    }
    body["inviteContext"] = json!({ "notes": trap });
    let referral = create(&body, &WIRE).unwrap();
    let document = referral.to_document();
    let answer = PublicBase::new(HOST, false).entity(&document, referral.id, referral.engagement_id);
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["inviteContext"]["notes"], trap);
    assert_eq!(answer["links"]["self"]["method"], "GET");
    assert_eq!(answer.as_object().unwrap().keys().filter(|name| *name == "links").count(), 1);
}

#[test]
fn a_stored_document_is_what_was_written_or_it_is_damaged() {
    for name in
        ["get-by-id.response.full.json", "put.response.json", "create.connected-microsoft.response.json"]
    {
        let document = stored(name);
        let referral = Referral::from_document(&document).unwrap();
        assert_eq!(referral.to_document(), document, "{name}");
        assert!(Referral::from_document(&document[..document.len() - 1]).is_err());
    }
    for bytes in [&b""[..], b"{}", b"[]", b"null", b"\xff"] {
        assert!(Referral::from_document(bytes).is_err());
    }
}

#[test]
fn a_registration_is_kept_with_all_its_members() {
    let mut document = value(&own(&minimal()));
    document["registrations"] = json!([{
        "id": "r", "registrationDateTime": "2022-10-01T00:00:00Z", "type": "AzureIPCoSell", "status": "ReviewPending", "statusReason": null,
        "contract": {
            "value": 50000.5, "currency": "USD", "startDateTime": "2022-10-01T00:00:00Z", "endDateTime": null,
            "signDateTime": null, "term": "Finite",
        },
        "solutionDetails": [{
            "id": "SOL-1", "name": null, "currency": "USD", "value": 40000, "isDeployedOnAzure": true,
            "primaryDeploymentOn": "Customer", "pricingModel": "Other",
            "marketplaceTransactionDetails": { "isMarketplaceTransacted": true, "marketplaceTransactionDateTime": null },
        }],
        "statusHistory": {
            "reviewPendingDateTime": "2022-10-01T00:00:00Z", "actionRequiredDateTime": null, "passedDateTime": null,
            "failedDateTime": null, "approvedDateTime": null,
        },
    }]);
    let referral = Referral::from_document(&serde_json::to_vec(&document).unwrap()).unwrap();
    assert_eq!(value(&referral.to_document()), document);
}

#[test]
fn the_columns_are_named_once_and_belong_to_kept_members() {
    let columns: Vec<_> =
        properties(&Referral::TYPE).into_iter().filter_map(|(path, row)| Some((row.column?, path))).collect();
    let mut names: Vec<_> = columns.iter().map(|(column, _)| *column).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), columns.len(), "{columns:?}");
    for property in Referral::TYPE.properties {
        assert!(!property.required || property.access != Access::Server, "{}", property.name);
        assert!(
            !(property.nullable && matches!(property.kind, Kind::Object(_) | Kind::List(_))),
            "{}",
            property.name
        );
    }
}
