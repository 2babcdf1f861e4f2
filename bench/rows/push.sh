# shellcheck shell=bash disable=SC2154
# Built and pushed to a registry on the loopback interface that has nothing of it; then once more.
for kind in random text; do
  large_file "$kind"
  prepare=forget_pushes bulky=true cold "push-$kind" push "$lab/context/$kind"
  row "push-$kind" "\`COPY\` of $megabytes MiB of $kind, pushed with gzip, ms" 0 "< 6 s; 2.5× the best peer" "root<6000 best>=2.5"
done
for who in "${whos[@]}"; do
  can "$who" push || continue
  store=$(fresh "$who")
  use "$who" "$store" || continue
  forget_pushes
  command=$(line "$who" push "$store" "$lab/context/random")
  repetitions=3 quick push-again "$who" "$command"
  if [ -s "$results/push-again.$who" ]; then
    : >"$lab/pushes.requests"
    timed push-again-uploads "$who" "$command"
    sleep 0.2
    grep -cE '"(PATCH|PUT|POST) /v2/[^ ]*/blobs/' "$lab/pushes.requests" >"$results/push-again-uploads.$who" || true
  fi
  leave
  rm -rf "$store"
done
row push-again "build and push again, nothing changed, ms" 1 "" ""
row push-again-uploads "uploads then" 0 "none" "root<1 user<1"
forget_pushes
