//! CSDL as XML. Source: OData CSDL XML Representation 4.01. What is used of it is the same in 4.0.

use std::fmt::Write;

use exchange::NAMESPACE;
use referral::Enumeration;

use super::csdl::{
    Annotation, CONTAINER, Csdl, CsdlMember, CsdlType, Definition, ENTITY_SET, Expression, VOCABULARIES,
    qualified,
};

/// The document, for a version of OData.
pub(super) fn write(csdl: &Csdl, version: &str) -> String {
    let mut out =
        XmlWriter { text: "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned(), open: Vec::new() };
    let edmx = "http://docs.oasis-open.org/odata/ns/edmx";
    out.begin("edmx:Edmx", &[("Version", version), ("xmlns:edmx", edmx)]);
    for (namespace, alias) in VOCABULARIES {
        out.begin("edmx:Reference", &[("Uri", &vocabulary_address(namespace, "xml"))]);
        out.leaf("edmx:Include", &[("Namespace", namespace), ("Alias", alias)]);
        out.end();
    }
    out.begin("edmx:DataServices", &[]);
    out.begin("Schema", &[("Namespace", NAMESPACE), ("xmlns", "http://docs.oasis-open.org/odata/ns/edm")]);
    for definition in &csdl.definitions {
        match definition {
            Definition::Structured(of) => structured(&mut out, of),
            Definition::Enumeration(list) => enumeration(&mut out, list),
        }
    }
    container(&mut out, csdl);
    while !out.open.is_empty() {
        out.end();
    }
    out.text
}

/// Where a vocabulary is published.
pub(super) fn vocabulary_address(namespace: &str, form: &str) -> String {
    format!("https://oasis-tcs.github.io/odata-vocabularies/vocabularies/{namespace}.{form}")
}

fn structured(out: &mut XmlWriter, of: &CsdlType) {
    out.begin(if of.key.is_some() { "EntityType" } else { "ComplexType" }, &[("Name", of.name)]);
    if let Some(key) = of.key {
        out.begin("Key", &[]);
        out.leaf("PropertyRef", &[("Name", key)]);
        out.end();
    }
    of.members.iter().for_each(|one| member(out, one));
    annotations(out, &of.annotations);
    out.end();
}

fn member(out: &mut XmlWriter, member: &CsdlMember) {
    let type_name = match member.collection {
        true => format!("Collection({})", member.type_name),
        false => member.type_name.clone(),
    };
    let mut attributes = vec![("Name", member.name.to_owned()), ("Type", type_name)];
    // A collection of entities holds no null and may not say so.
    if !(member.nullable || member.navigation && member.collection) {
        attributes.push(("Nullable", "false".to_owned()));
    }
    attributes.extend(member.facets.max_length.map(|length| ("MaxLength", length.to_string())));
    attributes.extend(member.facets.precision.map(|digits| ("Precision", digits.to_string())));
    attributes.extend(member.facets.scale.map(|digits| ("Scale", digits.to_string())));
    let attributes: Vec<(&str, &str)> = attributes.iter().map(|(name, value)| (*name, &**value)).collect();
    let element = if member.navigation { "NavigationProperty" } else { "Property" };
    out.element(element, &attributes, |out| annotations(out, &member.annotations));
}

fn enumeration(out: &mut XmlWriter, list: &Enumeration) {
    out.begin("EnumType", &[("Name", list.name)]);
    for (number, spelling) in list.spellings.iter().enumerate() {
        out.leaf("Member", &[("Name", spelling), ("Value", &number.to_string())]);
    }
    out.end();
}

fn container(out: &mut XmlWriter, csdl: &Csdl) {
    out.begin("EntityContainer", &[("Name", CONTAINER)]);
    out.begin(
        "EntitySet",
        &[("Name", ENTITY_SET), ("EntityType", &qualified(referral::Referral::TYPE.name))],
    );
    let binding = [("Path", exchange::RELATED_REFERRALS), ("Target", ENTITY_SET)];
    out.leaf("NavigationPropertyBinding", &binding);
    annotations(out, &csdl.entity_set);
    out.end();
    annotations(out, &csdl.container);
    out.end();
}

fn annotations(out: &mut XmlWriter, all: &[Annotation]) {
    for annotation in all {
        valued(out, "Annotation", ("Term", annotation.term), &annotation.value);
    }
}

/// An element that has an expression, as an attribute where it is a single value.
fn valued(out: &mut XmlWriter, element: &str, name: (&str, &str), value: &Expression) {
    match value {
        Expression::Record(_) | Expression::Collection(_) => {
            out.element(element, &[name], |out| expression(out, value));
        }
        single => {
            let (kind, text) = constant(single);
            out.leaf(element, &[name, (kind, &text)]);
        }
    }
}

/// An expression as an element.
fn expression(out: &mut XmlWriter, value: &Expression) {
    match value {
        Expression::Record(members) => out.element("Record", &[], |out| {
            for (name, value) in members {
                valued(out, "PropertyValue", ("Property", name), value);
            }
        }),
        Expression::Collection(items) => {
            out.element("Collection", &[], |out| items.iter().for_each(|item| expression(out, item)));
        }
        single => {
            let (kind, text) = constant(single);
            out.text_element(kind, &text);
        }
    }
}

/// The name of a single value's form, and its text; records and collections have none.
fn constant(value: &Expression) -> (&'static str, String) {
    match value {
        Expression::Bool(value) => ("Bool", value.to_string()),
        Expression::Text(text) => ("String", text.clone()),
        Expression::Members(of, names) => {
            let members: Vec<String> = names.iter().map(|name| format!("{of}/{name}")).collect();
            ("EnumMember", members.join(" "))
        }
        Expression::Path(path) => ("PropertyPath", path.clone()),
        Expression::Navigation(path) => ("NavigationPropertyPath", path.clone()),
        Expression::Record(_) | Expression::Collection(_) => ("String", String::new()),
    }
}

/// XML with one element a line.
struct XmlWriter {
    text: String,
    open: Vec<String>,
}

impl XmlWriter {
    fn begin(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.tag(name, attributes, ">");
        self.open.push(name.to_owned());
    }

    fn end(&mut self) {
        if let Some(name) = self.open.pop() {
            self.indent();
            // Writing to a String cannot fail.
            let _ = writeln!(self.text, "</{name}>");
        }
    }

    fn leaf(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.tag(name, attributes, "/>");
    }

    /// An element with what `inside` writes, or one without content.
    fn element(&mut self, name: &str, attributes: &[(&str, &str)], inside: impl FnOnce(&mut XmlWriter)) {
        let before = self.text.len();
        self.begin(name, attributes);
        let empty = self.text.len();
        inside(self);
        if self.text.len() > empty {
            return self.end();
        }
        self.text.truncate(before);
        self.open.pop();
        self.leaf(name, attributes);
    }

    fn text_element(&mut self, name: &str, text: &str) {
        self.indent();
        let _ = writeln!(self.text, "<{name}>{}</{name}>", escaped(text));
    }

    fn tag(&mut self, name: &str, attributes: &[(&str, &str)], end: &str) {
        self.indent();
        self.text.push('<');
        self.text.push_str(name);
        for (attribute, value) in attributes {
            let _ = write!(self.text, " {attribute}=\"{}\"", escaped(value));
        }
        self.text.push_str(end);
        self.text.push('\n');
    }

    fn indent(&mut self) {
        self.text.extend(std::iter::repeat_n("  ", self.open.len()));
    }
}

/// A text as content or as an attribute's value. Source: XML 1.0, 2.4 and 3.3.3; what XML cannot hold is left out.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' => out.push_str("&#9;"),
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            '\u{0}'..='\u{1F}' | '\u{FFFE}' | '\u{FFFF}' => {}
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_leave_its_attribute_or_its_element() {
        for (text, written) in [
            ("plain – ä", "plain – ä"),
            (r#"a"b"#, "a&quot;b"),
            ("<a>&amp;", "&lt;a&gt;&amp;amp;"),
            ("]]>", "]]&gt;"),
            ("a\tb\r\n", "a&#9;b&#13;&#10;"),
            ("a\u{0}\u{b}\u{ffff}b", "ab"),
        ] {
            assert_eq!(escaped(text), written, "{text:?}");
        }
    }
}
