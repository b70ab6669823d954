//! How values come back: times, amounts, texts, lists of the documents, ids, flags. Spec 5.1, 5.3, 6.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod resource;
mod support;

use serde_json::{Value, json};

use resource::{assert_holds, replace, sends, text_at, with};
use support::{World, example, small_deal};

#[tokio::test]
async fn times_are_utc_with_at_most_seven_digits() {
    // REF-066 REF-067
    let world = World::new().await;
    for (sent, kept) in [
        ("2026-12-01T01:30:00+02:00", "2026-11-30T23:30:00Z"),
        ("2026-12-01T00:00:00-11:30", "2026-12-01T11:30:00Z"),
        ("2026-12-01", "2026-12-01T00:00:00Z"),
        ("2026-12-01T00:00:00.0000000Z", "2026-12-01T00:00:00Z"),
        ("2026-12-01T00:00:00.1200000Z", "2026-12-01T00:00:00.12Z"),
        ("2026-12-01T00:00:00.123456789Z", "2026-12-01T00:00:00.1234567Z"),
        ("2026-12-31T23:59:60Z", "2027-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59.9999999Z", "9999-12-31T23:59:59.9999999Z"),
        ("2024-02-29T12:00:00Z", "2024-02-29T12:00:00Z"),
    ] {
        let deal = world.contoso().creates(with(small_deal(), "/details/closingDateTime", json!(sent))).await;
        assert_eq!(text_at(&deal.body, "/details/closingDateTime"), kept, "{sent}");
    }
    let deal = world.contoso().creates(small_deal()).await;
    assert_eq!(text_at(&deal.body, "/createdDateTime"), "2026-03-02T09:30:00.1234567Z");
}

#[tokio::test]
async fn a_deal_value_is_an_exact_number_however_it_was_sent() {
    // REF-068 REF-123
    let world = World::new().await;
    for (sent, kept) in [
        (r#""10000""#, "10000"),
        ("10000.00", "10000"),
        ("1e4", "10000"),
        ("0.1", "0.1"),
        (r#""50000.2500""#, "50000.25"),
        ("123456789012345678901234.5678", "123456789012345678901234.5678"),
        ("0", "0"),
        ("-0", "0"),
    ] {
        let body = small_deal()
            .to_string()
            .replace(r#""details":{}"#, &format!(r#""details":{{"dealValue":{sent}}}"#));
        let answer = sends(&world, "POST", "", None, body.as_bytes()).await.expect(201);
        assert!(
            String::from_utf8_lossy(&answer.bytes).contains(&format!(r#""dealValue":{kept},"#)),
            "{sent}"
        );
    }
}

#[tokio::test]
async fn texts_come_back_unchanged() {
    // REF-086 REF-087 REF-097
    let world = World::new().await;
    let id = world.contoso().creates(small_deal()).await.id;
    for text in [
        "",
        " ",
        " crm \t42\n",
        "Zażółć gęślą jaźń",
        "你好 🎉 \u{10ffff}",
        "\"\\/<>&';--",
        "e\u{301}≠é",
        "null",
    ] {
        let put = json!({ "externalReferenceId": text, "name": text });
        let answer = world.contoso().puts(&id, "*", put).await.expect(200);
        for member in ["name", "externalReferenceId"] {
            assert_eq!(answer.body[member], text);
        }
        world.contoso().replaces(&id, "/name", json!("between")).await.expect(204);
        world.contoso().replaces(&id, "/name", json!(text)).await.expect(204);
        assert_eq!(world.contoso().sees(&id).await.body["name"], text);
    }
}

#[tokio::test]
async fn every_documented_size_and_requirement_round_trips() {
    // REF-088 REF-089
    let world = World::new().await;
    let sizes = example("values.customer-sizes.json");
    assert_eq!(sizes.as_array().unwrap().len(), 11);
    let id = world.contoso().creates(small_deal()).await.id;
    for size in sizes.as_array().unwrap() {
        let put = json!({ "customerProfile": { "size": size } });
        let seen = world.contoso().puts(&id, "*", put).await.expect(200).body;
        assert_eq!(&seen["customerProfile"]["size"], size);
    }
    for (list, count) in [("industries", 14), ("products", 20), ("services", 10), ("solutions", 48)] {
        let values = example(&format!("values.{list}.json"));
        let values = values.as_array().unwrap();
        assert_eq!(values.len(), count, "{list}");
        let tags: Vec<Value> = values.iter().map(|id| json!({ "id": id })).collect();
        let sent = with(small_deal(), &format!("/details/requirements/{list}"), json!(tags));
        let seen = world.contoso().creates(sent).await.body;
        assert_holds(&seen["details"]["requirements"][list], &json!(tags), list);
    }
}

#[tokio::test]
async fn countries_have_two_letters() {
    // REF-091
    let world = World::new().await;
    for (sent, kept) in [("US", "US"), ("pl", "PL"), ("DEU", "DE"), ("usa", "US")] {
        let body = with(small_deal(), "/customerProfile/address", json!({ "country": sent }));
        let seen = world.contoso().creates(body).await.body;
        assert_eq!(seen["customerProfile"]["address"]["country"], kept, "{sent}");
    }
}

#[tokio::test]
async fn customer_ids_are_always_a_list_of_pairs() {
    // REF-074 REF-075 REF-293
    let world = World::new().await;
    let pair = |kind: &str, id: &str| json!({ "profileType": kind, "id": id });
    for (sent, kept) in [
        (json!({}), json!([])),
        (json!([]), json!([])),
        (Value::Null, json!([])),
        (json!({ "Duns": "795986822" }), json!([pair("Duns", "795986822")])),
        (json!({ "duns": "1", "External": "2" }), json!([pair("Duns", "1"), pair("External", "2")])),
        (json!([pair("External", "6-EC3LOVPHK")]), json!([pair("External", "6-EC3LOVPHK")])),
    ] {
        let body = with(small_deal(), "/customerProfile/ids", sent.clone());
        let seen = world.contoso().creates(body).await.body;
        assert_eq!(seen["customerProfile"]["ids"], kept, "{sent}");
    }
}

#[tokio::test]
async fn consent_flags_that_are_absent_read_false() {
    // REF-076 REF-077 REF-115
    let world = World::new().await;
    for (sent, kept) in [
        (json!({}), [false, false, false]),
        (json!({ "consentToContact": true }), [false, true, false]),
        (json!({ "consentToToShareInfoWithOthers": true }), [true, false, false]),
        // The single spelling is an unknown member.
        (json!({ "consentToShareInfoWithOthers": true }), [false, false, false]),
        (json!({ "consentToShareReferralWithMicrosoftSellers": false }), [false, false, false]),
        (json!({ "consentToShareReferralWithMicrosoftSellers": true }), [false, false, true]),
    ] {
        let seen = world.contoso().creates(with(small_deal(), "/consent", sent.clone())).await.body;
        let flags = json!({
            "consentToToShareInfoWithOthers": kept[0], "consentToContact": kept[1],
            "consentToShareReferralWithMicrosoftSellers": kept[2],
        });
        assert_eq!(seen["consent"], flags, "{sent}");
    }
}

#[tokio::test]
async fn a_sales_stage_is_a_percentage_or_one_of_four_names() {
    let world = World::new().await;
    let id = world.contoso().creates(small_deal()).await.id;
    for (sent, kept) in [
        (json!("100"), json!("100")),
        (json!(60), json!("60")),
        (json!(12.5), json!("12.5")),
        (json!("develop"), json!("Develop")),
        (Value::Null, Value::Null),
    ] {
        let answer = world.contoso().puts(&id, "*", json!({ "salesStage": sent })).await.expect(200);
        assert_eq!(answer.body["salesStage"], kept, "{sent}");
    }
    for refused in [json!("101"), json!(-1), json!("Won"), json!("")] {
        let answer = world.contoso().patches(&id, replace(&[("/salesStage", refused)])).await;
        answer.refused(400, "invalidRequest", "/salesStage", "invalidValue");
    }
}
