//! `--check` and `--call`: text for people, and JSON in the shapes of buildx.

use super::show_context;
use crate::build::call::{self, Checked, Named, Outline, Targets};
use crate::build::contents::contents;
use crate::build::lock::{Locked, lock};
use crate::build::{BuildError, DockerfileText};
use crate::cli::spec::SpecError;
use crate::cli::style::Style;
use crate::cli::table;
use crate::environment::Environment;
use crate::progress::Progress;
use crate::request::BuildRequest;
use crate::store::Store;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dockerfile_parser::diagnostic::{self, Diagnostic, Severity, render};
use dockerfile_parser::lint;
use dockerfile_parser::span::{LineIndex, Span};
use serde_json::{Value, json};
use std::io::{self, Write};

/// What is to be done with the Dockerfile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// What.
    pub method: Method,
    /// The answer is JSON.
    pub json: bool,
}

/// What can be done with a Dockerfile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "named after the value")]
pub enum Method {
    Build,
    Check,
    Outline,
    Targets,
    /// `--lock`.
    Lock,
    /// `--show-context`.
    Contents,
}

/// Reads `--call METHOD[,format=text|json]`.
///
/// # Errors
/// [`SpecError`] for other methods, keys and formats.
pub fn parse(value: &str) -> Result<Call, SpecError> {
    let mut fields = value.split(',');
    let method = match fields.next().unwrap_or_default() {
        "build" => Method::Build,
        "check" | "lint" => Method::Check,
        "outline" => Method::Outline,
        "targets" => Method::Targets,
        _ => return Err(SpecError::Shape("write build, check, outline or targets; ,format=json gives JSON")),
    };
    let mut json = false;
    for field in fields {
        json = match field {
            "format=json" => true,
            "format=text" => false,
            _ => return Err(SpecError::Shape("format= is text or json")),
        };
    }
    Ok(Call { method, json })
}

/// Says what `call` asks for, in colours where `style` has them. Whether all is well: a check that found something has
/// failed, as with buildx.
///
/// # Errors
/// When the Dockerfile cannot be read, or is wrong where it must not be; when nothing can be written.
pub async fn run(
    call: Call,
    request: &BuildRequest,
    environment: &Environment,
    store: &Store,
    progress: &Progress,
    style: Style,
) -> Result<(String, bool), BuildError> {
    Ok(match call.method {
        Method::Build | Method::Check => {
            let checked = call::check(request, environment, store, progress).await?;
            let well = checked.findings.is_empty();
            let text = || style.diagnostic(&checked_text(&checked));
            (if call.json { pretty(&checked_json(&checked)) } else { text() }, well)
        }
        Method::Outline => {
            let outline = call::outline(request, environment, store, progress).await?;
            (if call.json { pretty(&outline_json(&outline)) } else { outline_text(&outline) }, true)
        }
        Method::Lock => {
            let Locked { path, file } = lock(request, environment, store, progress).await?;
            let counted = |number: usize, one: &str, many: &str| {
                format!("{number} {}", if number == 1 { one } else { many })
            };
            let text = format!(
                "wrote {}: {}, {}, {}\n",
                path.display(),
                counted(file.images.len(), "image", "images"),
                counted(file.files.len(), "file", "files"),
                counted(file.repositories.len(), "repository", "repositories"),
            );
            (text, true)
        }
        Method::Contents => {
            let all = contents(request, environment, store, progress).await?;
            (if call.json { pretty(&show_context::json(&all)) } else { show_context::text(&all) }, true)
        }
        Method::Targets => {
            let targets = call::targets(request, environment, store, progress).await?;
            (if call.json { pretty(&targets_json(&targets)) } else { targets_text(&targets) }, true)
        }
    })
}

/// Reads `--show-context[=text|json]`.
///
/// # Errors
/// [`SpecError`] for other words.
pub fn parse_show(value: &str) -> Result<Call, SpecError> {
    match value {
        "text" | "json" => Ok(Call { method: Method::Contents, json: value == "json" }),
        _ => Err(SpecError::Shape("write text or json")),
    }
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

fn checked_text(checked: &Checked) -> String {
    let mut text = String::new();
    for finding in &checked.findings {
        text.push_str(&render(&checked.file.name, &checked.file.source, finding));
        text.push('\n');
    }
    for unasked in &checked.unasked {
        text.push_str(&format!(
            "note: {} for {} could not be asked, and what depends on it is not checked: {}\n\n",
            unasked.image.name, unasked.image.platform, unasked.why
        ));
    }
    let of = |severity| checked.findings.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings) = (of(Severity::Error), of(Severity::Warning));
    let counted =
        |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    text.push_str(&match (errors, warnings) {
        (0, 0) => "Check complete, no warnings found.\n".to_owned(),
        (0, warnings) => format!("Check complete, {} found.\n", counted(warnings, "warning")),
        (errors, warnings) => {
            format!("Check failed: {}, {}.\n", counted(errors, "error"), counted(warnings, "warning"))
        }
    });
    text
}

/// The result of BuildKit's lint subrequest.
fn checked_json(checked: &Checked) -> Value {
    let index = LineIndex::new(&checked.file.source);
    let is_rule = |finding: &&Diagnostic| finding.code.starts_with(|c: char| c.is_ascii_uppercase());
    let warnings = checked.findings.iter().filter(is_rule).map(|finding| {
        let page = lint::page(finding.code);
        let summary = page.as_deref().and_then(|page| page.split("\n\n").nth(1)).unwrap_or_default();
        let mut warning = json!({
            "ruleName": finding.code,
            "description": summary.trim_end_matches('.'),
            "detail": finding.message,
            "location": location(&index, finding.span),
        });
        if let Some(url) = lint::url(finding.code) {
            warning["url"] = json!(url);
        }
        warning
    });
    let mut result = json!({ "warnings": warnings.collect::<Vec<_>>(), "sources": sources(&checked.file) });
    // Beyond BuildKit's: everything that was found, with its code and what to do, for editors.
    let all = checked.findings.iter().map(|finding| {
        let text = diagnostic::json_with(&checked.file.name, &index, finding);
        serde_json::from_str::<Value>(&text).unwrap_or_default()
    });
    result["diagnostics"] = all.collect();
    let unasked = checked.unasked.iter().map(|unasked| {
        let (image, platform) = (unasked.image.name.to_string(), unasked.image.platform.to_string());
        json!({ "image": image, "platform": platform, "reason": unasked.why })
    });
    result["unaskedImages"] = unasked.collect();
    let error = checked.findings.iter().find(|finding| finding.severity == Severity::Error);
    if let Some(error) = error {
        result["buildError"] = json!({ "message": error.message, "location": location(&index, error.span) });
    }
    result
}

fn sources(file: &DockerfileText) -> Value {
    json!([{ "filename": file.name, "language": "Dockerfile", "data": STANDARD.encode(&file.source) }])
}

fn location(index: &LineIndex<'_>, span: Span) -> Value {
    let place = |offset: usize| {
        let found = index.locate(offset);
        json!({ "line": found.line, "character": found.column - 1 })
    };
    json!({ "ranges": [{ "start": place(span.start), "end": place(span.end.max(span.start)) }] })
}

fn outline_text(outline: &Outline) -> String {
    let mut text = format!("TARGET:       {}\n", outline.name.as_deref().unwrap_or("(default)"));
    if let Some(description) = &outline.description {
        text.push_str(&format!("DESCRIPTION:  {description}\n"));
    }
    let mut add = |head: [&str; 3], list: &[Named], cells: fn(&Named) -> [String; 2]| {
        if list.is_empty() {
            return;
        }
        let rows = list.iter().map(|named| {
            let [second, third] = cells(named);
            vec![named.name.clone(), second, third]
        });
        let columns = head.iter().take_while(|name| !name.is_empty()).count();
        let rows: Vec<Vec<String>> = rows.map(|row| row.into_iter().take(columns).collect()).collect();
        text.push('\n');
        text.push_str(&table::text(&head[..columns], &rows));
    };
    let required = |named: &Named| [if named.required { "true" } else { "" }.to_owned(), String::new()];
    add(["BUILD ARG", "VALUE", "DESCRIPTION"], &outline.args, |named| {
        [named.value.clone().unwrap_or_default(), named.description.clone().unwrap_or_default()]
    });
    add(["SECRET", "REQUIRED", ""], &outline.secrets, required);
    add(["SSH", "REQUIRED", ""], &outline.ssh, required);
    add(["CACHE", "", ""], &outline.caches, |_| [String::new(), String::new()]);
    text
}

fn outline_json(outline: &Outline) -> Value {
    let index = LineIndex::new(&outline.file.source);
    let list = |named: &[Named], key: &str| -> Vec<Value> {
        named
            .iter()
            .map(|named| {
                let mut value = json!({ key: named.name, "location": location(&index, named.span) });
                if let Some(text) = &named.description {
                    value["description"] = json!(text);
                }
                if let Some(text) = &named.value {
                    value["value"] = json!(text);
                }
                if named.required {
                    value["required"] = json!(true);
                }
                value
            })
            .collect()
    };
    let mut result = json!({});
    for (key, text) in [("name", &outline.name), ("description", &outline.description)] {
        if let Some(text) = text {
            result[key] = json!(text);
        }
    }
    for (key, named, name) in [
        ("args", &outline.args, "name"),
        ("secrets", &outline.secrets, "name"),
        ("ssh", &outline.ssh, "name"),
        ("cache", &outline.caches, "ID"),
    ] {
        if !named.is_empty() {
            result[key] = json!(list(named, name));
        }
    }
    result["sources"] = json!([STANDARD.encode(&outline.file.source)]);
    result
}

fn targets_text(targets: &Targets) -> String {
    let rows: Vec<Vec<String>> = targets
        .targets
        .iter()
        .map(|target| {
            let name = match (&target.name, target.default) {
                (Some(name), true) => format!("{name} (default)"),
                (Some(name), false) => name.clone(),
                (None, true) => "(default)".to_owned(),
                (None, false) => "-".to_owned(),
            };
            vec![name, target.description.clone().unwrap_or_default()]
        })
        .collect();
    table::text(&["TARGET", "DESCRIPTION"], &rows)
}

fn targets_json(targets: &Targets) -> Value {
    let index = LineIndex::new(&targets.file.source);
    let list = targets.targets.iter().map(|target| {
        let mut value = json!({});
        for (key, text) in
            [("name", &target.name), ("description", &target.description), ("platform", &target.platform)]
        {
            if let Some(text) = text {
                value[key] = json!(text);
            }
        }
        if target.default {
            value["default"] = json!(true);
        }
        value["base"] = json!(target.base);
        value["location"] = location(&index, target.span);
        value
    });
    json!({ "targets": list.collect::<Vec<_>>(), "sources": [STANDARD.encode(&targets.file.source)] })
}

/// Writes an answer.
///
/// # Errors
/// When it cannot be written.
pub fn write(text: &str, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(text.as_bytes())
}
