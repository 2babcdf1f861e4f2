#!/usr/bin/env bash
# Measures builds, ours as root and unprivileged beside buildah and podman, in one run on one machine.
#
#   bench/run.sh            everything; writes docs/performance.md
#   bench/run.sh --smoke    small inputs, two repetitions; writes nothing, fails when something does not work
#
# Needs root, the release build, and: buildah busybox-static docker-registry hyperfine jq podman runc skopeo time, and the
# user that test.sh makes. Every repetition that must start cold gets a directory that was never used; nothing is deleted
# between repetitions, because some file systems are slow for minutes after a large delete.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
repository=$PWD

smoke=false
case "${1-}" in
  --smoke) smoke=true ;;
  '') ;;
  *) printf 'usage: bench/run.sh [--smoke]\n' >&2; exit 2 ;;
esac
[ "$(id -u)" = 0 ] || { printf 'bench: must run as root\n' >&2; exit 1; }
packages=(buildah busybox-static docker-registry hyperfine jq podman runc skopeo time)
missing=()
for package in "${packages[@]}"; do dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package"); done
if [ ${#missing[@]} -gt 0 ]; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
user=${SLIPWAY_TEST_USER:-slipway-test}
id "$user" >/dev/null 2>&1 || { printf 'bench: there is no user %s; test.sh makes it\n' "$user" >&2; exit 1; }

if $smoke; then runs=2 cold_runs=2 files=500 megabytes=32 steps=3; else runs=30 cold_runs=7 files=20000 megabytes=1024 steps=20; fi

cargo build --release --locked --quiet --package builder --bin slipway
# Short names: podman refuses a --runroot of more than 50 bytes.
lab=$(mktemp -d /var/tmp/bench-XXXXXX)
chmod 755 "$lab"
registry_pid=
finish() {
  [ -z "$registry_pid" ] || kill "$registry_pid" 2>/dev/null || true
  rm -rf "$lab"
}
trap finish EXIT
install -m 755 "${CARGO_TARGET_DIR:-target}/release/slipway" "$lab/build"
for who in root user; do mkdir -p "$lab/$who"; done
mkdir "$lab/peer" "$lab/context"
chown "$user:" "$lab/user"

# A registry for the base image, and for pushes.
port=$(awk 'BEGIN { srand(); print 20000 + int(rand() * 10000) }')
cat >"$lab/registry.yml" <<YML
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $lab/registry}}
http: {addr: "127.0.0.1:$port", secret: bench}
YML
docker-registry serve "$lab/registry.yml" >"$lab/registry.log" 2>&1 &
registry_pid=$!
testdata/bases/make.sh "${SLIPWAY_TEST_BASES:-target/bases}" busybox
for _ in $(seq 100); do
  ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
  sleep 0.05
done
base=127.0.0.1:$port/bases/busybox
skopeo copy --quiet --insecure-policy --dest-tls-verify=false \
  "dir:${SLIPWAY_TEST_BASES:-target/bases}/busybox" "docker://$base:latest"

# The inputs.
ten=$lab/context/ten
mkdir "$ten"
printf 'content\n' | tee "$ten/a" >"$ten/b"
cat >"$ten/Dockerfile" <<DOCKERFILE
FROM $base
ENV A=b
WORKDIR /work
COPY a ./
RUN touch one
RUN touch two
COPY b ./
RUN cat a b > c
LABEL d=e
CMD ["cat", "c"]
DOCKERFILE

for count in 1 $((steps + 1)); do
  mkdir "$lab/context/run-$count"
  { printf 'FROM %s\n' "$base"; for n in $(seq "$count"); do printf 'RUN : %s\n' "$n"; done; } \
    >"$lab/context/run-$count/Dockerfile"
done

many=$lab/context/many
mkdir "$many"
printf 'FROM scratch\nCOPY tree /tree\n' >"$many/Dockerfile"
# Incompressible and all different: 100 files to a directory.
perl -e '
  my ($root, $files) = @ARGV;
  mkdir $root;
  srand 1;
  for my $n (0 .. $files - 1) {
    my $directory = "$root/" . int($n / 100);
    mkdir $directory if $n % 100 == 0;
    open my $file, ">", "$directory/f$n" or die "$directory/f$n: $!";
    print $file pack "N*", map { int rand 2**32 } 1 .. 1024;
  }' "$many/tree" "$files"

big=$lab/context/big
mkdir "$big"
printf 'FROM scratch\nCOPY blob /blob\n' >"$big/Dockerfile"
head -c $((megabytes << 20)) /dev/urandom >"$big/blob"

# Who builds. Each is called with a store directory; `build STORE ARGUMENTS`.
cat >"$lab/ours" <<SH
#!/bin/sh
export SLIPWAY_ROOT=\$1; shift
exec $lab/build "\$@"
SH
cat >"$lab/buildah" <<SH
#!/bin/sh
store=\$1; shift
exec buildah --root \$store/root --runroot \$store/run bud --quiet --layers --isolation=\${ISOLATION-oci} --runtime=runc --network=host --tls-verify=false "\$@" >/dev/null
SH
cat >"$lab/podman" <<SH
#!/bin/sh
store=\$1; shift
exec podman --root \$store/root --runroot \$store/run --cgroup-manager=cgroupfs build --quiet --layers --isolation=\${ISOLATION-oci} --runtime=runc --network=host --tls-verify=false "\$@" >/dev/null
SH
# fresh KIND DIRECTORY: notes a directory that was never used as that kind's store.
cat >"$lab/fresh" <<SH
#!/bin/sh
next=\$2/\$(date +%s%N | tail -c 13); mkdir \$next; printf %s \$next >\$2/\$1.fresh
SH
chmod 755 "$lab"/{ours,buildah,podman,fresh}

as_user() { setpriv --reuid="$(id -u "$user")" --regid="$(id -g "$user")" --init-groups env -i HOME="$lab/user" PATH="$PATH" "$@"; }

results=$lab/results
mkdir "$results"
chmod 777 "$results"

# measure NAME WHO RUNS PREPARE COMMAND: the median in milliseconds goes to results/NAME.WHO.
measure() {
  local name=$1 who=$2 repetitions=$3 prepare=$4 command=$5 run=() shell=(--shell=none) cold=()
  [ "$who" != unprivileged ] || run=(as_user)
  if [ -n "$prepare" ]; then cold=(--prepare "$prepare"); shell=(--shell=sh); else cold=(--warmup 2); fi
  if "${run[@]}" hyperfine --style=none "${shell[@]}" "${cold[@]}" --runs "$repetitions" \
    --export-json "$results/$name.$who.json" "$command" >"$results/$name.$who.log" 2>&1; then
    jq -r '.results[0].median * 1000' "$results/$name.$who.json" >"$results/$name.$who"
  else
    printf 'bench: %s by %s does not work here:\n' "$name" "$who" >&2
    tail -n 5 "$results/$name.$who.log" >&2
    case "$who" in root | unprivileged) exit 1 ;; esac
  fi
}

# Which isolation the peers can use on this machine: a runtime of their own is what users have; chroot is the fallback.
export ISOLATION=oci
mkdir "$lab/peer/try"
if ! "$lab/buildah" "$lab/peer/try" "$lab/context/run-1" >"$lab/try.log" 2>&1; then ISOLATION=chroot; fi

each() { # each NAME RUNS ARGUMENTS: warm, in a store that has built the same before
  local name=$1 repetitions=$2
  shift 2
  measure "$name" root "$repetitions" '' "$lab/ours $lab/root/warm -q $*"
  measure "$name" unprivileged "$repetitions" '' "$lab/ours $lab/user/warm -q $*"
  local slow=$((repetitions > 10 ? 10 : repetitions))
  measure "$name" buildah "$slow" '' "$lab/buildah $lab/peer/buildah $*"
  measure "$name" podman "$slow" '' "$lab/podman $lab/peer/podman $*"
}
each_cold() { # each_cold NAME RUNS ARGUMENTS: in a store that was never used
  local name=$1 repetitions=$2
  shift 2
  measure "$name" root "$repetitions" "$lab/fresh ours $lab/root" "$lab/ours \$(cat $lab/root/ours.fresh) -q $*"
  measure "$name" unprivileged "$repetitions" "$lab/fresh ours $lab/user" "$lab/ours \$(cat $lab/user/ours.fresh) -q $*"
  measure "$name" buildah "$repetitions" "$lab/fresh buildah $lab/peer" "$lab/buildah \$(cat $lab/peer/buildah.fresh) $*"
  measure "$name" podman "$repetitions" "$lab/fresh podman $lab/peer" "$lab/podman \$(cat $lab/peer/podman.fresh) $*"
}

measure start root "$runs" '' "$lab/build version"
measure start unprivileged "$runs" '' "$lab/build version"
measure start buildah "$runs" '' "buildah --version"
measure start podman "$runs" '' "podman --version"
each noop "$runs" -t noop:1 "$ten"
each "run-few" "$cold_runs" --no-cache "$lab/context/run-1"
each "run-many" "$cold_runs" --no-cache "$lab/context/run-$((steps + 1))"
# One RUN is what each of the additional ones costs.
for who in root unprivileged buildah podman; do
  [ ! -s "$results/run-few.$who" ] || [ ! -s "$results/run-many.$who" ] ||
    awk -v steps="$steps" 'NR == FNR { few = $1; next } { print ($1 - few) / steps }' \
      "$results/run-few.$who" "$results/run-many.$who" >"$results/run.$who"
done
each_cold copy "$cold_runs" "$many"
each copy-again "$cold_runs" "$many"

# memory WHO COMMAND...: the largest resident set of the command or any of its children, in MiB.
memory() {
  local who=$1 run=()
  shift
  [ "$who" != unprivileged ] || run=(as_user)
  if "${run[@]}" /usr/bin/time --format=%M --output="$results/memory.$who.kib" "$@" >"$results/memory.$who.log" 2>&1; then
    awk '{ print $1 / 1024 }' "$results/memory.$who.kib" >"$results/memory.$who"
  else
    printf 'bench: a big layer by %s does not work here:\n' "$who" >&2
    tail -n 5 "$results/memory.$who.log" >&2
    case "$who" in root | unprivileged) exit 1 ;; esac
  fi
}
for who in root unprivileged; do
  directory=$lab/root; [ "$who" = root ] || directory=$lab/user
  memory "$who" "$lab/ours" "$directory/warm" -q --push -t "127.0.0.1:$port/$who/big:1" "$big"
done
for who in buildah podman; do memory "$who" "$lab/$who" "$lab/peer/$who" "$big"; done

# row TITLE NAME DIGITS: one line of the table; each peer with how many times ours (root) it takes.
row() {
  local name=$2 digits=$3 who value line="| $1 |"
  for who in root unprivileged buildah podman; do
    value=$(cat "$results/$name.$who" 2>/dev/null || true)
    if [ -z "$value" ]; then
      line+=" – |"
    elif [ "$who" = root ] || [ "$who" = unprivileged ]; then
      line+=$(printf ' %.*f |' "$digits" "$value")
    else
      line+=$(awk -v v="$value" -v ours="$(cat "$results/$name.root")" -v d="$digits" \
        'BEGIN { printf " %.*f (%.1f×) |", d, v, v / ours }')
    fi
  done
  printf '%s\n' "$line"
}

table() {
  printf '| what | ours, root | ours, unprivileged | buildah | podman |\n| --- | ---: | ---: | ---: | ---: |\n'
  row "start of the process (\`version\`), ms" start 2
  row "rebuild of 10 instructions, nothing changed, ms" noop 1
  row "one \`RUN\` more, ms" run 1
  row "\`COPY\` of $files files of 4 KiB, empty store, ms" copy 0
  row "the same again, nothing changed, ms" copy-again 1
  row "peak memory with a layer of $megabytes MiB, MiB" memory 0
}

if $smoke; then
  table
  bench/registry.sh --smoke "$lab/build"
  exit 0
fi
# By itself, so that nothing else is in memory or running.
registries=$(bench/registry.sh "$lab/build")

{
  cat <<PAGE
# Performance

Written by \`bench/run.sh\`; run it to get the figures of your own machine. Medians, all from one run. Times of other
programs are followed by their ratio to ours as root.

$(table)

Machine: $(nproc) processors ($(sed -n 's/^model name\s*: //p' /proc/cpuinfo | sort -u | head -n 1)), Linux $(uname -r), stores on $(stat -f -c %T "$lab").
Slipway $(git -C "$repository" rev-parse --short HEAD), $(buildah --version), $(podman --version); buildah and podman with
\`--isolation=$ISOLATION\`, as root, with their layer cache on.

## How it is measured

- *Start* runs the program without any work. The peers are asked for their version too.
- *Rebuild* repeats a build of FROM, ENV, WORKDIR, two COPY, three RUN, LABEL and CMD in a store that has it: $runs repetitions
  (10 for the peers).
- *One RUN more* is the difference between builds with $((steps + 1)) and 1 \`RUN :\` steps, with \`--no-cache\`, divided by $steps. It
  contains the sandbox, the shell, and keeping the result.
- *COPY of files* starts with a store directory that was never used; no repetition deletes anything.
- *Peak memory* is the largest resident set of any one process while a file of random bytes becomes a layer; ours is pushed
  to a registry too, the peers' is only stored.
PAGE
  printf '%s\n' "$registries"
} >docs/performance.md
table
