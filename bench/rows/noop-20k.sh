# shellcheck shell=bash disable=SC2154
many_files
repetitions=5 warm noop-20k image "$lab/context/files"
row noop-20k "rebuild with a context of $files files of 4 KiB, nothing changed, ms" 1 "" ""
