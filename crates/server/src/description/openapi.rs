//! OpenAPI 3.1 of everything this server answers. Source: OpenAPI Specification 3.1.1.
//!
//! The canonical paths are described; where a path has further names (spec 2.3), its item lists them under
//! `x-cosell-aliases`. What lies below the collection is also found below its other names.

use exchange::NAMESPACE;
use serde_json::{Map, Value, json};

use super::json_schema::{self, reference};
use super::{DescriptionInput, openapi_parts as parts};

const COLLECTION: &str = "/v1.0/engagements/referrals";
/// Further names of the collection's folder (spec 2.2 and 2.3).
const OTHER_COLLECTIONS: [&str; 4] = [
    "/v1.0/engagments/referrals",
    "/v1.0/referrals",
    "/engagements/v1/referrals",
    "/referrals/v1.0/engagements/referrals",
];

/// What a client makes of the service's root and the entity set, in the extended temperament.
const BY_ENTITY_SET: &str = "/v1.0/Referrals";

/// The document.
pub(super) fn document(input: &DescriptionInput<'_>) -> Value {
    json!({
        "openapi": "3.1.1",
        "info": {
            "title": "Cosell: Referrals",
            "summary": "Leads and co-sell opportunities, by the referrals API of Microsoft Partner Center.",
            "description": parts::introduction(input),
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache 2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": input.public_url }],
        "security": [{ "bearer": [] }],
        "tags": parts::tags(input),
        "paths": paths(input),
        "components": {
            "schemas": schemas(input),
            "parameters": parts::parameters(input),
            "headers": parts::headers(),
            "responses": parts::responses(input),
            "examples": parts::examples(input),
            "securitySchemes": { "bearer": parts::bearer() },
        },
    })
}

fn schemas(input: &DescriptionInput<'_>) -> Map<String, Value> {
    let mut all = json_schema::of_resource();
    let text = json!({ "type": "string" });
    let mut add = |name: &str, schema: Value| all.insert(name.to_owned(), schema);
    add(
        "ReferralAnswer",
        json!({
            "allOf": [reference("Referral"), { "properties": { "@odata.context": text } }],
        }),
    );
    add(
        "Selection",
        json!({
            "type": "object",
            "description": "A referral cut and enriched by the query options.",
        }),
    );
    add(
        "ReferralList",
        json!({
            "type": "object",
            "properties": {
                "@odata.context": text,
                "@odata.count": { "type": "integer", "minimum": 0, "description": "Matches before $skip and $top." },
                "value": { "type": "array", "items": { "anyOf": [reference("Referral"), reference("Selection")] } },
                "@odata.nextLink": {
                    "type": "string",
                    "format": "uri",
                    "description": "The next page, present exactly when there is one. To be followed as it is.",
                },
            },
            "required": ["value"],
        }),
    );
    add("NewReferral", json!({ "allOf": [reference("ReferralInput"), json_schema::required_in_new()] }));
    let links = if input.request_options.ignore_links {
        json!({})
    } else {
        json!({ "properties": { "links": false } })
    };
    add("ReferralReplacement", json!({ "allOf": [reference("ReferralInput"), links] }));
    add("JsonPatch", json!({ "type": "array", "items": reference("PatchOperation") }));
    add("PatchOperation", parts::patch_operation(input));
    add("Error", parts::error());
    add("InnerError", parts::inner_error());
    if input.sandbox {
        add("IssuerError", parts::issuer_error());
    }
    add(
        "ServiceDocument",
        json!({
            "type": "object",
            "properties": { "@odata.context": text, "value": { "type": "array", "items": { "type": "object" } } },
            "required": ["@odata.context", "value"],
        }),
    );
    all
}

fn paths(input: &DescriptionInput<'_>) -> Map<String, Value> {
    let mut all = Map::new();
    let mut add = |path: &str, item: Value| all.insert(path.to_owned(), item);
    let others = || OTHER_COLLECTIONS.into_iter().chain(input.extended().then_some(BY_ENTITY_SET));
    add(COLLECTION, with_aliases(collection(input), others().map(str::to_owned)));
    let by_id = others().map(|other| format!("{other}/{{id}}"));
    let by_id = by_id.chain(input.extended().then(|| format!("{COLLECTION}({{id}})")));
    add(&format!("{COLLECTION}/{{id}}"), with_aliases(referral(input), by_id));
    if input.extended() {
        add(&format!("{COLLECTION}/$count"), count());
        let filtered = format!("{COLLECTION}/$filter({{predicate}})");
        add(&format!("{filtered}/$count"), filtered_count());
        add(&filtered, self::filtered(input));
        add(&format!("{filtered}/$ref"), filtered_references());
        add(&format!("{COLLECTION}/$ref"), references());
        add(&format!("{COLLECTION}/$query"), query());
        add("/v1.0/$entity", entity());
        add(&format!("{COLLECTION}/{{id}}/{{path}}"), member());
        add("/v1.0/$batch", with_aliases(batch(), [format!("{COLLECTION}/$batch")]));
    }
    add("/v1.0/", with_aliases(service(input), ["/v1.0".to_owned()]));
    let metadata = [COLLECTION].into_iter().chain(others()).map(|other| format!("{other}/$metadata"));
    add("/v1.0/$metadata", with_aliases(self::metadata(input), metadata));
    add("/openapi.json", open_api(input));
    add(
        "/docs/patch",
        page("patchPage", "How to change a referral with PATCH.", "description", &["text/markdown"]),
    );
    add("/livez", page("livez", "Whether the process lives.", "operation", &["application/json"]));
    add("/readyz", readiness());
    let figures = "application/openmetrics-text";
    add("/metrics", page("metrics", "Figures for Prometheus.", "operation", &[figures]));
    if input.sandbox {
        issuer(&mut add);
    }
    all
}

/// A path item with its further names.
fn with_aliases(mut item: Value, aliases: impl IntoIterator<Item = String>) -> Value {
    item["x-cosell-aliases"] = aliases.into_iter().collect();
    item
}

/// Adds `head` and `options`, which every path with `get` offers.
fn with_head(mut item: Value) -> Value {
    let tags = item["get"]["tags"].clone();
    let parameters = item["get"]["parameters"].clone();
    let security = item["get"]["security"].clone();
    let statuses = item["get"]["responses"].as_object().into_iter().flatten();
    let bodiless =
        statuses.map(|(status, _)| (status.clone(), parts::bare("The head of the response to GET.")));
    let mut head = json!({
        "summary": "As GET, without the body.",
        "tags": tags,
        "responses": Value::Object(bodiless.collect()),
    });
    for (name, value) in [("parameters", parameters), ("security", security)] {
        if !value.is_null() {
            head[name] = value;
        }
    }
    item["head"] = head;
    with_options(item, tags)
}

fn with_options(mut item: Value, tags: Value) -> Value {
    let responses = parts::open_responses(&[("204", parts::bare_with("The methods.", &["Allow"]))], &[]);
    item["options"] = json!({
        "summary": "The methods of this path, in Allow.",
        "tags": tags,
        "security": [],
        "responses": responses,
    });
    item
}

/// The same item, whose path may name nothing whatever the method.
fn may_name_nothing(mut item: Value) -> Value {
    for method in ["get", "post", "put", "patch"] {
        if item.get(method).is_some() {
            item[method]["responses"]["404"] = parts::refusal("404");
        }
    }
    if item.get("head").is_some() {
        item["head"]["responses"]["404"] = parts::bare("The path names nothing.");
    }
    item["options"]["responses"]["404"] = parts::refusal("404");
    item
}

fn collection(input: &DescriptionInput<'_>) -> Value {
    let tag = ["referrals"];
    let mut get = json!({
        "operationId": "listReferrals",
        "summary": "A page of referrals.",
        "description": "Newest first, unless $orderby says otherwise. Those of the caller's organization; under \
            `engagementId eq …` those of the engagement that the caller may see.",
        "tags": tag,
        "parameters": parts::list_parameters(input),
        "responses": parts::answers(input, &[("200", parts::list_answer())], &["400", "403", "406"]),
    });
    if input.extended() {
        get = parts::conditional(get, true, false);
    }
    let mut post = json!({
        "operationId": "createReferral",
        "summary": "Creates a referral.",
        "description": "A target that names another organization makes the new referral that organization's.",
        "tags": tag,
        "parameters": parts::refs("parameters", &["requestId"]),
        "requestBody": parts::body(&[("application/json", "NewReferral", &["privateDeal", "partnerLedDeal", "sharedDeal", "dealForMicrosoft"])]),
        "responses": parts::answers(
            input,
            &[("201", parts::referral_answer("The new referral.", &["ETag", "Location", "OData-Version"]))],
            &["400", "403", "404", "406", "408", "409", "411", "413", "415"],
        ),
    });
    if input.extended() {
        post["responses"]["412"] = parts::refusal("412");
    }
    with_head(json!({ "get": get, "post": post }))
}

fn referral(input: &DescriptionInput<'_>) -> Value {
    let tag = ["referrals"];
    let good = [("200", parts::referral_answer("The referral.", &["ETag", "OData-Version", "Vary"]))];
    let reading: &[&str] = match input.extended() {
        true => &["select", "expand", "compute", "format"],
        false => &["format"],
    };
    let reading = parts::refs("parameters", reading);
    let mut get = json!({
        "operationId": "getReferral",
        "summary": "One referral.",
        "description": "One of another organization is shown, redacted, inside a common engagement.",
        "tags": tag,
        "parameters": reading,
        "responses": parts::answers(input, &good, &["400", "403", "404", "406"]),
    });
    if input.extended() {
        get = parts::conditional(get, true, true);
    }
    let changed = &["400", "403", "404", "406", "408", "409", "411", "412", "413", "415"];
    let put = json!({
        "operationId": "replaceReferral",
        "summary": "Lays the body over a referral. Obsolete: PATCH is recommended.",
        "description": "Absent members stay as they are, at every depth; arrays replace as a whole; null clears.",
        "deprecated": true,
        "tags": tag,
        "parameters": parts::refs("parameters", &["ifMatchRequired", "requestId"]),
        "requestBody": parts::body(&[("application/json", "ReferralReplacement", &["replacement"])]),
        "responses": parts::answers(
            input,
            &[("200", parts::referral_answer("The changed referral.", &["ETag", "Deprecation", "Link", "OData-Version"]))],
            changed,
        ),
    });
    let patch = json!({
        "operationId": "patchReferral",
        "summary": "Changes members of a referral: all operations apply, or none.",
        "tags": tag,
        "parameters": parts::refs("parameters", &["ifMatch", "prefer", "requestId"]),
        "requestBody": parts::patch_body(input),
        "responses": parts::answers(
            input,
            &[
                ("200", parts::referral_answer("The changed referral, if Prefer asks for it.", &["ETag", "Preference-Applied", "OData-Version"])),
                ("204", parts::bare_with("Changed.", &["ETag", "OData-Version"])),
            ],
            changed,
        ),
    });
    let mut item = with_head(json!({ "get": get, "put": put, "patch": patch }));
    item["parameters"] = parts::refs("parameters", &["id"]);
    may_name_nothing(item)
}

fn count() -> Value {
    let get = json!({
        "operationId": "countReferrals",
        "summary": "How many referrals match.",
        "tags": ["referrals"],
        "parameters": parts::refs("parameters", &["filter", "search"]),
        "responses": parts::read_answers(parts::text_answer("The number.", "text/plain"), &["400", "403", "406", "501"]),
    });
    with_head(json!({ "get": parts::conditional(get, true, false) }))
}

fn filtered(input: &DescriptionInput<'_>) -> Value {
    let get = json!({
        "operationId": "listFilteredReferrals",
        "summary": "A page of the referrals for which the predicate holds.",
        "description": "As the list with $filter. Several such segments may follow one another.",
        "tags": ["referrals"],
        "parameters": parts::list_parameters(input),
        "responses": parts::read_answers(parts::list_answer(), &["400", "403", "406", "501"]),
    });
    let mut item = with_head(json!({ "get": parts::conditional(get, true, false) }));
    item["parameters"] = parts::refs("parameters", &["predicate"]);
    may_name_nothing(item)
}

fn references() -> Value {
    let options = ["filter", "orderby", "top", "skip", "count", "search", "format"];
    let get = json!({
        "operationId": "listReferences",
        "summary": "The addresses of a page of referrals.",
        "tags": ["referrals"],
        "parameters": parts::refs("parameters", &options),
        "responses": parts::read_answers(parts::any_answer("The addresses."), &["400", "403", "406", "501"]),
    });
    with_head(json!({ "get": parts::conditional(get, true, false) }))
}

fn filtered_references() -> Value {
    let mut item = references();
    item["get"]["operationId"] = "listFilteredReferences".into();
    item["parameters"] = parts::refs("parameters", &["predicate"]);
    may_name_nothing(item)
}

fn query() -> Value {
    let post = json!({
        "operationId": "queryReferrals",
        "summary": "A page of referrals, with the query options in the body.",
        "tags": ["referrals"],
        "requestBody": { "required": true, "content": {
            "text/plain": { "schema": { "type": "string" } },
        } },
        "responses": parts::read_answers(
            parts::list_answer(), &["400", "403", "406", "411", "413", "415", "501"]),
    });
    with_options(json!({ "post": post }), json!(["referrals"]))
}

fn filtered_count() -> Value {
    let mut item = count();
    item["get"]["operationId"] = "countFilteredReferrals".into();
    item["parameters"] = parts::refs("parameters", &["predicate"]);
    may_name_nothing(item)
}

fn entity() -> Value {
    let found = parts::referral_answer("The referral.", &["ETag", "OData-Version", "Vary"]);
    let get = json!({
        "operationId": "getEntity",
        "summary": "The referral that $id names by its address.",
        "tags": ["referrals"],
        "parameters": parts::refs("parameters", &["entityId", "select", "expand", "compute", "format"]),
        "responses": parts::read_answers(found, &["400", "403", "404", "406", "501"]),
    });
    with_head(json!({ "get": parts::conditional(get, true, true) }))
}

fn member() -> Value {
    let mut get = json!({
        "operationId": "getMember",
        "summary": "A part of a referral.",
        "description": "`path` leads to a member, over several segments where it lies deeper; it may end with `$value` \
            (the bare text) or `$count`. `relatedReferrals` is a list, with the options of one; `$ref` gives addresses.",
        "tags": ["referrals"],
        "parameters": parts::refs("parameters", &["filter", "orderby", "select", "top", "skip", "count", "search", "format"]),
        "responses": parts::read_answers(parts::any_answer("The part."), &["400", "403", "404", "406", "501"]),
    });
    get["responses"]["204"] = parts::bare_with("The part has no value.", &["OData-Version"]);
    let mut item = with_head(json!({ "get": parts::conditional(get, true, false) }));
    item["parameters"] = parts::refs("parameters", &["id", "path"]);
    may_name_nothing(item)
}

fn batch() -> Value {
    let post = json!({
        "operationId": "batch",
        "summary": "Many requests in one.",
        "description": "JSON or multipart, as OData 4.01 Protocol, section 11.7, has it.",
        "tags": ["referrals"],
        "requestBody": { "required": true, "content": {
            "application/json": { "schema": { "type": "object", "required": ["requests"] } },
            "multipart/mixed": { "schema": { "type": "string" } },
        } },
        "responses": parts::read_answers(parts::any_answer("An answer for each request."), &["400", "403", "406", "408", "411", "413", "415"]),
    });
    with_options(json!({ "post": post }), json!(["referrals"]))
}

fn service(input: &DescriptionInput<'_>) -> Value {
    let mut item = page(
        "serviceDocument",
        "The service document: the entity sets and where they are.",
        "description",
        &[],
    );
    item["get"]["parameters"] = parts::refs("parameters", &["format"]);
    item["get"]["responses"]["200"]["content"] =
        json!({ "application/json": { "schema": reference("ServiceDocument") } });
    with_head(described(item, input))
}

fn metadata(input: &DescriptionInput<'_>) -> Value {
    let what = format!("The schema {NAMESPACE} as CSDL: XML, or JSON if Accept or $format asks for it.");
    let mut item = page("metadata", &what, "description", &["application/xml", "application/json"]);
    item["get"]["parameters"] = parts::refs("parameters", &["metadataFormat"]);
    with_head(described(item, input))
}

/// A description of the service: in forms of its own, and kept by clients.
fn described(mut item: Value, input: &DescriptionInput<'_>) -> Value {
    item["get"] = parts::conditional(item["get"].take(), input.extended(), true);
    item["get"]["responses"]["200"]["headers"] = parts::bare_with("", &["ETag", "Vary"])["headers"].take();
    item["get"]["responses"]["406"] = parts::refusal("406");
    item
}

fn open_api(input: &DescriptionInput<'_>) -> Value {
    let item = page("openApi", "This document.", "description", &["application/json"]);
    with_head(described(item, input))
}

fn readiness() -> Value {
    let mut item = page("readyz", "Whether requests should come.", "operation", &["application/json"]);
    item["get"]["responses"]["503"] =
        parts::json_answer("Not now: shutting down, or the store takes no writes.");
    with_head(item)
}

/// A document for anybody, without a token.
fn page(id: &str, summary: &str, tag: &str, media_types: &[&str]) -> Value {
    let content: Map<String, Value> = media_types
        .iter()
        .map(|media_type| {
            let kind = if media_type.ends_with("json") { "object" } else { "string" };
            ((*media_type).to_owned(), json!({ "schema": { "type": kind } }))
        })
        .collect();
    with_head(json!({ "get": {
        "operationId": id,
        "summary": summary,
        "tags": [tag],
        "security": [],
        "responses": parts::open_responses(&[("200", json!({ "description": summary, "content": content }))], &[]),
    } }))
}

/// The sandbox's issuer (RFC 6749, RFC 8414).
fn issuer(add: &mut impl FnMut(&str, Value) -> Option<Value>) {
    let json_page = |id: &str, summary: &str| {
        let mut item = page(id, summary, "issuer", &["application/json"]);
        item["get"]["responses"]["400"] = issuer_refusal();
        item = with_head(item);
        item["parameters"] = parts::refs("parameters", &["tenant"]);
        item
    };
    add(
        "/{tenant}/.well-known/openid-configuration",
        json_page("discoveryV1", "The issuer's metadata, version 1."),
    );
    add(
        "/{tenant}/v2.0/.well-known/openid-configuration",
        json_page("discoveryV2", "The issuer's metadata, version 2."),
    );
    let keys = json_page("keys", "The keys that verify its tokens.");
    add("/{tenant}/discovery/v2.0/keys", with_aliases(keys, ["/{tenant}/discovery/keys".to_owned()]));
    add("/{tenant}/oauth2/token", token("tokenV1", "A token for `resource`.", "resource"));
    add("/{tenant}/oauth2/v2.0/token", token("tokenV2", "A token for `scope`.", "scope"));
}

fn token(id: &str, summary: &str, audience: &str) -> Value {
    let text = json!({ "type": "string" });
    let form = json!({
        "type": "object",
        "properties": {
            "grant_type": { "enum": ["password", "client_credentials", "refresh_token"] },
            "username": text,
            "password": text,
            "client_id": text,
            "client_secret": text,
            "refresh_token": text,
            audience: text,
        },
        "required": ["grant_type"],
    });
    let post = json!({
        "operationId": id,
        "summary": summary,
        "tags": ["issuer"],
        "security": [],
        "requestBody": { "required": true, "content": { "application/x-www-form-urlencoded": { "schema": form } } },
        "responses": parts::open_responses(
            &[("200", parts::json_answer("The token, in access_token.")), ("400", issuer_refusal())],
            &["408", "411", "413"],
        ),
    });
    let mut item = with_options(json!({ "post": post }), json!(["issuer"]));
    item["parameters"] = parts::refs("parameters", &["tenant"]);
    item
}

/// What the issuer refuses; that of the server before it, such as a malformed `Host`, has the API's own form.
fn issuer_refusal() -> Value {
    let mut answer = parts::bare("The refusal: of the issuer (RFC 6749, 5.2), or of the server before it.");
    let either = json!({ "anyOf": [reference("IssuerError"), reference("Error")] });
    answer["content"] = json!({ "application/json": { "schema": either } });
    answer
}

#[cfg(test)]
mod tests {
    use http::{Method, Uri};

    use super::*;
    use crate::routes::{HealthCheck, OfferedRoutes, PathSuffix, Route, SubResource};

    fn described(extended: bool, sandbox: bool) -> Value {
        let mut options = crate::ServerOptions::new("https://referrals.contoso.example");
        options.mode = if extended { exchange::ApiMode::Extended } else { exchange::ApiMode::Strict };
        let request_options = referral::RequestOptions::default();
        document(&DescriptionInput {
            options: &options,
            public_url: &options.public_url,
            request_options: &request_options,
            sandbox,
        })
    }

    /// A path with something in its braces.
    fn filled(template: &str) -> Uri {
        let id = "c5fbb3b6-be74-4795-9fb5-4324c73fed37";
        let path =
            template.replace("{id}", id).replace("{path}", "details/notes").replace("{tenant}", "common");
        let path = path.replace("{predicate}", "favorite");
        path.parse().expect(template)
    }

    /// Where each route stands in the document. A new route needs its line, and its item in [`paths`].
    fn template(route: &Route) -> &'static str {
        use identity::sandbox::Endpoint;
        match route {
            // A decided refusal is nothing to offer.
            Route::SubResource(SubResource::Unserved(_)) => "",
            Route::SubResource(SubResource::Collection { predicates, end }) => {
                match (predicates.as_slice(), end) {
                    ([], PathSuffix::Count) => "/v1.0/engagements/referrals/$count",
                    ([], PathSuffix::Reference) => "/v1.0/engagements/referrals/$ref",
                    ([], _) => "",
                    (_, PathSuffix::Count) => "/v1.0/engagements/referrals/$filter({predicate})/$count",
                    (_, PathSuffix::Reference) => "/v1.0/engagements/referrals/$filter({predicate})/$ref",
                    (..) => "/v1.0/engagements/referrals/$filter({predicate})",
                }
            }
            Route::SubResource(SubResource::Query) => "/v1.0/engagements/referrals/$query",
            Route::SubResource(SubResource::Entity) => "/v1.0/$entity",
            Route::Referrals => "/v1.0/engagements/referrals",
            Route::Referral(_) => "/v1.0/engagements/referrals/{id}",
            Route::SubResource(SubResource::Member(..)) => "/v1.0/engagements/referrals/{id}/{path}",
            Route::Batch(_) => "/v1.0/$batch",
            Route::Service => "/v1.0/",
            Route::Metadata => "/v1.0/$metadata",
            Route::OpenApi => "/openapi.json",
            Route::PatchPage => "/docs/patch",
            Route::Health(HealthCheck::Live) => "/livez",
            Route::Health(HealthCheck::Ready) => "/readyz",
            Route::Health(HealthCheck::Metrics) => "/metrics",
            Route::Issuer(request) => match request.endpoint {
                Endpoint::DiscoveryV1 => "/{tenant}/.well-known/openid-configuration",
                Endpoint::DiscoveryV2 => "/{tenant}/v2.0/.well-known/openid-configuration",
                Endpoint::Keys => "/{tenant}/discovery/v2.0/keys",
                Endpoint::TokenV1 => "/{tenant}/oauth2/token",
                Endpoint::TokenV2 => "/{tenant}/oauth2/v2.0/token",
            },
            Route::Options(..) => panic!("asked with another method"),
        }
    }

    /// Every line of [`template`], with whether it is of the extended temperament or of the sandbox.
    const ROUTES: [(&str, bool, bool); 23] = [
        ("/v1.0/engagements/referrals/$ref", true, false),
        ("/v1.0/engagements/referrals/$filter({predicate})/$ref", true, false),
        ("/v1.0/engagements/referrals/$query", true, false),
        ("/v1.0/engagements/referrals/$filter({predicate})", true, false),
        ("/v1.0/engagements/referrals/$filter({predicate})/$count", true, false),
        ("/v1.0/$entity", true, false),
        ("/v1.0/engagements/referrals", false, false),
        ("/v1.0/engagements/referrals/{id}", false, false),
        ("/v1.0/engagements/referrals/$count", true, false),
        ("/v1.0/engagements/referrals/{id}/{path}", true, false),
        ("/v1.0/$batch", true, false),
        ("/v1.0/", false, false),
        ("/v1.0/$metadata", false, false),
        ("/openapi.json", false, false),
        ("/docs/patch", false, false),
        ("/livez", false, false),
        ("/readyz", false, false),
        ("/metrics", false, false),
        ("/{tenant}/.well-known/openid-configuration", false, true),
        ("/{tenant}/v2.0/.well-known/openid-configuration", false, true),
        ("/{tenant}/discovery/v2.0/keys", false, true),
        ("/{tenant}/oauth2/token", false, true),
        ("/{tenant}/oauth2/v2.0/token", false, true),
    ];

    const METHODS: [Method; 8] = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
        Method::TRACE,
    ];

    #[test]
    fn every_route_and_method_is_described_and_nothing_else() {
        for (extended, sandbox) in [(false, false), (true, false), (false, true), (true, true)] {
            let document = described(extended, sandbox);
            let paths = document["paths"].as_object().expect("paths");
            let offers = OfferedRoutes {
                mode: if extended { exchange::ApiMode::Extended } else { exchange::ApiMode::Strict },
                sandbox,
            };
            for (path, item) in paths {
                for method in METHODS {
                    let found = Route::find(&filled(path), &method, offers);
                    let is_described = item.get(method.as_str().to_lowercase()).is_some();
                    assert_eq!(found.is_ok(), is_described, "{method} {path}");
                    match found {
                        Ok(Route::Options(..)) | Err(_) => {}
                        Ok(route) => assert_eq!(template(&route), path, "{method} {path}"),
                    }
                }
            }
            let expected = ROUTES.iter().filter(|(_, of_extended, of_sandbox)| {
                (extended || !of_extended) && (sandbox || !of_sandbox)
            });
            let mut expected: Vec<&str> = expected.map(|(path, ..)| *path).collect();
            let mut found: Vec<&str> = paths.keys().map(String::as_str).collect();
            expected.sort_unstable();
            found.sort_unstable();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn every_alias_leads_where_the_path_leads() {
        let document = described(true, true);
        let offers = OfferedRoutes { mode: exchange::ApiMode::Extended, sandbox: true };
        let mut aliases = 0;
        for (path, item) in document["paths"].as_object().expect("paths") {
            let method = if item.get("get").is_some() { Method::GET } else { Method::POST };
            for alias in item["x-cosell-aliases"].as_array().into_iter().flatten() {
                let alias = alias.as_str().expect("text");
                let route = Route::find(&filled(alias), &method, offers).expect(alias);
                assert_eq!(template(&route), path, "{alias}");
                aliases += 1;
            }
        }
        assert_eq!(aliases, 5 + 6 + 6 + 3, "of the list, of a referral, of $metadata, and three single ones");
    }

    fn each_reference<'a>(value: &'a Value, visit: &mut impl FnMut(&'a str)) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(target)) = members.get("$ref") {
                    visit(target);
                }
                members.values().for_each(|value| each_reference(value, visit));
            }
            Value::Array(items) => items.iter().for_each(|value| each_reference(value, visit)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_to_a_component_and_every_component_is_used() {
        for extended in [false, true] {
            let document = described(extended, true);
            let mut used = std::collections::BTreeSet::new();
            each_reference(&document, &mut |target| {
                let pointer = target.strip_prefix('#').expect("within the document");
                assert!(document.pointer(pointer).is_some(), "{target}");
                used.insert(target.to_owned());
            });
            let components = document["components"].as_object().expect("components");
            for kind in ["schemas", "parameters", "headers", "responses", "examples"] {
                for name in components[kind].as_object().expect(kind).keys() {
                    let target = format!("#/components/{kind}/{name}");
                    assert!(used.contains(&target), "{target} is used nowhere");
                }
            }
            let examples = components["examples"].as_object().expect("examples");
            assert!(examples.values().all(|example| !example["value"].is_null()), "an example is no JSON");
        }
    }
}
