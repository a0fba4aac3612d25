#!/bin/sh
# Installs what firn needs from the distribution, builds it and runs every test; the last line is
# `N passed, N failed`. With --build it stops after building and leaves the program at build/firn.
set -eu
cd "$(dirname "$0")/.."

only_build=false
case "${1:-}" in
--build) only_build=true ;;
'') ;;
*)
    echo "usage: tests/run.sh [--build]" >&2
    exit 2
    ;;
esac

needed='gcc libc6-dev meson ninja-build pkg-config libjansson-dev libyaml-dev libpcre2-dev
libutf8proc-dev libopenblas-dev libvulkan-dev libvulkan-volk-dev libshaderc-dev glslang-dev
spirv-tools libstdc++-12-dev glslc mesa-vulkan-drivers'
$only_build || needed="$needed libcmocka-dev vulkan-validationlayers g++"

missing=''
for package in $needed; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
if [ -n "$missing" ]; then
    as_root=''
    [ "$(id -u)" = 0 ] || as_root='sudo'
    $as_root apt-get update -q
    # a package that this release does not have is left out: the build says what it does without it
    wanted=''
    for package in $missing; do
        if apt-cache show "$package" >/dev/null 2>&1; then
            wanted="$wanted $package"
        else
            echo "note: this distribution has no package $package"
        fi
    done
    # shellcheck disable=SC2086
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $wanted
fi

tests=true
$only_build && tests=false
if [ -f build/build.ninja ]; then
    $only_build || meson configure build -Dtests=true
else
    meson setup build -Dtests=$tests
fi
ninja -C build
$only_build && exit 0

status=0
meson test -C build --print-errorlogs --timeout-multiplier 4 || status=$?
# meson's log has a line a test; a test that could not start counts as failed
passed=$(grep -c '"result": "OK"' build/meson-logs/testlog.json || true)
skipped=$(grep -c '"result": "SKIP"' build/meson-logs/testlog.json || true)
total=$(wc -l <build/meson-logs/testlog.json)
failed=$((total - passed - skipped))
[ "$skipped" = 0 ] || echo "skipped: $skipped (see build/meson-logs/testlog.txt for why)"
[ "$status" = 0 ] || [ "$failed" -gt 0 ] || failed=1
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
