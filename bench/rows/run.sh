# shellcheck shell=bash disable=SC2154
# What each of the additional RUN costs: builds of many and of one, the difference divided.
for count in 1 $((steps + 1)); do
  { printf 'FROM %s\n' "$base"; for n in $(seq "$count"); do printf 'RUN : %s\n' "$n"; done; } | context "run-$count"
done
repetitions=5 warm run-few image "$lab/context/run-1" --no-cache
repetitions=5 warm run-many image "$lab/context/run-$((steps + 1))" --no-cache
for who in "${whos[@]}"; do
  [ -s "$results/run-few.$who" ] && [ -s "$results/run-many.$who" ] || continue
  awk -v steps="$steps" 'NR == FNR { few = $1; next } { print ($1 - few) / steps }' \
    "$results/run-few.$who" "$results/run-many.$who" >"$results/run.$who"
  cp "$results/run-many.$who.memory" "$results/run.$who.memory"
done
row run "one \`RUN\` more, ms" 1 "< 5 ms as root, < 7 ms unprivileged; 10× the best peer" "root<5 user<7 best>=10"
