#!/usr/bin/env bash
# Makes the base images of the end-to-end tests out of Debian packages, so that no image registry is needed.
#
#   make.sh DIR [NAME...]          makes DIR/NAME (skopeo's `dir:` form) for each name; all of them when none is given
#
# busybox       busybox-static with a link for each applet; OCI media types
# debian        what dpkg calls essential, apt, and setcap
# debian-node   the same with nodejs and npm
# debian-gcc    the same with gcc and the static C library
# onbuild       busybox with ONBUILD triggers, and a second layer of whiteouts; Docker media types
#
# An image that is there already is kept, unless this script or the package sources have changed since. The sources are
# those of this machine's own apt (only the distribution's, not third parties'). Root only: mmdebstrap runs here
# without a user namespace. Several callers of one DIR wait for each other.
set -euo pipefail

say() { printf 'bases: %s\n' "$*" >&2; }

[ $# -ge 1 ] || { say "usage: make.sh DIR [NAME...]"; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
shift
[ $# -gt 0 ] || set -- busybox debian debian-node debian-gcc onbuild
[ "$(id -u)" = 0 ] || { say "must run as root"; exit 1; }

script=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/make.sh
exec 9>"$out/.lock"
flock 9

. /etc/os-release
architecture=$(dpkg --print-architecture)
scratch=$(mktemp -d "$out/.make.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

# The distribution's own entries of this machine's apt sources, one line each.
sources() {
  apt-get indextargets --format '$(ORIGIN)|deb [signed-by=/usr/share/keyrings/'"$ID"'-archive-keyring.gpg] $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
    awk -F'|' -v id="$ID" 'tolower($1) == id && !seen[$2]++ { print $2 }'
}
sources >"$scratch/sources.list"
if [ ! -s "$scratch/sources.list" ]; then
  apt-get update -qq
  sources >"$scratch/sources.list"
fi
[ -s "$scratch/sources.list" ] || { say "apt knows no package sources of $ID"; exit 1; }
stamp=$(cat "$script" "$scratch/sources.list" | sha256sum | cut -d' ' -f1)

# blob IMAGE_DIR FILE: moves FILE to where the `dir:` form has blobs; prints "sha256:hex size".
blob() {
  local hex
  hex=$(sha256sum "$2" | cut -d' ' -f1)
  mv "$2" "$1/$hex"
  printf 'sha256:%s %s\n' "$hex" "$(stat -c %s "$1/$hex")"
}

# image NAME oci|docker CONFIG_JSON LAYER_TAR...: writes the image and makes it visible in one rename.
image() {
  local name=$1 family=$2 config=$3 work layers='[]' diff_ids='[]' history='[]' layer digest size diff_id
  local manifest_type config_type layer_type
  shift 3
  if [ "$family" = oci ]; then
    manifest_type=application/vnd.oci.image.manifest.v1+json
    config_type=application/vnd.oci.image.config.v1+json
    layer_type=application/vnd.oci.image.layer.v1.tar+gzip
  else
    manifest_type=application/vnd.docker.distribution.manifest.v2+json
    config_type=application/vnd.docker.container.image.v1+json
    layer_type=application/vnd.docker.image.rootfs.diff.tar.gzip
  fi
  work=$(mktemp -d "$scratch/image.XXXXXX")
  for layer; do
    diff_id=sha256:$(sha256sum "$layer" | cut -d' ' -f1)
    gzip -1n <"$layer" >"$work/layer"
    read -r digest size < <(blob "$work" "$work/layer")
    layers=$(jq -c --arg t "$layer_type" --arg d "$digest" --argjson s "$size" \
      '. + [{mediaType: $t, size: $s, digest: $d}]' <<<"$layers")
    diff_ids=$(jq -c --arg d "$diff_id" '. + [$d]' <<<"$diff_ids")
    history=$(jq -c --arg n "$name" \
      '. + [{created: "2024-01-01T00:00:00Z", created_by: "testdata/bases/make.sh \($n)"}]' <<<"$history")
  done
  jq -c -n --arg a "$architecture" --argjson c "$config" --argjson d "$diff_ids" --argjson h "$history" \
    '{created: "2024-01-01T00:00:00Z", architecture: $a, os: "linux", config: $c,
      rootfs: {type: "layers", diff_ids: $d}, history: $h}' >"$work/config"
  read -r digest size < <(blob "$work" "$work/config")
  jq -c -n --arg m "$manifest_type" --arg t "$config_type" --arg d "$digest" --argjson s "$size" --argjson l "$layers" \
    '{schemaVersion: 2, mediaType: $m, config: {mediaType: $t, size: $s, digest: $d}, layers: $l}' >"$work/manifest.json"
  printf 'Directory Transport Version: 1.1\n' >"$work/version"
  printf '%s\n' "$stamp" >"$work/.stamp"
  chmod 755 "$work"
  rm -rf "${out:?}/$name"
  mv "$work" "$out/$name"
}

# pack DIR TAR: a tar whose bytes depend on nothing but the tree.
pack() {
  tar --create --file "$2" --directory "$1" --sort=name --mtime=@1704067200 --owner=0 --group=0 --numeric-owner .
}

busybox_tree() {
  local root=$scratch/busybox applet
  install -d "$root"/{bin,etc,home,usr/bin,var}
  install -d -m 700 "$root/root"
  install -d -m 1777 "$root/tmp"
  install -m 755 /bin/busybox "$root/bin/busybox"
  for applet in $(/bin/busybox --list); do
    [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
  done
  ln -s ../../bin/env "$root/usr/bin/env"
  printf 'root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n' \
    >"$root/etc/passwd"
  printf 'root:x:0:\ndaemon:x:1:\nstaff:x:50:daemon\nnobody:x:65534:\n' >"$root/etc/group"
  pack "$root" "$scratch/busybox.tar"
}

path='"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"'

make_busybox() {
  image busybox oci "{\"Env\":[$path],\"Cmd\":[\"sh\"]}" "$scratch/busybox.tar"
}

make_onbuild() {
  local root=$scratch/onbuild
  install -d "$root"/{first,second}/srv/{kept,emptied}
  printf 'below\n' >"$root/first/srv/removed"
  printf 'below\n' >"$root/first/srv/emptied/hidden"
  printf 'below\n' >"$root/first/srv/kept/below"
  touch "$root/second/srv/.wh.removed" "$root/second/srv/emptied/.wh..wh..opq"
  printf 'above\n' >"$root/second/srv/emptied/shown"
  pack "$root/first" "$scratch/first.tar"
  pack "$root/second" "$scratch/second.tar"
  image onbuild docker "{\"Env\":[$path,\"BASE=onbuild\"],\"Cmd\":[\"sh\"],\"Labels\":{\"base\":\"onbuild\"},\"OnBuild\":[
      \"ARG GREETING=hello\",
      \"WORKDIR /srv/app\",
      \"COPY app/ ./\",
      \"RUN echo \\\"\$GREETING from the trigger\\\" > /srv/trigger.txt\",
      \"ENV TRIGGERED=yes\"]}" \
    "$scratch/busybox.tar" "$scratch/first.tar" "$scratch/second.tar"
}

# debian NAME PACKAGES (comma-separated): documentation and translations are left out, in the image too when it installs more.
debian() {
  local name=$1 options=() setting value
  for setting in Acquire::http::Proxy Acquire::https::Proxy Acquire::Check-Valid-Until Acquire::Check-Date; do
    value=$(apt-config dump --format '%v' "$setting")
    [ -z "$value" ] || options+=("--aptopt=$setting \"$value\"")
  done
  mmdebstrap --quiet --mode=root --variant=apt --include="$2" "${options[@]}" \
    --aptopt='Acquire::Languages "none"' --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/info/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='force-unsafe-io' \
    "$VERSION_CODENAME" "$scratch/$name.tar" "$scratch/sources.list"
  image "$name" oci "{\"Env\":[$path],\"Cmd\":[\"bash\"]}" "$scratch/$name.tar"
  rm "$scratch/$name.tar"
}

make_debian() { debian debian libcap2-bin; }
make_debian-node() { debian debian-node nodejs,npm; }
make_debian-gcc() { debian debian-gcc gcc,libc6-dev; }

busybox_tree
jobs=()
for name; do
  declare -F "make_$name" >/dev/null || { say "there is no base image \"$name\""; exit 2; }
  [ "$(cat "$out/$name/.stamp" 2>/dev/null)" != "$stamp" ] || continue
  say "making $name"
  "make_$name" &
  jobs+=($!)
done
for job in ${jobs[@]+"${jobs[@]}"}; do wait "$job"; done
