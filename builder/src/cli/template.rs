//! The templates of `--format`: the part of Go's `text/template` that people write to pick fields.
//!
//! ```text
//! template = { text | "{{" action "}}" }
//! action   = pipeline | "range" pipeline | "if" pipeline | "else" | "end"
//! pipeline = call { "|" call }
//! call     = operand | function { operand }
//! operand  = "." | ".Field.Field" | "text" | number | "(" pipeline ")"
//! function = json | index | len | join | lower | upper | println
//! ```
//! Values are JSON. `\t` and `\n` in the text are what they say, as in docker. Variables, comparisons and nested templates are
//! not there, and an error says so.

mod parse;
mod value;

use crate::cli::spec::SpecError;
use serde_json::Value;
use std::str::FromStr;

/// A template that was understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    nodes: Vec<Node>,
}

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Text(String),
    Print(Pipeline),
    Range(Pipeline, Vec<Node>, Vec<Node>),
    If(Pipeline, Vec<Node>, Vec<Node>),
}

/// Calls, each of which is given the result of the one before it as its last operand.
type Pipeline = Vec<Call>;

#[derive(Clone, Debug, PartialEq)]
struct Call {
    /// `None` gives its only operand.
    function: Option<Function>,
    operands: Vec<Operand>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Json,
    Index,
    Len,
    Join,
    Lower,
    Upper,
    Println,
}

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    /// The names of fields; none is the value itself.
    Field(Vec<String>),
    Constant(Value),
    Inner(Pipeline),
}

/// Why a value does not fit a template.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("--format: {0}")]
pub struct TemplateError(String);

impl FromStr for Template {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let text = text.replace("\\t", "\t").replace("\\n", "\n");
        Ok(Self { nodes: parse::template(&text).map_err(SpecError::Template)? })
    }
}

impl Template {
    /// The text that the template gives for a value.
    ///
    /// # Errors
    /// When the value has no such field, or a function cannot take what it is given.
    pub fn render(&self, value: &Value) -> Result<String, TemplateError> {
        let mut out = String::new();
        render(&self.nodes, value, value, &mut out)?;
        Ok(out)
    }
}

fn render(nodes: &[Node], top: &Value, at: &Value, out: &mut String) -> Result<(), TemplateError> {
    for node in nodes {
        match node {
            Node::Text(text) => out.push_str(text),
            Node::Print(pipeline) => out.push_str(&value::text(&evaluate(pipeline, top, at)?)),
            Node::If(condition, then, otherwise) => {
                let chosen = if value::truth(&evaluate(condition, top, at)?) { then } else { otherwise };
                render(chosen, top, at, out)?;
            }
            Node::Range(over, each, otherwise) => {
                let over = evaluate(over, top, at)?;
                let items: Vec<&Value> = match &over {
                    Value::Array(items) => items.iter().collect(),
                    Value::Object(fields) => value::sorted(fields).map(|(_, value)| value).collect(),
                    Value::Null => Vec::new(),
                    other => return Err(TemplateError(format!("range cannot go over {other}"))),
                };
                if items.is_empty() {
                    render(otherwise, top, at, out)?;
                }
                items.into_iter().try_for_each(|item| render(each, top, item, out))?;
            }
        }
    }
    Ok(())
}

fn evaluate(pipeline: &Pipeline, top: &Value, at: &Value) -> Result<Value, TemplateError> {
    let mut last = None;
    for call in pipeline {
        let mut operands =
            call.operands.iter().map(|operand| operand.value(top, at)).collect::<Result<Vec<_>, _>>()?;
        operands.extend(last.take());
        last = Some(match call.function {
            Some(function) => value::call(function, operands).map_err(TemplateError)?,
            None => operands.into_iter().next().unwrap_or(Value::Null),
        });
    }
    Ok(last.unwrap_or(Value::Null))
}

impl Operand {
    fn value(&self, top: &Value, at: &Value) -> Result<Value, TemplateError> {
        match self {
            Self::Constant(value) => Ok(value.clone()),
            Self::Inner(pipeline) => evaluate(pipeline, top, at),
            Self::Field(names) => {
                let mut value = at;
                for (depth, name) in names.iter().enumerate() {
                    value = match value::field(value, name) {
                        Some(inner) => inner,
                        // What is shown always has the same fields; what is in them may have any.
                        None if depth == 0 && std::ptr::eq(at, top) => {
                            let known: Vec<&str> = at
                                .as_object()
                                .into_iter()
                                .flat_map(|o| o.keys())
                                .map(String::as_str)
                                .collect();
                            let known = known.join(", ");
                            return Err(TemplateError(format!(
                                "there is no field .{name}; there are {known}"
                            )));
                        }
                        None => &Value::Null,
                    };
                }
                Ok(value.clone())
            }
        }
    }
}

#[cfg(test)]
mod tests;
