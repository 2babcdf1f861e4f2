#!/usr/bin/env bash
# Measures builds, ours as root and unprivileged beside the programs that are installed, in one run on one machine.
#
#   bench/run.sh                 everything, about 25 minutes on two processors; writes docs/performance.md and .svg
#   bench/run.sh --only ROW...   these rows (bench/rows/), printed as a table
#   bench/run.sh --smoke         small inputs, one repetition; writes nothing, fails when a row does not work
#   --small                      before these: small inputs
#   --program PATH               before these: measures that program and not the release build of this tree
#   --runs N                     before these: another number of repetitions
#   --page DIRECTORY             before these: writes page and chart of the rows there
#
# Needs root, 12 GiB in /var/tmp, and the user that test.sh makes; installs by apt what it compares with.
# A repetition that must start cold gets a store that was never used. Directories with many files are deleted at the end
# only, because some file systems are slow for minutes after that; those with few and large files at once, for room.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
here=$PWD/bench
export LC_ALL=C

smoke=false
small=false
only=()
program=
pages=
repeated=
usage() { printf 'usage: bench/run.sh [--small] [--program PATH] [--runs N] [--page DIRECTORY] [--smoke] [--only ROW...]\nrows: %s\n' "${all[*]}" >&2; exit 2; }
all=(start noop noop-20k noop-100k run copy copy-one big archive push pull run-write stages)
while [ $# -gt 0 ]; do
  case "$1" in
    --smoke) smoke=true small=true ;;
    --small) small=true ;;
    --runs) repeated=${2:?a number}; shift ;;
    --page) pages=${2:?a directory}; shift ;;
    --program) program=${2:?a path}; shift ;;
    --only) shift; only=("$@"); break ;;
    *) usage ;;
  esac
  shift
done
for name in "${only[@]}"; do [[ " ${all[*]} " == *" $name "* ]] || usage; done
rows=("${only[@]:-${all[@]}}")

# shellcheck source=bench/who.sh
. "$here/who.sh"
# shellcheck source=bench/lib.sh
. "$here/lib.sh"
# shellcheck source=bench/inputs.sh
. "$here/inputs.sh"
# shellcheck source=bench/page.sh
. "$here/page.sh"

begin=$SECONDS
for name in "${rows[@]}"; do
  # shellcheck source=/dev/null
  . "$here/rows/$name.sh"
  progress "$name"
done
leave

table
if $smoke; then
  [ ${#only[@]} -gt 0 ] || "$here/registry.sh" --smoke "$lab/build"
elif [ ${#only[@]} = 0 ]; then
  registries=$("$here/registry.sh" "$lab/build")
  progress registries
  pages=${pages:-docs}
fi
[ -n "$pages" ] || exit 0
chart >"$pages/performance.svg"
page "${registries-}" >"$pages/performance.md"
