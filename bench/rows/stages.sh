# shellcheck shell=bash disable=SC2154
# Eight stages that need nothing of each other, and one that takes a file of each.

# shellcheck disable=SC2034 # who.sh and lib.sh read `jobs`, `under` and `prepare`.
# stages NAME BUSY WORK: the first BUSY stages do WORK.
stages() {
  local n
  {
    for n in $(seq 8); do
      printf 'FROM %s AS s%s\nRUN %s echo %s > /out\n' "$base" "$n" "$([ "$n" -gt "$2" ] || printf '%s;' "$3")" "$n"
    done
    printf 'FROM %s\n' "$base"
    for n in $(seq 8); do printf 'COPY --from=s%s /out /%s\n' "$n" "$n"; done
  } | context "$1"
}
loop="i=0; while [ \$i -lt $loops ]; do i=\$((i+1)); done"
stages sleeping 8 "sleep $pause"
stages critical 1 "sleep $pause"
stages counting 8 "$loop"

# reference NAME REFERENCE COMMAND: what ours takes for less, or in a row.
reference() {
  local round
  use root "$(warm_store root)"
  for round in $(seq "$runs"); do timed "$1" "$2" "$3"; done
  settle "$1"
}
store=$(warm_store root)
ours() { line root image "$store" "$lab/context/$1" --no-cache; }

# As many at once as there are stages.
jobs=8
repetitions=3 warm_runs=$runs warm stages-sleep image "$lab/context/sleeping" --no-cache
reference stages-sleep critical "$(ours critical)"
row stages-sleep "8 independent stages that sleep for $pause s, ms" 0 \
  "1.15 × one of them ($(printf %.0f "$(cat "$results/stages-sleep.critical")") ms)" "critical<=1.15"

# On two processors they share them; on one, none may lose by being beside others.
under='taskset -c 0'
reference stages-1 sequential "$(jobs=1 ours counting)"
repetitions=3 warm_runs=$runs warm stages-1 image "$lab/context/counting" --no-cache
under=''
leave
if [ "$(nproc)" -gt 1 ]; then
  awk '{ print $1 / 2 }' "$results/stages-1.sequential" >"$results/stages-2.critical"
  under='taskset -c 0,1'
  repetitions=3 warm_runs=$runs warm stages-2 image "$lab/context/counting" --no-cache
  under=''
  leave
  row stages-2 "8 independent stages that compute, two processors, ms" 0 \
    "1.15 × half of what they take one by one ($(printf %.0f "$(cat "$results/stages-2.critical")") ms)" "critical<=1.15"
fi
jobs=''
row stages-1 "8 independent stages that compute, one processor, ms" 0 \
  "not slower than one by one, within 3 % ($(printf %.0f "$(cat "$results/stages-1.sequential")") ms)" "sequential<=1.03"
