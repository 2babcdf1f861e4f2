//! `ADD [--checksum=..] [--keep-git-dir] [--unpack] [options] source... destination`.

use super::{Context, copying};
use crate::ast::Add;
use crate::flags::Takes;

pub(super) fn parse(cx: &mut Context<'_>) -> Option<Add> {
    let mut known =
        vec![("checksum", Takes::Value), ("keep-git-dir", Takes::Switch), ("unpack", Takes::Switch)];
    known.extend(copying::OPTIONS);
    let flags = cx.flags(&known);
    let (sources, destination) = copying::sources(cx)?;
    Some(Add {
        sources,
        destination,
        options: copying::options(&flags),
        checksum: flags.value("checksum"),
        keep_git_dir: flags.switch("keep-git-dir"),
        unpack: flags.switch("unpack"),
    })
}
