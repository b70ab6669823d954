//! `$select` and `$expand`.
//!
//! ```text
//! select = "$select" EQ selectItem *( COMMA selectItem )
//! expand = "$expand" EQ expandItem *( COMMA expandItem )
//! ```

use super::options::NestedContext;
use super::{ParseResult, Parser};
use crate::ast::{ExpandItem, ItemSegment, ItemSegmentKind, Position, SelectItem};

impl Parser<'_> {
    /// Parses the value of `$select`.
    pub fn select_items(&mut self) -> ParseResult<Vec<SelectItem>> {
        let mut items = Vec::new();
        loop {
            self.check_list_length(items.len())?;
            items.push(self.select_item()?);
            if !self.comma() {
                return Ok(items);
            }
        }
    }

    /// `selectItem = STAR / allOperationsInSchema / selectProperty / optionallyQualifiedActionName / …`
    fn select_item(&mut self) -> ParseResult<SelectItem> {
        let at = Position(self.pos);
        let mut path = Vec::new();
        loop {
            self.check_list_length(path.len())?;
            let segment = self.item_segment(path.is_empty())?;
            let last = matches!(segment.kind, ItemSegmentKind::Star | ItemSegmentKind::AllOperations(_));
            path.push(segment);
            if last {
                return Ok(SelectItem { at, path, parameters: None, options: None });
            }
            if !self.eat(b'/') {
                break;
            }
        }
        let mut item = SelectItem { at, path, parameters: None, options: None };
        if self.peek() == Some(b'(') {
            if self.parameter_names_follow() {
                item.parameters = Some(self.parameter_names()?);
            } else {
                item.options = Some(Box::new(self.nested(|p| p.nested_options(NestedContext::Select))?));
            }
        }
        Ok(item)
    }

    fn parameter_names_follow(&self) -> bool {
        let mut ahead = Parser { ..*self };
        ahead.pos += 1;
        ahead.skip_blanks();
        match ahead.peek_identifier() {
            Some(name) => {
                ahead.pos += name.len();
                ahead.skip_blanks();
                matches!(ahead.peek(), Some(b',' | b')'))
            }
            None => false,
        }
    }

    /// `OPEN parameterNames CLOSE`, `parameterNames = parameterName *( COMMA parameterName )`
    fn parameter_names(&mut self) -> ParseResult<Vec<String>> {
        self.expect(b'(')?;
        let mut names = Vec::new();
        loop {
            self.check_list_length(names.len())?;
            self.node()?;
            names.push(self.identifier("the name of a parameter")?.to_owned());
            if !self.comma() {
                break;
            }
        }
        self.expect(b')')?;
        Ok(names)
    }

    /// A name, a qualified name, an annotation, `*` or `Model.*`
    fn item_segment(&mut self, first: bool) -> ParseResult<ItemSegment> {
        self.node()?;
        let at = Position(self.pos);
        let kind = match self.peek() {
            Some(b'*') if first => {
                self.pos += 1;
                ItemSegmentKind::Star
            }
            Some(b'@') => {
                self.pos += 1;
                let (term, qualifier) = self.annotation()?;
                ItemSegmentKind::Annotation(term, qualifier)
            }
            _ => {
                let name = self.qualified_name("the name of a property")?.to_owned();
                if first && self.eat_exact(".*") {
                    ItemSegmentKind::AllOperations(name)
                } else if name.contains('.') {
                    ItemSegmentKind::Qualified(name)
                } else {
                    ItemSegmentKind::Name(name)
                }
            }
        };
        Ok(ItemSegment { at, kind })
    }

    /// Parses the value of `$expand`.
    pub fn expand_items(&mut self) -> ParseResult<Vec<ExpandItem>> {
        let mut items = Vec::new();
        loop {
            self.check_list_length(items.len())?;
            items.push(self.expand_item()?);
            if !self.comma() {
                return Ok(items);
            }
        }
    }

    /// `expandItem = "$value" / expandPath / optionallyQualifiedEntityTypeName "/" expandPath`
    fn expand_item(&mut self) -> ParseResult<ExpandItem> {
        let at = Position(self.pos);
        let mut path = Vec::new();
        let mut context = NestedContext::Expand;
        loop {
            self.check_list_length(path.len())?;
            let segment_at = Position(self.pos);
            let mut last = true;
            let kind = if path.is_empty() && self.eat_exact("$value") {
                self.node()?;
                path.push(ItemSegment { at: segment_at, kind: ItemSegmentKind::Value });
                return Ok(ExpandItem { at, path, options: None });
            } else if self.eat(b'*') {
                context = NestedContext::Star;
                last = self.peek() != Some(b'/');
                ItemSegmentKind::Star
            } else if !path.is_empty() && self.eat_exact("$ref") {
                if context == NestedContext::Star {
                    path.push(ItemSegment { at: segment_at, kind: ItemSegmentKind::Ref });
                    return Ok(ExpandItem { at, path, options: None });
                }
                context = NestedContext::Ref;
                ItemSegmentKind::Ref
            } else if !path.is_empty() && context == NestedContext::Expand && self.eat_exact("$count") {
                context = NestedContext::Count;
                ItemSegmentKind::Count
            } else if context == NestedContext::Star {
                return Err(self.expected("$ref"));
            } else {
                last = false;
                self.item_segment(false)?.kind
            };
            self.node()?;
            path.push(ItemSegment { at: segment_at, kind });
            if last || !self.eat(b'/') {
                break;
            }
        }
        let options = match self.peek() {
            Some(b'(') => Some(Box::new(self.nested(|p| p.nested_options(context))?)),
            _ => None,
        };
        Ok(ExpandItem { at, path, options })
    }
}
