//! The fuzz targets of the resource, run over mutated example bodies. Every run uses the same bytes and needs no
//! fuzzer.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

#[path = "../../../fuzz/src/resource.rs"]
mod fuzz;

/// A small generator (splitmix64), so that every run tries the same bytes.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as usize
    }

    fn below(&mut self, end: usize) -> usize {
        self.next() % end.max(1)
    }
}

/// Fragments that are significant in JSON, in pointers, in numbers or in names.
const PIECES: &[&str] = &[
    "null",
    "true",
    "-1",
    "1e400",
    "0.00001",
    "\"\"",
    "[]",
    "{}",
    ",",
    "/",
    "~0",
    "~1",
    "-",
    "\\u0000",
    "\\ud800",
    "\"op\":",
    "\"copy\"",
    "\"move\"",
    "\"test\"",
    "\"remove\"",
    "\"add\"",
    "\"path\":",
    "\"from\":",
    "\"value\":",
    "/team",
    "/team/-",
    "/team/0",
    "/details/requirements",
    "/customerProfile",
    "/inviteContext/invitedBy",
    "/status",
    "\"Closed\"",
    "\"Won\"",
    "\"Expired\"",
    "\"status\":",
    "\"substatus\":",
    "\"links\":null",
    "\"id\":",
    "\"ids\":{\"Duns\":\"1\"}",
    "9999999999999999",
    "msft",
    "W/",
    "\u{1F389}",
    "\u{0}",
];

/// Makes one to four small changes: flips, cuts or doubles bytes, or inserts some from another example or [`PIECES`].
fn mutated(examples: &[Vec<u8>], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = examples[chance.below(examples.len())].clone();
    for _ in 0..1 + chance.below(4) {
        let at = chance.below(bytes.len() + 1);
        let end = (at + chance.below(24)).min(bytes.len());
        let put_in: Vec<u8> = match chance.below(5) {
            0 => Vec::new(),
            1 => vec![chance.next() as u8],
            2 => bytes[at..end].repeat(2),
            3 => {
                let other = &examples[chance.below(examples.len())];
                let from = chance.below(other.len());
                other[from..(from + chance.below(200)).min(other.len())].to_vec()
            }
            _ => PIECES[chance.below(PIECES.len())].into(),
        };
        let keep = chance.below(2) == 0;
        bytes.splice(at..if keep { at } else { end }, put_in);
    }
    bytes
}

fn examples(part_of_name: &str) -> Vec<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/examples");
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| path.to_string_lossy().contains(part_of_name)).collect();
    paths.sort();
    assert!(paths.len() > 3, "{folder} has examples of {part_of_name}");
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

fn run(examples: &[Vec<u8>], rounds: usize, target: fn(&[u8])) {
    examples.iter().for_each(|bytes| target(bytes));
    let mut chance = Chance(20_201_030);
    for _ in 0..rounds {
        let bytes = mutated(examples, &mut chance);
        if std::panic::catch_unwind(|| target(&bytes)).is_err() {
            panic!("these bytes: {:?}", String::from_utf8_lossy(&bytes));
        }
    }
}

#[test]
fn any_bytes_are_answered() {
    let requests = examples("request");
    run(&requests, 3000, fuzz::body);
    run(&examples("patch.request"), 3000, fuzz::patch);
    let texts: Vec<Vec<u8>> = [
        "/details/dealValue",
        "/team/0/contactPreference/locale",
        "/customerProfile/ids/-",
        "/registrations/0/contract/value",
        "49d90c72-3326-4f61-aacc-2cb57970448c",
        "\"2500ec5a-0000-0000-0000-5bf4967d0000\"",
        "W/\"2500ec5a-0000-0000-0000-5bf4967d0000\", *",
        "msft",
        "2018-11-06T18:40:42.6178337Z",
        "2020-01-01T01:30:00+02:00",
        "12345678901234567890.1234",
        "5e-4",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into();
    run(&texts, 3000, fuzz::path);
}
