# shellcheck shell=bash disable=SC2034,SC2154
# The laboratory, and how time and memory are measured in it. Sourced by run.sh.

[ "$(id -u)" = 0 ] || { printf 'bench: must run as root\n' >&2; exit 1; }
packages=(buildah busybox-static docker-registry hyperfine jq podman runc skopeo time)
# The smoke test does without: a daemon takes long to install and to start.
$smoke || command -v dockerd >/dev/null || packages+=(docker.io)
missing=()
for package in "${packages[@]}"; do dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package"); done
if [ ${#missing[@]} -gt 0 ]; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
user=${SLIPWAY_TEST_USER:-slipway-test}
id "$user" >/dev/null 2>&1 || { printf 'bench: there is no user %s; test.sh makes it\n' "$user" >&2; exit 1; }

if $smoke; then runs=1 warm_runs=2 peer_runs=1 warmup=0; else runs=5 warm_runs=30 peer_runs=7 warmup=2; fi
if $small; then
  steps=2 files=400 many=1000 megabytes=16 written=16 loops=5000 pause=0.2
else
  steps=10 files=20000 many=100000 megabytes=1024 written=512 loops=150000 pause=1
fi

[ -z "$repeated" ] || runs=$repeated warm_runs=$repeated peer_runs=$repeated
if [ -z "$program" ]; then
  cargo build --release --locked --quiet --package builder --bin slipway
  program=${CARGO_TARGET_DIR:-target}/release/slipway
fi
# Contexts of 2 GiB, one large store at a time with what is written out of it, and many small ones.
needed=12
[ ${#only[@]} = 0 ] || needed=8
! $small || needed=2
if [ "$(df --output=avail --block-size=1G /var/tmp | tail -n 1)" -lt "$needed" ]; then
  printf 'bench: /var/tmp must have room for %s GiB\n' "$needed" >&2
  exit 1
fi
# Short names: podman refuses a --runroot of more than 50 bytes.
lab=$(mktemp -d /var/tmp/bench-XXXXXX)
registry_pids=()
finish() {
  status=$?
  leave || true
  for pid in "${registry_pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  # What podman and buildah keep mounted.
  awk -v lab="$lab/" 'index($5, lab) == 1 { print $5 }' /proc/self/mountinfo | sort -r | xargs -r umount -l 2>/dev/null || true
  rm -rf "$lab"
  exit "$status"
}
trap finish EXIT
chmod 755 "$lab"
results=$lab/results
out=$lab/out
mkdir "$lab/stores" "$lab/context" "$lab/home" "$lab/tmp" "$results" "$out"
chmod 1777 "$lab/stores" "$results" "$out" "$lab/tmp"
chown "$user:" "$lab/home"
echo '{}' >"$lab/home/config.json"
install -m 755 "$program" "$lab/build"
export TMPDIR=$lab/tmp

progress() { printf 'bench: %s after %d s\n' "$1" $((SECONDS - begin)) >&2; }

# registry NAME: starts a registry; its address is in $address, its files and log of requests are in $lab/NAME.
registry() {
  local port=
  for _ in $(seq 50); do
    port=$((20000 + RANDOM % 10000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
  done
  address=127.0.0.1:$port
  cat >"$lab/$1.yml" <<YML
version: 0.1
log: {level: error, accesslog: {disabled: false}}
storage: {filesystem: {rootdirectory: $lab/$1}}
http: {addr: "$address", secret: bench}
YML
  docker-registry serve "$lab/$1.yml" >"$lab/$1.requests" 2>"$lab/$1.log" &
  registry_pids+=($!)
  for _ in $(seq 100); do
    ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || return 0
    sleep 0.05
  done
  printf 'bench: docker-registry does not start:\n' >&2
  tail -n 5 "$lab/$1.log" >&2
  exit 1
}

as_user() {
  setpriv --reuid="$(id -u "$user")" --regid="$(id -g "$user")" --init-groups \
    env -i HOME="$lab/home" PATH="$PATH" TMPDIR="$TMPDIR" SLIPWAY_ROOT="${SLIPWAY_ROOT-}" "$@"
}

is_ours() { [ "$1" = root ] || [ "$1" = user ]; }

# failed NAME WHO: what is ours must work. Of others the page gives the reason, and they are not asked again.
failed() {
  local why
  why=$(grep -v '^[[:space:]]*$' "$results/$1.$2.log" | tail -n 1 || true)
  printf 'bench: %s by %s does not work here: %s\n' "$1" "$2" "$why" >&2
  if is_ours "$2"; then tail -n 20 "$results/$1.$2.log" >&2; exit 1; fi
  printf '%s\n' "${why:-it says nothing}" >"$results/$1.$2.why"
}

# timed NAME WHO COMMAND: one run. Adds milliseconds to results/NAME.WHO.times and KiB, user and system seconds to .used.
timed() {
  local name=$1 who=$2 command=$3 run=() from to peak
  [ "$who" != user ] || run=(as_user)
  reset_peak "$who"
  from=${EPOCHREALTIME/./}
  if ! "${run[@]}" /usr/bin/time --quiet --format='%M %U %S' --output="$results/last.$who" \
    sh -c "$command" >"$results/$name.$who.log" 2>&1; then
    failed "$name" "$who"
    return 0
  fi
  to=${EPOCHREALTIME/./}
  awk -v us=$((to - from)) 'BEGIN { printf "%.3f\n", us / 1000 }' >>"$results/$name.$who.times"
  peak=$(peak_of "$who")
  awk -v peak="$peak" '{ print ($1 > peak ? $1 : peak), $2, $3 }' "$results/last.$who" >>"$results/$name.$who.used"
}

# takes_part NAME WHO ROUND: whether it is still to be run: not after it failed, and others that take more than 20 s
# three times are enough.
takes_part() {
  [ ! -e "$results/$1.$2.why" ] || return 1
  if is_ours "$2" || [ "$3" -le 3 ]; then return 0; fi
  awk '$1 > 20000 { slow = 1 } END { exit slow }' "$results/$1.$2.times"
}

# settle NAME: the median and the largest peak of what `timed` measured, in results/NAME.WHO and .memory (MiB).
settle() {
  local who
  for who in "${whos[@]}" "${references[@]}"; do
    [ -s "$results/$1.$who.times" ] && [ ! -e "$results/$1.$who.why" ] || continue
    sort -n "$results/$1.$who.times" |
      awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }' >"$results/$1.$who"
    awk '$1 > most { most = $1 } END { print most / 1024 }' "$results/$1.$who.used" >"$results/$1.$who.memory"
  done
}

# fresh WHO: a directory that was never used as its store.
fresh() {
  local store
  store=$(mktemp -d "$lab/stores/XXXXXX")
  [ "$1" != user ] || chown "$user:" "$store"
  printf '%s\n' "$store"
}

# warm_store WHO: the store in which it keeps what it built.
warm_store() {
  local store=$lab/stores/$1
  if [ ! -d "$store" ]; then
    mkdir "$store"
    [ "$1" != user ] || chown "$user:" "$store"
  fi
  printf '%s\n' "$store"
}

# cold NAME VERB CONTEXT FLAG...: in a store that was never used, all programs in turn. $prepare runs before each;
# with $bulky the store is deleted after it.
cold() {
  local name=$1 verb=$2 context=$3 round who store
  shift 3
  for round in $(seq "$runs"); do
    for who in "${whos[@]}"; do
      takes_part "$name" "$who" "$round" && can "$who" "$verb" || continue
      store=$(fresh "$who")
      use "$who" "$store" || continue
      rm -f "$out/"*
      ${prepare-}
      # What others have written is not written while this one is measured.
      sync -f "$lab"
      timed "$name" "$who" "$(line "$who" "$verb" "$store" "$context" "$@")"
      if [ -f "$out/$who.tar" ]; then
        stat --format=%s "$out/$who.tar" | awk '{ print $1 / 1048576 }' >"$results/$name-size.$who"
      fi
      if [ -n "${bulky-}" ]; then leave; rm -rf "$store"; fi
    done
  done
  rm -f "$out/"*
  settle "$name"
}

# warm NAME VERB CONTEXT FLAG...: again in the store that has it, with hyperfine; nothing but the program is measured.
warm() {
  local name=$1 verb=$2 context=$3 who store
  shift 3
  for who in "${whos[@]}"; do
    can "$who" "$verb" || continue
    store=$(warm_store "$who")
    use "$who" "$store" || continue
    quick "$name" "$who" "$(line "$who" "$verb" "$store" "$context" "$@")"
  done
}

# quick NAME WHO COMMAND: the median of many runs, by hyperfine, and the peak of one more.
quick() {
  local name=$1 who=$2 command=$3 run=() round count=${repetitions:-$peer_runs}
  [ "$who" != user ] || run=(as_user)
  ! is_ours "$who" || count=$warm_runs
  [ -z "$repeated" ] || count=$repeated
  ! $smoke || count=1
  # The first may do all the work.
  timed "$name" "$who" "$command"
  [ ! -e "$results/$name.$who.why" ] || return 0
  rm -f "$results/$name.$who".{times,used}
  timed "$name" "$who" "$command"
  # What takes long needs no hyperfine.
  if [ "$count" = 1 ] || awk '$1 < 1000 { exit 1 }' "$results/$name.$who.times"; then
    for ((round = 2; round <= count; round++)); do
      ! takes_part "$name" "$who" "$round" || timed "$name" "$who" "$command"
    done
    settle "$name"
    return 0
  fi
  settle "$name"
  [ "$command" = "${command/ && /}" ] || command="sh -c '$command'"
  if ! "${run[@]}" hyperfine --style=none --shell=none --warmup "$warmup" --runs "$count" \
    --export-json "$results/$name.$who.json" "$command" >"$results/$name.$who.log" 2>&1; then
    failed "$name" "$who"
    return 0
  fi
  jq -r '.results[0].median * 1000' "$results/$name.$who.json" >"$results/$name.$who"
}
