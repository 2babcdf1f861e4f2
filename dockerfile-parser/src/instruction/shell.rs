//! `SHELL ["program", "argument", ...]`.

use super::Context;
use crate::ast::Word;
use crate::statement::Arguments;

pub(super) fn parse(cx: &mut Context<'_>) -> Option<Vec<Word>> {
    cx.no_flags();
    match cx.take_arguments() {
        Arguments::Json(words) if !words.is_empty() => Some(words),
        Arguments::Text(text) => {
            let words: Vec<String> = text.text.split_whitespace().map(|w| format!("{w:?}")).collect();
            let help = if crate::json::looks_meant(&text.text) {
                "this is not valid JSON: use double quotes, commas between, and none at the end".to_owned()
            } else {
                format!("write SHELL [{}]", words.join(", "))
            };
            cx.error_help("not-json", text.span, "SHELL takes a JSON array of strings", help);
            None
        }
        _ => {
            cx.missing("a shell", "SHELL [\"/bin/bash\", \"-c\"]");
            None
        }
    }
}
