//! `COPY [--from=..] [--parents] [options] source... destination`.

use super::Context;
use super::copying::{self, CHMOD, CHOWN, EXCLUDE, LINK};
use crate::ast::Copy;
use crate::flags::{Known, Takes};

const FLAGS: [Known; 6] = [("from", Takes::Value), ("parents", Takes::Switch), CHOWN, CHMOD, LINK, EXCLUDE];

pub(super) fn parse(cx: &mut Context<'_>) -> Option<Copy> {
    let mut flags = cx.flags(&FLAGS);
    let from = flags.value("from");
    if let Some(from) = &from
        && from.text.contains('$')
    {
        let help = "define a stage for it, FROM image AS name, where ARGs above the first FROM are expanded";
        cx.error_help("from-variable", from.span, "names are not expanded in --from", help);
    }
    let (sources, destination) = copying::sources(cx)?;
    let parents = flags.switch("parents").unwrap_or(false);
    Some(Copy { sources, destination, from, options: copying::options(&mut flags), parents })
}
