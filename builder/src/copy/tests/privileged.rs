//! What only root can try.

/// Says what was not tried. With `SLIPWAY_REQUIRE_TOOLS` that is a failure.
pub(crate) fn skipping(count: usize, what: &str) {
    if count > 0 {
        assert!(std::env::var_os("SLIPWAY_REQUIRE_TOOLS").is_none(), "not run: {count} {what}");
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), "skipped: {count} {what} (needs root)");
    }
}
