//! JSON Patch (RFC 6902) over the property table. Source: spec 10.
//!
//! Paths are resolved and values validated before a referral is read. The crate `json-patch` applies the operations.

use std::borrow::Cow;
use std::cell::RefCell;

use json_patch::jsonptr::PointerBuf;
use json_patch::{
    AddOperation, CopyOperation, MoveOperation, PatchOperation, RemoveOperation, ReplaceOperation,
    TestOperation,
};
use serde_json::Value;

use crate::diff::FieldValue;
use crate::edit::RequestOptions;
use crate::error::{InnerCode, ValidationError};
use crate::json::Json;
use crate::model::Referral;
use crate::table::{Access, Kind, PropertyDefinition};
use crate::unknown::{UnknownMembers, meant};
use crate::validate::{BodyPath, RequestKind, Validator, brief};

/// Maximum number of operations in one document, so that the work of a patch is bounded.
const MOST_OPERATIONS: usize = 1000;
/// Maximum number of bytes that all copies of one document may create, as [`size`] counts them: twice the largest
/// document. Otherwise a short request could copy the longest list a thousand times.
const MOST_COPIED: usize = 4 * 1024 * 1024;
/// Approximate size of a JSON value in bytes, without its text.
const VALUE: usize = 64;
/// Only patches of up to this number of operations are examined for the fast path.
const FEW: usize = 16;

/// A patch whose operations are complete, known, and have the path of an existing member.
#[derive(Debug, Clone)]
pub struct PatchRequest<'a> {
    operations: Vec<Operation<'a>>,
    /// Whether values may have been moved to members they were not validated for.
    recheck: bool,
    unknown: UnknownMembers,
}

#[derive(Debug, Clone)]
struct Operation<'a> {
    /// The path as sent, for the target of errors.
    sent: Cow<'a, str>,
    /// The path of the member in the contract's spelling, without the leading slash.
    member: String,
    /// The member that a move or copy takes its value from, in the same form.
    from: Option<String>,
    /// Whether the member belongs to the server but lies in a list of the caller, where comparing lists would not find
    /// it.
    servers_in_list: bool,
    /// Whether the path leads to a member, not through a list and not below `links`, which are null in documents.
    to_member: bool,
    action: Action<'a>,
}

/// The effect of an operation.
#[derive(Debug, Clone)]
enum Action<'a> {
    Add(Json<'a>),
    Replace(Json<'a>),
    Test(Json<'a>),
    Remove,
    Move,
    Copy,
}

/// The target of a JSON Pointer.
struct Resolved {
    member: String,
    end: PathEnd,
    /// Whether it leads through an element of a list.
    in_list: bool,
}

enum PathEnd {
    Member(&'static PropertyDefinition),
    Element(Kind),
}

impl PathEnd {
    fn kind(&self) -> &Kind {
        match self {
            PathEnd::Member(property) => &property.kind,
            PathEnd::Element(kind) => kind,
        }
    }
}

impl<'a> PatchRequest<'a> {
    /// Parses a patch document.
    ///
    /// # Errors
    /// `invalidPatch` for anything but an array of complete operations on known paths, `unsupportedOperation` for an
    /// operation that this mode does not support, and the code of the value for an invalid value.
    pub fn parse(
        body: impl Into<Json<'a>>,
        options: &RequestOptions,
    ) -> Result<PatchRequest<'a>, ValidationError> {
        let Json::List(steps) = body.into() else {
            let message = "The body must be a JSON Patch array, such as [{\"op\":\"replace\",\"path\":\"/details/dealValue\",\"value\":10000}].";
            return Err(invalid_patch("body", message, "not an array"));
        };
        if steps.len() > MOST_OPERATIONS {
            let message = format!("A patch has at most {MOST_OPERATIONS} operations.");
            return Err(invalid_patch("body", &message, &steps.len().to_string()));
        }
        let mut unknown = UnknownMembers::default();
        let mut operations = Vec::with_capacity(steps.len());
        let mut unknown_at = None;
        for (at, step) in steps.into_iter().enumerate() {
            match operation(at, step, options, &mut unknown) {
                Ok(operation) => operations.push(operation),
                Err(invalid) => return Err(unknown.tell_with(invalid)),
            }
            if unknown_at.is_none() && !unknown.is_empty() {
                unknown_at = Some(at);
            }
        }
        if let Some(first) = unknown_at
            && options.reject_unknown
        {
            let target = operations.get(first).map(|operation| brief(&operation.sent));
            return Err(unknown.refusal(target.as_deref()));
        }
        let recheck = operations
            .iter()
            .any(|operation| !matches!(operation.action, Action::Add(_) | Action::Replace(_)));
        Ok(PatchRequest { operations, recheck, unknown })
    }

    /// Returns the members in the operations' values that the contract does not have. They are not applied.
    pub(crate) fn unknown_members(&self) -> &UnknownMembers {
        &self.unknown
    }

    /// Returns whether every operation sets a member outside of lists, and none sets a member below another. Then
    /// [`PatchRequest::set_members`] has the effect of [`PatchRequest::apply`] and needs no document.
    pub(crate) fn sets_members(&self) -> bool {
        let sets =
            |operation: &Operation<'_>| matches!(operation.action, Action::Add(_)) && operation.to_member;
        let apart = |(at, operation): (usize, &Operation<'_>)| {
            self.operations[..at].iter().all(|other| !is_within(&operation.member, &other.member))
        };
        self.operations.len() <= FEW
            && self.operations.iter().all(sets)
            && self.operations.iter().enumerate().all(apart)
    }

    /// Sets the members that the operations name.
    pub(crate) fn set_members(
        &self,
        stored: &Referral,
        next: &mut Referral,
    ) -> Result<(), serde_json::Error> {
        self.operations.iter().try_for_each(|operation| match &operation.action {
            Action::Add(value) => next.set_within(stored, &operation.member, value),
            _ => Ok(()),
        })
    }

    /// Applies all operations (P6). After an error the document is partly changed and must be discarded.
    pub(crate) fn apply(&self, document: &mut Value) -> Result<(), ValidationError> {
        self.operations.iter().try_for_each(|operation| operation.keep_servers_in_list(document))?;
        let mut copied = 0;
        for operation in &self.operations {
            let refused = |why: &dyn std::fmt::Display| {
                let message = format!("The operation cannot be applied: {why}.");
                invalid_patch(&operation.sent, &message, &operation.sent)
            };
            let step = operation.as_json_patch()?;
            if let PatchOperation::Copy(copy) = &step {
                copied += document.pointer(copy.from.as_str()).map_or(0, size);
                if copied > MOST_COPIED {
                    return Err(refused(&"the patch copies too much"));
                }
            }
            // Nothing is undone after an error: the caller discards the document.
            json_patch::patch_unsafe(document, std::slice::from_ref(&step))
                .map_err(|error| refused(&error.kind))?;
        }
        if self.recheck {
            // Unknown members were reported by the first validation.
            let unknown = RefCell::default();
            let validator = Validator { request_kind: RequestKind::Patch, unknown: &unknown };
            let mut checked = Json::from(&*document);
            validator.object(&Referral::TYPE, &mut checked, &BodyPath::BODY).map_err(|mut invalid| {
                if let Some(sent) = self.operation_at(&invalid.target) {
                    invalid.target = brief(sent);
                }
                invalid
            })?;
            *document = Value::from(&checked);
        }
        Ok(())
    }

    /// Returns the path, as sent, of the last operation.
    pub(crate) fn last_path(&self) -> Option<&str> {
        self.operations.last().map(|operation| operation.sent.as_ref())
    }

    pub(crate) fn touches(&self, member: &str) -> bool {
        self.operation_at(member).is_some()
    }

    /// Returns the value that the patch sets a member to; `None` if its operations do not tell.
    pub(crate) fn last_value(&self, member: &str) -> Option<&Json<'a>> {
        let last = self.operations.iter().rfind(|operation| operation.member == member)?;
        match &last.action {
            Action::Add(value) => Some(value),
            _ => None,
        }
    }

    pub(crate) fn touches_only(&self, members: &[&str]) -> bool {
        let named = |member: &String| members.contains(&member.as_str());
        self.operations.iter().all(|operation| named(&operation.member) && operation.from.iter().all(named))
    }

    /// Returns the path, as sent, of the first operation that touches the member.
    pub(crate) fn operation_at(&self, member: &str) -> Option<&str> {
        let reaches = |operation: &&Operation<'_>| {
            let mut ends = operation.from.iter().chain([&operation.member]);
            ends.any(|end| end == member || is_within(end, member) || is_within(member, end))
        };
        self.operations.iter().find(reaches).map(|operation| operation.sent.as_ref())
    }
}

impl Operation<'_> {
    /// Converts the operation for the crate `json-patch`.
    fn as_json_patch(&self) -> Result<PatchOperation, ValidationError> {
        let path = pointer(&self.member, &self.sent)?;
        let from = || pointer(self.from.as_deref().unwrap_or_default(), &self.sent);
        Ok(match &self.action {
            Action::Add(value) => PatchOperation::Add(AddOperation { path, value: value.into() }),
            Action::Replace(value) => PatchOperation::Replace(ReplaceOperation { path, value: value.into() }),
            Action::Test(value) => PatchOperation::Test(TestOperation { path, value: value.into() }),
            Action::Remove => PatchOperation::Remove(RemoveOperation { path }),
            Action::Move => PatchOperation::Move(MoveOperation { from: from()?, path }),
            Action::Copy => PatchOperation::Copy(CopyOperation { from: from()?, path }),
        })
    }

    /// Refuses a different value for a member of the server in a list of the caller.
    fn keep_servers_in_list(&self, document: &Value) -> Result<(), ValidationError> {
        let (Action::Add(value), true) = (&self.action, self.servers_in_list) else { return Ok(()) };
        let path = pointer(&self.member, &self.sent)?;
        match *document.pointer(path.as_str()).unwrap_or(&Value::Null) == Value::from(value) {
            true => Ok(()),
            false => Err(ValidationError::read_only(brief(&self.sent), &self.member)),
        }
    }
}

/// Returns the approximate size of a value in bytes.
fn size(value: &Value) -> usize {
    VALUE
        + match value {
            Value::Array(items) => items.iter().map(size).sum(),
            Value::Object(members) => members.iter().map(|(name, member)| name.len() + size(member)).sum(),
            Value::String(text) => text.len(),
            _ => 0,
        }
}

/// Returns whether the first path leads to a member inside the second.
pub(crate) fn is_within(inner: &str, outer: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'))
}

fn invalid_patch(target: &str, message: &str, detail: &str) -> ValidationError {
    ValidationError::new(InnerCode::InvalidPatch, brief(target), message, brief(detail))
}

/// Takes a text from an operation.
fn text<'a>(at: usize, step: &mut Json<'a>, name: &str) -> Result<Cow<'a, str>, ValidationError> {
    match step.take(name) {
        Some(Json::Text(text)) => Ok(text),
        _ => {
            let message =
                format!("The operation at index {at} has no {name}, or its {name} is not a string.");
            Err(invalid_patch(&format!("{at}/{name}"), &message, name))
        }
    }
}

fn operation<'a>(
    at: usize,
    mut step: Json<'a>,
    options: &RequestOptions,
    unknown: &mut UnknownMembers,
) -> Result<Operation<'a>, ValidationError> {
    if !step.is_object() {
        return Err(invalid_patch(
            &at.to_string(),
            "Each operation is an object with op, path and value.",
            "not an object",
        ));
    }
    let name = text(at, &mut step, "op")?;
    let sent = text(at, &mut step, "path")?;
    let served = match name.as_ref() {
        "add" | "replace" => true,
        "remove" | "test" | "move" | "copy" => options.mode.is_extended(),
        _ => false,
    };
    if !served {
        let message = match options.mode.is_extended() {
            true => {
                "Only the operations of RFC 6902 are supported: add, replace, remove, move, copy and test."
            }
            false => "Only the replace and add operations are supported.",
        };
        return Err(ValidationError::new(
            InnerCode::UnsupportedOperation,
            brief(&sent),
            message,
            brief(&name),
        ));
    }
    let resolved = resolve(&sent, name == "add" || name == "move" || name == "copy")?;
    let given = |step: &mut Json<'a>| {
        let missing = || invalid_patch(&sent, &format!("The operation {name} needs a value."), "value");
        step.take("value").ok_or_else(missing)
    };
    let mut taken_from = None;
    let action = match name.as_ref() {
        "add" | "replace" => {
            let value = checked(given(&mut step)?, &resolved, &sent, unknown)?;
            match (&resolved.end, name.as_ref()) {
                // Every known member counts as present (P9), so `add` and `replace` both set it.
                (PathEnd::Member(_), _) | (_, "add") => Action::Add(value),
                _ => Action::Replace(value),
            }
        }
        "test" => {
            let value = given(&mut step)?;
            Action::Test(checked(value.clone(), &resolved, &sent, unknown).unwrap_or(value))
        }
        "remove" => {
            refuse_removal(&resolved, &sent)?;
            Action::Remove
        }
        _ => {
            let from = text(at, &mut step, "from")?;
            let source = resolve(&from, false)?;
            if name == "move" {
                refuse_removal(&source, &from)?;
            }
            if !same_shape(source.end.kind(), resolved.end.kind()) {
                let message =
                    format!("The values at {} and {} have different types.", brief(&from), brief(&sent));
                return Err(invalid_patch(&sent, &message, &from));
            }
            taken_from = Some(source.member);
            if name == "move" { Action::Move } else { Action::Copy }
        }
    };
    let servers_in_list = resolved.in_list
        && matches!(&resolved.end, PathEnd::Member(property) if property.access == Access::Server);
    let to_member = matches!(&resolved.end, PathEnd::Member(_))
        && !resolved.in_list
        && !is_within(&resolved.member, "links");
    Ok(Operation { member: resolved.member, from: taken_from, servers_in_list, to_member, action, sent })
}

/// Returns whether a value of one kind may replace a value of the other. No kind contains itself, so each copy makes a
/// document longer by one element, not by a factor.
fn same_shape(one: &Kind, other: &Kind) -> bool {
    use Kind::{List, Object, ProfileIds, Texts, Unknown};
    match (one, other) {
        (Object(one), Object(other)) | (List(one) | ProfileIds(one), List(other) | ProfileIds(other)) => {
            one.name == other.name
        }
        (Texts | Unknown, Texts | Unknown) => true,
        (Object(_) | List(_) | ProfileIds(_) | Texts | Unknown, _)
        | (_, Object(_) | List(_) | ProfileIds(_) | Texts | Unknown) => false,
        _ => true,
    }
}

/// Refuses to remove members of the server and members that every referral needs.
fn refuse_removal(resolved: &Resolved, sent: &str) -> Result<(), ValidationError> {
    let PathEnd::Member(property) = &resolved.end else { return Ok(()) };
    if matches!(property.access, Access::Server | Access::Fixed | Access::Derived) {
        return Err(ValidationError::read_only(brief(sent), property.name));
    }
    let closed_list = matches!(property.kind, Kind::Enumeration(_)) && !property.nullable;
    if property.required || closed_list { Err(ValidationError::missing(brief(sent))) } else { Ok(()) }
}

fn pointer(member: &str, sent: &str) -> Result<PointerBuf, ValidationError> {
    PointerBuf::parse(format!("/{member}"))
        .map_err(|_| invalid_patch(sent, "The path is not a JSON Pointer.", sent))
}

fn checked<'a>(
    mut value: Json<'a>,
    resolved: &Resolved,
    sent: &str,
    unknown: &mut UnknownMembers,
) -> Result<Json<'a>, ValidationError> {
    let found = RefCell::default();
    let validator = Validator { request_kind: RequestKind::Patch, unknown: &found };
    let checked = match &resolved.end {
        PathEnd::Member(property) => validator.member(property, &mut value, &BodyPath::BODY).map(|kept| {
            if !kept {
                // The server derives this member: the value is ignored, and the stored one is kept.
                value = Json::Null;
            }
        }),
        PathEnd::Element(Kind::Object(of)) => validator.element(of, &mut value, &BodyPath::BODY),
        PathEnd::Element(kind) => validator.value(kind, &mut value, &BodyPath::BODY),
    };
    let found: UnknownMembers = found.into_inner();
    if !found.is_empty() {
        unknown.add_within(&resolved.member, found);
    }
    checked.map_err(|mut invalid| {
        // The target is the path of the operation. The position inside its value goes into the message.
        if invalid.target != "body" {
            invalid.message = format!("In the value: {}", invalid.message);
        } else {
            invalid.message = invalid.message.replacen("body", sent, 1);
        }
        invalid.target = brief(sent);
        invalid
    })?;
    Ok(value)
}

/// Resolves a JSON Pointer (RFC 6901) against the property table. Names match in any case (P10).
fn resolve(sent: &str, may_append: bool) -> Result<Resolved, ValidationError> {
    let unknown = |detail: &str| {
        Err(invalid_patch(sent, &format!("There is no member {} to change.{detail}", brief(sent)), sent))
    };
    let Some(rest) = sent.strip_prefix('/') else {
        return Err(invalid_patch(
            sent,
            "A path is a JSON Pointer to a member and begins with a slash.",
            sent,
        ));
    };
    let Some(tokens) = rest.split('/').map(unescape).collect::<Option<Vec<_>>>() else {
        return Err(invalid_patch(sent, "A tilde in a path must be written ~0, a slash ~1.", sent));
    };
    let mut here = PathEnd::Element(Kind::Object(&Referral::TYPE));
    let mut member = String::new();
    let mut in_list = false;
    let last = tokens.len() - 1;
    for (at, token) in tokens.iter().enumerate() {
        if !member.is_empty() {
            member.push('/');
        }
        here = match here.kind() {
            Kind::Object(of) => {
                let Some(property) = of.find(token) else {
                    let meant = meant(of, token).map(|meant| format!(" Did you mean {meant}?"));
                    let mut members = UnknownMembers::default();
                    members.add(of, token, || rest.to_owned());
                    return unknown(&meant.unwrap_or_default()).map_err(|invalid| members.tell_with(invalid));
                };
                member.push_str(property.name);
                PathEnd::Member(property)
            }
            Kind::List(of) | Kind::ProfileIds(of) => {
                in_list = true;
                index(token, may_append && at == last, sent, &mut member)?;
                PathEnd::Element(Kind::Object(of))
            }
            Kind::Texts | Kind::Unknown => {
                index(token, may_append && at == last, sent, &mut member)?;
                PathEnd::Element(Kind::Text(1024))
            }
            _ => return unknown(""),
        };
    }
    Ok(Resolved { member, end: here, in_list })
}

/// Parses an array index without leading zeros, or `-` for the end of the list where appending is allowed.
fn index(token: &str, may_append: bool, sent: &str, member: &mut String) -> Result<(), ValidationError> {
    let canonical =
        token.bytes().all(|byte| byte.is_ascii_digit()) && (token == "0" || !token.starts_with('0'));
    let fits = token.parse::<usize>().is_ok();
    if (token == "-" && may_append) || (canonical && fits) {
        member.push_str(token);
        return Ok(());
    }
    let message = format!("{} is not the index of an existing element.", brief(token));
    Err(invalid_patch(sent, &message, token))
}

fn unescape(token: &str) -> Option<String> {
    let mut parts = token.split('~');
    let mut plain = parts.next()?.to_owned();
    for part in parts {
        let (escape, rest) = part.split_at_checked(1)?;
        plain.push(match escape {
            "0" => '~',
            "1" => '/',
            _ => return None,
        });
        plain.push_str(rest);
    }
    Some(plain)
}
