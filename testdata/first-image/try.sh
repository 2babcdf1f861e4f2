#!/usr/bin/env bash
# Builds and runs a first image with the installed `build`. Needs no registry: the only program in the image is the
# machine's busybox, from the package busybox-static.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

program=$(type -P build || true)
for candidate in "${PREFIX:+$PREFIX/bin/build}" /usr/local/bin/build "$HOME/.local/bin/build"; do
  [ -n "$program" ] || [ ! -x "$candidate" ] || program=$candidate
done
[ -n "$program" ] || { printf 'build is not installed: run install.sh first\n' >&2; exit 1; }

# A dynamically linked busybox would find no C library in the image.
if ! dpkg -s busybox-static >/dev/null 2>&1; then
  as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo)
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" apt-get install -y -qq busybox-static >/dev/null
fi

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
cp "$here/Dockerfile" "$here/greeting.txt" /bin/busybox "$context"

"$program" -t first-image:1 "$context"
"$program" run first-image:1
