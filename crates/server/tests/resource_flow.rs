//! What a published Power Automate flow sends and expects (tests/vectors/referrals-flow): our answers are held to
//! the schema of its Parse-JSON step, and its PUT is built from them and sent.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod resource;
mod support;

use jsonschema::Validator;
use serde_json::{Value, json};

use resource::{full, least, replace, text, with};
use support::{CONTOSO_LOCATION, FABRIKAM_LOCATION, Person, World, example, invitation, small_deal};

fn flow() -> Value {
    serde_json::from_str(&text("tests/vectors/referrals-flow/flow.json")).unwrap()
}

fn parse_json_step() -> Validator {
    jsonschema::validator_for(&flow()["get_referral"]["response_schema"]).unwrap()
}

async fn fits(schema: &Validator, reader: Person<'_>, id: &str) -> Value {
    let seen = reader.gets(id).await.expect(200).body;
    let faults: Vec<String> =
        schema.iter_errors(&seen).map(|error| format!("{} {error}", error.instance_path())).collect();
    assert!(faults.is_empty(), "{faults:?}\n{seen}");
    seen
}

#[tokio::test]
async fn every_kind_of_referral_fits_the_schema_of_the_flow() {
    // REF-069 REF-070 REF-071 REF-073
    let schema = parse_json_step();
    // The schema bites: without a member that it requires, or with null for a list, nothing fits.
    let world = World::new().await;
    let whole = world.contoso().creates(full()).await;
    let seen = fits(&schema, world.contoso(), &whole.id).await;
    for (pointer, value) in [("/team", Value::Null), ("/team/0", json!({})), ("/consent", Value::Null)] {
        assert!(!schema.is_valid(&with(seen.clone(), pointer, value)), "{pointer}");
    }

    let contoso = world.contoso();
    let bare = contoso.creates(least()).await;
    fits(&schema, contoso, &bare.id).await;
    let thin = with(small_deal(), "/team", json!([{}, { "contactPreference": null }]));
    let thin =
        contoso.creates(with(thin, "/customerProfile/team", json!([{ "email": "a@b.example" }]))).await;
    fits(&schema, contoso, &thin.id).await;
    let lead = world.microsoft().creates(invitation(CONTOSO_LOCATION)).await;
    fits(&schema, contoso, &lead.id).await;
    fits(&schema, world.microsoft(), &lead.id).await;
    let sent = contoso.connects(&whole.engagement, FABRIKAM_LOCATION).await;
    fits(&schema, contoso, &sent.id).await;
    fits(&schema, world.fabrikam(), &sent.id).await;
    fits(&schema, world.fabrikam(), &whole.id).await;
    let nulled = json!({
        "team": null, "target": null, "consent": { "consentToContact": null }, "name": null,
        "customerProfile": { "team": null, "ids": null, "size": null, "address": { "city": null } },
    });
    contoso.puts(&thin.id, "*", nulled).await.expect(200);
    fits(&schema, contoso, &thin.id).await;
    contoso.patches(&thin.id, example("patch.request.close-as-won.json")).await.expect(204);
    fits(&schema, contoso, &thin.id).await;
    world.clock.advance(30 * 24 * 3600);
    let expired = fits(&schema, contoso, &lead.id).await;
    assert_eq!(expired["substatus"], "Expired");
}

/// The value of one expression of the template: `body('…')?['a']?['b']` of the answer, or the variable.
fn evaluate(expression: &str, answer: &Value) -> Value {
    if expression == "variables('LeadId')" {
        return json!("b8a1c7d2-0000-4000-8000-000000000001");
    }
    let path =
        expression.strip_prefix("body('Parse_JSON_-_Microsoft_Partner_Center_Referral')").expect(expression);
    let names = path.split("?['").skip(1).map(|part| part.strip_suffix("']").expect(expression));
    names.fold(answer, |here, name| &here[name]).clone()
}

/// The template with its expressions filled in: `@…` stands for a value, `@{…}` for a text.
fn filled(template: &Value, answer: &Value) -> Value {
    match template {
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), filled(value, answer))).collect()
        }
        Value::String(text) => match text.strip_prefix("@{").and_then(|text| text.strip_suffix('}')) {
            Some(expression) => json!(evaluate(expression, answer).as_str().unwrap()),
            None => evaluate(text.strip_prefix('@').unwrap(), answer),
        },
        other => panic!("the template holds {other}"),
    }
}

#[tokio::test]
async fn the_put_of_the_flow_writes_the_lead_id_and_nothing_else() {
    // REF-063 REF-170 REF-175
    let world = World::new().await;
    let contoso = world.contoso();
    let lead = world.microsoft().creates(invitation(CONTOSO_LOCATION)).await;
    let unlinked = contoso.creates(with(full(), "/externalReferenceId", Value::Null)).await;
    for id in [lead.id, contoso.creates(full()).await.id, contoso.creates(least()).await.id, unlinked.id] {
        let before = contoso.gets(&id).await.body;
        let body = filled(&flow()["put_referral"]["body_template"], &before);
        assert_eq!(body.as_object().unwrap().len(), 20);
        let answer = contoso.puts(&id, before["eTag"].as_str().unwrap(), body.clone()).await.expect(200);
        let mut expected = with(before, "/externalReferenceId", body["externalReferenceId"].clone());
        for member in ["updatedDateTime", "eTag"] {
            assert_ne!(answer.body[member], expected[member], "{member}");
            expected[member] = answer.body[member].clone();
        }
        assert_eq!(answer.body, expected);
    }
}

#[tokio::test]
async fn the_lead_id_can_be_written_after_closing_too() {
    // REF-150 REF-175
    let world = World::new().await;
    let contoso = world.contoso();
    let deal = contoso.creates(full()).await;
    contoso
        .patches(&deal.id, replace(&[("/status", json!("Closed")), ("/substatus", json!("Won"))]))
        .await
        .expect(204);
    let closed = contoso.gets(&deal.id).await.body;
    let body = filled(&flow()["put_referral"]["body_template"], &closed);
    let answer = contoso.puts(&deal.id, closed["eTag"].as_str().unwrap(), body).await.expect(200);
    assert_eq!(answer.body["externalReferenceId"], "b8a1c7d2-0000-4000-8000-000000000001");
    assert_eq!(answer.body["closedDateTime"], closed["closedDateTime"]);
}
