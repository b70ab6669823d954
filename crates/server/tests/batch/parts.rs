//! Batches in parts, and any bytes as a batch. Source: OData Protocol 4.01, 11.7.7.

use super::*;

/// A part with this request, lines ended by CRLF.
fn part(id: Option<&str>, request: &str) -> String {
    let id = id.map(|id| format!("Content-ID: {id}\r\n")).unwrap_or_default();
    let request = request.replace('\n', "\r\n");
    format!("Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n{id}\r\n{request}\r\n")
}

/// The parts of a body, each from a delimiter to the next.
fn parts_of(answer: &Answer) -> Vec<String> {
    let content_type = answer.header("content-type").unwrap().to_owned();
    pieces(std::str::from_utf8(&answer.bytes).unwrap(), &content_type)
}

fn pieces(body: &str, content_type: &str) -> Vec<String> {
    let boundary = content_type.split_once("boundary=").unwrap_or_else(|| panic!("{content_type}")).1;
    let (parts, epilogue) = body.split_once(&format!("--{boundary}--\r\n")).unwrap();
    assert_eq!(epilogue, "");
    let delimiter = format!("--{boundary}\r\n");
    let mut pieces = parts.split(&delimiter);
    assert_eq!(pieces.next(), Some(""));
    pieces.map(|piece| piece.strip_suffix("\r\n").unwrap().to_owned()).collect()
}

/// Status, Content-ID and JSON body of a part that is an answer.
fn answer_of(part: &str) -> (u16, Option<String>, Value) {
    let (head, rest) = part.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("Content-Type: application/http\r\n"), "{head}");
    let id = head.lines().find_map(|line| line.strip_prefix("Content-ID: ")).map(str::to_owned);
    let (head, body) = rest.split_once("\r\n\r\n").unwrap();
    let status = head.strip_prefix("HTTP/1.1 ").unwrap()[..3].parse().unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    assert_eq!(length.map_or(0, |length| length.parse().unwrap()), body.len());
    assert!(head.contains("request-id: "), "{head}");
    (status, id, serde_json::from_str(body).unwrap_or_default())
}

/// The whole of the answers of a flat multipart answer.
fn flat(answer: &Answer) -> Vec<(u16, Option<String>, Value)> {
    parts_of(answer).iter().map(|part| answer_of(part)).collect()
}

#[tokio::test]
async fn a_multipart_batch_is_answered_in_its_own_structure() {
    let world = World::extended().await;
    let old = world.contoso().own_deal().await;
    let body = small_deal().to_string();
    let patch = r#"[{"op":"replace","path":"/name","value":"Ünïcode"}]"#;
    let batch = format!(
        "a preamble\r\n--b_1\r\n{get}--b_1\r\nContent-Type: multipart/mixed;boundary=\"cs 1\"\r\n\r\n--cs 1\r\n{create}--cs 1\r\n{change}--cs 1--\r\n--b_1\r\n{list}--b_1--\r\nan epilogue",
        get = part(None, &format!("GET {} HTTP/1.1\nHost: 127.0.0.1:8080\n\n", old.path())),
        create = part(
            Some("1"),
            &format!(
                "POST engagements/referrals HTTP/1.1\nContent-Type: application/json\nContent-Length: {}\n\n{body}",
                body.len()
            ),
        ),
        change = part(
            Some("2"),
            &format!(
                "PATCH $1 HTTP/1.1\nContent-Type: application/json-patch+json\nPrefer: return=representation\n\n{patch}"
            ),
        ),
        list = part(None, &format!("GET {BASE}{REFERRALS}?$top=5 HTTP/1.1\n\n")),
    );
    let answer = multipart(&world, "b_1", &batch).await.expect(200);
    assert_eq!(answer.header("odata-version"), Some("4.0"));
    let parts = parts_of(&answer);
    assert_eq!(parts.len(), 3);
    let (status, id, seen) = answer_of(&parts[0]);
    assert_eq!((status, id, &seen["id"]), (200, None, &json!(old.id)));
    let (head, inner) = parts[1].split_once("\r\n\r\n").unwrap();
    let inner: Vec<_> = pieces(&format!("{inner}\r\n"), head).iter().map(|part| answer_of(part)).collect();
    let told: Vec<_> = inner.iter().map(|(status, id, _)| (*status, id.as_deref())).collect();
    assert_eq!(told, [(201, Some("1")), (200, Some("2"))]);
    assert_eq!(inner[1].2["name"], "Ünïcode");
    assert_eq!(answer_of(&parts[2]).2["@odata.count"], 2);
}

#[tokio::test]
async fn a_failed_change_set_is_one_answer_and_stops_the_batch() {
    let world = World::extended().await;
    let body = small_deal().to_string();
    let create = |id| {
        part(
            Some(id),
            &format!("POST engagements/referrals HTTP/1.1\nContent-Type: application/json\n\n{body}"),
        )
    };
    let batch = format!(
        "--b\r\nContent-Type: multipart/mixed; boundary=cs\r\n\r\n--cs\r\n{}--cs\r\n{}--cs--\r\n--b\r\n{}--b--",
        create("1"),
        part(
            Some("2"),
            &format!(
                "PATCH {NOWHERE} HTTP/1.1\nContent-Type: application/json\n\n[{{\"op\":\"replace\",\"path\":\"/name\",\"value\":\"x\"}}]"
            )
        ),
        part(None, "GET engagements/referrals HTTP/1.1\n\n"),
    );
    let answer = multipart(&world, "b", &batch).await.expect(200);
    let told = flat(&answer);
    assert_eq!(told.len(), 1, "the error is the last part");
    assert_eq!((told[0].0, told[0].1.as_deref()), (404, Some("2")));
    assert_eq!(told[0].2["error"]["code"], "itemNotFound");
    assert_eq!(world.count(CONTOSO).await, 0);
    for prefer in ["continue-on-error", "odata.continue-on-error", "odata.continue-on-error=true"] {
        let call =
            world.call("POST", BATCH).as_user(CONTOSO_ADMIN).body(batch.clone()).header("Prefer", prefer);
        let answer = call.header("Content-Type", "multipart/mixed; boundary=b").await.expect(200);
        let statuses: Vec<u16> = flat(&answer).iter().map(|one| one.0).collect();
        assert_eq!(statuses, [404, 200], "{prefer}");
        assert_eq!(answer.header("preference-applied"), Some("continue-on-error=true"));
    }
}

#[tokio::test]
async fn accept_chooses_how_the_answer_is_written() {
    let world = World::extended().await;
    let body = small_deal().to_string();
    let create = format!("POST engagements/referrals HTTP/1.1\nContent-Type: application/json\n\n{body}");
    let parts = format!(
        "--b\r\n{}--b\r\nContent-Type: multipart/mixed; boundary=cs\r\n\r\n--cs\r\n{}--cs--\r\n--b--",
        part(None, "GET engagements/referrals HTTP/1.1\n\n"),
        part(Some("1"), &create)
    );
    let requests = json!({ "requests": [get("1", NOWHERE), in_group(post("2", small_deal()), "g"), in_group(post("3", json!({})), "g")] });
    for (accept, in_json) in [
        ("application/json", Some(true)),
        ("multipart/mixed", Some(false)),
        ("multipart/*;q=0.5, application/json;q=0.4", Some(false)),
        ("*/*", None),
        ("application/json, multipart/mixed", None),
    ] {
        let call = world.call("POST", BATCH).as_user(CONTOSO_ADMIN).header("Accept", accept);
        let call = call.header("Content-Type", "multipart/mixed; boundary=b").body(parts.clone());
        let answer = call.await.expect(200);
        if in_json.unwrap_or(false) {
            assert_eq!(statuses(&answer), [200, 201]);
            assert_eq!(answer.body["responses"][0].get("id"), None, "it had no Content-ID");
            assert!(of(&answer, "1")["atomicityGroup"].is_string());
        } else {
            assert_eq!(parts_of(&answer).len(), 2, "{accept}");
        }
        let call = world.call("POST", BATCH).as_user(CONTOSO_ADMIN).header("Accept", accept);
        let answer = call.json(requests.clone()).await.expect(200);
        if in_json.unwrap_or(true) {
            assert_eq!(statuses(&answer), [404, 424, 400], "{accept}");
        } else {
            let told: Vec<_> =
                flat(&answer).into_iter().map(|(status, id, _)| (status, id.unwrap())).collect();
            let expected = [(404, "1"), (424, "2"), (400, "3")].map(|(status, id)| (status, id.to_owned()));
            assert_eq!(told, expected, "{accept}: one part for each request");
        }
    }
}

#[tokio::test]
async fn lines_may_end_without_cr_and_the_last_empty_line_may_be_missing() {
    let world = World::extended().await;
    let deal = world.contoso().own_deal().await;
    let url = deal.path();
    for batch in [
        format!("--b\nContent-Type: application/http\n\nGET {url} HTTP/1.1\n\n\n--b--\n"),
        format!("--b\r\nContent-Type: application/http\r\n\r\nGET {url} HTTP/1.1\r\n\r\n--b--"),
        format!("--b\r\nContent-Type: application/http\r\n\r\nGET {url} HTTP/1.1\r\n--b--"),
        format!("--b\r\nContent-Type: application/http\r\n\r\nGET {url} HTTP/1.1\r\nAccept: */*\r\n--b--"),
        format!("--b\r\nContent-Type: application/http\r\n\r\nGET {url}\r\nAccept: */*\r\n\r\n\r\n--b--"),
        format!(
            "--b \t\r\ncontent-type: Application/HTTP;msgtype=request\r\n\r\n\r\nget {url} HTTP/1.1\r\n\r\n--b-- "
        ),
        format!("--b\r\nContent-Type: application/http\r\n\r\nGET {url}?x=a b HTTP/1.1\r\n\r\n--b--"),
        format!("--bb\r\n--b\r\nContent-Type: application/http\r\n\r\nGET {url} HTTP/1.0\r\n\r\n--b--"),
    ] {
        let answer = multipart(&world, "b", &batch).await.expect(200);
        let told = flat(&answer);
        assert_eq!((told.len(), told[0].0), (1, 200), "{batch}");
        assert_eq!(told[0].2["id"], deal.id);
    }
    let empty = multipart(&world, "b", "--b--").await.expect(200);
    assert_eq!(flat(&empty), []);
}

#[tokio::test]
async fn a_body_comes_through_byte_for_byte() {
    let world = World::extended().await;
    // Lines that look like another boundary, blank lines and line ends of both kinds within the text of a member.
    let name = "--c\\r\\n--cs--\\n\\u0000";
    let body = format!("{{\"name\":\"{name}\",\r\n\r\n\"type\":\"Independent\",\n--{{}}");
    let broken = format!(
        "--b\r\n{}--b--",
        part(None, &format!("POST engagements/referrals HTTP/1.1\nContent-Type: application/json\n\n{body}"))
    );
    let told = flat(&multipart(&world, "b", &broken).await.expect(200));
    assert_eq!(
        told[0].2["error"]["innerError"]["message"], "line 4 column 1",
        "the parser met the third line end"
    );
    let mut good = small_deal();
    good["name"] = "\r\n--b\r\n".into();
    let good = good.to_string();
    let request = format!(
        "POST engagements/referrals HTTP/1.1\nContent-Type: application/json\nContent-Length: {}\n\n{good}\n\n",
        good.len()
    );
    let told =
        flat(&multipart(&world, "b", &format!("--b\r\n{}--b--", part(None, &request))).await.expect(200));
    assert_eq!((told[0].0, &told[0].2["name"]), (201, &json!("\r\n--b\r\n")));
}

#[tokio::test]
async fn a_part_that_cannot_be_read_spoils_the_batch() {
    let world = World::extended().await;
    let body = small_deal().to_string();
    let create = part(
        Some("1"),
        &format!("POST engagements/referrals HTTP/1.1\nContent-Type: application/json\n\n{body}"),
    );
    let one = |part: &str| format!("--b\r\n{create}--b\r\n{part}\r\n--b--");
    let http = |request: &str| one(&part(Some("2"), request));
    for batch in [
        "".to_owned(),
        "no boundary at all".to_owned(),
        "--c--".to_owned(),
        format!("--b\r\n{create}"),
        format!("--b\r\n{create}--b"),
        format!("--b\r\n{create}--b\r\n"),
        one("no headers"),
        one("Content-Type: text/plain\r\n\r\nGET x HTTP/1.1\r\n"),
        one("\r\nGET x HTTP/1.1\r\n"),
        one("Content-Type: application/http\r\nContent-Transfer-Encoding: base64\r\n\r\nR0VU"),
        one("Content-Type: application/http\r\nContent-ID: a b\r\n\r\nGET x HTTP/1.1\r\n"),
        one("Content-Type: application/http\r\nContent-ID: 1\r\n\r\nGET x HTTP/1.1\r\n"),
        one("Content-Type: application/http\r\n : \r\n\r\nGET x HTTP/1.1\r\n"),
        one(&format!("{}Content-Type: application/http\r\n\r\nGET x HTTP/1.1\r\n", "A: b\r\n".repeat(70))),
        http(""),
        http("GET"),
        http("GET  HTTP/1.1"),
        http("G@T x HTTP/1.1"),
        http("GET x HTTP/2"),
        http("GET x HTTP/1.1\nno header"),
        http("POST x HTTP/1.1\nContent-Length: 10\n\nshort"),
        http("POST x HTTP/1.1\nContent-Length: 2\n\nlong"),
        http("POST x HTTP/1.1\nContent-Length: -1\n\n"),
        http("POST x HTTP/1.1\nContent-Length: 0\nContent-Length: 0\n\n"),
        one("Content-Type: multipart/mixed; boundary=cs\r\n\r\nnothing of it"),
        one(
            "Content-Type: multipart/mixed; boundary=cs\r\n\r\n--cs\r\nContent-Type: application/http\r\n\r\nPOST x HTTP/1.1\r\n",
        ),
        one(
            "Content-Type: multipart/mixed; boundary=cs\r\n\r\n--cs\r\nContent-Type: multipart/mixed; boundary=d\r\n\r\n--d--\r\n--cs--",
        ),
    ] {
        let answer = multipart(&world, "b", &batch).await;
        assert_eq!(
            (answer.status, &answer.body["error"]["innerError"]["code"]),
            (400, &json!("malformedBatch")),
            "{batch}"
        );
    }
    let unbounded = multipart(&world, "b", &one("Content-Type: multipart/mixed\r\n\r\n--cs--")).await;
    unbounded.refused(400, "invalidRequest", "Content-Type", "malformedBatch");
    let call = world
        .call("POST", BATCH)
        .as_user(CONTOSO_ADMIN)
        .header("Content-Type", "multipart/mixed; boundary=b");
    let answer =
        call.body(&b"--b\r\nContent-Type: application/http\r\n\r\nGET /\xff HTTP/1.1\r\n\r\n--b--"[..]).await;
    answer.refused(400, "invalidRequest", "body", "malformedBatch");
    assert_eq!(world.count(CONTOSO).await, 0, "nothing of any was done");
}

#[tokio::test]
async fn requests_of_a_part_are_refused_as_those_of_json_are() {
    let world = World::extended().await;
    for (request, status, target) in [
        ("GET engagements/referrals HTTP/1.1\nAuthorization: Bearer x\n\n", 400, "authorization"),
        ("GET engagements/referrals HTTP/1.1\nTransfer-Encoding: chunked\n\n", 400, "transfer-encoding"),
        ("GET engagements/referrals HTTP/1.1\nHost: fabrikam.example\n\n", 400, "Host"),
        ("GET https://fabrikam.example/x HTTP/1.1\n\n", 400, "url"),
        ("OPTIONS engagements/referrals HTTP/1.1\n\n", 400, "method"),
        ("POST $batch HTTP/1.1\nContent-Type: application/json\n\n{}", 400, "url"),
        ("GET $1 HTTP/1.1\n\n", 400, "url"),
        ("PUT engagements/referrals HTTP/1.1\n\n", 405, "method"),
    ] {
        let answer =
            multipart(&world, "b", &format!("--b\r\n{}--b--", part(None, request))).await.expect(200);
        let told = flat(&answer);
        assert_eq!((told[0].0, &told[0].2["error"]["target"]), (status, &json!(target)), "{request}");
    }
    let read = part(Some("1"), "GET engagements/referrals HTTP/1.1\n\n");
    let batch =
        format!("--b\r\nContent-Type: multipart/mixed; boundary=cs\r\n\r\n--cs\r\n{read}--cs--\r\n--b--");
    let told = flat(&multipart(&world, "b", &batch).await.expect(200));
    assert_eq!(
        (told[0].0, &told[0].2["error"]["target"]),
        (400, &json!("method")),
        "a change set holds writes"
    );
}

// ---- any bytes ----

mod any_bytes {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;

    static RUNTIME: LazyLock<tokio::runtime::Runtime> =
        LazyLock::new(|| tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap());
    static WORLD: LazyLock<World> = LazyLock::new(|| RUNTIME.block_on(World::extended()));

    const MULTIPART: &[u8] = b"--b\r\nContent-Type: application/http\r\nContent-ID: 1\r\n\r\nGET engagements/referrals?$top=1 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n\r\n--b\r\nContent-Type: multipart/mixed; boundary=cs\r\n\r\n--cs\r\nContent-Type: application/http\r\nContent-ID: 2\r\n\r\nPOST engagements/referrals HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}\r\n--cs--\r\n--b--\r\n";
    const JSON: &[u8] = br#"{"requests":[{"id":"1","method":"get","url":"engagements/referrals","headers":{"accept":"*/*"}},{"id":"2","atomicityGroup":"g","dependsOn":["1"],"method":"patch","url":"$1","body":[{"op":"add"}]}]}"#;

    fn answered(content_type: &str, body: Vec<u8>) -> u16 {
        let world = &*WORLD;
        RUNTIME.block_on(async {
            let call = world.call("POST", BATCH).as_user(CONTOSO_ADMIN).header("Content-Type", content_type);
            // The harness fails the test when no answer comes, or one without what every answer owes.
            let answer = call.body(body).await;
            if answer.status == 200 && answer.body.is_object() {
                assert!(statuses(&answer).iter().all(|status| *status != 500), "{}", answer.body);
            }
            answer.status
        })
    }

    /// A good batch with some bytes exchanged, cut out or repeated.
    fn mutated(good: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
        let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 0..6);
        edits.prop_map(move |edits| {
            let mut bytes = good.to_vec();
            for (place, byte, kind) in edits {
                let at = place.index(bytes.len().max(1)).min(bytes.len().saturating_sub(1));
                match kind {
                    _ if bytes.is_empty() => bytes.push(byte),
                    0 => bytes[at] = byte,
                    1 => drop(bytes.remove(at)),
                    2 => bytes.truncate(at),
                    _ => bytes.insert(at, b"\r\n-:\"{}$ "[usize::from(byte) % 9]),
                }
            }
            bytes
        })
    }

    proptest! {
        #[test]
        fn as_multipart_are_answered(bytes in prop_oneof![prop::collection::vec(any::<u8>(), 0..200), mutated(MULTIPART)]) {
            let status = answered("multipart/mixed; boundary=b", bytes);
            prop_assert!(matches!(status, 200 | 400), "{status}");
        }

        #[test]
        fn as_json_are_answered(bytes in prop_oneof![prop::collection::vec(any::<u8>(), 0..200), mutated(JSON)]) {
            let status = answered("application/json", bytes);
            prop_assert!(matches!(status, 200 | 400), "{status}");
        }

        #[test]
        fn as_content_type_are_answered(text in "[ -~]{0,80}") {
            let status = answered(&format!("multipart/mixed;{text}"), MULTIPART.to_vec());
            prop_assert!(matches!(status, 200 | 400), "{status}");
        }
    }
}
