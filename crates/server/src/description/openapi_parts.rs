//! What the operations of the OpenAPI document share: parameters, headers, answers, refusals, examples.

use serde_json::{Map, Value, json};

use super::DescriptionInput;
use super::json_schema::reference;

/// The headers of every answer (spec 4.2).
const COMMON_HEADERS: [&str; 4] = ["Request-ID", "client-request-id", "timestamp", "x-ms-ags-diagnostic"];

/// The host of the examples, which stands for the server's public base (spec 16).
const EXAMPLE_HOST: &str = "https://api.partner.microsoft.com";

/// The refusals: status, name, when, and the body that shows it.
const REFUSALS: [(&str, &str, &str, &str); 15] = [
    (
        "400",
        "InvalidRequest",
        "The request alone, or held against the referral, is wrong.",
        include_str!("../../../../docs/examples/error.400.invalid-enum.json"),
    ),
    (
        "401",
        "Unauthenticated",
        "No token, or none that is valid here.",
        include_str!("../../../../docs/examples/error.401.unauthenticated.json"),
    ),
    (
        "403",
        "AccessDenied",
        "The caller has no role for this, is not on the team, or is not the owner.",
        include_str!("../../../../docs/examples/error.403.access-denied.json"),
    ),
    (
        "404",
        "NotFound",
        "Nothing here that the caller may know of.",
        include_str!("../../../../docs/examples/error.404.not-found.json"),
    ),
    (
        "406",
        "NotAcceptable",
        "Accept or $format excludes what can be produced.",
        include_str!("../../../../docs/examples/error.406.not-acceptable.json"),
    ),
    ("408", "RequestTimeout", "The body did not come in time.", ""),
    (
        "409",
        "Conflict",
        "A closed referral, a way back, a request-id used for something else.",
        include_str!("../../../../docs/examples/error.409.closed-referral.json"),
    ),
    ("411", "LengthRequired", "Neither Content-Length nor chunked.", ""),
    (
        "412",
        "PreconditionFailed",
        "A precondition does not hold: If-Match names none of what is stored, or If-None-Match names it.",
        include_str!("../../../../docs/examples/error.412.etag-mismatch.json"),
    ),
    (
        "413",
        "TooLarge",
        "The body is too large.",
        include_str!("../../../../docs/examples/error.413.too-large.json"),
    ),
    (
        "415",
        "UnsupportedMediaType",
        "The body's type is none that is read here.",
        include_str!("../../../../docs/examples/error.415.unsupported-media-type.json"),
    ),
    ("417", "ExpectationFailed", "Expect asks for more than 100-continue.", ""),
    (
        "429",
        "Throttled",
        "Too many requests; Retry-After says when to come again.",
        include_str!("../../../../docs/examples/error.429.throttled.json"),
    ),
    (
        "500",
        "Internal",
        "The server failed.",
        include_str!("../../../../docs/examples/error.500.internal.json"),
    ),
    (
        "503",
        "Unavailable",
        "Not now; Retry-After says when to come again.",
        include_str!("../../../../docs/examples/error.503.unavailable.json"),
    ),
];

/// 501 belongs to the extended temperament.
const NOT_IMPLEMENTED: (&str, &str, &str) = ("501", "NotImplemented", "OData has it, this server has not.");

pub(super) fn introduction(input: &DescriptionInput<'_>) -> String {
    let temperament = match input.extended() {
        true => "This server is extended: the contract, and all of OData's query language that is built.",
        false => "This server is strict: what the sources show of the real service, and nothing else.",
    };
    format!(
        "{temperament} Answers are described exactly, requests in their recommended form: names and enumerations are \
         taken in any case, unknown members are ignored. The schema as OData has it is at \
         {}/v1.0/$metadata.",
        input.public_url
    )
}

pub(super) fn tags(input: &DescriptionInput<'_>) -> Value {
    let mut all = vec![
        json!({ "name": "referrals", "description": "The contract: leads and opportunities." }),
        json!({ "name": "description", "description": "What the service says of itself, to anybody." }),
        json!({ "name": "operation", "description": "For operators." }),
    ];
    if input.sandbox {
        all.push(json!({ "name": "issuer", "description": "The sandbox's issuer of tokens." }));
    }
    all.into()
}

pub(super) fn bearer() -> Value {
    json!({
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A token of a person with the role ReferralAdmin or ReferralUser, from an issuer this server trusts.",
    })
}

pub(super) fn parameters(input: &DescriptionInput<'_>) -> Map<String, Value> {
    let whole = json!({ "type": "integer", "minimum": 0 });
    let text = json!({ "type": "string" });
    let mut all = Map::new();
    let mut add = |key: &str, name: &str, place: &str, schema: &Value, words: &str| {
        let required = place == "path" || key == "ifMatchRequired";
        let parameter = json!({ "name": name, "in": place, "required": required, "schema": schema, "description": words });
        all.insert(key.to_owned(), parameter);
    };
    add("id", "id", "path", &json!({ "type": "string", "format": "uuid" }), "The referral's identifier.");
    let extended = input.extended();
    let filter = match extended {
        true => "A condition of OData 4.01.",
        false => {
            "A condition: comparisons, and, or, not, in, any, contains, startswith, endswith over the contract's fields."
        }
    };
    add("filter", "$filter", "query", &text, filter);
    let orderby = match extended {
        true => "Sort keys, separated by commas, each with asc or desc.",
        false => "createdDateTime or updatedDateTime, each with asc or desc, separated by commas.",
    };
    add("orderby", "$orderby", "query", &text, orderby);
    let select = match extended {
        true => "Members, paths of members, and options of theirs in parentheses.",
        false => "Members of the referral, separated by commas.",
    };
    add("select", "$select", "query", &text, select);
    add("top", "$top", "query", &whole, "At most so many results in all.");
    add("skip", "$skip", "query", &whole, "Leave out so many results first.");
    add(
        "count",
        "$count",
        "query",
        &json!({ "type": "boolean", "default": true }),
        "Whether @odata.count is there.",
    );
    add(
        "skiptoken",
        "$skiptoken",
        "query",
        &text,
        "Where the page begins; made by the server, in @odata.nextLink.",
    );
    add(
        "pageSize",
        "pagesize",
        "query",
        &json!({ "type": "integer", "minimum": 1 }),
        "Referrals to a page: at most 100, whatever is asked for.",
    );
    if extended {
        add("search", "$search", "query", &text, "Words and phrases, with AND, OR, NOT.");
        add("compute", "$compute", "query", &text, "Further members: expression as name.");
        add("expand", "$expand", "query", &text, "relatedReferrals, with options in parentheses.");
        add("apply", "$apply", "query", &text, "Transformations: filter, groupby, aggregate and others.");
        add("predicate", "predicate", "path", &text, "A condition, as in $filter.");
        add("entityId", "$id", "query", &text, "The referral's address.");
        add("path", "path", "path", &text, "Where the part lies: names, separated by slashes.");
        add(
            "preferPageSize",
            "Prefer",
            "header",
            &text,
            "odata.maxpagesize=n: at most so many referrals to a page.",
        );
    } else {
        add(
            "expand",
            "$expand",
            "query",
            &json!({ "type": "string", "maxLength": 0 }),
            "May be empty; nothing is expandable.",
        );
    }
    if extended {
        add(
            "format",
            "$format",
            "query",
            &text,
            "json, with odata.metadata=none, minimal or full; overrides Accept.",
        );
    } else {
        add("format", "$format", "query", &text, "Of the service document: json.");
    }
    add(
        "metadataFormat",
        "$format",
        "query",
        &json!({ "enum": ["xml", "json", "application/xml", "application/json"] }),
        "Overrides Accept.",
    );
    add("ifMatchRequired", "If-Match", "header", &text, "The eTag that the change was decided on, or *.");
    add("ifMatch", "If-Match", "header", &text, "The eTag that the change was decided on; absent: no check.");
    if extended {
        add(
            "ifMatchOfRead",
            "If-Match",
            "header",
            &text,
            "The ETag that must still be the current one, or *.",
        );
    }
    add("ifNoneMatch", "If-None-Match", "header", &text, "A known ETag: unchanged gives 304.");
    add("prefer", "Prefer", "header", &text, "return=representation asks for the changed referral.");
    let key = json!({ "type": "string", "format": "uuid" });
    add(
        "requestId",
        "request-id",
        "header",
        &key,
        "Idempotency key: a repeat with the same body has no further effect.",
    );
    if input.sandbox {
        add("tenant", "tenant", "path", &text, "A tenant's id, common or organizations.");
    }
    all
}

pub(super) fn list_parameters(input: &DescriptionInput<'_>) -> Value {
    let mut all =
        vec!["filter", "orderby", "select", "top", "skip", "count", "skiptoken", "pageSize", "expand"];
    if input.extended() {
        all.extend(["search", "compute", "apply", "format", "preferPageSize"]);
    }
    refs("parameters", &all)
}

/// References to components.
pub(super) fn refs(kind: &str, names: &[&str]) -> Value {
    names.iter().map(|name| json!({ "$ref": format!("#/components/{kind}/{name}") })).collect()
}

pub(super) fn headers() -> Map<String, Value> {
    let text = || json!({ "type": "string" });
    let guid = json!({ "type": "string", "format": "uuid" });
    let all = [
        ("Request-ID", guid.clone(), "The request's own, or a generated one."),
        ("client-request-id", guid, "The request's own, or a generated one."),
        ("timestamp", json!({ "type": "string", "format": "date-time" }), "When the request arrived."),
        ("x-ms-ags-diagnostic", text(), "Diagnostic text; opaque."),
        ("ETag", text(), "The entity tag, quotes included."),
        ("Location", json!({ "type": "string", "format": "uri" }), "The new referral."),
        ("OData-Version", json!({ "enum": ["4.0", "4.01"] }), "4.01 if OData-MaxVersion takes it."),
        ("Preference-Applied", text(), "What of Prefer was honoured."),
        ("Deprecation", text(), "Since when PUT is obsolete (RFC 9745)."),
        ("Link", text(), "How to do it instead (RFC 8288)."),
        ("Allow", text(), "The methods of the path."),
        ("Retry-After", json!({ "type": "integer", "minimum": 0 }), "Seconds to wait."),
        ("Vary", text(), "Headers of the request that the answer depends on."),
        ("WWW-Authenticate", text(), "Bearer (RFC 6750)."),
    ];
    all.into_iter()
        .map(|(name, schema, words)| (name.to_owned(), json!({ "description": words, "schema": schema })))
        .collect()
}

fn header_refs(names: &[&str]) -> Value {
    let all = COMMON_HEADERS.iter().chain(names);
    let reference = |name: &&str| json!({ "$ref": format!("#/components/headers/{name}") });
    Value::Object(all.map(|name| ((*name).to_owned(), reference(name))).collect())
}

/// An answer without a body.
pub(super) fn bare(words: &str) -> Value {
    bare_with(words, &[])
}

/// An answer without a body, with these headers besides those of every answer.
pub(super) fn bare_with(words: &str, headers: &[&str]) -> Value {
    json!({ "description": words, "headers": header_refs(headers) })
}

pub(super) fn referral_answer(words: &str, headers: &[&str]) -> Value {
    let mut answer = bare_with(words, headers);
    let examples = json!({ "referral": { "$ref": "#/components/examples/referral" } });
    answer["content"] =
        json!({ "application/json": { "schema": reference("ReferralAnswer"), "examples": examples } });
    answer
}

pub(super) fn list_answer() -> Value {
    let mut answer = bare_with("A page of referrals.", &["OData-Version", "Vary"]);
    let examples = json!({ "page": { "$ref": "#/components/examples/page" } });
    answer["content"] =
        json!({ "application/json": { "schema": reference("ReferralList"), "examples": examples } });
    answer
}

pub(super) fn json_answer(words: &str) -> Value {
    text_answer_of(words, "application/json", "object")
}

pub(super) fn text_answer(words: &str, media_type: &str) -> Value {
    text_answer_of(words, media_type, "string")
}

/// JSON, or the bare text of a value.
pub(super) fn any_answer(words: &str) -> Value {
    let mut answer = json_answer(words);
    answer["content"]["*/*"] = json!({});
    answer
}

fn text_answer_of(words: &str, media_type: &str, kind: &str) -> Value {
    let mut answer = bare(words);
    answer["content"] = json!({ media_type: { "schema": { "type": kind } } });
    answer
}

/// A reference to the refusal of a status.
pub(super) fn refusal(status: &str) -> Value {
    let name =
        REFUSALS.iter().find(|(known, ..)| *known == status).map_or(NOT_IMPLEMENTED.1, |(_, name, ..)| name);
    json!({ "$ref": format!("#/components/responses/{name}") })
}

/// An operation that reads, with the preconditions that its answer is held against and the answers that follow.
///
/// `tagged`: the answer has an ETag; `If-None-Match: *` is answered 304 without one, too.
pub(super) fn conditional(mut get: Value, holds_if_match: bool, tagged: bool) -> Value {
    let conditions: &[&str] =
        if holds_if_match { &["ifMatchOfRead", "ifNoneMatch"] } else { &["ifNoneMatch"] };
    let mut parameters = get["parameters"].as_array().cloned().unwrap_or_default();
    let more = refs("parameters", conditions);
    for parameter in more.as_array().into_iter().flatten() {
        if !parameters.contains(parameter) {
            parameters.push(parameter.clone());
        }
    }
    get["parameters"] = parameters.into();
    let headers: &[&str] = if tagged { &["ETag", "Vary"] } else { &[] };
    get["responses"]["304"] = bare_with("If-None-Match names the current ETag, or is *.", headers);
    if holds_if_match {
        get["responses"]["412"] = refusal("412");
    }
    get
}

/// The good answers of an operation, those refusals, and the ones that every call with a token knows.
pub(super) fn answers(input: &DescriptionInput<'_>, good: &[(&str, Value)], refused: &[&str]) -> Value {
    let mut refused = refused.to_vec();
    if input.extended() {
        refused.push("501");
    }
    all_answers(good, &refused)
}

/// The same, for an operation of the extended temperament.
pub(super) fn read_answers(good: Value, refused: &[&str]) -> Value {
    all_answers(&[("200", good)], refused)
}

fn all_answers(good: &[(&str, Value)], refused: &[&str]) -> Value {
    let mut all: Map<String, Value> =
        good.iter().map(|(status, answer)| ((*status).to_owned(), answer.clone())).collect();
    let mut refused = refused.to_vec();
    refused.extend(["401", "417", "429", "500", "503"]);
    refused.sort_unstable();
    refused.dedup();
    all.extend(refused.into_iter().map(|status| (status.to_owned(), refusal(status))));
    Value::Object(all)
}

/// The responses of an operation for everybody: no token, no rate.
pub(super) fn open_responses(good: &[(&str, Value)], refused: &[&str]) -> Value {
    let mut all = Map::new();
    for status in refused.iter().chain(&["400", "417", "500", "503"]) {
        all.insert((*status).to_owned(), refusal(status));
    }
    all.extend(good.iter().map(|(status, answer)| ((*status).to_owned(), answer.clone())));
    all.sort_keys();
    Value::Object(all)
}

pub(super) fn responses(input: &DescriptionInput<'_>) -> Map<String, Value> {
    let mut all = Map::new();
    for (status, name, words, example) in REFUSALS {
        let special: &[&str] = match status {
            "401" => &["WWW-Authenticate"],
            "429" | "503" => &["Retry-After"],
            _ => &[],
        };
        let mut answer = bare_with(words, special);
        let mut content = json!({ "schema": reference("Error") });
        if let Ok(example) = serde_json::from_str::<Value>(example) {
            content["example"] = example;
        }
        answer["content"] = json!({ "application/json": content });
        all.insert(name.to_owned(), answer);
    }
    if input.extended() {
        let (_, name, words) = NOT_IMPLEMENTED;
        let mut answer = bare(words);
        answer["content"] = json!({ "application/json": { "schema": reference("Error") } });
        all.insert(name.to_owned(), answer);
    }
    all
}

/// A request body: media type, schema, names of examples.
pub(super) fn body(forms: &[(&str, &str, &[&str])]) -> Value {
    let content: Map<String, Value> = forms
        .iter()
        .map(|(media_type, schema, examples)| {
            let examples: Map<String, Value> = examples
                .iter()
                .map(|name| ((*name).to_owned(), json!({ "$ref": format!("#/components/examples/{name}") })))
                .collect();
            ((*media_type).to_owned(), json!({ "schema": reference(schema), "examples": examples }))
        })
        .collect();
    json!({ "required": true, "content": content })
}

pub(super) fn patch_body(input: &DescriptionInput<'_>) -> Value {
    let examples: &[&str] = &["closeAsWon", "addTeamMember"];
    let mut body = body(&[
        ("application/json-patch+json", "JsonPatch", examples),
        ("application/json", "JsonPatch", examples),
    ]);
    if input.options.object_patch {
        let either = [reference("JsonPatch"), reference("ReferralReplacement")];
        body["content"]["application/json"]["schema"] = json!({ "anyOf": either });
    }
    if input.extended() {
        body["content"]["application/merge-patch+json"] =
            json!({ "schema": reference("ReferralReplacement") });
    }
    body
}

/// One operation of a JSON Patch. Source: RFC 6902 and spec 10.
pub(super) fn patch_operation(input: &DescriptionInput<'_>) -> Value {
    let operation = |names: &[&str], more: &str| {
        let mut required = vec!["op", "path"];
        required.extend(Some(more).filter(|more| !more.is_empty()));
        json!({
            "type": "object",
            "properties": {
                "op": { "enum": names },
                "path": { "type": "string", "description": "A JSON Pointer, such as /details/dealValue or /team/-." },
            },
            "required": required,
        })
    };
    if !input.request_options.mode.is_extended() {
        return operation(&["add", "replace"], "value");
    }
    json!({ "oneOf": [
        operation(&["add", "replace", "test"], "value"),
        operation(&["remove"], ""),
        operation(&["move", "copy"], "from"),
    ] })
}

/// The error body. Source: spec 11.4.
pub(super) fn error() -> Value {
    let codes = [
        "accessDenied",
        "generalException",
        "invalidRequest",
        "itemNotFound",
        "preconditionFailed",
        "resourceModified",
        "serviceNotAvailable",
        "unauthenticated",
    ];
    let error = json!({
        "type": "object",
        "properties": {
            "code": { "enum": codes },
            "message": { "type": "string", "minLength": 1, "maxLength": 1024, "description": "For developers; may change." },
            "target": { "type": "string", "description": "Where it arose: a member, a header, an option." },
            "innerError": reference("InnerError"),
        },
        "required": ["code", "message"],
        "additionalProperties": false,
    });
    json!({
        "type": "object",
        "description": "The body of every refusal.",
        "properties": { "error": error },
        "required": ["error"],
        "additionalProperties": false,
    })
}

/// The sandbox issuer's refusal. Source: RFC 6749, section 5.2; `error_codes` as Entra has it.
pub(super) fn issuer_error() -> Value {
    json!({
        "type": "object",
        "description": "A refusal of the sandbox's issuer.",
        "properties": {
            "error": { "type": "string", "minLength": 1 },
            "error_description": { "type": "string" },
            "error_codes": { "type": "array", "items": { "type": "integer" } },
        },
        "required": ["error", "error_description"],
    })
}

pub(super) fn inner_error() -> Value {
    json!({
        "type": "object",
        "description": "More specific. Clients use the deepest code they know.",
        "properties": {
            "code": { "type": "string" },
            "message": { "type": "string" },
            "details": { "type": "null" },
            "innerError": reference("InnerError"),
        },
        "required": ["code"],
    })
}

/// Bodies of `docs/examples`, on the server's own address.
pub(super) fn examples(input: &DescriptionInput<'_>) -> Map<String, Value> {
    let all = [
        ("referral", include_str!("../../../../docs/examples/get-by-id.response.full.json")),
        ("page", include_str!("../../../../docs/examples/list.response.page-with-next-link.json")),
        ("privateDeal", include_str!("../../../../docs/examples/create.independent-private.request.json")),
        ("partnerLedDeal", include_str!("../../../../docs/examples/create.partner-led.request.json")),
        ("sharedDeal", include_str!("../../../../docs/examples/create.shared.request.json")),
        (
            "dealForMicrosoft",
            include_str!("../../../../docs/examples/create.connected-microsoft.request.json"),
        ),
        ("replacement", include_str!("../../../../docs/examples/put.request.json")),
        ("closeAsWon", include_str!("../../../../docs/examples/patch.request.close-as-won.json")),
        ("addTeamMember", include_str!("../../../../docs/examples/patch.request.add-team-member.json")),
    ];
    let value = |text: &str| -> Value {
        serde_json::from_str(&text.replace(EXAMPLE_HOST, input.public_url)).unwrap_or_default()
    };
    all.into_iter().map(|(name, text)| (name.to_owned(), json!({ "value": value(text) }))).collect()
}
