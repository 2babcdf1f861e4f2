# shellcheck shell=bash disable=SC2154
# One file of many is another one each time; and what the store grew by the last time.
many_files
changed=$lab/context/files/tree/7/f777
[ -f "$changed" ] || changed=$lab/context/files/tree/0/f7
for who in "${whos[@]}"; do
  can "$who" image || continue
  store=$(warm_store "$who")
  use "$who" "$store" || continue
  command=$(line "$who" image "$store" "$lab/context/files")
  timed copy-one "$who" "$command"
  rm -f "$results/copy-one.$who".{times,used}
  for round in $(seq "$runs"); do
    takes_part copy-one "$who" "$round" || continue
    printf '%s %s %s' "$who" "$round" "$RANDOM" >"$changed"
    sync -f "$lab"
    before=$(du -sk "$store" | cut -f 1)
    timed copy-one "$who" "$command"
    after=$(du -sk "$store" | cut -f 1)
    awk -v kib=$((after - before)) 'BEGIN { print kib / 1024 }' >"$results/copy-one-growth.$who"
  done
done
settle copy-one
row copy-one "\`COPY\` of $files files of which one changed, ms" 0 "2.5× the best peer" "best>=2.5"
limit=$((files / 2500 + 1))
row copy-one-growth "what the store grew by then, MiB" 1 "nothing copied twice: < $limit MiB" "root<$limit user<$limit"
