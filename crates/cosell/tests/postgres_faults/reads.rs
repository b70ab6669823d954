//! Read-your-writes across nodes: what one has acknowledged, the other shows, and never less.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use serde_json::json;

use super::clients::{PATH, post};
use super::database::Database;
use super::place::Place;
use super::support::Connection;
use super::{addresses, call};

/// Writers at once.
const WRITERS: usize = 6;
/// For so long.
const TIME: Duration = Duration::from_secs(2);

#[test]
fn a_get_at_one_node_never_shows_less_than_a_write_that_the_other_acknowledged() {
    let database = Database::new();
    let place = Place::in_database(&database.address());
    let nodes = [place.serve(&database.address()), place.serve(&database.address())];
    let addresses = addresses(&nodes);
    let token = place.token(0);
    let shared = {
        let made = call(&nodes[0], &token, "POST", PATH, &[], &post("shared").body);
        format!("{PATH}/{}", made.json()["id"].as_str().unwrap())
    };
    let (newest, is_over) = (AtomicU32::new(1), AtomicBool::new(false));
    let counter = |tag: Option<&str>| tag.unwrap().parse::<referral::ETag>().unwrap().counter();
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let checked: usize = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|number| {
                let (addresses, shared, newest, is_over) = (&addresses, &shared, &newest, &is_over);
                let headers = &headers;
                scope.spawn(move || {
                    let mut here = Connection::open(addresses[number % 2]);
                    let mut there = Connection::open(addresses[(number + 1) % 2]);
                    let mut checked = 0;
                    while !is_over.load(Ordering::SeqCst) {
                        let mark = format!("{number}-{checked}");
                        let body =
                            json!([{ "op": "replace", "path": "/externalReferenceId", "value": mark }]);
                        let written = here.request("PATCH", shared, headers, body.to_string().as_bytes());
                        assert!(written.status < 300, "{}", written.text());
                        let mine = counter(written.header("ETag"));
                        let known = newest.fetch_max(mine, Ordering::SeqCst).max(mine);
                        let read = there.request("GET", shared, headers, b"");
                        let shown = counter(read.header("ETag"));
                        assert!(shown >= known, "{shown} is shown after {known} was acknowledged");
                        assert!(shown != mine || read.json()["externalReferenceId"] == mark);
                        checked += 1;
                    }
                    checked
                })
            })
            .collect();
        std::thread::sleep(TIME);
        is_over.store(true, Ordering::SeqCst);
        writers.into_iter().map(|writer| writer.join().unwrap()).sum()
    });
    assert!(checked > 50, "{checked} reads are too few to show anything");
}
