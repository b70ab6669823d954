//! The steps of evaluation one by one: what an SQL engine calls for what it has no exact word for.

use super::{Evaluator, arithmetic, functions, negate};
use crate::ast::Arithmetic;
use crate::function::Function;
use crate::value::Value;

impl Evaluator<'_> {
    /// `left op right`; null where an operand is null, for a division by zero, and for what the type does not hold.
    pub fn arithmetic(&self, op: Arithmetic, left: &Value, right: &Value) -> Value {
        arithmetic(op, left, right).unwrap_or(Value::Null)
    }

    /// `-value`
    pub fn negate(&self, value: &Value) -> Value {
        negate(value)
    }

    /// A function of values that mind case; of null, null.
    pub fn call(&self, function: Function, arguments: &[Value]) -> Value {
        functions::call(function, arguments, false, self.now).unwrap_or(Value::Null)
    }
}
