//! Parsing request bodies: strict JSON first, then with the only leniency of spec 5.1.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{
    self, Deserialize, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde_json::{Number, Value};

use crate::error::{InnerCode, ValidationError};

/// A JSON value that borrows names and texts without escapes from the input. Members keep their order, without
/// duplicates.
#[derive(Debug, Clone, PartialEq)]
pub enum Json<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number with all its digits.
    Number(Cow<'a, str>),
    /// A string.
    Text(Cow<'a, str>),
    /// An array.
    List(Vec<Json<'a>>),
    /// An object.
    Object(Vec<JsonMember<'a>>),
}

/// A name and its value.
type JsonMember<'a> = (Cow<'a, str>, Json<'a>);

/// The private member name by which serde_json passes a number with all its digits. A body whose object begins with
/// this name is treated the same way.
const NUMBER: &str = "$serde_json::private::Number";
/// Up to this number of members, duplicates are found by comparing with all members before; above it, by a hash table.
const FEW: usize = 64;

/// Parses a body. With `tolerant`, a comma before `}` or `]` is ignored, because the published PUT sample has one.
///
/// Strict JSON is tried first, so that the leniency costs well-formed bodies nothing. Of duplicate members the last one
/// counts. More than 127 levels of nesting, invalid UTF-8 and lone surrogates are malformed.
///
/// # Errors
/// [`InnerCode::MalformedJson`] with the position of the error.
pub fn parse_json(body: &[u8], tolerant: bool) -> Result<Json<'_>, ValidationError> {
    let error = match read(body) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    if tolerant && let Some(blanked) = blank_trailing_commas(body) {
        return read(&blanked).map(Json::into_owned).map_err(|error| malformed(&error));
    }
    Err(malformed(&error))
}

/// Deserializes JSON. Checking UTF-8 once for the whole input is faster than for each string.
pub(crate) fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, serde_json::Error> {
    match std::str::from_utf8(bytes) {
        Ok(text) => serde_json::from_str(text),
        Err(_) => serde_json::from_slice(bytes),
    }
}

fn malformed(error: &serde_json::Error) -> ValidationError {
    let position = format!("line {} column {}", error.line(), error.column());
    ValidationError::new(
        InnerCode::MalformedJson,
        "body",
        format!("The request body is not valid JSON: {error}."),
        position,
    )
}

/// Replaces each trailing comma by a space: a comma after a value, with only white space before the `}` or `]` that
/// follows. Returns `None` if there is none. All other bytes keep their positions, so that the positions in errors are
/// right.
fn blank_trailing_commas(body: &[u8]) -> Option<Vec<u8>> {
    let mut blanked = body.to_vec();
    let mut found = false;
    let mut in_string = false;
    let mut comma: Option<usize> = None;
    let mut last = b'{'; // the last byte that is not white space; a comma after an opening bracket stays an error
    let mut at = 0;
    while at < body.len() {
        let byte = body[at];
        if in_string {
            match byte {
                b'\\' => at += 1,
                b'"' => in_string = false,
                _ => {}
            }
        } else {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => {
                    at += 1;
                    continue;
                }
                b',' => comma = (!matches!(last, b'{' | b'[' | b',' | b':')).then_some(at),
                b'}' | b']' => {
                    if let Some(place) = comma.take().filter(|_| last == b',') {
                        blanked[place] = b' ';
                        found = true;
                    }
                }
                b'"' => in_string = true,
                _ => {}
            }
            last = byte;
        }
        at += 1;
    }
    found.then_some(blanked)
}

impl<'a> Json<'a> {
    /// Returns the member with this name; `None` if there is none, or if this is not an object.
    pub(crate) fn get(&self, name: &str) -> Option<&Json<'a>> {
        self.members().iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// Takes the value of this member and leaves null in its place.
    pub(crate) fn take(&mut self, name: &str) -> Option<Json<'a>> {
        let Json::Object(members) = self else { return None };
        let (_, value) = members.iter_mut().find(|(known, _)| known == name)?;
        Some(std::mem::replace(value, Json::Null))
    }

    /// Returns the members of an object; an empty slice for other values.
    pub(crate) fn members(&self) -> &[JsonMember<'a>] {
        if let Json::Object(members) = self { members } else { &[] }
    }

    /// Returns the elements of an array; an empty slice for other values.
    pub(crate) fn items(&self) -> &[Json<'a>] {
        if let Json::List(items) = self { items } else { &[] }
    }

    /// Returns the text of a string.
    pub(crate) fn as_str(&self) -> Option<&str> {
        if let Json::Text(text) = self { Some(text) } else { None }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Json::Null)
    }

    /// Returns whether this is an object.
    pub fn is_object(&self) -> bool {
        matches!(self, Json::Object(_))
    }

    /// Copies all borrowed texts.
    fn into_owned(self) -> Json<'static> {
        let own = |text: Cow<'a, str>| Cow::Owned(text.into_owned());
        match self {
            Json::Null => Json::Null,
            Json::Bool(yes) => Json::Bool(yes),
            Json::Number(text) => Json::Number(own(text)),
            Json::Text(text) => Json::Text(own(text)),
            Json::List(items) => Json::List(items.into_iter().map(Json::into_owned).collect()),
            Json::Object(members) => Json::Object(
                members.into_iter().map(|(name, value)| (own(name), value.into_owned())).collect(),
            ),
        }
    }
}

impl<'a> From<&'a Value> for Json<'a> {
    fn from(value: &'a Value) -> Json<'a> {
        match value {
            Value::Null => Json::Null,
            Value::Bool(yes) => Json::Bool(*yes),
            Value::Number(number) => Json::Number(number.as_str().into()),
            Value::String(text) => Json::Text(text.into()),
            Value::Array(items) => Json::List(items.iter().map(Json::from).collect()),
            Value::Object(members) => {
                Json::Object(members.iter().map(|(name, value)| (name.into(), value.into())).collect())
            }
        }
    }
}

impl From<&Json<'_>> for Value {
    fn from(json: &Json<'_>) -> Value {
        match json {
            Json::Null => Value::Null,
            Json::Bool(yes) => Value::Bool(*yes),
            // Every `Json::Number` was parsed as a number.
            Json::Number(text) => text.parse().map_or(Value::Null, Value::Number),
            Json::Text(text) => Value::String(text.to_string()),
            Json::List(items) => items.iter().map(Value::from).collect(),
            Json::Object(members) => {
                members.iter().map(|(name, value)| (name.to_string(), Value::from(value))).collect()
            }
        }
    }
}

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Value::from(self).fmt(f)
    }
}

impl<'de> Deserialize<'de> for Json<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json<'de>, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any valid JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, yes: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(yes))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json<'de>, E> {
        Ok(Json::Number(number.to_string().into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Json<'de>, E> {
        Ok(Json::Number(number.to_string().into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Json<'de>, E> {
        Ok(Number::from_f64(number).map_or(Json::Null, |number| Json::Number(number.to_string().into())))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::Text(text.into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json<'de>, E> {
        Ok(Json::Text(text.to_owned().into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json<'de>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Json::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json<'de>, A::Error> {
        let mut members = ObjectBuilder::default();
        let Some(Name(first)) = map.next_key()? else { return Ok(Json::Object(Vec::new())) };
        if first == NUMBER {
            let number: Number = map.next_value::<String>()?.parse().map_err(de::Error::custom)?;
            return Ok(Json::Number(number.to_string().into()));
        }
        members.add(first, map.next_value()?);
        while let Some(Name(name)) = map.next_key()? {
            members.add(name, map.next_value()?);
        }
        Ok(Json::Object(members.list))
    }
}

/// The members of an object that is being parsed. Of duplicates the last value counts, in the position of the first.
#[derive(Default)]
struct ObjectBuilder<'a> {
    list: Vec<JsonMember<'a>>,
    places: HashMap<Cow<'a, str>, usize>,
}

impl<'a> ObjectBuilder<'a> {
    fn add(&mut self, name: Cow<'a, str>, value: Json<'a>) {
        if self.list.len() == FEW && self.places.is_empty() {
            self.places = self.list.iter().enumerate().map(|(at, (name, _))| (name.clone(), at)).collect();
        }
        let known = match self.list.len() < FEW {
            true => self.list.iter().position(|(known, _)| *known == name),
            false => self.places.get(&name).copied(),
        };
        match known.and_then(|at| self.list.get_mut(at)) {
            Some(member) => member.1 = value,
            None => {
                if self.list.len() >= FEW {
                    self.places.insert(name.clone(), self.list.len());
                }
                self.list.push((name, value));
            }
        }
    }
}

/// A member name, borrowed unless it has escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Name<'de>, D::Error> {
        deserializer.deserialize_str(NameVisitor)
    }
}

struct NameVisitor;

impl<'de> Visitor<'de> for NameVisitor {
    type Value = Name<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string key")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
        Ok(Name(name.into()))
    }

    fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
        Ok(Name(name.to_owned().into()))
    }
}

impl<'de, 'a> IntoDeserializer<'de, serde_json::Error> for &'de Json<'a> {
    type Deserializer = &'de Json<'a>;

    fn into_deserializer(self) -> &'de Json<'a> {
        self
    }
}

/// Parses a value from a JSON string, without copying the string.
pub(crate) fn from_text<'de, D: Deserializer<'de>, T: FromStr<Err: fmt::Display>>(
    deserializer: D,
) -> Result<T, D::Error> {
    struct TextVisitor<T>(PhantomData<T>);

    impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for TextVisitor<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }
    }

    deserializer.deserialize_str(TextVisitor(PhantomData))
}

/// Deserializes structs from a parsed value.
impl<'de> Deserializer<'de> for &'de Json<'_> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, serde_json::Error> {
        match self {
            Json::Null => visitor.visit_unit(),
            Json::Bool(yes) => visitor.visit_bool(*yes),
            Json::Number(text) => text.parse::<Number>()?.deserialize_any(visitor),
            Json::Text(text) => visitor.visit_borrowed_str(text),
            Json::List(items) => visitor.visit_seq(SeqDeserializer::new(items.iter())),
            Json::Object(members) => {
                let members = members.iter().map(|(name, value)| (name.as_ref(), value));
                visitor.visit_map(MapDeserializer::new(members))
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, serde_json::Error> {
        if self.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, serde_json::Error> {
        match self {
            Json::Text(text) => visitor.visit_enum(text.as_ref().into_deserializer()),
            _ => Err(de::Error::invalid_type(Unexpected::Other("a value other than a string"), &visitor)),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, serde_json::Error> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, tolerant: Option<&str>) {
        let read = parse_json(body.as_bytes(), true).ok().map(|value| value.to_string());
        assert_eq!(read.as_deref(), tolerant, "{body}");
    }

    #[test]
    fn a_trailing_comma_is_passed_over_and_nothing_else() {
        // REF-095 REF-096
        check(r#"{"a":1,}"#, Some(r#"{"a":1}"#));
        check("{\"a\":[1,2 ,\n\t]\r\n,}", Some(r#"{"a":[1,2]}"#));
        check(r#"{"a":",}",}"#, Some(r#"{"a":",}"}"#));
        check(r#"{"a":"\",]",}"#, Some(r#"{"a":"\",]"}"#));
        check(r#"{"a":"\\",}"#, Some(r#"{"a":"\\"}"#));
        for body in [
            "{,}",
            "[,]",
            "{\"a\":1,,}",
            "[1,,]",
            "{\"a\":,}",
            "{'a':1}",
            "{a:1}",
            "{\"a\":1} // no",
            "[1,2",
            "[1,",
            "",
            "{\"a\":1,}x",
            "{\"a\" 1,}",
            "nul",
        ] {
            check(body, None);
        }
        assert!(parse_json(br#"{"a":1,}"#, false).is_err());
    }

    /// With serde_json's feature `raw_value`, the value of a member with this private name is parsed as JSON again,
    /// with a new nesting limit: 20 kB of nested texts would overflow the stack.
    #[test]
    fn no_member_name_escapes_the_limit_of_nesting() {
        let name = "$serde_json::private::RawValue";
        let body = format!(r#"{{"{name}":"[1]"}}"#);
        assert_eq!(parse_json(body.as_bytes(), true).unwrap().to_string(), body, "a member as any other");
        let escaped = |text: &str| text.replace('\\', "\\u005c").replace('"', "\\u0022");
        let nested =
            (0..200).fold(String::new(), |inner, _| format!(r#"[[[[{{"{name}":"{}"}}]]]]"#, escaped(&inner)));
        assert!(parse_json(nested.as_bytes(), true).is_ok(), "a text is a text, whatever it holds");
    }

    #[test]
    fn hostile_bodies_have_decided_answers() {
        let deep = "[".repeat(100_000);
        for body in [deep.as_bytes(), b"\"\xff\"", br#""\ud800""#, b"\"\0\"", b"\xef\xbb\xbf{}"] {
            assert_eq!(parse_json(body, true).unwrap_err().code, InnerCode::MalformedJson);
        }
        let value = parse_json(br#"{"a":1,"a":1e400,"n":"\u0000"}"#, true).unwrap();
        assert_eq!(value.to_string(), r#"{"a":1e+400,"n":"\u0000"}"#, "the last of two members counts");
    }
}
