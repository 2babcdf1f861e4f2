//! Text to nodes.

use super::{Call, Function, Node, Operand, Pipeline};
use serde_json::Value;

/// The nodes of a whole template.
pub(super) fn template(text: &str) -> Result<Vec<Node>, String> {
    let mut pieces = pieces(text)?.into_iter();
    let (nodes, end) = block(&mut pieces)?;
    match end {
        None => Ok(nodes),
        Some(word) => Err(format!("{{{{{word}}}}} has no {{{{range}}}} or {{{{if}}}} before it")),
    }
}

/// A piece of a template.
enum Piece {
    Text(String),
    Action(Vec<Token>),
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Field(Vec<String>),
    Constant(Value),
    Bar,
    Open,
    Close,
}

/// Splits at `{{` and `}}`; `{{-` and `-}}` take the white space beside them away.
fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("{{") {
        let (mut before, mut action) = (&rest[..start], &rest[start + 2..]);
        let end = action.find("}}").ok_or_else(|| "{{ is not closed by }}".to_owned())?;
        rest = &action[end + 2..];
        action = &action[..end];
        if let Some(trimmed) = action.strip_prefix("- ") {
            (action, before) = (trimmed, before.trim_end());
        }
        if let Some(trimmed) = action.strip_suffix(" -") {
            (action, rest) = (trimmed, rest.trim_start());
        }
        if !before.is_empty() {
            pieces.push(Piece::Text(before.to_owned()));
        }
        pieces.push(Piece::Action(tokens(action)?));
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Ok(pieces)
}

fn tokens(action: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = action.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '|' | '(' | ')' => {
                tokens.push(match first {
                    '|' => Token::Bar,
                    '(' => Token::Open,
                    _ => Token::Close,
                });
                1
            }
            '"' => {
                // Go's strings and those of JSON have the usual escapes in common.
                let mut values = serde_json::Deserializer::from_str(rest).into_iter::<String>();
                let text = values
                    .next()
                    .and_then(Result::ok)
                    .ok_or_else(|| format!("{rest}: a text is not closed"))?;
                let length = values.byte_offset();
                tokens.push(Token::Constant(text.into()));
                length
            }
            _ => {
                let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '|' | '(' | ')' | '"'));
                let word = &rest[..end.unwrap_or(rest.len())];
                tokens.push(token(word)?);
                word.len()
            }
        };
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

fn token(word: &str) -> Result<Token, String> {
    if let Some(names) = word.strip_prefix('.') {
        let names: Vec<String> = names.split('.').filter(|_| !names.is_empty()).map(str::to_owned).collect();
        return match names.iter().any(String::is_empty) {
            true => Err(format!("{word} is no field")),
            false => Ok(Token::Field(names)),
        };
    }
    match word.parse::<i64>() {
        Ok(number) => Ok(Token::Constant(number.into())),
        Err(_) if word.starts_with('$') => Err(format!("{word}: there are no variables")),
        Err(_) => Ok(Token::Word(word.to_owned())),
    }
}

/// The nodes up to the end, or to an `else` or `end`, which is told.
fn block(pieces: &mut std::vec::IntoIter<Piece>) -> Result<(Vec<Node>, Option<&'static str>), String> {
    let mut nodes = Vec::new();
    while let Some(piece) = pieces.next() {
        let tokens = match piece {
            Piece::Text(text) => {
                nodes.push(Node::Text(text));
                continue;
            }
            Piece::Action(tokens) => tokens,
        };
        let word = match tokens.first() {
            Some(Token::Word(word)) => word.as_str(),
            _ => "",
        };
        match word {
            "end" if tokens.len() == 1 => return Ok((nodes, Some("end"))),
            "else" if tokens.len() == 1 => return Ok((nodes, Some("else"))),
            "range" | "if" => {
                let subject = pipeline(&tokens[1..])?;
                let (then, mut end) = block(pieces)?;
                let mut otherwise = Vec::new();
                if end == Some("else") {
                    (otherwise, end) = block(pieces)?;
                }
                if end != Some("end") {
                    return Err(format!("{{{{{word}}}}} has no {{{{end}}}}"));
                }
                nodes.push(match word {
                    "if" => Node::If(subject, then, otherwise),
                    _ => Node::Range(subject, then, otherwise),
                });
            }
            _ => nodes.push(Node::Print(pipeline(&tokens)?)),
        }
    }
    Ok((nodes, None))
}

fn pipeline(tokens: &[Token]) -> Result<Pipeline, String> {
    let mut depth = 0_usize;
    let mut calls = Vec::new();
    let mut start = 0;
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Open => depth += 1,
            Token::Close => depth = depth.checked_sub(1).ok_or("a ) has no ( before it")?,
            Token::Bar if depth == 0 => {
                calls.push(call(&tokens[start..at], calls.is_empty())?);
                start = at + 1;
            }
            _ => {}
        }
    }
    if depth > 0 {
        return Err("a ( is not closed".to_owned());
    }
    calls.push(call(&tokens[start..], calls.is_empty())?);
    Ok(calls)
}

/// One call; only the first of a pipeline may be a plain operand.
fn call(tokens: &[Token], first: bool) -> Result<Call, String> {
    let (function, rest) = match tokens.split_first() {
        None => return Err("there is nothing between {{ and }}, or beside |".to_owned()),
        Some((Token::Word(word), rest)) => (Some(function(word)?), rest),
        Some(_) if first => (None, tokens),
        Some(_) => return Err("only a function can stand behind |".to_owned()),
    };
    let mut operands = Vec::new();
    let mut at = 0;
    while let Some(token) = rest.get(at) {
        at += 1;
        operands.push(match token {
            Token::Field(names) => Operand::Field(names.clone()),
            Token::Constant(value) => Operand::Constant(value.clone()),
            Token::Open => {
                let inner = &rest[at..];
                let mut depth = 1_usize;
                let end = inner.iter().position(|token| {
                    match token {
                        Token::Open => depth += 1,
                        Token::Close => depth -= 1,
                        _ => {}
                    }
                    depth == 0
                });
                let end = end.ok_or("a ( is not closed")?;
                at += end + 1;
                Operand::Inner(pipeline(&inner[..end])?)
            }
            Token::Word(word) => return Err(format!("{word:?} is no operand: write .{word} for a field")),
            Token::Bar | Token::Close => return Err("a ) has no ( before it".to_owned()),
        });
    }
    if function.is_none() && operands.len() != 1 {
        return Err("several values stand side by side: write each between {{ and }}".to_owned());
    }
    Ok(Call { function, operands })
}

fn function(word: &str) -> Result<Function, String> {
    Ok(match word {
        "json" => Function::Json,
        "index" => Function::Index,
        "len" => Function::Len,
        "join" => Function::Join,
        "lower" => Function::Lower,
        "upper" => Function::Upper,
        "println" => Function::Println,
        _ => {
            return Err(format!(
                "{word:?} is no function: there are json, index, len, join, lower, upper and println"
            ));
        }
    })
}
