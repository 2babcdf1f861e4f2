//! One line of comma-separated values (RFC 4180), as `--mount` and `--device` take it.

use nom::branch::alt;
use nom::bytes::complete::{is_not, tag, take_while};
use nom::character::complete::char;
use nom::combinator::{all_consuming, value};
use nom::multi::{fold_many0, separated_list1};
use nom::sequence::delimited;
use nom::{IResult, Parser};
use std::borrow::Cow;

/// The fields. A field that starts with a double quote ends with one, and may hold commas and doubled quotes; any other
/// field holds no quotes. `None` if that is not so.
pub(crate) fn fields(line: &str) -> Option<Vec<Cow<'_, str>>> {
    if !line.contains('"') {
        return Some(line.split(',').map(Cow::Borrowed).collect());
    }
    all_consuming(separated_list1(char(','), alt((quoted.map(Cow::Owned), plain.map(Cow::Borrowed)))))
        .parse(line)
        .ok()
        .map(|(_, fields)| fields)
}

fn quoted(input: &str) -> IResult<&str, String> {
    let part = alt((is_not("\""), value("\"", tag("\"\""))));
    let inside = fold_many0(part, String::new, |mut text, part| {
        text.push_str(part);
        text
    });
    delimited(char('"'), inside, char('"')).parse(input)
}

fn plain(input: &str) -> IResult<&str, &str> {
    take_while(|c| c != ',' && c != '"').parse(input)
}

#[cfg(test)]
mod tests {
    use super::fields;

    #[test]
    fn quoting() {
        assert_eq!(fields("a,b=c,").unwrap(), ["a", "b=c", ""]);
        assert_eq!(fields(r#""a,b","c ""d""",e"#).unwrap(), ["a,b", "c \"d\"", "e"]);
        assert_eq!(fields(r#""",x"#).unwrap(), ["", "x"]);
        for bad in [r#"a"b"#, r#""a"#, r#""a"b"#, r#"a=",b""#] {
            assert_eq!(fields(bad), None, "{bad}");
        }
    }
}
