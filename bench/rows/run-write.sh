# shellcheck shell=bash disable=SC2154
# A RUN that writes much: 8 MiB of random bytes, again and again, so that making them takes no time.
context run-write <<DOCKERFILE
FROM $base
RUN head -c 8388608 /dev/urandom > /tmp/part && for n in $(seq -s ' ' $((written / 8))); do cat /tmp/part; done > /big && rm /tmp/part
DOCKERFILE
bulky=true cold run-write image "$lab/context/run-write"
row run-write "\`RUN\` that writes $written MiB, ms" 0 "2× the best peer" "best>=2"
