#!/usr/bin/env bash
# Makes base images for another processor out of Debian packages, so that no image registry is needed.
#
#   foreign.sh DIR
#
# DIR/busybox-foreign   busybox-static of another architecture, in skopeo's `dir:` form
# DIR/busybox-multi     an OCI layout whose only image is an index: DIR/busybox (which make.sh makes) and that one
#
# The package comes from this machine's own apt sources; apt works in a directory of its own, so that the machine's list of
# architectures stays as it is. Exit status 3: the package cannot be had. What is there already is kept, unless this
# script has changed since, or the busybox beside it.
set -euo pipefail

say() { printf 'bases: %s\n' "$*" >&2; }

[ $# = 1 ] || { say "usage: foreign.sh DIR"; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
"$here/make.sh" "$out" busybox

exec 9>"$out/.lock-foreign"
flock 9
case $(dpkg --print-architecture) in
  arm64) architecture=amd64 ;;
  *) architecture=arm64 ;;
esac
stamp=$(cat "$here/foreign.sh" "$out/busybox/manifest.json" | sha256sum | cut -d' ' -f1)
[ "$(cat "$out/busybox-multi/.stamp" 2>/dev/null)" != "$stamp" ] || exit 0
say "making busybox-foreign and busybox-multi for $architecture"
scratch=$(mktemp -d "$out/.foreign.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

mkdir -p "$scratch"/apt/{state/lists/partial,cache/archives/partial}
apt=(apt-get -qq -o "APT::Architecture=$architecture" -o "APT::Architectures::=$architecture"
  -o "Dir::State=$scratch/apt/state" -o "Dir::State::status=/dev/null" -o "Dir::Cache=$scratch/apt/cache"
  -o APT::Sandbox::User=root -o Acquire::Languages=none)
"${apt[@]}" update 2>"$scratch/said" || true
(cd "$scratch" && "${apt[@]}" download "busybox-static:$architecture" 2>>"$scratch/said") || {
  say "no busybox-static for $architecture: $(tail -n 3 "$scratch/said")"
  exit 3
}
dpkg-deb -x "$scratch"/busybox-static_*.deb "$scratch/package"

# The tree of the native one, with the other program in it.
root=$scratch/root
mkdir "$root"
layer=$(jq -r '.layers[0].digest | ltrimstr("sha256:")' "$out/busybox/manifest.json")
tar -xzf "$out/busybox/$layer" -C "$root"
busybox=$(find "$scratch/package" -path "*/bin/busybox" -type f | head -n 1)
install -m 755 "$busybox" "$root/bin/busybox"
tar --create --file "$scratch/layer.tar" --directory "$root" --sort=name --mtime=@1704067200 --owner=0 --group=0 \
  --numeric-owner .

# blob DIR FILE: moves FILE to DIR/HEX; prints "sha256:hex size".
blob() {
  local hex
  hex=$(sha256sum "$2" | cut -d' ' -f1)
  mv "$2" "$1/$hex"
  printf 'sha256:%s %s\n' "$hex" "$(stat -c %s "$1/$hex")"
}

image=$scratch/image
mkdir "$image"
diff_id=sha256:$(sha256sum "$scratch/layer.tar" | cut -d' ' -f1)
gzip -1n <"$scratch/layer.tar" >"$scratch/layer.gz"
read -r layer_digest layer_size < <(blob "$image" "$scratch/layer.gz")
config=$(jq -r '.config.digest | ltrimstr("sha256:")' "$out/busybox/manifest.json")
jq -c --arg a "$architecture" --arg d "$diff_id" '.architecture = $a | .rootfs.diff_ids = [$d]' "$out/busybox/$config" \
  >"$scratch/config"
read -r digest size < <(blob "$image" "$scratch/config")
jq -c --arg d "$digest" --argjson s "$size" --arg ld "$layer_digest" --argjson ls "$layer_size" \
  '.config.digest = $d | .config.size = $s | .layers[0].digest = $ld | .layers[0].size = $ls' \
  "$out/busybox/manifest.json" >"$image/manifest.json"
cp "$out/busybox/version" "$image/version"

# entry DIR ARCHITECTURE: its blobs go into the layout; prints its entry of the index.
layout=$scratch/layout
mkdir -p "$layout/blobs/sha256"
entry() {
  local file
  for file in "$1"/*; do
    [[ $(basename "$file") =~ ^[0-9a-f]{64}$ ]] && cp "$file" "$layout/blobs/sha256/"
  done
  cp "$1/manifest.json" "$scratch/manifest"
  read -r digest size < <(blob "$layout/blobs/sha256" "$scratch/manifest")
  jq -c --arg d "$digest" --argjson s "$size" --arg a "$2" \
    '{mediaType, digest: $d, size: $s, platform: {architecture: $a, os: "linux"}}' "$1/manifest.json"
}
{ entry "$out/busybox" "$(dpkg --print-architecture)"; entry "$image" "$architecture"; } |
  jq -c -s '{schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests: .}' >"$scratch/index"
read -r digest size < <(blob "$layout/blobs/sha256" "$scratch/index")
jq -c -n --arg d "$digest" --argjson s "$size" \
  '{schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests: [
    {mediaType: "application/vnd.oci.image.index.v1+json", digest: $d, size: $s,
     annotations: {"org.opencontainers.image.ref.name": "latest"}}]}' >"$layout/index.json"
printf '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"
printf '%s\n' "$stamp" >"$layout/.stamp"
chmod -R a+rX "$layout" "$image"
rm -rf "${out:?}/busybox-foreign" "${out:?}/busybox-multi"
mv "$image" "$out/busybox-foreign"
mv "$layout" "$out/busybox-multi"
