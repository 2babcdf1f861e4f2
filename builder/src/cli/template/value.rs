//! Values as Go prints them, and functions of them.

use super::Function;
use serde_json::{Map, Value};

/// A field by its name; when there is none, by its name in other case.
pub(super) fn field<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    let fields = value.as_object()?;
    fields.get(name).or_else(|| {
        let mut similar = fields.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        similar.next().map(|(_, value)| value)
    })
}

/// The fields by name.
pub(super) fn sorted(fields: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    let mut all: Vec<_> = fields.iter().collect();
    all.sort_by_key(|(name, _)| *name);
    all.into_iter()
}

/// As Go's `%v`.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(text).collect::<Vec<_>>().join(" ")),
        Value::Object(fields) => {
            let pairs: Vec<String> =
                sorted(fields).map(|(name, value)| format!("{name}:{}", text(value))).collect();
            format!("map[{}]", pairs.join(" "))
        }
        other => other.to_string(),
    }
}

/// Whether `if` takes it for true: it is not empty, zero or absent.
pub(super) fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

/// A function of its operands.
pub(super) fn call(function: Function, operands: Vec<Value>) -> Result<Value, String> {
    match (function, &operands[..]) {
        (Function::Json, [value]) => Ok(value.to_string().into()),
        (Function::Len, [Value::String(text)]) => Ok(text.len().into()),
        (Function::Len, [Value::Array(items)]) => Ok(items.len().into()),
        (Function::Len, [Value::Object(fields)]) => Ok(fields.len().into()),
        (Function::Len, [Value::Null]) => Ok(0.into()),
        (Function::Lower, [Value::String(text)]) => Ok(text.to_lowercase().into()),
        (Function::Upper, [Value::String(text)]) => Ok(text.to_uppercase().into()),
        (Function::Println, values) => {
            Ok(format!("{}\n", values.iter().map(text).collect::<Vec<_>>().join(" ")).into())
        }
        (Function::Join, [Value::Array(items), Value::String(between)]) => {
            Ok(items.iter().map(text).collect::<Vec<_>>().join(between).into())
        }
        (Function::Index, [value, keys @ ..]) if !keys.is_empty() => {
            let mut value = value;
            for key in keys {
                value = match (value, key) {
                    (Value::Array(items), Value::Number(at)) => {
                        let found = at.as_u64().and_then(|at| items.get(usize::try_from(at).ok()?));
                        found.ok_or_else(|| format!("index {at} is past the end of {} items", items.len()))?
                    }
                    (Value::Object(fields), Value::String(name)) => fields.get(name).unwrap_or(&Value::Null),
                    (Value::Null, _) => &Value::Null,
                    (value, key) => return Err(format!("{value} has no index {key}")),
                };
            }
            Ok(value.clone())
        }
        (function, operands) => {
            let given: Vec<String> = operands.iter().map(Value::to_string).collect();
            let name = format!("{function:?}").to_lowercase();
            Err(format!("{name} cannot be made of ({})", given.join(", ")))
        }
    }
}
