//! `--format` of the verbs that print a table.

use crate::cli::failure::Failure;
use crate::cli::spec::SpecError;
use crate::cli::table;
use crate::cli::template::Template;
use serde_json::{Map, Value};
use std::io::Write;

/// How rows are shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Format {
    /// Columns for the eye.
    #[default]
    Table,
    /// One JSON object a line.
    Json,
    /// As a template says, a line for each.
    Lines(Template),
    /// As a template says, in columns with a head.
    Columns(Template),
}

/// Reads the flag's value: `table`, `json`, a template, or `table` and a template.
///
/// # Errors
/// [`SpecError`] for a template that is none.
pub fn format(text: &str) -> Result<Format, SpecError> {
    match (text, text.strip_prefix("table ")) {
        ("table" | "", _) => Ok(Format::Table),
        ("json", _) => Ok(Format::Json),
        (_, Some(template)) => Ok(Format::Columns(template.trim_start().parse()?)),
        (template, None) => Ok(Format::Lines(template.parse()?)),
    }
}

impl Format {
    /// Writes rows in any format but the table. `heads` are the names of columns that are not those of their fields.
    ///
    /// # Errors
    /// When a template asks for what is not there; what `out` says.
    pub fn write(&self, rows: &[Value], heads: &[(&str, &str)], out: &mut dyn Write) -> Result<(), Failure> {
        match self {
            Self::Table => {}
            Self::Json => rows.iter().try_for_each(|row| writeln!(out, "{row}"))?,
            Self::Lines(template) => {
                for row in rows {
                    writeln!(out, "{}", template.render(row)?)?;
                }
            }
            Self::Columns(template) => {
                let cells = |text: String| text.split('\t').map(str::to_owned).collect::<Vec<_>>();
                let fields = rows.first().and_then(Value::as_object);
                let head = |field: &String| {
                    let known = heads.iter().find(|(known, _)| known == field);
                    (field.clone(), known.map_or(field.to_uppercase(), |(_, head)| (*head).to_owned()).into())
                };
                let names: Map<String, Value> = fields.into_iter().flat_map(|o| o.keys()).map(head).collect();
                let head = if names.is_empty() { Vec::new() } else { cells(template.render(&names.into())?) };
                let head: Vec<&str> = head.iter().map(String::as_str).collect();
                let rows = rows.iter().map(|row| Ok(cells(template.render(row)?)));
                table::write(out, &head, &rows.collect::<Result<Vec<_>, Failure>>()?)?;
            }
        }
        Ok(())
    }
}
