# shellcheck shell=bash disable=SC2154
# A large file to an image in the store, beside what cannot be done without: hash it, and copy it.
large_file random
bulky=true cold big image "$lab/context/random"
for _ in $(seq "$runs"); do
  rm -f "$out/copy"
  sync -f "$lab"
  timed big plain "sha256sum $lab/context/random/blob && cp $lab/context/random/blob $out/copy"
done
settle big
rm -f "$out/copy"
row big "\`COPY\` of a file of $megabytes MiB to an image in the store, ms" 0 \
  "1.3 × \`sha256sum\` and \`cp\` ($(printf %.0f "$(cat "$results/big.plain")") ms)" "plain<=1.3"
