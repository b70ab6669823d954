//! From stored documents to the items of an answer: `$select`, `$compute`, `$expand`, and how much is said about
//! them (`odata.metadata`). Source: OData JSON Format 4.01, sections 3.1, 4.5 and 8; spec 5.6, 11.1.
//!
//! What is wanted whole, or by its top-level members, is copied from the stored bytes; only the rest is parsed.

use exchange::{ListItem, ListRequest, NAMESPACE, Page, RELATED_REFERRALS, StoreError, reading_cost, schema};
use odata::{
    DateTimeOffset, Evaluator, ExpandKind, Expr, Primitive, QueryOptions, Schema, Type, TypedOptions,
    TypedSelect, Work,
};
use referral::{PublicBase, Referral};
use serde::de::IgnoredAny;
use serde_json::{Map, Value as Json};

use crate::negotiation::MetadataLevel;
use crate::routes::{LEFT_OUT, with_context};

/// Writes the items of one answer.
pub(crate) struct ItemWriter<'a> {
    base: &'a PublicBase,
    asked: &'a QueryOptions,
    /// The values of parameter aliases of the whole query: options in parentheses may use them.
    aliases: &'a [(String, Expr)],
    options: &'a TypedOptions,
    evaluator: Evaluator<'a>,
    work: &'a Work,
    metadata: MetadataLevel,
    /// The members to copy; `None`: all.
    members: Option<Vec<&'a str>>,
    /// Copying bytes is not enough.
    rebuilt: bool,
}

impl<'a> ItemWriter<'a> {
    /// `work` is for the whole answer.
    pub(crate) fn new(
        base: &'a PublicBase,
        list_request: &'a ListRequest,
        metadata: MetadataLevel,
        now: referral::Timestamp,
        work: &'a Work,
    ) -> ItemWriter<'a> {
        let now = DateTimeOffset { ticks: now.ticks(), offset: 0 };
        ItemWriter::of(
            base,
            list_request.raw_options(),
            &list_request.raw_options().aliases,
            list_request.options(),
            Evaluator { schema: schema(), now, work: Some(work) },
            work,
            metadata,
        )
    }

    /// Whether the items of an answer are copied from what is stored, without an evaluation.
    pub(crate) fn copies(list_request: &ListRequest, metadata: MetadataLevel) -> bool {
        let options = list_request.options();
        !is_rebuilt(options, metadata, options.select.as_deref().map(top_level).as_ref())
    }

    fn of(
        base: &'a PublicBase,
        asked: &'a QueryOptions,
        aliases: &'a [(String, Expr)],
        options: &'a TypedOptions,
        evaluator: Evaluator<'a>,
        work: &'a Work,
        metadata: MetadataLevel,
    ) -> ItemWriter<'a> {
        let members = options.select.as_deref().map(top_level);
        let rebuilt = is_rebuilt(options, metadata, members.as_ref());
        ItemWriter {
            base,
            asked,
            aliases,
            options,
            evaluator,
            work,
            metadata,
            members: members.flatten(),
            rebuilt,
        }
    }

    /// One item, without `@odata.context`.
    ///
    /// # Errors
    /// [`StoreError`]
    pub(crate) fn item(&self, item: &ListItem, out: &mut Vec<u8>) -> Result<(), StoreError> {
        let visible = &item.visible;
        if !self.rebuilt && self.members.is_none() {
            self.base.item(&visible.document, visible.id, visible.engagement_id, out);
            return Ok(());
        }
        let mut whole = Vec::with_capacity(visible.document.len() + 512);
        self.base.item(&visible.document, visible.id, visible.engagement_id, &mut whole);
        if !self.rebuilt {
            copy_members(&whole, self.members.as_deref().unwrap_or_default(), out);
            return Ok(());
        }
        self.work.take(reading_cost(whole.len()))?;
        let (held, before) = (self.work.held(), out.len());
        match serde_json::from_slice(&whole) {
            Ok(document) => write_json(&self.rebuild(item, &document)?, out),
            Err(error) => return Err(damaged(item, &error)),
        }
        // The tree is gone, its text stays.
        self.work.release(usize::try_from(self.work.held() - held).unwrap_or(usize::MAX));
        Ok(self.work.hold(out.len() - before)?)
    }

    /// One item that is the whole answer, with its context. What is stored is read as a whole, though only a part of it
    /// may be shown.
    ///
    /// # Errors
    /// [`StoreError`], of a damaged document too.
    pub(crate) fn entity(&self, item: &ListItem, context: Option<String>) -> Result<Vec<u8>, StoreError> {
        self.work.take(reading_cost(item.visible.document.len()))?;
        let stored: Result<IgnoredAny, _> = serde_json::from_slice(&item.visible.document);
        stored.map_err(|error| damaged(item, &error))?;
        let tree = self.tree(item)?;
        let tree = context.into_iter().fold(tree, |tree, context| with_context(context, tree));
        let mut out = Vec::new();
        write_json(&tree, &mut out);
        Ok(out)
    }

    /// One item as a tree.
    ///
    /// # Errors
    /// [`StoreError`]
    pub(crate) fn tree(&self, item: &ListItem) -> Result<Json, StoreError> {
        let mut bytes = Vec::new();
        self.item(item, &mut bytes)?;
        self.work.take(reading_cost(bytes.len()))?;
        serde_json::from_slice(&bytes).map_err(|error| damaged(item, &error))
    }

    fn rebuild(&self, item: &ListItem, document: &Json) -> Result<Json, StoreError> {
        let mut shown = self.evaluator.project(self.options, document)?;
        if self.metadata == MetadataLevel::Full {
            shown = annotated(shown, Referral::TYPE.name, schema());
        }
        let mut members = match shown {
            Json::Object(members) => members,
            other => return Ok(other),
        };
        if self.metadata == MetadataLevel::Full {
            members = self.with_control_information(item, document, members);
        }
        for (expand, page) in self.options.expand.iter().zip(&item.related) {
            let nested = self.asked.expand.as_ref().and_then(|all| all.get(expand.item));
            let asked = nested.and_then(|one| one.options.as_deref());
            self.expanded(item, asked, &expand.options, expand.what, page, &mut members)?;
        }
        Ok(Json::Object(members))
    }

    /// What `odata.metadata=full` says before the members of an entity.
    fn with_control_information(
        &self,
        item: &ListItem,
        document: &Json,
        members: Map<String, Json>,
    ) -> Map<String, Json> {
        let uri = self.base.referral(item.visible.id);
        let mut all = Map::new();
        all.insert("@odata.type".to_owned(), format!("#{NAMESPACE}.{}", Referral::TYPE.name).into());
        all.insert("@odata.id".to_owned(), uri.clone().into());
        all.insert("@odata.etag".to_owned(), document["eTag"].clone());
        all.insert("@odata.editLink".to_owned(), uri.clone().into());
        all.insert(
            format!("{RELATED_REFERRALS}@odata.navigationLink"),
            format!("{uri}/{RELATED_REFERRALS}").into(),
        );
        all.extend(members);
        all
    }

    fn expanded(
        &self,
        item: &ListItem,
        asked: Option<&QueryOptions>,
        options: &TypedOptions,
        what: ExpandKind,
        page: &Page,
        into: &mut Map<String, Json>,
    ) -> Result<(), StoreError> {
        if let Some(count) = page.count {
            into.insert(format!("{RELATED_REFERRALS}@odata.count"), count.into());
        }
        if page.left_out > 0 {
            into.insert(format!("{RELATED_REFERRALS}@{LEFT_OUT}"), page.left_out.into());
        }
        if what == ExpandKind::Count {
            return Ok(());
        }
        let none = QueryOptions::default();
        let asked = asked.unwrap_or(&none);
        let inner =
            ItemWriter::of(self.base, asked, self.aliases, options, self.evaluator, self.work, self.metadata);
        let items = page.items.iter().map(|related| match what {
            ExpandKind::References => {
                let id = Json::String(self.base.referral(related.visible.id));
                Ok(Json::Object(Map::from_iter([("@odata.id".to_owned(), id)])))
            }
            _ => inner.tree(related),
        });
        let items: Result<Json, StoreError> = items.collect();
        into.insert(RELATED_REFERRALS.to_owned(), items?);
        if page.next.is_some() {
            let link = self.further(item, asked, what, page.items.len() as u64);
            into.insert(format!("{RELATED_REFERRALS}@odata.nextLink"), link.into());
        }
        Ok(())
    }

    /// Where the rest of an expansion is: the navigation itself, with the same options, past what is shown.
    fn further(&self, item: &ListItem, asked: &QueryOptions, what: ExpandKind, shown: u64) -> String {
        use odata::SystemOption::{Levels, Skip, Top};
        let mut options = asked.clone();
        // It belongs into parentheses, and says no more than one level.
        options.given.retain(|option| *option != Levels);
        for (name, value) in self.aliases {
            if options.alias(name).is_none() {
                options.aliases.push((name.clone(), value.clone()));
            }
        }
        options.skip = Some(options.skip.unwrap_or(0).saturating_add(shown));
        if !options.given.contains(&Skip) {
            options.given.push(Skip);
        }
        if options.given.contains(&Top) {
            options.top = options.top.map(|top| top.saturating_sub(shown));
        }
        let end = if what == ExpandKind::References { "/$ref" } else { "" };
        format!("{}/{RELATED_REFERRALS}{end}?{}", self.base.referral(item.visible.id), options.to_query())
    }
}

/// A stored document that is not JSON: the answer fails as a whole, and the log says which referral it was.
fn damaged(item: &ListItem, error: &serde_json::Error) -> StoreError {
    StoreError::Engine(format!("referral {} is not JSON: {error}", item.visible.id))
}

/// Whether copying bytes is not enough.
fn is_rebuilt(options: &TypedOptions, metadata: MetadataLevel, members: Option<&Option<Vec<&str>>>) -> bool {
    metadata == MetadataLevel::Full
        || !options.compute.is_empty()
        || !options.expand.is_empty()
        || matches!(members, Some(None))
}

/// Items of an answer one after the other, with commas between.
///
/// # Errors
/// [`StoreError`]
pub(crate) fn write_items(
    base: &PublicBase,
    list_request: &ListRequest,
    metadata: MetadataLevel,
    now: referral::Timestamp,
    items: &[ListItem],
    work: &Work,
) -> Result<Vec<u8>, StoreError> {
    let writer = ItemWriter::new(base, list_request, metadata, now, work);
    let mut out = Vec::new();
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        writer.item(item, &mut out)?;
    }
    Ok(out)
}

/// What it costs at least to rebuild items, in nodes.
pub(crate) fn writing_cost(items: &[ListItem]) -> u64 {
    let related =
        |item: &ListItem| item.related.iter().map(|page| 2 * writing_cost(&page.items)).sum::<u64>();
    items.iter().map(|item| reading_cost(item.visible.document.len()) + related(item)).sum()
}

/// The names of whole top-level members; `None` when something else is selected too.
fn top_level(select: &[TypedSelect]) -> Option<Vec<&str>> {
    select
        .iter()
        .map(|one| match one {
            TypedSelect::Property { steps, options: None } => match steps.as_slice() {
                [only] if !only.navigation => Some(&*only.name),
                _ => None,
            },
            _ => None,
        })
        .collect()
}

fn write_json(json: &Json, out: &mut Vec<u8>) {
    // Writing into memory fails for no value that a document can hold.
    let _ = serde_json::to_writer(out, json);
}

/// Copies the members of these names, in the order of the document.
fn copy_members(document: &[u8], names: &[&str], out: &mut Vec<u8>) {
    out.push(b'{');
    let mut first = true;
    for (name, member) in JsonMembers(document.get(1..).unwrap_or_default()) {
        if names.iter().any(|wanted| wanted.as_bytes() == name) {
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            out.extend_from_slice(member);
        }
    }
    out.push(b'}');
}

/// The members of an object as `serde_json` writes it, without white space and behind its first brace: name, and name with
/// value.
pub(crate) struct JsonMembers<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for JsonMembers<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let from = self.0.strip_prefix(b",").unwrap_or(self.0);
        if from.first() != Some(&b'"') {
            return None;
        }
        let name_end = 1 + end_of_text(&from[1..])?;
        let value_at = name_end + 1; // behind the colon
        let end = value_at + end_of_value(from.get(value_at..)?)?;
        let (member, rest) = from.split_at_checked(end)?;
        self.0 = rest;
        Some((&from[1..name_end - 1], member))
    }
}

/// How many bytes to the end of a text, its closing quote included.
fn end_of_text(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// Where a value ends that something follows.
pub(crate) fn end_of_value(bytes: &[u8]) -> Option<usize> {
    let mut depth = 0usize;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at += end_of_text(&bytes[at + 1..])?,
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return Some(at),
            b'}' | b']' => depth -= 1,
            b',' if depth == 0 => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

/// A tree with the type of each member that JSON itself does not tell. Source: OData JSON Format 4.01, 4.5.3.
pub(crate) fn annotated(json: Json, of: &str, schema: &Schema) -> Json {
    let Json::Object(members) = json else { return json };
    let mut all = Map::new();
    for (name, value) in members {
        match schema.property(of, &name, false).map(|property| &property.ty) {
            Some(ty) if !value.is_null() => {
                if let Some(told) = type_annotation(ty) {
                    all.insert(format!("{name}@odata.type"), told.into());
                }
                all.insert(name, annotated_as(value, ty, schema));
            }
            _ => {
                all.insert(name, value);
            }
        }
    }
    Json::Object(all)
}

fn annotated_as(value: Json, ty: &Type, schema: &Schema) -> Json {
    match (value, ty) {
        (Json::Array(items), Type::Collection(element)) => {
            items.into_iter().map(|item| annotated_as(item, element, schema)).collect()
        }
        (value @ Json::Object(_), Type::Structured(name)) => annotated(value, name, schema),
        (value, _) => value,
    }
}

/// The type as an annotation writes it; `None` for those that JSON tells.
fn type_annotation(ty: &Type) -> Option<String> {
    match ty {
        Type::Primitive(Primitive::String | Primitive::Boolean | Primitive::Double) => None,
        Type::Primitive(primitive) => Some(format!("#{}", primitive.short_name())),
        // What `$apply` made has no name.
        Type::Structured(name) if name.starts_with(|first: char| first.is_ascii_digit()) => None,
        Type::Enum(name) | Type::Structured(name) => Some(format!("#{NAMESPACE}.{name}")),
        Type::Collection(element) => Some(match &**element {
            Type::Primitive(primitive) => format!("#Collection({})", primitive.short_name()),
            Type::Enum(name) | Type::Structured(name) => format!("#Collection({NAMESPACE}.{name})"),
            Type::Collection(_) => return None,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picked(document: &str, names: &[&str]) -> String {
        let mut out = Vec::new();
        copy_members(document.as_bytes(), names, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn members_are_cut_out_whatever_their_values_hold() {
        let document = r#"{"id":"1","name":"a\"},{\\","none":null,"deep":{"id":[1,{"x":"]"}],"name":2},"list":[],"last":-1.5}"#;
        assert_eq!(picked(document, &["id", "last"]), r#"{"id":"1","last":-1.5}"#);
        assert_eq!(picked(document, &["name", "none"]), r#"{"name":"a\"},{\\","none":null}"#);
        assert_eq!(picked(document, &["deep"]), r#"{"deep":{"id":[1,{"x":"]"}],"name":2}}"#);
        assert_eq!(picked(document, &["x"]), "{}");
        let all = ["id", "name", "none", "deep", "list", "last"];
        assert_eq!(picked(document, &all), document);
        for cut in 0..document.len() {
            let _ = picked(&document[..cut], &all); // ends, whatever is missing
        }
    }
}
