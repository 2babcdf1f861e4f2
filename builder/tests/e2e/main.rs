//! End-to-end tests: the built program, against a real registry, beside the tools people use.
//!
//! Each test starts a `docker-registry` of its own on a free loopback port and works in a fresh directory, so tests and
//! test processes run side by side. Those about building run twice: as root, and as an unprivileged user with
//! subordinate ids (`SLIPWAY_TEST_USER`, or `slipway-test`, which `test.sh` makes).
//!
//! A machine that lacks something (root, a tool) skips what needs it and says so on standard error, one line each.
//! `SLIPWAY_REQUIRE_TOOLS=1` turns each such line into a failure; CI sets it.

mod support;

mod agents;
mod attributes;
mod bad_input;
mod bad_network;
mod cache;
mod capped;
mod checks;
mod compared;
mod contexts;
mod explain;
mod indexes;
mod interrupted;
mod isolation;
mod limits;
mod locked;
mod media_types;
mod mounts;
mod no_op;
mod odd_layers;
mod outputs;
mod owners;
mod platforms;
mod real;
mod registries;
mod registry_errors;
mod remote;
mod repeated_layers;
mod reproducible;
mod root_directory;
mod run_mounts;
mod several_builds;
mod space;
mod store_full;
mod timeline;
