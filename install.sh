#!/usr/bin/env bash
# Builds the program and installs it as `build`.
#
#   ./install.sh            into /usr/local/bin as root, into ~/.local/bin otherwise
#   PREFIX=DIR ./install.sh into DIR/bin
#
# cargo forbids a program named `build`, so it is compiled as `slipway` and gets its name here.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

if [ "$(id -u)" = 0 ]; then prefix=${PREFIX:-/usr/local}; else prefix=${PREFIX:-$HOME/.local}; fi

cargo build --release --locked --package builder --bin slipway
install -d "$prefix/bin"
install -m 755 "${CARGO_TARGET_DIR:-target}/release/slipway" "$prefix/bin/build"
printf 'installed %s\n' "$prefix/bin/build"

case ":$PATH:" in
  *":$prefix/bin:"*) ;;
  *) printf 'note: %s is not in PATH\n' "$prefix/bin" ;;
esac
if ! command -v newuidmap >/dev/null; then
  printf 'note: builds by unprivileged users map user ids with newuidmap: apt-get install uidmap\n'
fi
