# shellcheck shell=bash disable=SC2154,SC2016
# The tables, the chart and the page. Sourced by run.sh.

# row NAME TITLE DIGITS TARGET CHECKS: a row of the tables. CHECKS, all of which must hold, are `root<N` and `user<N`; `best>=N`,
# how many times as long as ours, as root, the fastest peer takes; and `plain<=N` or another of the references, how
# many times as long as that ours takes.
row() { printf '%s\t%s\t%s\t%s\t%s\n' "$@" >>"$lab/rows"; }

value() { cat "$results/$1.$2" 2>/dev/null || true; }

# holds EXPRESSION: of numbers.
holds() { awk "BEGIN { exit !($1) }"; }

# best NAME: the fastest peer's value.
best() {
  local who
  for who in "${whos[@]:2}"; do value "$1" "$who"; done | sort -n | head -n 1
}

# verdict NAME CHECKS: whether its target is met, and by what; empty for rows without one.
verdict() {
  local name=$1 check who limit of ours ratio met=yes said=()
  ours=$(value "$name" root)
  for check in $2; do
    who=${check%%[<>]*} limit=${check##*[<>=]}
    case "$who" in
      root | user)
        of=$(value "$name" "$who")
        holds "$of < $limit" || { met=no; said+=("$who is not below $limit"); } ;;
      best)
        of=$(best "$name")
        [ -n "$of" ] || { [ "$2" != "$check" ] || met=–; said+=("no peer"); continue; }
        ratio=$(awk "BEGIN { r = $of / $ours; printf r < 10 ? \"%.2f\" : \"%.0f\", r }")
        holds "$of / $ours >= $limit" || met=no
        said+=("$ratio ×") ;;
      *)
        of=$(value "$name" "$who")
        holds "$ours / $of <= $limit" || met=no
        said+=("$(awk "BEGIN { printf \"%.2f\", $ours / $of }") ×") ;;
    esac
  done
  [ -z "$2" ] || printf '%s%s' "$met" "$(printf ', %s' "${said[@]}" | sed 's/^, $//')"
}

heading() {
  local who line='| what |' rule='| --- |'
  for who in "${whos[@]}"; do
    case "$who" in root) line+=' ours, root |' ;; user) line+=' ours, unprivileged |' ;; *) line+=" $who |" ;; esac
    rule+=' ---: |'
  done
  printf '%s%s\n%s%s\n' "$line" "$1" "$rule" "$2"
}

# cells NAME SUFFIX DIGITS: the values of everybody, those of others with their ratio to ours as root.
cells() {
  local who of ours line=''
  ours=$(value "$1" "root$2")
  for who in "${whos[@]}"; do
    of=$(value "$1" "$who$2")
    if [ -z "$of" ]; then line+=' – |'
    elif is_ours "$who" || holds "$ours <= 0"; then line+=$(printf ' %.*f |' "$3" "$of")
    else line+=$(awk -v v="$of" -v ours="$ours" -v d="$3" 'BEGIN { printf " %.*f (%.1f×) |", d, v, v / ours }')
    fi
  done
  printf '%s' "$line"
}

# The tables of times and of memory. Only the processes that work have memory, not what is derived from them.
table() {
  local name title digits target checks
  heading ' target | met |' ' --- | --- |'
  while IFS=$'\t' read -r name title digits target checks; do
    printf '| %s |%s %s | %s |\n' "$title" "$(cells "$name" '' "$digits")" "$target" "$(verdict "$name" "$checks")"
  done <"$lab/rows"
  printf '\nPeak memory of the largest process, MiB; the target is < 64 MiB for ours:\n\n'
  heading ' met |' ' --- |'
  while IFS=$'\t' read -r name title digits target checks; do
    [ -s "$results/$name.root.memory" ] || continue
    local met=yes who
    for who in root user; do
      [ ! -s "$results/$name.$who.memory" ] || holds "$(value "$name" "$who.memory") < 64" || met=no
    done
    printf '| %s |%s %s |\n' "${title%, ms}" "$(cells "$name" .memory 0)" "$met"
  done <"$lab/rows"
}

# missed: the rows whose target is not met, each with where the time goes: what was measured, and what is known of it.
missed() {
  local name title digits target checks
  while IFS=$'\t' read -r name title digits target checks; do
    [[ "$(verdict "$name" "$checks")" == no* ]] || continue
    printf -- '- **%s**' "${title%, ms}"
    if [ -s "$results/$name.root.used" ]; then
      awk -v wall="$(value "$name" root)" '{ user += $2; kernel += $3 }
        END { printf ": %.2f s, of processors %.2f s in the program and %.2f s in the kernel", wall / 1000, user / NR, kernel / NR }' \
        "$results/$name.root.used"
    fi
    printf '.%s\n' "$([ ! -e "$here/notes/$name.md" ] || printf ' %s' "$(cat "$here/notes/$name.md")")"
  done <"$lab/rows"
}

# absent: who did not take part, and in what.
absent() {
  local note file name
  for note in "${notes[@]}"; do printf -- '- %s\n' "$note"; done
  for file in "$results"/*.why; do
    [ -e "$file" ] || continue
    name=$(basename "$file" .why)
    printf -- '- %s failed in `%s`: %s\n' "${name##*.}" "${name%.*}" "$(cut -c 1-300 "$file")"
  done
  [ -n "${docker-}" ] && printf -- '- Docker'\''s own BuildKit writes no OCI archives.\n'
  printf -- '- Podman builds with buildah'\''s code, and is left out where one run takes many seconds.\n'
}

# chart: how many times as long as ours the others take, as SVG.
chart() {
  local name title digits target checks who ours of line
  while IFS=$'\t' read -r name title digits target checks; do
    ours=$(value "$name" root)
    [ -n "$(best "$name")" ] && holds "$ours > 0" && [[ "$title" == *", ms" ]] || continue
    line=${title%, ms}
    for who in "${whos[@]:2}"; do
      of=$(value "$name" "$who")
      line+=$'\t'$([ -z "$of" ] || awk "BEGIN { printf \"%.2f\", $of / $ours }")
    done
    printf '%s\n' "$line"
  done <"$lab/rows" | awk -v names="${whos[*]:2}" -f "$here/chart.awk"
}

page() {
  local versions who
  versions=$(for who in "${whos[@]:2}"; do version "$who"; done | paste -sd , | sed 's/,/, /g')
  cat <<PAGE
# Performance

Written by \`bench/run.sh\`; run it to get the figures of your own machine. Medians, all from one run. Figures of other
programs are followed by their ratio to ours as root.

![How many times as long others take](performance.svg)

$(table)

Machine: $(nproc) processors ($(sed -n 's/^model name\s*: //p' /proc/cpuinfo | sort -u | head -n 1)), Linux $(uname -r), stores on $(stat -f -c %T "$lab").
Slipway $(git rev-parse --short HEAD), $versions; buildah and podman with \`--isolation=$isolation\`. All others run as
root, with their cache on.

## Where the time goes

$(missed | grep . || echo 'All targets are met.')

## Who did not take part

$(absent)

## How it is measured

- *Start* runs the program without any work. The peers are asked for their version too.
- *Rebuild* repeats a build of FROM, ENV, WORKDIR, two COPY, three RUN, LABEL and CMD in a store that has it: $warm_runs repetitions
  for ours, $peer_runs for the others; 3 to 5 for the others with many files. Docker's daemon keeps running.
- *One RUN more* is the difference between builds with $((steps + 1)) and 1 \`RUN :\` steps, with \`--no-cache\`, divided by $steps. It
  contains the sandbox, the shell, and keeping the result.
- Rows about many files and large ones, pulls and \`RUN\` that writes: $runs repetitions, 3 of programs that take more than 20 s,
  all programs in turn, each in a store that was never used (Docker: a daemon that was just started on one). \`sync\` before each.
- *Text* is the sources of Slipway, again and again; random bytes cannot be made smaller. Compression is gzip at everybody's default level
  (4 for ours); the sizes are in the table.
- *Stages*: the builders may run all eight at once (\`--jobs=8\`, \`--parallelism=8\`), with \`--no-cache\`.
  "One of them" is the same build with work in one of the stages only.
- *Peak memory* is the largest resident set of any one process, of Docker's daemons too.
PAGE
  printf '%s\n' "$1"
}
