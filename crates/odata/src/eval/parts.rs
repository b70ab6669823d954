//! The steps of evaluation one by one: what an SQL engine calls for what it has no exact word for.

use rust_decimal::Decimal;

use super::{Evaluator, arithmetic, functions, negate};
use crate::ast::Arithmetic;
use crate::function::Function;
use crate::primitive::Duration;
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

/// What values come to, one added after the other: `sum` and `average`. Null takes no part.
#[derive(Clone, Debug, Default)]
pub struct Sum {
    /// `None` before the first.
    total: Option<Value>,
    count: i64,
}

impl Sum {
    pub(super) fn of(values: &[Value]) -> Sum {
        let mut sum = Sum::default();
        for value in values {
            sum.add(value);
        }
        sum
    }

    /// Adds a value.
    pub fn add(&mut self, value: &Value) {
        if value.is_null() {
            return;
        }
        let total = self.total.take().unwrap_or(match value {
            Value::Duration(_) => Value::Duration(Duration(0)),
            Value::Decimal(_) => Value::Decimal(Decimal::ZERO),
            Value::Double(_) => Value::Double(0.0),
            _ => Value::Integer(0),
        });
        self.total = Some(arithmetic(Arithmetic::Add, &total, value).unwrap_or(Value::Null));
        self.count += 1;
    }

    /// The sum; null of none, and where it is beyond its type.
    pub fn sum(&self) -> Value {
        self.total.clone().unwrap_or(Value::Null)
    }

    /// The sum divided by how many there were; null of none.
    pub fn average(&self) -> Value {
        arithmetic(Arithmetic::DivBy, &self.sum(), &Value::Integer(self.count)).unwrap_or(Value::Null)
    }
}
