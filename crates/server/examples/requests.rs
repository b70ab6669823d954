//! What a request costs in processor time, without sockets: `App::handle` over a real store in a temporary directory.
//!
//! `cargo run --release -p server --example requests -- get|put|patch|merge|post COUNT` prints the processor time of
//! the thread that answers, and of all threads, for each request. Instructions say more where other programs run:
//!
//! ```text
//! CARGO_PROFILE_RELEASE_DEBUG=1 cargo build --release -p server --example requests
//! valgrind --tool=callgrind --toggle-collect='requests::answer_all' target/release/examples/requests put 6400
//! ```
//!
//! counts those of the answering thread alone, with nothing of the preparations: divide `Collected` by the count.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for the command line that fails by panic"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};
use server::App;
use support::*;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

/// A write allocates as it does in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Requests in work at once: so many writes share a commit.
const TOGETHER: usize = 64;

/// A deal as the benchmarks' dataset has them: 2.1 KB of compact JSON as sent.
fn deal(number: usize) -> Value {
    let person = |name: &str, email: String| {
        json!({
            "contactPreference": { "locale": "en-us", "disableNotifications": false },
            "firstName": name, "lastName": "Novak", "phoneNumber": "4255550100", "email": email,
        })
    };
    let notes = "customer is looking to leverage cloud services for their supply chain and needs help with migration \
                 of custom applications and training of employees before the renewal of licences next quarter";
    json!({
        "name": "Dynamics365Enterprise for Litware Retail", "externalReferenceId": "EXT-0000000000",
        "type": "Independent", "qualification": "SalesQualified",
        "target": [{ "type": "SolutionProfile", "id": "8c0a3b1e-0000-4000-8000-000000000001" }],
        "customerProfile": {
            "name": format!("Litware Retail {number}"),
            "address": {
                "addressLine1": "12 Main Street", "addressLine2": "", "city": "Kraków", "state": "",
                "postalCode": "31042", "country": "PL",
            },
            "size": "51to250employees",
            "team": [person("Olga", format!("user{number}@litware.example")), person("Raj", "raj@litware.example".into())],
            "ids": [],
        },
        "consent": { "consentToToShareInfoWithOthers": true, "consentToContact": true },
        "details": {
            "notes": notes, "dealValue": 120_000, "currency": "PLN", "closingDateTime": "2026-11-06T00:00:00Z",
            "requirements": {
                "industries": [{ "id": "Manufacturing" }], "products": [{ "id": "Dynamics365Enterprise" }],
                "services": [{ "id": "DeploymentOrMigration" }],
                "solutions": [{ "id": "SOL-Dynamics365Enterprise", "name": "Dynamics365Enterprise", "type": "Category" }],
            },
        },
        "team": [person("Ana", CONTOSO_ADMIN.to_owned())],
        "inviteContext": { "notes": "please contact the project office before the renewal" },
    })
}

/// Members of the server that clients send back in a PUT.
const SENT_BACK: [&str; 9] = [
    "id",
    "engagementId",
    "organizationId",
    "organizationName",
    "createdDateTime",
    "updatedDateTime",
    "status",
    "substatus",
    "direction",
];

/// The n-th request of one kind, about the deal at a place: every write changes something.
fn request(kind: &str, count: usize, token: &str, place: usize, deal: &Deal) -> Request<Full<Bytes>> {
    let reference = format!("EXT-{count:010}");
    let (method, media_type, body) = match kind {
        "get" => ("GET", "", Value::Null),
        "put" => ("PUT", "application/json", {
            let mut body = self::deal(place);
            for servers in SENT_BACK {
                body[servers] = deal.body[servers].clone();
            }
            body["externalReferenceId"] = reference.into();
            body
        }),
        "patch" => (
            "PATCH",
            "application/json",
            json!([{ "op": "replace", "path": "/externalReferenceId", "value": reference }]),
        ),
        "merge" => ("PATCH", "application/json", json!({ "externalReferenceId": reference })),
        "post" => ("POST", "application/json", self::deal(count)),
        other => panic!("{other} is none of get, put, patch, merge, post"),
    };
    let path = if kind == "post" { REFERRALS.to_owned() } else { deal.path() };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "127.0.0.1:8080")
        .header("accept", "application/json")
        .header("authorization", format!("Bearer {token}"));
    if body.is_null() {
        return request.body(Full::default()).unwrap();
    }
    let body = body.to_string();
    let request = request.header("content-type", media_type).header("content-length", body.len());
    request.header("if-match", deal.etag.as_str()).body(Full::new(body.into())).unwrap()
}

/// What is measured: requests in, the place and tag of each answer out.
#[inline(never)]
fn answer_all(runtime: &Runtime, app: &App, requests: Vec<Request<Full<Bytes>>>) -> Vec<(usize, String)> {
    runtime.block_on(async {
        let mut running = JoinSet::new();
        for (place, request) in requests.into_iter().enumerate() {
            let app = app.clone();
            running.spawn(async move { (place, app.handle(request).await) });
        }
        let mut tags = Vec::with_capacity(TOGETHER);
        while let Some(answered) = running.join_next().await {
            let (place, answer) = answered.unwrap();
            assert!(answer.status().is_success(), "{answer:?}");
            tags.push((place, answer.headers()["etag"].to_str().unwrap().to_owned()));
        }
        tags
    })
}

/// Processor time in nanoseconds, by Linux's own account: of this thread, and of all.
fn processor_time() -> (u64, u64) {
    let read = |path: std::path::PathBuf| -> u64 {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or_default()
    };
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let all = threads.map(|thread| read(thread.unwrap().path().join("schedstat"))).sum();
    (read("/proc/thread-self/schedstat".into()), all)
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let kind = arguments.next().unwrap_or_else(|| "put".to_owned());
    let count: usize = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(64_000);
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let (world, token, mut deals) = runtime.block_on(async {
        let world = World::with(|options, _| options.object_patch = true).await;
        let mut deals = Vec::new();
        for number in 0..TOGETHER {
            deals.push(world.contoso().creates(deal(number)).await);
        }
        let token = world.token(CONTOSO_ADMIN).await;
        (world, token, deals)
    });
    let (mut thread, mut all) = (0, 0);
    for round in 0..count / TOGETHER {
        let numbered = deals.iter().enumerate();
        let requests = numbered.map(|(place, deal)| {
            let count = 1 + round * TOGETHER + place;
            request(&kind, count, &token, place, deal)
        });
        let requests = requests.collect();
        let before = processor_time();
        let tags = answer_all(&runtime, &world.app, requests);
        let after = processor_time();
        (thread, all) = (thread + after.0 - before.0, all + after.1 - before.1);
        if kind != "post" {
            tags.into_iter().for_each(|(place, tag)| deals[place].etag = tag);
        }
    }
    let answered = (count / TOGETHER * TOGETHER).max(1) as f64 * 1000.0;
    let [thread, all] = [thread, all].map(|nanoseconds| nanoseconds as f64 / answered);
    println!(
        "{kind}: {thread:.1} µs of processor time where it is answered, {all:.1} µs with the store's threads"
    );
}
