# shellcheck shell=bash disable=SC2154
# The program without any work.
quick start root "$lab/build version"
quick start user "$lab/build version"
for who in "${whos[@]}"; do
  case "$who" in
    buildah | podman) quick start "$who" "$who --version" ;;
    docker) quick start "$who" "$docker --version" ;;
    buildkit) quick start "$who" "buildctl --version" ;;
  esac
done
row start "start of the process (\`version\`), ms" 2 "" ""
