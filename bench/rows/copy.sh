# shellcheck shell=bash disable=SC2154
many_files
cold copy image "$lab/context/files"
row copy "\`COPY\` of $files files of 4 KiB, empty store, ms" 0 "2.5× the best peer" "best>=2.5"
