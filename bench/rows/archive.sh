# shellcheck shell=bash disable=SC2154
for kind in random text; do
  large_file "$kind"
  bulky=true cold "archive-$kind" archive "$lab/context/$kind"
  row "archive-$kind" "\`COPY\` of $megabytes MiB of $kind to an OCI archive with gzip, ms" 0 "< 6 s; 2.5× the best peer" \
    "root<6000 best>=2.5"
  row "archive-$kind-size" "size of that archive, MiB" 0 "" ""
done
