//! Collections: `any`, `all`, `$count` and `in` become questions to a table of an array's members.

use odata::{Collection, Comparison, PathBase, Position, Predicate, Typed, TypedKind, TypedPath};

use super::expr::{Truth, balanced, stored};
use super::{Encoding, NotSupported, Writer};

impl Writer<'_> {
    pub(super) fn any(
        &mut self,
        collection: &Collection,
        predicate: Option<&Predicate>,
    ) -> Result<String, NotSupported> {
        self.exists(collection, |writer, alias| {
            predicate.map(|predicate| writer.asks(predicate, alias)).transpose()
        })
    }

    pub(super) fn all(
        &mut self,
        collection: &Collection,
        predicate: &Predicate,
    ) -> Result<String, NotSupported> {
        let exists = self.exists(collection, |writer, alias| {
            Ok(Some(format!("({} IS NOT TRUE)", writer.asks(predicate, alias)?)))
        })?;
        Ok(format!("(NOT {exists})"))
    }

    /// Whether a value is a member; null is where a member is null.
    pub(super) fn member_of(
        &mut self,
        left: &Typed,
        collection: &Collection,
        ignore_case: bool,
    ) -> Result<String, NotSupported> {
        let encoding = Encoding::of(left.ty.as_ref()).common(Encoding::of(Some(&collection.element)));
        let left = self.operand(left, encoding, ignore_case)?;
        self.exists(collection, |writer, alias| {
            let variable = u32::MAX;
            writer.members.push((variable, alias.to_owned()));
            let path = TypedPath { base: PathBase::Variable(variable), steps: Vec::new() };
            let ty = Some(collection.element.clone());
            let member = Typed { at: Position::default(), ty, kind: TypedKind::Path(path) };
            let member = writer.operand(&member, encoding, ignore_case);
            writer.members.pop();
            Ok(Some(writer.holds(Comparison::Eq, &member?, &left, Truth::Filter)))
        })
    }

    pub(super) fn count(&mut self, collection: &Collection) -> Result<String, NotSupported> {
        if collection.filters.is_empty() {
            stored(&collection.path)?;
            let json = self.json(collection.path.base);
            return Ok(self.dialect.array_length(&json, &collection.path.steps));
        }
        let members = self.rows(collection, |_, _| Ok(None))?;
        Ok(format!("(SELECT count(*) {members})"))
    }

    fn exists(
        &mut self,
        collection: &Collection,
        condition: impl FnOnce(&mut Self, &str) -> Result<Option<String>, NotSupported>,
    ) -> Result<String, NotSupported> {
        let members = self.rows(collection, condition)?;
        Ok(format!("EXISTS (SELECT 1 {members})"))
    }

    /// `FROM … WHERE …`: the members that pass the collection's filters and a further condition.
    fn rows(
        &mut self,
        collection: &Collection,
        condition: impl FnOnce(&mut Self, &str) -> Result<Option<String>, NotSupported>,
    ) -> Result<String, NotSupported> {
        stored(&collection.path)?;
        let json = self.json(collection.path.base);
        let alias = self.alias();
        let from = self.dialect.each(&json, &collection.path.steps, &alias);
        let mut conditions = Vec::with_capacity(collection.filters.len() + 1);
        for filter in &collection.filters {
            conditions.push(self.asks(filter, &alias)?);
        }
        conditions.extend(condition(self, &alias)?);
        if conditions.is_empty() {
            return Ok(format!("FROM {from}"));
        }
        Ok(format!("FROM {from} WHERE {}", balanced(&conditions, " AND ")))
    }

    /// What is asked of the member in the row of a table.
    fn asks(&mut self, predicate: &Predicate, alias: &str) -> Result<String, NotSupported> {
        self.members.push((predicate.variable, alias.to_owned()));
        let condition = self.condition(&predicate.expr);
        self.members.pop();
        condition
    }
}
