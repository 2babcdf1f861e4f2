#!/usr/bin/env bash
# fuzz/run.sh SECONDS [TARGET...]: runs each fuzz target for SECONDS: parser, words, ignore, mounts of the Dockerfile
# parser; references, challenges, registries, manifests of the registry client.
#
# Needs a nightly toolchain (for its sanitizer flags) and cargo-fuzz: cargo install cargo-fuzz. A crash, a hang (one input
# that takes over ten seconds) or a leak ends the run with the input that did it, kept in fuzz/artifacts. What is new in
# coverage stays in fuzz/target/corpus; fuzz/corpus is the small one that the repository keeps, and is only read.
# On any toolchain `cargo test -p dockerfile-parser -p registry-client --test corpus` runs the corpus and damaged copies.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=${1:?how many seconds each target is to run}
shift
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(parser words ignore mounts references challenges registries manifests)
for target in "${targets[@]}"; do
  mkdir -p "fuzz/target/corpus/$target"
  case $target in
    references | challenges | registries | manifests) dictionary=fuzz/dictionary.registry ;;
    *) dictionary=fuzz/dictionary ;;
  esac
  printf '== %s, %s s\n' "$target" "$seconds"
  cargo +nightly fuzz run "$target" "fuzz/target/corpus/$target" "fuzz/corpus/$target" -- \
    -dict="$dictionary" -max_total_time="$seconds" -timeout=10 -max_len=65536 -print_final_stats=1
done
