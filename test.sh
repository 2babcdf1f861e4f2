#!/usr/bin/env bash
# Runs all tests, the end-to-end ones as root and as an unprivileged user. Arguments go to `cargo test`.
#
# Installs the tools the tests compare with (apt), and makes the user `slipway-test` with subordinate ids. Run by
# anybody but root it asks sudo to be root. Plain `cargo test` does without all of this and says what it skips.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

if [ "$(id -u)" != 0 ]; then
  exec sudo --preserve-env env "PATH=$PATH" "HOME=$HOME" "$PWD/test.sh" "$@"
fi

packages=(
  apache2-utils attr buildah busybox-static bzip2 crun docker-registry git jq libcap2-bin mmdebstrap openssh-client podman qemu-user-static
  runc skopeo umoci uidmap xz-utils zstd
)
missing=()
for package in "${packages[@]}"; do
  dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  printf 'installing %s\n' "${missing[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

export SLIPWAY_TEST_USER=${SLIPWAY_TEST_USER:-slipway-test}
id "$SLIPWAY_TEST_USER" >/dev/null 2>&1 || useradd --create-home "$SLIPWAY_TEST_USER"
for kind in uid gid; do
  grep -q "^$SLIPWAY_TEST_USER:" "/etc/sub$kind" 2>/dev/null || usermod "--add-sub${kind}s" 200000000-200065535 "$SLIPWAY_TEST_USER"
done

export SLIPWAY_REQUIRE_TOOLS=1
test=(cargo test --workspace --locked "$@")

# The end-to-end tests write and remove some hundred thousand files. Memory takes them faster than most disks, where
# there is enough of it and the kernel's tmpfs has user attributes (6.6); the mount ends with its mount namespace.
scratch=$(mktemp -d)
trap 'rmdir "$scratch" 2>/dev/null || true' EXIT
in_memory() {
  [ "$(awk '/^MemAvailable:/ { print int($2 / 1048576) }' /proc/meminfo)" -ge 12 ] &&
    unshare --mount bash -euc 'mount -t tmpfs none "$1"; touch "$1/x"; setfattr -n user.x -v x "$1/x"' - "$scratch" 2>/dev/null
}
if [ -z "${SLIPWAY_TEST_DIR-}" ] && in_memory; then
  SLIPWAY_TEST_DIR=$scratch unshare --mount bash -euc \
    'mount -t tmpfs -o mode=1777,size=80% slipway-test "$SLIPWAY_TEST_DIR"; export TMPDIR=$SLIPWAY_TEST_DIR; exec "$@"' - "${test[@]}"
else
  "${test[@]}"
fi
