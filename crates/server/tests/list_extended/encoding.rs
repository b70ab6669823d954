//! However a client encodes what it asks, the answer is the same. Source: OData 4.01 URL Conventions, section 2; RFC
//! 3986, 2.4.

use super::*;

/// How a client writes a text into an address.
#[derive(Clone, Copy)]
struct Client {
    name: &'static str,
    /// What it leaves as it is, beside letters and digits.
    literal: &'static [u8],
    blank: &'static str,
    lower_case: bool,
    /// Whether names are encoded like values.
    names: bool,
}

const CLIENTS: [Client; 8] = [
    Client { name: "a person", literal: b"-._~$'()*,/:;=@!", blank: "%20", lower_case: false, names: false },
    Client {
        name: "encodeURIComponent",
        literal: b"-._~'()*!",
        blank: "%20",
        lower_case: false,
        names: false,
    },
    Client { name: "URLSearchParams", literal: b"-._*", blank: "+", lower_case: false, names: true },
    Client { name: "curl --data-urlencode", literal: b"-._~", blank: "%20", lower_case: false, names: false },
    Client { name: "quote", literal: b"-._~/", blank: "%20", lower_case: false, names: false },
    Client { name: "urlencode", literal: b"-._~", blank: "+", lower_case: false, names: true },
    Client { name: "HttpUtility", literal: b"-._()*!", blank: "+", lower_case: true, names: true },
    Client { name: "everything", literal: b"", blank: "%20", lower_case: false, names: true },
];

impl Client {
    fn writes(&self, text: &str, path: bool) -> String {
        let mut out = String::new();
        for byte in text.bytes() {
            match byte {
                // In a path a plus is no blank.
                b' ' => out.push_str(if path { "%20" } else { self.blank }),
                _ if byte.is_ascii_alphanumeric() && !self.literal.is_empty() => out.push(byte.into()),
                _ if self.literal.contains(&byte) => out.push(byte.into()),
                _ if self.lower_case => out.push_str(&format!("%{byte:02x}")),
                _ => out.push_str(&format!("%{byte:02X}")),
            }
        }
        out
    }

    fn query(&self, options: &[(&str, &str)]) -> String {
        let name = |name: &str| if self.names { self.writes(name, false) } else { name.to_owned() };
        let pairs =
            options.iter().map(|(option, value)| format!("{}={}", name(option), self.writes(value, false)));
        pairs.collect::<Vec<_>>().join("&")
    }
}

/// Contoso's five, one with every sign in its name.
const NAME: &str = "a/b;c&d=e+f,g(h)'i\"j#k%l?m@n$o:p\\q|r<s>t{u}v[w]x^y`z ä€😀";

async fn world() -> (World, String) {
    let world = five().await;
    let id = id_of(&world, "dan").await;
    world
        .bends(&id, |one| {
            one["name"] = NAME.into();
            one["details"]["notes"] = "tailspin toys".into();
        })
        .await;
    (world, id)
}

#[tokio::test]
async fn every_client_gets_the_same_answer() {
    let (world, id) = world().await;
    let quoted = NAME.replace('\'', "''");
    let is_named = format!("name eq '{quoted}'");
    let computed = format!("concat(name,'{quoted}') as twice");
    let same = format!("{id}&x");
    let is_id = format!("id eq {id}");
    let expansion = "relatedReferrals($search=NOT zzzz;$select=id)";
    let queries: Vec<Vec<(&str, &str)>> = vec![
        vec![("$filter", &is_named)],
        vec![("$filter", "name eq @n"), ("@n", "'ada'")],
        vec![("$filter", "name in ('ada','bob') or contains(name,'&d=e+f')")],
        vec![("$filter", "contains(name,'%25')"), ("$count", "true")],
        vec![
            ("$filter", "team/any(t:t/email eq 'a@x.example')"),
            ("$select", "id,team($select=email;$top=1)"),
        ],
        vec![("$filter", "team/$count($filter=contains(email,'@')) gt 1")],
        vec![("$filter", "createdDateTime ge 2026-01-01T00:00:00+02:00")],
        vec![("$filter", &is_id), ("$expand", expansion)],
        vec![
            ("$filter", &is_id),
            (
                "$expand",
                "relatedReferrals($filter=contains(name,';c');$orderby=name desc;$top=2;$count=true;$select=name)",
            ),
        ],
        vec![
            ("$filter", &is_id),
            ("$expand", "relatedReferrals($search=\"tailspin toys\" AND NOT zzzz;$select=name)"),
        ],
        vec![("$filter", &is_id), ("$expand", "relatedReferrals/$count($search=tailspin)")],
        vec![
            ("$filter", &is_id),
            (
                "$expand",
                "relatedReferrals($expand=relatedReferrals($search=tailspin;$top=1;$select=id);$select=id)",
            ),
        ],
        vec![
            ("$filter", &is_id),
            ("$select", "name,team($filter=contains(email,'@');$orderby=email desc;$skip=1;$select=email)"),
        ],
        vec![("$orderby", "tolower(name) desc,length(name)"), ("$top", "3"), ("$select", "name")],
        vec![("$search", "tailspin AND NOT zzzz"), ("$select", "name")],
        vec![("$search", "\"tailspin toys\" OR ada"), ("$orderby", "name")],
        vec![("$search", "(tailspin OR ada) toys")],
        vec![("$compute", &computed), ("$filter", &is_named), ("$select", "twice")],
        vec![(
            "$apply",
            "filter(status eq 'Active')/groupby((status,details/currency),aggregate($count as n,details/dealValue with sum as s))",
        )],
        vec![("$apply", "search(tailspin)/aggregate($count as n)")],
        vec![("$format", "application/json;odata.metadata=none"), ("$top", "1")],
        vec![("$filter", "name eq 'ada'"), ("other", &same), ("pagesize", "7")],
    ];
    let mut wrong = Vec::new();
    for options in &queries {
        let plain = world.contoso().lists(&format!("?{}", CLIENTS[0].query(options))).await;
        assert_eq!(plain.status, 200, "{options:?}: {}", plain.body);
        for client in &CLIENTS[1..] {
            let query = client.query(options);
            let answer = world.contoso().lists(&format!("?{query}")).await;
            if (answer.status, &answer.bytes) != (200, &plain.bytes) {
                wrong.push(format!("{}: {query}\n  {}\n  {}", client.name, answer.body, plain.body));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn an_encoded_semicolon_separates_options_and_belongs_to_a_text() {
    let (world, id) = world().await;
    let one = async |expand: &str| {
        let query = format!("?$filter=id%20eq%20{id}&$select=id&$expand=relatedReferrals({expand})");
        let answer = world.contoso().lists(&query).await;
        assert_eq!(answer.status, 200, "{expand}: {}", answer.body);
        answer.body["value"][0]["relatedReferrals"].clone()
    };
    for expand in [
        "$search=NOT%20zzzz;$select=id",
        "$search=NOT%20zzzz%3B$select=id",
        "$search=NOT%20zzzz%3b%24select%3Did",
        "$search=NOT%20zzzz%20%3B%20select=id",
        "$search=NOT+zzzz%3B$select=@s%3B@s=1".replace("$select=@s%3B@s=1", "@s=1%3B$select=id").as_str(),
        "$search=%22tailspin%20toys%22%3B$select=id",
        "$search='tailspin'%3B$select=id",
    ] {
        assert_eq!(one(expand).await, json!([{ "id": id }]), "{expand}");
    }
    // Where no option follows it is a letter.
    assert_eq!(one("$search=tail%3Bspin").await, json!([]));
    // Outside of parentheses it separates nothing.
    let answer = world.contoso().lists("?$search=tailspin%3B$select=id").await.expect(200);
    assert!(answer.body["value"].as_array().unwrap().iter().all(|one| one["name"].is_string()));
}

#[tokio::test]
async fn a_path_is_split_before_it_is_decoded() {
    let (world, id) = world().await;
    let quoted = NAME.replace('\'', "''");
    for (predicate, expected) in [
        (format!("name eq '{quoted}'"), "1"),
        ("contains(name,'a/b')".to_owned(), "1"),
        ("contains(name,'?m@n$o')".to_owned(), "1"),
        ("contains(name,'(h)')".to_owned(), "1"),
        ("contains(name,'(')".to_owned(), "1"),
        ("name eq 'a/b'".to_owned(), "0"),
        ("details/dealValue gt 5 and team/any(t:t/email eq 'a@x.example')".to_owned(), "1"),
        ("contains(name,'e+f')".to_owned(), "1"),
        ("not contains(name,'%2F')".to_owned(), "5"),
    ] {
        for client in &CLIENTS {
            let inside = client.writes(&predicate, true);
            for end in ["", "/$ref"] {
                let target = format!("{REFERRALS}/$filter({inside}){end}?$count=true");
                let answer = world.call("GET", &target).as_user(CONTOSO_ADMIN).await;
                assert_eq!(answer.status, 200, "{target}: {}", answer.body);
                assert_eq!(answer.body["@odata.count"].to_string(), expected, "{}: {target}", client.name);
            }
            let target = format!("{REFERRALS}/$filter({inside})/$count");
            let answer = world.call("GET", &target).as_user(CONTOSO_ADMIN).await.expect(200);
            assert_eq!(answer.bytes, expected, "{}: {target}", client.name);
        }
    }
    for client in &CLIENTS {
        let inside = client.writes("email eq 'a/b' or contains(email,'e@')", true);
        let target = format!("{REFERRALS}/{id}/team/$filter({inside})/$count");
        let answer = world.call("GET", &target).as_user(CONTOSO_ADMIN).await.expect(200);
        assert_eq!(answer.bytes, "1", "{}: {target}", client.name);
    }
    // The segment as a whole may be encoded.
    let target = format!("{REFERRALS}/%24filter%28contains%28name%2C%27a%2Fb%27%29%29/$count");
    assert_eq!(world.call("GET", &target).as_user(CONTOSO_ADMIN).await.expect(200).bytes, "1");
}

#[tokio::test]
async fn what_an_encoded_sign_makes_of_a_path_is_no_other_path() {
    let (world, id) = world().await;
    for (path, status) in [
        (format!("{REFERRALS}/{id}%2Fname"), 404),
        (format!("{REFERRALS}%2F{id}"), 404),
        (format!("{REFERRALS}/%24filter%28true%29%2F$count"), 404),
        (format!("{REFERRALS}/$filter(true)%2F$count"), 404),
        (format!("{REFERRALS}('a%2Fb')"), 404),
        (format!("{REFERRALS}('a/b')"), 404),
        (format!("{REFERRALS}('{id}')%2Fname"), 404),
        (format!("{REFERRALS}(%27{id}%27)/name"), 200),
        (format!("{REFERRALS}/%252F"), 404),
        (format!("{REFERRALS}/{id}%00"), 404),
        (format!("{REFERRALS}/%00"), 404),
        (format!("{REFERRALS}/%2e%2e"), 404),
        (format!("{REFERRALS}/.."), 404),
        (format!("{REFERRALS}/./{id}"), 404),
        (format!("{REFERRALS}//{id}"), 404),
        (format!("{REFERRALS}/{id}//name"), 404),
        (format!("{REFERRALS}/{id}/name%2F$value"), 404),
        (format!("{REFERRALS}/{id}/name%2f"), 404),
        (format!("{REFERRALS}/{id}/%6eame"), 200),
        (format!("{REFERRALS}/{id}/name/"), 200),
        (format!("{REFERRALS}/$filter(true)/"), 200),
        (format!("{REFERRALS}/$filter(name eq 'a%2"), 404),
        (format!("{REFERRALS}/$filter('a%ff')"), 404),
        (format!("{REFERRALS}/$filter(true"), 404),
        (format!("{REFERRALS}/$filter(true)x"), 404),
        (format!("{REFERRALS}/$filter(true))"), 404),
        (format!("{REFERRALS}/$filter"), 404),
    ] {
        let path = path.replace(' ', "%20");
        let answer = world.call("GET", &path).as_user(CONTOSO_ADMIN).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
    }
}

#[tokio::test]
async fn links_and_contexts_are_addresses_that_lead_back() {
    let (world, _) = world().await;
    let quoted = NAME.replace('\'', "''");
    for options in [
        vec![("$filter", format!("name ne '{quoted}x'")), ("$orderby", "name".to_owned())],
        vec![
            ("$compute", "length(name) as größe".to_owned()),
            ("$orderby", "größe desc,name".to_owned()),
            ("$select", "name,größe".to_owned()),
        ],
        vec![("$search", "NOT \"a;b & c\"".to_owned()), ("$orderby", "name".to_owned())],
        vec![
            (
                "$expand",
                format!("relatedReferrals($search=NOT \"a;b\";$filter=name ne '{quoted}x';$select=name)"),
            ),
            ("$select", "name".to_owned()),
            ("$orderby", "name".to_owned()),
        ],
        vec![
            ("$apply", "groupby((name),aggregate($count as zahl))".to_owned()),
            ("$orderby", "name".to_owned()),
        ],
    ] {
        let options: Vec<(&str, &str)> =
            options.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let query = CLIENTS[3].query(&options);
        let whole = world.contoso().lists(&format!("?{query}")).await;
        assert_eq!(whole.status, 200, "{query}: {}", whole.body);
        let mut answer = world.contoso().lists(&format!("?{query}&pagesize=2")).await.expect(200);
        let context = answer.body["@odata.context"].as_str().unwrap().to_owned();
        assert!(context.parse::<http::Uri>().is_ok() && context.is_ascii(), "{context}");
        let mut found = answer.body["value"].as_array().unwrap().clone();
        while let Some(link) = answer.body.get("@odata.nextLink") {
            let link = link.as_str().unwrap();
            assert!(link.is_ascii() && found.len() < 9, "{link}");
            let target = link.strip_prefix(BASE).unwrap().to_owned();
            answer = world.call("GET", &target).as_user(CONTOSO_ADMIN).await.expect(200);
            assert_eq!(answer.body["@odata.context"], context.as_str());
            found.extend(answer.body["value"].as_array().unwrap().clone());
        }
        assert_eq!(&Value::Array(found), &whole.body["value"], "{query}");
    }
}
