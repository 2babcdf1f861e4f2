//! Colours for messages, where they are wanted.

/// With colours or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    colours: bool,
}

const RED: &str = "1;31";
const YELLOW: &str = "1;33";
const BLUE: &str = "1;34";
const CYAN: &str = "1;36";
const BOLD: &str = "1";

impl Style {
    /// With colours, or without.
    pub fn new(colours: bool) -> Self {
        Self { colours }
    }

    /// Whether there are colours.
    pub fn colours(self) -> bool {
        self.colours
    }

    /// The text in bold.
    pub fn bold(self, text: &str) -> String {
        self.paint(BOLD, text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Colours a message in the shape diagnostics have: `error: ...`, ` --> file:line:column`, `7 | source`, carets,
    /// `help: ...`.
    pub fn diagnostic(self, text: &str) -> String {
        if !self.colours {
            return text.to_owned();
        }
        text.split_inclusive('\n').map(|line| self.diagnostic_line(line)).collect()
    }

    fn diagnostic_line(self, line: &str) -> String {
        for (label, code) in [("error", RED), ("warning", YELLOW), ("help", CYAN), ("note", CYAN)] {
            // `warning[Rule]:` is a label too.
            if let Some(rest) = line.strip_prefix(label)
                && let Some(colon) = rest.find(':')
                && (colon == 0 || rest.starts_with('['))
            {
                let (label, rest) = line.split_at(label.len() + colon + 1);
                return self.paint(code, label) + rest;
            }
        }
        if let Some(place) = line.trim_start().strip_prefix("--> ") {
            let indent = &line[..line.len() - place.len() - 4];
            return format!("{indent}{} {place}", self.paint(BLUE, "-->"));
        }
        let Some((gutter, source)) = line.split_once('|') else { return line.to_owned() };
        if !gutter.trim().chars().all(|c| c.is_ascii_digit()) {
            return line.to_owned();
        }
        let gutter = self.paint(BLUE, &format!("{gutter}|"));
        let marks = source.trim();
        if !marks.is_empty() && marks.chars().all(|c| matches!(c, '^' | '-')) {
            return gutter + &source.replace(marks, &self.paint(RED, marks));
        }
        gutter + source
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "error: no such stage\n --> Dockerfile:7:13\n7 | COPY | x\n  |      ^^^\nhelp: a: b\n";

    #[test]
    fn a_diagnostic() {
        assert_eq!(Style::new(false).diagnostic(TEXT), TEXT);
        assert_eq!(
            Style::new(true).diagnostic(TEXT),
            "\x1b[1;31merror:\x1b[0m no such stage\n \
             \x1b[1;34m-->\x1b[0m Dockerfile:7:13\n\
             \x1b[1;34m7 |\x1b[0m COPY | x\n\
             \x1b[1;34m  |\x1b[0m      \x1b[1;31m^^^\x1b[0m\n\
             \x1b[1;36mhelp:\x1b[0m a: b\n"
        );
        assert_eq!(Style::new(true).diagnostic("errors: a | b"), "errors: a | b");
        assert_eq!(Style::new(true).diagnostic("warning[X]: y"), "\x1b[1;33mwarning[X]:\x1b[0m y");
    }
}
