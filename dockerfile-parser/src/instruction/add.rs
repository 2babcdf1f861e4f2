//! `ADD [--checksum=..] [--keep-git-dir] [--unpack] [options] source... destination`.

use super::Context;
use super::copying::{self, CHMOD, CHOWN, EXCLUDE, LINK};
use crate::ast::Add;
use crate::flags::{Known, Takes};

const FLAGS: [Known; 7] = [
    ("checksum", Takes::Value),
    ("keep-git-dir", Takes::Switch),
    ("unpack", Takes::Switch),
    CHOWN,
    CHMOD,
    LINK,
    EXCLUDE,
];

pub(super) fn parse(cx: &mut Context<'_>) -> Option<Add> {
    let mut flags = cx.flags(&FLAGS);
    let (sources, destination) = copying::sources(cx)?;
    Some(Add {
        sources,
        destination,
        options: copying::options(&mut flags),
        checksum: flags.value("checksum"),
        keep_git_dir: flags.switch("keep-git-dir"),
        unpack: flags.switch("unpack"),
    })
}
