"""Generators for Schemathesis: values of OData's options, paths and patches that often mean something.

The OpenAPI document describes query options as strings, and a random string is almost never a filter. Three cases in four
get a value from here; the rest stay as Schemathesis made them, so that nonsense is tried too. Everything is drawn by
Hypothesis, so a seed repeats a run.
"""

import json
import os
import urllib.parse
import urllib.request

import schemathesis
from hypothesis import strategies as st

TOKEN = os.environ["SERVER_TOKEN"]
LIST = os.environ["SERVER_URL"] + "/v1.0/engagements/referrals"


def referrals():
    request = urllib.request.Request(LIST, headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(request) as response:
        return json.load(response)["value"]


SEEDED = referrals()
IDS = [referral["id"] for referral in SEEDED]
ENGAGEMENTS = [referral["engagementId"] for referral in SEEDED]

texts = st.sampled_from(["''", "'a'", "'Contoso'", "'it''s'", "'%'", "'ß'", "null", "'" + "x" * 300 + "'"])
numbers = st.sampled_from(["0", "1", "-1", "10000", "2.5", "1e3", "9223372036854775807", "1e400", "NaN", "null"])
times = st.sampled_from(
    ["2020-01-01T00:00:00Z", "now()", "'2026-11-01T00:00:00Z'", "2026-11-01", "9999-12-31T23:59:59.9999999Z", "null"]
)
text_members = st.sampled_from(
    ["name", "externalReferenceId", "status", "substatus", "customerProfile/name", "customerProfile/address/country",
     "details/currency", "organizationId", "mpnId", "campaignId"]
)
number_members = st.sampled_from(["details/dealValue", "team/$count", "customerProfile/team/$count"])
time_members = st.sampled_from(["createdDateTime", "updatedDateTime", "closedDateTime", "details/closingDateTime"])
comparisons = st.sampled_from(["eq", "ne", "lt", "le", "gt", "ge"])


def joined(*parts, by=" "):
    return st.tuples(*parts).map(by.join)


def text(value):
    return st.just(value)


terms = st.one_of(
    joined(text_members, comparisons, texts),
    joined(number_members, comparisons, numbers),
    joined(time_members, comparisons, times),
    st.sampled_from(ENGAGEMENTS).map(lambda id: f"engagementId eq '{id}'"),
    st.sampled_from(IDS).map(lambda id: f"id eq {id}"),
    st.sampled_from(["favorite", "favorite eq true", "type in ('Shared','Independent')", "email eq 'admin@contoso.example'"]),
    st.tuples(st.sampled_from(["contains", "startswith", "endswith"]), text_members, texts).map(
        lambda call: f"{call[0]}({call[1]},{call[2]})"
    ),
    st.sampled_from(
        ["team/any(t:t/email eq 'admin@contoso.example')", "team/all(t:t/lastName ne null)", "target/any()",
         "customerProfile/team/any(c:contains(c/firstName,'a'))", "length(name) add 1 gt 2", "1 div 0 eq 1",
         "matchesPattern(name,'^C.*')", "year(createdDateTime) eq 2026", "cast(details/dealValue,Edm.Int32) gt 1",
         "details/dealValue div 0 eq 1", "name has 'x'", "geo.distance(name,name) lt 1", "@p eq 1", "date(createdDateTime) gt 2020-01-01",
         "relatedReferrals/any(r:r/status eq 'New')", "$it/name eq 'a'", "case(favorite:1,true:2) eq 1"]
    ),
)
filters = st.recursive(
    terms,
    lambda inner: st.one_of(
        joined(inner, st.sampled_from(["and", "or"]), inner), inner.map("not ({})".format), inner.map("({})".format)
    ),
    max_leaves=5,
)
orders = st.lists(
    joined(st.one_of(time_members, text_members, number_members), st.sampled_from(["", "asc", "desc"])),
    min_size=1, max_size=3,
).map(",".join)
selections = st.lists(
    st.sampled_from(["id", "status", "name", "customerProfile", "details", "team", "*", "eTag", "links", "nothing",
                     "details/dealValue", "team($top=1)", "customerProfile($select=name)", "id,id"]),
    min_size=1, max_size=4, unique=True,
).map(",".join)
whole_numbers = st.sampled_from(["0", "1", "2", "99", "100", "101", "250", "10000", "18446744073709551615", "-1", "x", ""])
expansions = st.sampled_from(
    ["relatedReferrals", "*", "relatedReferrals($select=id)", "relatedReferrals/$count", "relatedReferrals/$ref",
     "relatedReferrals($filter=status eq 'New';$top=1;$count=true)", "relatedReferrals($expand=relatedReferrals)",
     "relatedReferrals($levels=2)", "team", "relatedReferrals($apply=aggregate($count as n))", ""]
)
applies = st.one_of(
    st.sampled_from(
        ["aggregate($count as n)", "groupby((status),aggregate($count as n))", "identity",
         "groupby((status,substatus),aggregate(details/dealValue with sum as total))", "topcount(2,details/dealValue)",
         "aggregate(details/dealValue with average as mean)", "aggregate(name with countdistinct as names)",
         "concat(identity,aggregate($count as n))", "compute(details/dealValue mul 2 as twice)", "rollup(status)",
         "groupby((rollup($all,status)),aggregate($count as n))", "search(a)", "join(team as t)", "nest(identity as n)"]
    ),
    filters.map("filter({})/aggregate($count as n)".format),
)

OPTIONS = {
    "$filter": filters,
    "$orderby": orders,
    "$select": selections,
    "$top": whole_numbers,
    "$skip": whole_numbers,
    "$count": st.sampled_from(["true", "false", "1", ""]),
    "$skiptoken": st.sampled_from(["x", "AAAA", ""]),
    "pagesize": st.sampled_from(["1", "2", "100", "101", "1000", "0", "x"]),
    "$expand": expansions,
    "$search": st.sampled_from(["contoso", "contoso AND NOT x", '"cloud migration"', "(a OR b)", "NOT", "AND", '"']),
    "$compute": st.sampled_from(["details/dealValue mul 2 as twice", "length(name) as n", "details as x", "name as name", "1 div 0 as x"]),
    "$apply": applies,
    "$format": st.sampled_from(["json", "xml", "atom", "application/json", "application/json;odata.metadata=full",
                                "application/json;odata.metadata=none", "application/json;foo=bar"]),
    "$id": st.one_of(
        st.sampled_from(IDS).map((LIST + "/{}").format), st.sampled_from(IDS).map("referrals/{}".format), st.just("nowhere")
    ),
}
PATHS = {
    "id": st.sampled_from(IDS),
    "path": st.sampled_from(
        ["name", "name/$value", "team", "team/$count", "relatedReferrals", "relatedReferrals/$count", "relatedReferrals/$ref",
         "$ref", "$value", "details", "details/dealValue/$value", "details/nothing", "nothing", "customerProfile/team",
         "eTag", "links", "$each", "team/0", "tags", "acceptedDateTime"]
    ),
    "predicate": filters,
    "tenant": st.sampled_from(["common", "organizations", "nobody"]),
}
HEADERS = {
    "If-Match": st.sampled_from(["*", '"00000000-0000-0000-0000-000000000000"', 'W/"x"', "x"]),
    "If-None-Match": st.sampled_from(["*", '"x"', 'W/"x", "y"']),
    "Prefer": st.sampled_from(["return=representation", "return=minimal", "odata.maxpagesize=1", 'x="a, return=representation"']),
}
values = st.sampled_from(
    [None, True, 1, "a", "New", "Active", "Won", 10000, "10000", "USD", "2026-12-01", [], {}, {"email": "a@b.example"},
     {"emailAddress": "x"}, {"type": "SolutionProfile", "id": "1"}, -1, "x" * 20000]
)
operations = st.fixed_dictionaries(
    {
        "op": st.sampled_from(["add", "replace", "remove", "test", "move", "copy"]),
        "path": st.sampled_from(
            ["/name", "/status", "/substatus", "/details/dealValue", "/details", "/team/-", "/team/0", "/team/0/title",
             "/customerProfile/team/-", "/consent", "/externalReferenceId", "/createdDateTime", "/details/closeDate", "", "x", "/links"]
        ),
        "value": values,
    },
    optional={"from": st.sampled_from(["/name", "/team/0", "/details/notes"])},
)


def mixed(generated, known):
    """A strategy for an object some of whose members have generators of their own."""
    if not isinstance(generated, dict):
        return st.just(generated)
    # How OData writes a path: without its surrounding names being percent-encoded twice.
    members = {
        name: st.one_of(*[known[name]] * 3, st.just(value)) if name in known else st.just(value)
        for name, value in generated.items()
    }
    return st.fixed_dictionaries(members)


@schemathesis.hook
def flatmap_query(context, query):
    return mixed(query, OPTIONS)


@schemathesis.hook
def flatmap_path_parameters(context, path_parameters):
    return mixed(path_parameters, PATHS)


@schemathesis.hook
def flatmap_headers(context, headers):
    return mixed(headers, HEADERS)


@schemathesis.hook
def flatmap_body(context, body):
    if isinstance(body, list) and context.operation.method.upper() == "PATCH":
        return st.one_of(st.just(body), st.lists(operations, max_size=3))
    if isinstance(body, dict) and "grant_type" in body:
        known = {"grant_type": "password", "username": "admin@contoso.example", "password": "cosell",
                 "resource": os.environ["SERVER_URL"], "scope": os.environ["SERVER_URL"] + "/.default"}
        return st.one_of(st.just(body), st.just({**body, **known}))
    if isinstance(body, dict) and "requests" in body:
        parts = st.fixed_dictionaries(
            {
                "id": st.sampled_from(["1", "2", "3"]),
                "method": st.sampled_from(["GET", "get", "POST", "PATCH", "DELETE"]),
                "url": st.sampled_from(["engagements/referrals", "/v1.0/engagements/referrals?$top=1", "$1", "nowhere",
                                        f"engagements/referrals/{IDS[0]}"]),
            },
            optional={"body": values, "headers": st.just({"content-type": "application/json"}),
                      "atomicityGroup": st.just("g"), "dependsOn": st.just(["1"])},
        )
        return st.one_of(st.just(body), st.lists(parts, max_size=3).map(lambda parts: {"requests": parts}))
    return st.just(body)
