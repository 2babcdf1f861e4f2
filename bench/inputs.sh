# shellcheck shell=bash disable=SC2034,SC2154
# Base image, registries and contexts. Sourced by run.sh; large inputs are made by the rows that need them.

registry bases
bases=$address
registry pushes
pushes=$address
testdata/bases/make.sh "${SLIPWAY_TEST_BASES:-target/bases}" busybox
base=$bases/bases/busybox
skopeo copy --quiet --insecure-policy --dest-tls-verify=false \
  "dir:${SLIPWAY_TEST_BASES:-target/bases}/busybox" "docker://$base:latest"
find_peers

# context NAME: makes a directory, and its Dockerfile of standard input.
context() {
  mkdir -p "$lab/context/$1"
  cat >"$lab/context/$1/Dockerfile"
}

# tree DIRECTORY FILES BYTES: files of random bytes, all different, 100 to a directory.
tree() {
  perl -e '
    my ($root, $files, $bytes) = @ARGV;
    mkdir $root;
    srand 1;
    for my $n (0 .. $files - 1) {
      my $directory = "$root/" . int($n / 100);
      mkdir $directory if $n % 100 == 0;
      open my $file, ">", "$directory/f$n" or die "$directory/f$n: $!";
      print $file pack "N*", map { int rand 2**32 } 1 .. $bytes / 4;
    }' "$@"
}

# text MEGABYTES: the sources of this project, again and again: a few MiB, which is more than gzip looks back.
text() {
  git ls-files -z '*.rs' '*.md' | xargs -0 cat | perl -e '
    local $/;
    my ($text, $left) = (<STDIN>, $ARGV[0] << 20);
    while ($left > 0) { print substr $text, 0, $left; $left -= length $text }' "$1"
}

# many_files: the context of the rows about many files.
many_files() {
  [ ! -d "$lab/context/files" ] || return 0
  printf 'FROM scratch\nCOPY tree /tree\n' | context files
  tree "$lab/context/files/tree" "$files" 4096
}

# large_file KIND: a context with one file: `random` or `text`.
large_file() {
  [ ! -d "$lab/context/$1" ] || return 0
  printf 'FROM scratch\nCOPY blob /blob\n' | context "$1"
  case "$1" in
    random) head -c $((megabytes << 20)) /dev/urandom >"$lab/context/$1/blob" ;;
    text) text "$megabytes" >"$lab/context/$1/blob" ;;
  esac
}

# forget_pushes: the registry for pushes has nothing.
forget_pushes() { rm -rf "$lab/pushes/docker"; }
