//! `cosell load`: many referrals at once.

mod support;

use serde_json::{Value, json};
use support::{Sandbox, run};
use tempfile::{TempDir, tempdir};

const CONTOSO: &str = "7d23e5ca-19dc-4eaa-aac8-5e6b559f0d1d";
const LIST: &str = "/v1.0/engagements/referrals";

fn world(options: &[&str]) -> (TempDir, String) {
    let data = tempdir().expect("a temporary folder can be made");
    let directory = data.path().join("world").display().to_string();
    assert_eq!(Sandbox::start_with_data(directory.as_ref(), options).stop(), 0);
    (data, directory)
}

fn get(sandbox: &Sandbox, path: &str) -> Value {
    let token = sandbox.token("admin@contoso.example");
    sandbox.request("GET", path, &[("Authorization", &format!("Bearer {token}"))], b"").json()
}

fn line(number: usize) -> Value {
    json!({
        "id": format!("00000000-0000-4000-8000-{number:012}"),
        "organizationId": CONTOSO,
        "createdDateTime": "2019-02-24T10:00:00.5Z",
        "eTag": "\"00000007-0000-0000-0000-5c726b200000\"",
        "status": "Active", "substatus": "Accepted", "type": "Independent",
        "customerProfile": { "name": format!("Customer {number}") },
        "links": { "self": { "uri": "elsewhere", "method": "GET" } },
    })
}

fn file(data: &TempDir, lines: &[String]) -> String {
    let path = data.path().join("referrals.jsonl");
    std::fs::write(&path, lines.join("\n")).expect("the file can be written");
    path.display().to_string()
}

#[test]
fn what_get_printed_is_loaded_elsewhere_and_printed_again() {
    let from = Sandbox::start(&[]);
    let mut page = get(&from, LIST);
    let exported: Vec<Value> = page["value"].as_array_mut().unwrap().drain(..).collect();
    assert_eq!(exported.len(), 100);
    let (data, directory) = world(&["--no-seed"]);
    let lines: Vec<String> = exported.iter().map(Value::to_string).collect();
    let ran = run(&["load", &file(&data, &lines), "--data", &directory]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{}", ran.stdout);
    assert!(ran.stdout.starts_with("loaded 100 referrals in "), "{}", ran.stdout);

    let to = Sandbox::start_with_data(directory.as_ref(), &[]);
    let loaded = get(&to, LIST);
    let without_links = |referral: &Value| {
        let mut referral = referral.clone();
        referral["links"] = Value::Null;
        referral
    };
    let loaded: Vec<Value> = loaded["value"].as_array().unwrap().iter().map(without_links).collect();
    assert_eq!(loaded, exported.iter().map(without_links).collect::<Vec<Value>>());
}

#[test]
fn a_bad_line_stops_the_load_and_is_named() {
    let (data, directory) = world(&["--no-seed"]);
    let mut bad = line(2);
    bad["substatus"] = json!("Won");
    let lines = [line(1).to_string(), String::new(), bad.to_string(), "{".to_owned(), line(5).to_string()];
    let path = file(&data, &lines);
    let ran = run(&["load", &path, "--data", &directory]);
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.starts_with("loaded 1 referrals"), "what came before is there: {}", ran.stdout);
    assert!(ran.stderr.starts_with("cosell: line 3: ") && ran.stderr.lines().count() == 1, "{}", ran.stderr);

    let folder = run(&["load", &directory, "--data", &directory]);
    assert_eq!((folder.code, folder.stdout.as_str()), (1, ""), "nothing was read: {folder:?}");
    assert!(folder.stderr.starts_with(&format!("cosell: cannot read {directory}: ")), "{folder:?}");

    let again = run(&["load", &path, "--data", &directory, "--skip-bad"]);
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert!(
        again.stdout.contains("loaded 1 ") && again.stdout.contains("1 were there already"),
        "{}",
        again.stdout
    );
    assert!(again.stdout.contains("2 bad lines left out"), "{}", again.stdout);
    assert!(again.stderr.contains("line 3:") && again.stderr.contains("line 4:"), "{}", again.stderr);

    let sandbox = Sandbox::start_with_data(directory.as_ref(), &[]);
    let loaded = get(&sandbox, &format!("{LIST}/00000000-0000-4000-8000-000000000005"));
    assert_eq!(loaded["eTag"], "\"00000007-0000-0000-0000-5c726b200000\"");
    assert_eq!(loaded["createdDateTime"], "2019-02-24T10:00:00.5Z");
    assert_eq!(loaded["organizationName"], "Contoso Company");
}

#[test]
fn an_owner_that_the_store_does_not_know_is_added_with_a_warning() {
    let (data, directory) = world(&[]);
    let mut other = line(1);
    other["organizationId"] = json!("11111111-2222-4333-8444-555555555555");
    let nameless = run(&["load", &file(&data, &[other.to_string()]), "--data", &directory]);
    assert!(nameless.code == 1 && nameless.stderr.contains("does not name it"), "{}", nameless.stderr);
    other["organizationName"] = json!("Elsewhere");
    let named = run(&["load", &file(&data, &[other.to_string()]), "--data", &directory]);
    assert_eq!(named.code, 0, "{}", named.stderr);
    assert!(named.stderr.contains("Elsewhere (11111111-2222-4333-8444-555555555555)"), "{}", named.stderr);
    let all_contoso =
        run(&["load", &file(&data, &[other.to_string()]), "--data", &directory, "--organization", CONTOSO]);
    assert!(all_contoso.stdout.contains("1 were there already"), "{}", all_contoso.stdout);
}

#[test]
fn invented_referrals_are_the_same_at_every_call() {
    let (_data, directory) = world(&[]);
    let sandbox = Sandbox::start_with_data(directory.as_ref(), &[]);
    let before = get(&sandbox, LIST)["@odata.count"].as_u64().unwrap();
    assert_eq!(sandbox.stop(), 0);
    for (count, loaded, there) in [(600, 600, ""), (900, 300, "600 were there already")] {
        let ran = run(&["load", "--generate", &count.to_string(), "--data", &directory]);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
        assert!(
            ran.stdout.starts_with(&format!("loaded {loaded} ")) && ran.stdout.contains(there),
            "{}",
            ran.stdout
        );
    }
    let sandbox = Sandbox::start_with_data(directory.as_ref(), &[]);
    assert_eq!(
        get(&sandbox, LIST)["@odata.count"].as_u64(),
        Some(before + 300),
        "a third of 900 is Contoso's"
    );
}

/// An organization that is in no store.
const NOBODYS: &str = "11111111-2222-4333-8444-555555555555";

#[test]
fn invented_referrals_in_an_empty_directory_belong_to_the_organizations_of_the_sandbox() {
    let data = tempdir().unwrap();
    let directory = data.path().join("new").display().to_string();
    let ran = run(&["load", "--generate", "300", "--data", &directory]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{}", ran.stdout);
    assert!(ran.stdout.starts_with("loaded 300 "), "{}", ran.stdout);
    let sandbox = Sandbox::start_with_data(directory.as_ref(), &[]);
    assert_eq!(get(&sandbox, LIST)["@odata.count"], 100, "a third is Contoso's, whose people can sign in");
    assert_eq!(sandbox.stop(), 0);
    // For one of them alone, too.
    let directory = data.path().join("one").display().to_string();
    let ran = run(&["load", "--generate", "30", "--data", &directory, "--organization", CONTOSO]);
    assert!(ran.code == 0 && ran.stdout.starts_with("loaded 30 "), "{ran:?}");
}

#[test]
fn nothing_can_be_loaded_from_nowhere_or_for_nobody() {
    let data = tempdir().unwrap();
    let directory = data.path().join("empty").display().to_string();
    for (arguments, words) in [
        (vec!["load", "/nowhere/referrals.jsonl", "--data", &directory], "/nowhere/referrals.jsonl"),
        (vec!["load", "--generate", "10", "--data", &directory, "--organization", NOBODYS], NOBODYS),
    ] {
        let ran = run(&arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
        assert!(ran.stderr.contains(words) && ran.stderr.lines().count() == 1, "{}", ran.stderr);
    }
}
