# shellcheck shell=bash disable=SC2034,SC2154
# Who builds, and with which command lines. Sourced by run.sh.

whos=(root user)
# What is measured beside them: the parts of the work alone.
references=(plain critical sequential)
notes=()
daemon=''
daemon_pids=()

# Debian's buildah and podman: with the runtime that users have, or in chroot where that does not run.
isolation=oci
containers=(--runtime=runc --network=host --tls-verify=false)

# docker: the client that can ask a daemon of its version for BuildKit; newer ones need a plugin for it.
docker_client() {
  local candidate
  for candidate in $(type -ap docker); do
    if DOCKER_BUILDKIT=1 DOCKER_CONFIG=$lab/home "$candidate" build --help 2>&1 | grep -q -- --secret; then
      printf '%s\n' "$candidate"
      return
    fi
  done
  return 1
}

# descend PID...: these and all their descendants.
descend() {
  local pid
  for pid; do
    printf '%s\n' "$pid"
    # shellcheck disable=SC2046
    descend $(cat "/proc/$pid/task/$pid/children" 2>/dev/null)
  done
}

# use WHO STORE: its commands work on that store from now on; starts its daemon there, when it has one.
use() {
  local who=$1 store=$2 log=$lab/$1.daemon.log
  case "$who" in root | user) export SLIPWAY_ROOT=$store; return ;; buildah | podman) return ;; esac
  [ "$daemon" != "$who $store ${under-}" ] || return 0
  leave
  local socket=$store/s
  # shellcheck disable=SC2086
  case "$who" in
    docker)
      ${under-} dockerd --data-root "$store/data" --exec-root "$store/exec" --host "unix://$socket" \
        --pidfile "$store/pid" --iptables=false --ip6tables=false --bridge=none --ip-forward=false >"$log" 2>&1 &
      export DOCKER_HOST=unix://$socket ;;
    buildkit)
      printf '[registry."%s"]\nhttp = true\n' "$bases" "$pushes" >"$lab/buildkit.toml"
      ${under-} buildkitd --root "$store/data" --addr "unix://$socket" --config "$lab/buildkit.toml" >"$log" 2>&1 &
      export BUILDKIT_HOST=unix://$socket ;;
  esac
  daemon_pids=($!)
  daemon="$who $store ${under-}"
  for _ in $(seq 300); do
    case "$who" in
      docker) ! "$docker" version >/dev/null 2>&1 || return 0 ;;
      buildkit) ! buildctl debug workers >/dev/null 2>&1 || return 0 ;;
    esac
    kill -0 "${daemon_pids[0]}" 2>/dev/null || break
    sleep 0.1
  done
  return 1
}

# leave: ends the daemon.
leave() {
  [ ${#daemon_pids[@]} -gt 0 ] || return 0
  local all pid
  all=$(descend "${daemon_pids[@]}")
  kill "${daemon_pids[0]}" 2>/dev/null || true
  wait "${daemon_pids[0]}" 2>/dev/null || true
  # shellcheck disable=SC2086
  kill $all 2>/dev/null || true
  for pid in $all; do
    for _ in $(seq 50); do [ -e "/proc/$pid" ] || break; sleep 0.1; done
  done
  daemon='' daemon_pids=()
}

# reset_peak WHO, peak_of WHO: the largest resident set of a daemon's processes, in KiB; 0 for those without.
reset_peak() {
  [ "${daemon%% *}" = "$1" ] || return 0
  local pid
  for pid in $(descend "${daemon_pids[@]}"); do echo 5 >"/proc/$pid/clear_refs" 2>/dev/null || true; done
}
peak_of() {
  local pid
  {
    echo 0
    if [ "${daemon%% *}" = "$1" ]; then
      for pid in $(descend "${daemon_pids[@]}"); do awk '/^VmHWM:/ { print $2 }' "/proc/$pid/status" 2>/dev/null || true; done
    fi
  } | sort -n | tail -n 1
}

# can WHO VERB: whether it has such a thing at all. Podman builds with buildah's code, so where one run takes many
# seconds it is left out ($without_podman). Docker's own BuildKit writes no OCI archives.
can() {
  # The smoke test is about our side of each row, and the harness.
  if $smoke && ! is_ours "$1" && [ "$name" != noop ] && { [ "$1" != buildah ] || [[ "$name" == stages* ]]; }; then return 1; fi
  case "$1.$2" in
    podman.archive | podman.push | docker.archive) return 1 ;;
    podman.*) [ -z "${without_podman-}" ] ;;
    *) return 0 ;;
  esac
}

# line WHO VERB STORE CONTEXT FLAG...: the command line that builds an image in the store (`image`), writes an OCI archive
# with gzip (`archive`), or pushes to the registry for that (`push`). $jobs is how many steps may run at once.
line() {
  local who=$1 verb=$2 store=$3 context=$4 tool name=bench:1 to=$out/$1.tar remote=$pushes/$1/bench:1 pre=${under-}
  shift 4
  case "$who" in
    root | user)
      local flags="${jobs:+--parallelism=$jobs} $*"
      case "$verb" in
        image) printf '%s\n' "$pre $lab/build -q -t $name $flags $context" ;;
        archive) printf '%s\n' "$pre $lab/build -q -o type=oci,dest=$to $flags $context" ;;
        push) printf '%s\n' "$pre $lab/build -q --push -t $remote $flags $context" ;;
      esac ;;
    buildah | podman)
      tool="$pre $who --root $store/root --runroot $store/run"
      local flags="${jobs:+--jobs=$jobs} $*" build=bud
      if [ "$who" = podman ]; then build=build tool+=" --cgroup-manager=cgroupfs"; fi
      build="$tool $build --quiet --layers --isolation=$isolation ${containers[*]} -t $name $flags $context"
      case "$verb" in
        image) printf '%s\n' "$build" ;;
        archive) printf '%s\n' "$build && $tool push --quiet $name oci-archive:$to" ;;
        push) printf '%s\n' "$build && $tool push --quiet --tls-verify=false $name docker://$remote" ;;
      esac ;;
    docker)
      build="$docker build --quiet --network=host"
      case "$verb" in
        image) printf '%s\n' "$build -t $name $* $context" ;;
        push) printf '%s\n' "$build -t $remote $* $context && $docker push --quiet $remote" ;;
      esac ;;
    buildkit)
      build="buildctl build --progress=plain --frontend=dockerfile.v0 --local=context=$context --local=dockerfile=$context $*"
      case "$verb" in
        image) printf '%s\n' "$build --output=type=image,name=$name" ;;
        archive) printf '%s\n' "$build --output=type=oci,dest=$to" ;;
        push) printf '%s\n' "$build --output=type=image,name=$remote,push=true" ;;
      esac ;;
  esac
}

# version WHO: for the page.
version() {
  case "$1" in
    docker) printf 'Docker %s with its BuildKit' "$(dockerd --version | sed 's/^Docker version \([^,]*\).*/\1/')" ;;
    buildkit) buildkitd --version ;;
    *) "$1" --version | sed 's/ (.*//' ;;
  esac
}

# find_peers: tries each on a small build, and adds those that work.
find_peers() {
  local who store try=$lab/context/try
  mkdir "$try"
  printf 'FROM %s\nRUN :\n' "$base" >"$try/Dockerfile"
  export DOCKER_BUILDKIT=1 DOCKER_CONFIG=$lab/home
  for who in buildah podman docker buildkit; do
    local log=$results/try.$who.log
    case "$who" in
      docker)
        command -v dockerd >/dev/null || { notes+=("docker is not installed here."); continue; }
        docker=$(docker_client) || { notes+=("No docker client here can ask its daemon for BuildKit."); continue; } ;;
      buildkit) command -v buildkitd >/dev/null && command -v buildctl >/dev/null || continue ;;
      *) command -v "$who" >/dev/null || { notes+=("$who is not installed here."); continue; } ;;
    esac
    store=$(warm_store "$who")
    if ! use "$who" "$store"; then
      notes+=("$who did not start: $(tail -n 1 "$lab/$who.daemon.log" | cut -c 1-300)")
    elif sh -c "$(line "$who" image "$store" "$try")" >"$log" 2>&1; then
      whos+=("$who")
    elif [ "$who" = buildah ] && isolation=chroot && sh -c "$(line "$who" image "$store" "$try")" >"$log" 2>&1; then
      whos+=("$who")
    else
      notes+=("$who does not build here: $(tail -n 1 "$log" | cut -c 1-300)")
    fi
  done
  leave
}
