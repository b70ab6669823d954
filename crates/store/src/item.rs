//! The JSON that expressions are evaluated over: as much of a referral as they ask about, from its columns where these
//! tell all of it, else from its document.

use std::collections::BTreeMap;
use std::fmt;

use referral::{EngagementId, ReferralId, Timestamp};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value as Json, json};

use crate::StoreError;
use crate::planner::FacetKey;

/// A member of a referral that a column holds as the document does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    Id,
    EngagementId,
    Created,
    Updated,
    Expires,
    Accepted,
    Country,
    SharedWithMicrosoft,
    /// One of the five members of the facet key.
    Facet(&'static str),
}

impl Column {
    const ALL: [Column; 13] = [
        Column::Id,
        Column::EngagementId,
        Column::Created,
        Column::Updated,
        Column::Expires,
        Column::Accepted,
        Column::Country,
        Column::SharedWithMicrosoft,
        Column::Facet("direction"),
        Column::Facet("status"),
        Column::Facet("substatus"),
        Column::Facet("qualification"),
        Column::Facet("type"),
    ];

    /// The column of a path; `None` for one that only the document holds.
    pub(crate) fn of(path: &str) -> Option<Column> {
        Column::ALL.into_iter().find(|column| column.path() == path)
    }

    /// The column of the table `referral`, which both engines call the same.
    pub(crate) fn sql(self) -> &'static str {
        match self {
            Column::Id => "referral.id",
            Column::EngagementId => "referral.engagement",
            Column::Created => "referral.created",
            Column::Updated => "referral.updated",
            Column::Expires => "referral.expires",
            Column::Accepted => "referral.accepted",
            Column::Country => "referral.country",
            Column::SharedWithMicrosoft => "referral.shared_with_microsoft",
            Column::Facet(_) => "referral.class",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Column::Id => "id",
            Column::EngagementId => "engagementId",
            Column::Created => "createdDateTime",
            Column::Updated => "updatedDateTime",
            Column::Expires => "expirationDateTime",
            Column::Accepted => "acceptedDateTime",
            Column::Country => "customerProfile/address/country",
            Column::SharedWithMicrosoft => "consent/consentToShareReferralWithMicrosoftSellers",
            Column::Facet(member) => member,
        }
    }
}

/// The columns of a row that items are made from. Columns that are not used may have any value.
#[derive(Debug, Clone)]
pub(crate) struct ColumnValues {
    pub(crate) id: ReferralId,
    pub(crate) engagement: EngagementId,
    pub(crate) facet: FacetKey,
    pub(crate) created: i64,
    pub(crate) updated: i64,
    pub(crate) expires: Option<i64>,
    pub(crate) accepted: Option<i64>,
    pub(crate) country: Option<String>,
    pub(crate) shared_with_microsoft: bool,
}

impl ColumnValues {
    /// No values: the columns that are used are filled in.
    pub(crate) fn empty() -> ColumnValues {
        ColumnValues {
            id: ReferralId::from_bytes([0; 16]),
            engagement: EngagementId::from_bytes([0; 16]),
            facet: FacetKey(0),
            created: 0,
            updated: 0,
            expires: None,
            accepted: None,
            country: None,
            shared_with_microsoft: false,
        }
    }

    /// An item with these members.
    fn item(&self, columns: &[Column]) -> Json {
        let instant = |ticks: i64| json!(Timestamp::from_ticks(ticks));
        let mut item = Map::new();
        for column in columns {
            let value = match column {
                Column::Id => json!(self.id),
                Column::EngagementId => json!(self.engagement),
                Column::Created => instant(self.created),
                Column::Updated => instant(self.updated),
                Column::Expires => self.expires.map_or(Json::Null, instant),
                Column::Accepted => self.accepted.map_or(Json::Null, instant),
                Column::Facet(member) => json!(self.facet.name(member)),
                Column::Country => {
                    let country = json!({ "address": { "country": self.country } });
                    item.insert("customerProfile".to_owned(), country);
                    continue;
                }
                Column::SharedWithMicrosoft => {
                    let consent = json!({
                        "consentToShareReferralWithMicrosoftSellers": self.shared_with_microsoft,
                    });
                    item.insert("consent".to_owned(), consent);
                    continue;
                }
            };
            item.insert(column.path().to_owned(), value);
        }
        Json::Object(item)
    }
}

/// The part of a referral that is read to evaluate expressions over it.
#[derive(Debug, Clone)]
pub(crate) enum ItemSource {
    /// Nothing: no expression asks about it.
    Nothing,
    /// Some of its columns.
    Columns(Vec<Column>),
    /// Members of its document.
    Document(Projection),
}

impl ItemSource {
    /// The source of everything that is at these paths.
    pub(crate) fn of(paths: impl IntoIterator<Item = String>) -> ItemSource {
        let mut paths: Vec<String> = paths.into_iter().collect();
        paths.sort();
        paths.dedup();
        let columns: Option<Vec<Column>> = paths.iter().map(|path| Column::of(path)).collect();
        match columns {
            Some(columns) if columns.is_empty() => ItemSource::Nothing,
            Some(columns) => ItemSource::Columns(columns),
            None => ItemSource::Document(Projection::of(paths.iter().map(String::as_str))),
        }
    }

    /// An item from columns.
    pub(crate) fn item_of_columns(&self, values: &ColumnValues) -> Json {
        match self {
            ItemSource::Columns(columns) => values.item(columns),
            ItemSource::Nothing | ItemSource::Document(_) => Json::Null,
        }
    }

    /// An item from a document.
    ///
    /// # Errors
    /// `Engine` for a document that is not JSON.
    pub(crate) fn item_of_document(&self, id: ReferralId, document: &[u8]) -> Result<Json, StoreError> {
        let read = match self {
            ItemSource::Nothing => return Ok(Json::Null),
            // The same members by their paths.
            ItemSource::Columns(columns) => {
                Projection::of(columns.iter().map(|column| column.path())).read(document)
            }
            ItemSource::Document(projection) => projection.read(document),
        };
        read.map_err(|error| StoreError::Engine(format!("referral {id} is not JSON: {error}")))
    }
}

/// The members of a document that are read; all others are skipped without being built.
#[derive(Debug, Clone, Default)]
pub(crate) struct Projection {
    /// Everything from here on.
    whole: bool,
    members: BTreeMap<Box<str>, Projection>,
}

impl Projection {
    /// What is at these paths and below; the empty path is everything.
    fn of<'p>(paths: impl IntoIterator<Item = &'p str>) -> Projection {
        let mut root = Projection::default();
        for path in paths {
            let mut at = &mut root;
            for name in path.split('/').filter(|name| !name.is_empty()) {
                at = at.members.entry(name.into()).or_default();
            }
            at.whole = true;
        }
        root
    }

    /// Reads a document.
    fn read(&self, document: &[u8]) -> serde_json::Result<Json> {
        let mut reader = serde_json::Deserializer::from_slice(document);
        let read = self.deserialize(&mut reader)?;
        reader.end()?;
        Ok(read)
    }
}

impl<'de> DeserializeSeed<'de> for &Projection {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        if self.whole { Json::deserialize(deserializer) } else { deserializer.deserialize_any(self) }
    }
}

impl<'de> Visitor<'de> for &Projection {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut read = Map::new();
        while let Some(member) = map.next_key_seed(Name(self))? {
            match member {
                Some((name, below)) => {
                    let value = map.next_value_seed(below)?;
                    read.insert(name.to_string(), value);
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Json::Object(read))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let mut read = Vec::new();
        while let Some(item) = seq.next_element_seed(self)? {
            read.push(item);
        }
        Ok(Json::Array(read))
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Json, E> {
        Ok(value.into())
    }
}

/// A name in an object: `Some` for one that is read, with what is read of it.
struct Name<'p>(&'p Projection);

impl<'p, 'de> DeserializeSeed<'de> for Name<'p> {
    type Value = Option<(&'p str, &'p Projection)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'p> Visitor<'_> for Name<'p> {
    type Value = Option<(&'p str, &'p Projection)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.members.get_key_value(name).map(|(name, below)| (&**name, below)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::samples::{a_referral, organization};

    #[test]
    fn only_what_is_asked_about_is_read() {
        let document = br#"{"id":"x","details":{"dealValue":12.50,"notes":"long"},"team":[{"email":"a"},{"email":"b"}],"links":null}"#;
        let read = |paths: &[&str]| Projection::of(paths.iter().copied()).read(document).unwrap();
        assert_eq!(read(&["details/dealValue"]).to_string(), r#"{"details":{"dealValue":12.50}}"#);
        assert_eq!(read(&["details/dealValue", "details"])["details"]["notes"], "long");
        assert_eq!(read(&["team"]).to_string(), r#"{"team":[{"email":"a"},{"email":"b"}]}"#);
        assert_eq!(read(&["links/self", "id/x"]).to_string(), r#"{"id":"x","links":null}"#);
        assert_eq!(read(&[""]), serde_json::from_slice::<Json>(document).unwrap());
        assert!(Projection::of(["a"]).read(br#"{"b":}"#).is_err());
        assert!(Projection::of(["a"]).read(br#"{"b":1} x"#).is_err());
    }

    #[test]
    fn columns_tell_what_the_document_tells() {
        let referral = a_referral(&organization(1), 7);
        let columns = &referral.columns;
        let values = ColumnValues {
            id: referral.id,
            engagement: referral.engagement_id,
            facet: FacetKey::of(columns),
            created: columns.created.ticks(),
            updated: columns.updated.ticks(),
            expires: columns.expires.map(Timestamp::ticks),
            accepted: columns.accepted.map(Timestamp::ticks),
            country: Some("DE".to_owned()),
            shared_with_microsoft: true,
        };
        let source = ItemSource::of(Column::ALL.iter().map(|column| column.path().to_owned()));
        let item = source.item_of_columns(&values);
        assert_eq!(item["id"], json!(referral.id));
        assert_eq!(item["createdDateTime"], json!(columns.created));
        assert_eq!(item["status"], json!(columns.status));
        assert_eq!(item["type"], json!(columns.referral_type));
        assert_eq!(item["customerProfile"]["address"]["country"], "DE");
        assert_eq!(item["consent"]["consentToShareReferralWithMicrosoftSellers"], true);
        assert!(matches!(ItemSource::of(["status".to_owned(), "name".to_owned()]), ItemSource::Document(_)));
        assert!(matches!(ItemSource::of([]), ItemSource::Nothing));
    }
}
