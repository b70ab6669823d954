//! The fuzz targets: a workspace of their own that is built for fuzzing alone. Here each function of it is compiled and
//! run, and each file of it does nothing but call its function, so that no target breaks unnoticed.

#[path = "../../../fuzz/src/lib.rs"]
mod fuzz;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const BATCH: &str = r#"{"requests":[
  {"id":"1","method":"GET","url":"/v1.0/engagements/referrals?$filter=status eq 'New'&$top=1"},
  {"id":"2","method":"POST","url":"engagements/referrals","headers":{"Content-Type":"application/json"},
   "body":{"type":"Independent","customerProfile":{"name":"Trey Research"},"consent":{},"details":{}}},
  {"id":"3","method":"GET","url":"$2","dependsOn":["2"]}
]}"#;

const PARTS: &str = "--b\r\nContent-Type: application/http\r\n\r\n\
    GET /v1.0/engagements/referrals?$count=true HTTP/1.1\r\nAccept: application/json\r\n\r\n\r\n\
    --b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n\
    --c\r\nContent-Type: application/http\r\nContent-ID: 1\r\n\r\n\
    POST /v1.0/engagements/referrals HTTP/1.1\r\nContent-Type: application/json\r\n\r\n{}\r\n--c--\r\n--b--\r\n";

type Target = fn(&[u8]);

/// Each target with whole inputs; every beginning of one is an input too.
const TARGETS: [(&str, Target, &[&str]); 7] = [
    ("batch", fuzz::batch, &[BATCH, PARTS]),
    ("body", fuzz::body, &[include_str!("../../../docs/examples/create.shared.request.json")]),
    (
        "filter",
        fuzz::filter,
        &[
            "$filter=contains(s,'a') and c/any(x:x/n gt 1.5)&$orderby=d desc&$select=s,t/n&$top=3",
            "T?$apply=groupby((e),aggregate(n with sum as total))",
            "not (s eq 'a''b') or d lt 2024-02-29T00:00:00Z add duration'P1D' and e in ('A','B')",
        ],
    ),
    (
        "list",
        fuzz::list,
        &[
            "$filter=direction eq 'Incoming' and team/any(t:t/email eq 'ann@contoso.example')&$count=true",
            "$apply=groupby((status),aggregate($count as deals))",
            "$search=trey research&$orderby=details/dealValue desc&pagesize=2",
        ],
    ),
    (
        "patch",
        fuzz::patch,
        &[
            include_str!("../../../docs/examples/patch.request.close-as-won.json"),
            r#"[{"op":"move","from":"/team/0","path":"/team/-"},{"op":"test","path":"/name","value":"Deal"}]"#,
        ],
    ),
    (
        "path",
        fuzz::path,
        &["/customerProfile/team/-", "W/\"2500ec5a-0000-0000-0000-5bf4967d0000\", *", "2020-01-01T01:30:00Z"],
    ),
    ("token", fuzz::token, &[r#"{"iss":"a","aud":["b"],"exp":1900000000,"nbf":1.5,"roles":"ReferralUser"}"#]),
];

fn fuzz_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

#[test]
fn every_target_takes_whole_inputs_and_their_beginnings() {
    for (name, target, inputs) in TARGETS {
        for input in inputs {
            for end in 0..=input.len() {
                let bytes = &input.as_bytes()[..end];
                if std::panic::catch_unwind(|| target(bytes)).is_err() {
                    panic!("{name} with these bytes: {:?}", String::from_utf8_lossy(bytes));
                }
            }
        }
    }
}

#[test]
fn every_file_of_a_target_calls_its_function_and_nothing_else() {
    let names: BTreeSet<String> = TARGETS.map(|(name, ..)| name.to_owned()).into();
    let files = std::fs::read_dir(fuzz_folder().join("fuzz_targets")).unwrap();
    let files: Vec<PathBuf> = files.map(|entry| entry.unwrap().path()).collect();
    let stem = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    assert_eq!(files.iter().map(|path| stem(path)).collect::<BTreeSet<_>>(), names);
    for path in &files {
        let text = std::fs::read_to_string(path).unwrap();
        let code: Vec<&str> =
            text.lines().filter(|line| !line.is_empty() && !line.starts_with("//")).collect();
        let call = format!("libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cosell_fuzz::{}(bytes));", stem(path));
        assert_eq!(code, ["#![no_main]", call.as_str()], "{}", path.display());
    }
    let manifest: toml::Table =
        std::fs::read_to_string(fuzz_folder().join("Cargo.toml")).unwrap().parse().unwrap();
    let programs = manifest["bin"].as_array().unwrap().iter();
    let programs: BTreeSet<String> = programs
        .map(|program| {
            let name = program["name"].as_str().unwrap();
            assert_eq!(program["path"].as_str(), Some(format!("fuzz_targets/{name}.rs").as_str()));
            name.to_owned()
        })
        .collect();
    assert_eq!(programs, names);
    let page = std::fs::read_to_string(fuzz_folder().join("README.md")).unwrap();
    for name in &names {
        assert!(page.contains(&format!("\n| `{name}` |")), "{name} has a row in fuzz/README.md");
    }
}
