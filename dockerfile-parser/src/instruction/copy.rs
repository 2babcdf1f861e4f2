//! `COPY [--from=..] [--parents] [options] source... destination`.

use super::{Context, copying};
use crate::ast::Copy;
use crate::flags::Takes;

pub(super) fn parse(cx: &mut Context<'_>) -> Option<Copy> {
    let mut known = vec![("from", Takes::Value), ("parents", Takes::Switch)];
    known.extend(copying::OPTIONS);
    let flags = cx.flags(&known);
    let from = flags.value("from");
    if let Some(from) = &from
        && from.text.contains('$')
    {
        let help = "define a stage for it, FROM image AS name, where ARGs above the first FROM are expanded";
        cx.error_help("from-variable", from.span, "names are not expanded in --from", help);
    }
    let (sources, destination) = copying::sources(cx)?;
    let parents = flags.switch("parents").unwrap_or(false);
    Some(Copy { sources, destination, from, options: copying::options(&flags), parents })
}
