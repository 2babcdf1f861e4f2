#!/usr/bin/env bash
# Measures pushes and pulls over the loopback interface, ours beside skopeo and podman, in one run; prints a section of
# docs/performance.md.
#
#   bench/registry.sh PROGRAM            512 MiB, five repetitions
#   bench/registry.sh --smoke PROGRAM    small, two repetitions, of the image of 20 layers; fails when something does not work
#
# Needs root, and: docker-registry hyperfine ip jq podman skopeo time. Registry and stores are in memory (/dev/shm, about 4 GiB),
# so that no disk is measured.
set -euo pipefail

smoke=false
if [ "${1-}" = --smoke ]; then smoke=true; shift; fi
program=$(readlink -f "${1:?the program to measure}")
if $smoke; then runs=2 megabytes=16 images=many; else runs=5 megabytes=512 images="one many"; fi
layers=20

lab=$(mktemp -d /dev/shm/bench-XXXXXX)
registry_pid=
far_pid=
# Of this machine, but no loopback address: large blobs come by ranges from there, as they do from registries elsewhere.
far=198.51.100.77
finish() {
  [ -z "$registry_pid" ] || kill "$registry_pid" 2>/dev/null || true
  [ -z "$far_pid" ] || kill "$far_pid" 2>/dev/null || true
  ip address delete "$far/32" dev lo 2>/dev/null || true
  rm -rf "$lab"
}
trap finish EXIT

port=$(awk 'BEGIN { srand(); print 20000 + int(rand() * 10000) }')
host=127.0.0.1:$port
cat >"$lab/registry.yml" <<YML
version: 0.1
log: {level: error, accesslog: {disabled: false}}
storage: {filesystem: {rootdirectory: $lab/registry}}
http: {addr: "$host", secret: bench}
YML
docker-registry serve "$lab/registry.yml" >"$lab/requests" 2>"$lab/registry.log" &
registry_pid=$!
for _ in $(seq 100); do
  ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
  sleep 0.05
done

ip address replace "$far/32" dev lo
sed "s/$host/$far:$port/" "$lab/registry.yml" >"$lab/far.yml"
docker-registry serve "$lab/far.yml" >/dev/null 2>"$lab/far.log" &
far_pid=$!

# One layer, and the same bytes in twenty; random, so that what is sent is as large as it is.
export SLIPWAY_ROOT=$lab/ours
mkdir "$lab/context"
head -c $((megabytes << 20)) /dev/urandom >"$lab/context/blob"
split --number="$layers" --numeric-suffixes=1 --suffix-length=2 "$lab/context/blob" "$lab/context/part"
printf 'FROM scratch\nCOPY blob /\n' >"$lab/context/one"
{ echo 'FROM scratch'; for n in $(seq -w "$layers"); do echo "COPY part$n /"; done; } >"$lab/context/many"
for image in one many; do
  "$program" -q --push -f "$lab/context/$image" -t "$host/$image:1" "$lab/context" >/dev/null
  skopeo copy --quiet --insecure-policy --src-tls-verify=false "docker://$host/$image:1" "oci:$lab/oci:$image"
done
rm -r "$lab/context" "$lab/ours"

# Where podman puts blobs on their way.
export TMPDIR=$lab/tmp
mkdir "$TMPDIR"
podman="podman --root $lab/podman --runroot $lab/podman-run --cgroup-manager=cgroupfs"
# A store that was never used, without a shell in what is timed.
cat >"$lab/ours.sh" <<SH
#!/bin/sh
export SLIPWAY_ROOT=$lab/ours
exec $program "\$@"
SH
chmod 755 "$lab/ours.sh"
mkdir "$lab/results"

# measure NAME WHO PREPARE COMMAND: the median in milliseconds.
measure() {
  if ! hyperfine --style=none --shell=none --runs "$runs" --prepare "sh -c '$3'" \
    --export-json "$lab/results/$1.$2.json" "$4" >"$lab/results/$1.$2.log" 2>&1; then
    printf 'bench: %s by %s does not work here:\n' "$1" "$2" >&2
    tail -n 5 "$lab/results/$1.$2.log" >&2
    [ "$2" != ours ] || exit 1
    return 0
  fi
  jq -r '.results[0].median * 1000' "$lab/results/$1.$2.json" >"$lab/results/$1.$2"
}

# memory NAME WHO COMMAND...: the largest resident set, in MiB.
memory() {
  local name=$1 who=$2
  shift 2
  if /usr/bin/time --format=%M --output="$lab/results/kib" "$@" >/dev/null 2>&1; then
    awk '{ print $1 / 1024 }' "$lab/results/kib" >"$lab/results/$name.$who"
  fi
}

# requests NAME WHO COMMAND...: how many the registry was asked.
requests() {
  local name=$1 who=$2
  shift 2
  : >"$lab/requests"
  if "$@" >/dev/null 2>&1; then
    sleep 0.2
    grep -c 'HTTP/1.1"' "$lab/requests" >"$lab/results/$name.$who" || true
  fi
}

forget="rm -rf $lab/registry/docker"
for image in $images; do
  reference=$host/$image:1
  from="docker://$reference"
  to_oci="skopeo copy --quiet --insecure-policy --src-tls-verify=false $from oci:$lab/copied:1"
  to_registry="skopeo copy --quiet --insecure-policy --dest-tls-verify=false oci:$lab/oci:$image $from"
  # Pulls: into a store, an OCI layout, a store that has it unpacked.
  $to_registry
  measure "pull-$image" ours "rm -rf $lab/ours" "$lab/ours.sh pull -q $reference"
  measure "pull-$image" skopeo "rm -rf $lab/copied" "$to_oci"
  measure "pull-$image" podman "$podman rmi --all --force >/dev/null 2>&1 || true" "$podman pull --quiet --tls-verify=false $reference"
  rm -rf "$lab/copied" "$lab/ours"
  memory "pull-memory-$image" ours "$lab/ours.sh" pull -q "$reference"
  # shellcheck disable=SC2086
  memory "pull-memory-$image" skopeo $to_oci
  rm -rf "$lab/copied"
  far_reference=$far:$port/$image:1
  far_to_oci="skopeo copy --quiet --insecure-policy --src-tls-verify=false docker://$far_reference oci:$lab/copied:1"
  far_pull="$lab/ours.sh pull -q --insecure-registry $far:$port $far_reference"
  measure "far-$image" ours "rm -rf $lab/ours" "$far_pull"
  measure "far-$image" skopeo "rm -rf $lab/copied" "$far_to_oci"
  rm -rf "$lab/copied" "$lab/ours"
  # shellcheck disable=SC2086
  memory "far-memory-$image" ours $far_pull
  # shellcheck disable=SC2086
  memory "far-memory-$image" skopeo $far_to_oci
  rm -rf "$lab/copied" "$lab/ours"
  "$lab/ours.sh" pull -q "$reference" >/dev/null
  # Pushes to a registry that has nothing.
  measure "push-$image" ours "$forget" "$lab/ours.sh push -q $reference"
  measure "push-$image" skopeo "$forget" "$to_registry"
  measure "push-$image" podman "$forget" "$podman push --quiet --tls-verify=false $reference"
  sh -c "$forget"
  memory "push-memory-$image" ours "$lab/ours.sh" push -q "$reference"
  sh -c "$forget"
  # shellcheck disable=SC2086
  memory "push-memory-$image" skopeo $to_registry
  # And once more, with all of it there.
  measure "again-$image" ours true "$lab/ours.sh push -q $reference"
  requests "requests-$image" ours "$lab/ours.sh" push -q "$reference"
  $to_registry
  measure "again-$image" skopeo true "$to_registry"
  # shellcheck disable=SC2086
  requests "requests-$image" skopeo $to_registry
  if $podman push --quiet --tls-verify=false "$reference" >/dev/null 2>&1; then
    measure "again-$image" podman true "$podman push --quiet --tls-verify=false $reference"
    # shellcheck disable=SC2086
    requests "requests-$image" podman $podman push --quiet --tls-verify=false "$reference"
  fi
  $podman rmi --all --force >/dev/null 2>&1 || true
done

# row TITLE NAME DIGITS
row() {
  local name=$2 digits=$3 who value line="| $1 |"
  for who in ours skopeo podman; do
    value=$(cat "$lab/results/$name.$who" 2>/dev/null || true)
    if [ -z "$value" ]; then
      line+=" – |"
    elif [ "$who" = ours ]; then
      line+=$(printf ' %.*f |' "$digits" "$value")
    else
      line+=$(awk -v v="$value" -v ours="$(cat "$lab/results/$name.ours")" -v d="$digits" \
        'BEGIN { printf " %.*f (%.1f×) |", d, v, v / ours }')
    fi
  done
  printf '%s\n' "$line"
}

cat <<PAGE

## Registries

Written by \`bench/registry.sh\`: an image of $megabytes MiB of random bytes to and from a \`docker-registry\` on the loopback interface,
everything in memory; medians of $runs. From another address than a loopback one large blobs come by ranges over several
connections. \`skopeo copy\` reads and writes an OCI layout, which is the same work as ours; podman
also unpacks what it pulls and packs what it pushes.

| what | ours | skopeo | podman |
| --- | ---: | ---: | ---: |
$(row "pull of one layer, ms" pull-one 0)
$(row "pull of $layers layers, ms" pull-many 0)
$(row "pull of one layer from another address, ms" far-one 0)
$(row "pull of $layers layers from another address, ms" far-many 0)
$(row "push of one layer, ms" push-one 0)
$(row "push of $layers layers, ms" push-many 0)
$(row "push of $layers layers that are there, ms" again-many 1)
$(row "the same, requests" requests-many 0)
$(row "peak memory of the pull of one layer, MiB" pull-memory-one 0)
$(row "peak memory of the pull of $layers layers, MiB" pull-memory-many 0)
$(row "peak memory of the pull of one layer from another address, MiB" far-memory-one 0)
$(row "peak memory of the pull of $layers layers from another address, MiB" far-memory-many 0)
$(row "peak memory of the push of $layers layers, MiB" push-memory-many 0)

Machine: $(nproc) processors, which the registry shares. $("$program" version | head -n 1), $(skopeo --version), $(podman --version), docker-registry $(docker-registry --version | awk '{ print $3 }').
PAGE
