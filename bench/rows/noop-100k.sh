# shellcheck shell=bash disable=SC2154
# Podman is buildah's code, and reads them all as slowly.
printf 'FROM scratch\nCOPY tree /tree\n' | context many
tree "$lab/context/many/tree" "$many" 64
without_podman=true repetitions=3 warm noop-100k image "$lab/context/many"
row noop-100k "rebuild with a context of $many files, nothing changed, ms" 1 "< 150 ms" "root<150"
