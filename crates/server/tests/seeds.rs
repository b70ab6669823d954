//! The requests of the seed pages (tests/seeds), byte for byte, against a world that holds the pages' referrals.
//!
//! A page's answer must come back member by member; corrected are, as spec 5.6 and 9 say, `links`,
//! `@odata.context`, and in the answer to PUT the id, the tag and the lost `closingDateTime`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod resource;
mod support;

use serde_json::{Value, json};

use resource::{assert_holds, text, text_at, with, without};
use support::{Answer, BASE, CONTOSO_ADMIN, CONTOSO_LOCATION, World, example};

const PUT_PAGES: [&str; 4] = [
    "000_9d50cd3788129946.txt",
    "001_2d65cee5c0c83549.txt",
    "002_948892352e02220b.txt",
    "003_321d766fd8638376.txt",
];
const GET_PAGE: &str = "004_dd8fcf3f825218b6.txt";

const ACTIVE: &str = "49d90c72-3326-4f61-aacc-2cb57970448c";
const WON: &str = "4111fffc-f9ee-4d53-bba6-569135228642";
const LEAD: &str = "c5fbb3b6-be74-4795-9fb5-4324c73fed37";
const TAG: &str = "\"2500ec5a-0000-0000-0000-5bf4967d0000\"";

/// The two samples of a page: what stands between its code fences.
fn samples(page: &str) -> [String; 2] {
    let page = text(&format!("tests/seeds/{page}")).replace("\r\n", "\n");
    let mut fenced = page.split("\n```").skip(1).step_by(2).map(|block| {
        let (_language, sample) = block.split_once('\n').unwrap();
        format!("{sample}\n")
    });
    [fenced.next().unwrap(), fenced.next().unwrap()]
}

/// A sample of a request: its first line, its headers, its body.
struct Sent {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: String,
}

fn request(sample: &str) -> Sent {
    let (head, body) = sample.split_once("\n\n").unwrap_or((sample.trim_end(), ""));
    let mut lines = head.lines();
    let words: Vec<&str> = lines.next().unwrap().split(' ').collect();
    let [method, target, "HTTP/1.1"] = words[..] else { panic!("{words:?}") };
    let target = target.strip_prefix("https://api.partner.microsoft.com").unwrap();
    let headers = lines.map(|line| line.split_once(": ").unwrap());
    Sent {
        method: method.to_owned(),
        target: target.to_owned(),
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        body: body.to_owned(),
    }
}

async fn send(world: &World, sent: &Sent, if_match: Option<&str>) -> Answer {
    let token = world.token(CONTOSO_ADMIN).await;
    let mut call = world.call(&sent.method, &sent.target);
    for (name, value) in &sent.headers {
        call = call.without(name).header(name, &value.replace("<token>", &token));
    }
    if let Some(tag) = if_match {
        call = call.header("If-Match", tag);
    }
    if !sent.body.is_empty() {
        call = call.body(sent.body.clone());
    }
    call.await
}

/// The JSON of an answer sample, which may have a status line and headers before it.
fn answer(sample: &str) -> Value {
    serde_json::from_str(&sample[sample.find('{').unwrap()..]).unwrap()
}

/// The request's body as JSON, its trailing comma taken away.
fn body_of(sent: &Sent) -> Value {
    let at = sent.body.rfind(',').unwrap();
    assert_eq!(sent.body[at + 1..].trim(), "}", "the page ends with a comma before the brace");
    serde_json::from_str(&format!("{}{}", &sent.body[..at], &sent.body[at + 1..])).unwrap()
}

/// The links of a page as they should be.
fn corrected_links(page: &Value) -> Value {
    let (id, engagement) = (text_at(page, "/id"), text_at(page, "/engagementId"));
    let base = format!("{BASE}/v1.0/engagements/referrals");
    json!({
        "relatedReferrals": { "uri": format!("{base}?$filter=engagementId eq '{engagement}'"), "method": "GET" },
        "self": { "uri": format!("{base}/{id}"), "method": "GET" },
    })
}

/// The three referrals of the pages, as Contoso holds them before anything is sent.
async fn world_of_the_pages(put_page: &str) -> World {
    let world = World::new().await;
    let [put, won] = samples(put_page);
    let (put, won) = (body_of(&request(&put)), answer(&won));
    let active = with(put, "/organizationId", won["organizationId"].clone());
    let active = with(active, "/organizationName", won["organizationName"].clone());
    let active = with(active, "/status", json!("Active"));
    let active = with(active, "/substatus", json!("Accepted"));
    let active = with(active, "/statusReason", Value::Null);
    for referral in [active, won] {
        let accepted = referral["createdDateTime"].clone();
        let referral = with(referral, "/direction", json!("Incoming"));
        let referral = with(referral, "/acceptedDateTime", accepted);
        world.plant_new(with(referral, "/mpnId", json!("1234567")), None).await;
    }
    let [_, lead] = samples(GET_PAGE);
    world.plant_new(answer(&lead), None).await;
    world
}

#[tokio::test]
async fn the_get_page_is_answered_as_it_prints() {
    // REF-002 REF-014 REF-042 REF-058 REF-066 REF-078 REF-079 REF-084 REF-090 REF-092
    let [asked, printed] = samples(GET_PAGE);
    let mut asked = request(&asked);
    assert_eq!((asked.method.as_str(), asked.body.as_str()), ("GET", ""));
    asked.target = asked.target.replace("{Id}", LEAD);
    let world = world_of_the_pages(PUT_PAGES[0]).await;
    let page = answer(&printed);
    let seen = send(&world, &asked, None).await.expect(200);
    assert_eq!(seen.header("etag"), Some(TAG));
    let members = without(without(page.clone(), "/links"), "/@odata.context");
    assert_holds(&seen.body, &members, "");
    assert_eq!(seen.body["links"], corrected_links(&page));
    let context = format!("{BASE}/v1.0/engagements/referrals/$metadata#Referrals/$entity");
    assert_eq!(seen.text("@odata.context"), context);
    // The page says so itself: real answers hold more, such as the teams.
    for more in ["/team", "/customerProfile/team", "/consent", "/inviteContext"] {
        assert!(seen.body.pointer(more).is_some() && page.pointer(more).is_none(), "{more}");
    }
}

#[tokio::test]
async fn the_put_page_is_answered_as_it_prints_in_every_edition() {
    // REF-004 REF-047 REF-095 REF-167 REF-168 REF-172 REF-173 REF-176
    for edition in PUT_PAGES {
        let [asked, printed] = samples(edition);
        let sent = request(&asked);
        assert_eq!((sent.method.as_str(), sent.target.ends_with(ACTIVE)), ("PUT", true), "{edition}");
        assert!(
            sent.body.starts_with(" {") && serde_json::from_str::<Value>(&sent.body).is_err(),
            "verbatim"
        );
        let page = answer(&printed);
        let world = world_of_the_pages(edition).await;
        world.clock.set(text_at(&page, "/updatedDateTime"));
        let answer = send(&world, &sent, Some(TAG)).await.expect(200);
        assert_eq!((answer.text("status"), answer.text("substatus")), ("Closed".into(), "Won".into()));
        let expected = with(page.clone(), "/id", json!(ACTIVE));
        let mut members = without(expected.clone(), "/links");
        members.as_object_mut().unwrap().shift_remove("eTag");
        assert_holds(&answer.body, &members, "");
        assert_holds(
            &answer.body,
            &without(body_of(&sent), "/eTag").as_object().map(changed_members).unwrap(),
            "",
        );
        assert_eq!(answer.body["links"], corrected_links(&expected));
        assert_eq!(text_at(&answer.body, "/details/closingDateTime"), "2018-11-14T00:00:00Z");
        assert_eq!(answer.body["closedDateTime"], page["updatedDateTime"]);
        assert_ne!(answer.text("eTag"), TAG);
        assert_eq!(answer.header("etag"), Some(answer.text("eTag").as_str()));

        // The same request once more comes too late.
        let again = send(&world, &sent, Some(TAG)).await.expect(412);
        assert_eq!(again.body, example("error.412.etag-mismatch.json"));
        let seen = world.contoso().gets(ACTIVE).await;
        assert_eq!(seen.bytes, answer.bytes);
        // With the new tag it changes nothing any more.
        let same = send(&world, &sent, Some(&answer.text("eTag"))).await.expect(200);
        assert_eq!(same.bytes, answer.bytes);
    }
}

/// The request's members that the answer must show: all but the times, which are the server's.
fn changed_members(sent: &serde_json::Map<String, Value>) -> Value {
    sent.iter()
        .filter(|(name, _)| *name != "updatedDateTime")
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

#[tokio::test]
async fn the_put_page_without_its_if_match_is_refused() {
    // REF-158
    let world = world_of_the_pages(PUT_PAGES[0]).await;
    let [asked, _] = samples(PUT_PAGES[0]);
    let answer = send(&world, &request(&asked), None).await;
    answer.refused(400, "invalidRequest", "If-Match", "missingHeader");
}

#[tokio::test]
async fn the_referral_of_the_put_answer_is_read_as_printed() {
    // REF-002 REF-173
    for edition in PUT_PAGES {
        let world = world_of_the_pages(edition).await;
        let [_, printed] = samples(edition);
        let page = answer(&printed);
        let seen = world.contoso().gets(WON).await.expect(200);
        assert_holds(&seen.body, &without(page.clone(), "/links"), "");
        assert_eq!(seen.body["links"], corrected_links(&page));
        assert_eq!(seen.header("etag"), Some(TAG));
    }
}

#[tokio::test]
async fn all_editions_carry_the_same_samples() {
    let parsed = |page: &str| {
        let [asked, printed] = samples(page);
        (body_of(&request(&asked)), answer(&printed))
    };
    let first = parsed(PUT_PAGES[0]);
    for edition in PUT_PAGES {
        assert_eq!(parsed(edition), first, "{edition}");
    }
    assert_eq!(first.0["target"][0]["id"], CONTOSO_LOCATION);
}
