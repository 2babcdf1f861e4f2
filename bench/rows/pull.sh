# shellcheck shell=bash disable=SC2154
# An image of ten layers: the base, and nine of this machine's own programs and libraries, about 12 MiB each.
count=9 each=$((megabytes * 12 / 1024 + 1))
{ printf 'FROM %s\n' "$base"; for n in $(seq "$count"); do printf 'COPY %s /usr/%s\n' "$n" "$n"; done; } | context layers
for n in $(seq "$count"); do mkdir "$lab/context/layers/$n"; done
find /usr/bin /usr/sbin /usr/lib -xdev -type f -size -3000k -readable -printf '%s %p\n' | sort -k 2 |
  awk -v count="$count" -v limit=$((each << 20)) '
    { for (tries = 0; tries < count; tries++) { n = n % count + 1; if (sum[n] + $1 < limit) { sum[n] += $1; print n, $2; break } } }' |
  while read -r n file; do cp --no-dereference "$file" "$lab/context/layers/$n/$(printf %s "$file" | tr / _)"; done
use root "$(fresh root)"
"$lab/build" -q --push -t "$bases/bench/layers:1" "$lab/context/layers" >/dev/null
printf 'FROM %s\nRUN :\n' "$bases/bench/layers:1" | context pull
cold pull image "$lab/context/pull"
row pull "pull of an image of 10 layers into an empty store, and a \`RUN\`, ms" 0 "2× the best peer" "best>=2"
