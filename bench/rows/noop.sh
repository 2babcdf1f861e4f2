# shellcheck shell=bash disable=SC2154
# A build that was done before, with a small context.
context noop <<DOCKERFILE
FROM $base
ENV A=b
WORKDIR /work
COPY a ./
RUN touch one
RUN touch two
COPY b ./
RUN cat a b > c
LABEL d=e
CMD ["cat", "c"]
DOCKERFILE
printf 'content\n' | tee "$lab/context/noop/a" >"$lab/context/noop/b"
warm noop image "$lab/context/noop"
row noop "rebuild of 10 instructions, nothing changed, ms" 1 "< 12 ms; 4× the best peer" "root<12 best>=4"
