//! Projection by `$select` and `$compute`. Source: OData 4.01 Protocol, 11.2.5.1.

mod model;

use model::{item, query, schema};
use odata::*;
use serde_json::{Value as Json, json};

fn shown(text: &str) -> Json {
    let (schema, settings) = (schema(), BindSettings::default());
    let options = query(text);
    let bound = Binder::new(&schema, "Item", &settings).options(&options);
    let bound = bound.unwrap_or_else(|error| panic!("{text}: {error}"));
    Evaluator { schema: &schema, now: DateTimeOffset { ticks: 0, offset: 0 }, work: None }
        .project(&bound, &item())
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn selected_members_stand_in_the_order_of_the_document() {
    assert_eq!(shown("$select=name,id").to_string(), shown("$select=id,name").to_string());
    assert_eq!(shown("$select=*"), item());
    assert_eq!(shown("$count=true"), item());
}

#[test]
fn paths_show_a_part_of_an_object_and_of_each_member_of_a_collection() {
    assert_eq!(shown("$select=address/city"), json!({"address": {"city": "Berlin"}}));
    assert_eq!(
        shown("$select=people/email,people/age,people/address/city"),
        json!({"people": [
            {"email": "Ann@Example.org", "age": 30, "address": {"city": "Bonn"}},
            {"email": "bob@example.org", "age": null, "address": null}
        ]})
    );
    assert_eq!(
        shown("$select=address,address/city"),
        json!({"address": {"city": "Berlin", "country": "DE"}})
    );
}

#[test]
fn nested_options_narrow_a_collection() {
    assert_eq!(
        shown("$select=people($filter=age gt 18;$select=email;$count=true)"),
        json!({"people@odata.count": 1, "people": [{"email": "Ann@Example.org"}]})
    );
    assert_eq!(
        shown("$select=people($orderby=email desc;$top=1;$select=age),address($select=city)"),
        json!({"address": {"city": "Berlin"}, "people": [{"age": null}]})
    );
    assert_eq!(
        shown("$select=people($skip=1;$select=email)"),
        json!({"people": [{"email": "bob@example.org"}]})
    );
    assert_eq!(shown("$select=tags($filter=$this eq 'y')"), json!({"tags": ["y"]}));
}

#[test]
fn computed_members_follow_and_need_not_be_selected_with_what_they_are_made_of() {
    assert_eq!(
        shown("$compute=price mul 2 as double,length(name) as letters&$select=name,double"),
        json!({"name": "Ärger im Haus", "double": serde_json::from_str::<Json>("25.00").expect("a number")})
    );
    assert_eq!(shown("$compute=count add 1 as next")["next"], 8);
    assert_eq!(shown("$compute=count add 1 as next&$select=*")["next"], 8);
}

#[test]
fn a_star_keeps_the_options_of_what_is_named_beside_it() {
    let mut expected = item();
    expected["people"] = json!([{"email": "Ann@Example.org"}]);
    assert_eq!(shown("$select=*,people($top=1;$select=email)"), expected);
    assert_eq!(shown("$select=people($top=1;$select=email),*,name"), expected);
    let mut expected = item();
    expected["address"] = json!({"city": "Berlin"});
    assert_eq!(shown("$select=*,address($select=city)"), expected);
    let shown = shown("$select=people,people/tags($top=1)");
    assert_eq!(shown["people"][0]["tags"], json!(["a"]));
    assert_eq!(shown["people"][0]["age"], json!(30), "the others are whole");
}

#[test]
fn objects_and_collections_are_computed_whole() {
    let shown = shown(
        "$compute=address as home,people as others,address/city as city,tags as words&$select=home,others,city,words",
    );
    let item = item();
    assert_eq!(
        shown,
        json!({"home": item["address"], "others": item["people"], "city": "Berlin", "words": ["x", "y"]})
    );
}
