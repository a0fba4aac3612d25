#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh [--units] FIRN [--write FILE]: compiles every kernel for AMD devices that are not there, with Mesa's RADV, and checks registers,
# spills and matrix instructions (table.py); --write also writes the table of docs/isa.md.
# run.sh --root DIR [--write FILE]: the same in a Debian 13 of its own below DIR, made with debootstrap where it is missing (as
# root): for machines whose RADV does not know matrix units yet.
# Ends with 77 where this machine has no RADV.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
source_root=$(cd "$here/../.." && pwd)

firn=''
check=--check
root=''
write=''
while [ $# -gt 0 ]; do
    case "$1" in
    --units) check=--check-units ;; # a device with matrix units must be among them
    --root) root=$2; shift ;;
    --write) write=$2; shift ;;
    *) firn=$1 ;;
    esac
    shift
done

if [ -n "$root" ]; then
    mkdir -p "$root"
    root=$(cd "$root" && pwd)
    if [ ! -e "$root/made" ]; then
        debootstrap --variant=minbase trixie "$root/system"
        cp /etc/resolv.conf "$root/system/etc/"
        chroot "$root/system" apt-get install -y -q --no-install-recommends gcc libc6-dev libstdc++-14-dev meson ninja-build \
            pkg-config libvulkan-dev libvulkan-volk-dev libshaderc-dev glslc glslang-dev spirv-tools mesa-vulkan-drivers \
            libjansson-dev libyaml-dev libpcre2-dev libutf8proc-dev libopenblas-dev python3
        touch "$root/made"
    fi
    rm -rf "$root/system/firn"
    mkdir "$root/system/firn"
    # what is built is the working tree without its build folders
    (cd "$source_root" && git ls-files -z --cached --others --exclude-standard | grep -zv '^tests/golden' |
        tar -c --null -T - 2>/dev/null) | tar -x -C "$root/system/firn"
    chroot "$root/system" sh -ec 'cd /firn
        [ -f /build/build.ninja ] || meson setup /build -Dtests=false -Doptimization=0
        ninja -C /build firn
        XDG_CACHE_HOME=/tmp tests/isa/run.sh --units /build/firn --write /tmp/isa.md'
    [ -z "$write" ] || cp "$root/system/tmp/isa.md" "$write"
    exit 0
fi

driver=$(find /usr/share/vulkan/icd.d /usr/local/share/vulkan/icd.d -name 'radeon_icd*.json' 2>/dev/null | head -n 1)
[ -n "$driver" ] || { echo "skipped: no RADV on this machine (Debian: mesa-vulkan-drivers)"; exit 77; }
command -v python3 >/dev/null || { echo "skipped: no python3"; exit 77; }
unset FIRN_CAPS
export VK_DRIVER_FILES="$driver" VK_ICD_FILENAMES="$driver"
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0" # a driver keeps memory until the process ends
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# a device with matrix units, one without
read_family() {
    RADV_FORCE_FAMILY=$1 "$firn" conform --device vulkan:0 --pipelines --json >"$work/$1.json" 2>"$work/$1.err" && return
    rm "$work/$1.json"
    grep -q 'Unknown family' "$work/$1.err" && return
    cat "$work/$1.err"
    grep -q 'this build has no Vulkan' "$work/$1.err" && exit 77
    exit 1
}
read_family navi31
read_family navi21
set -- "$work"/*.json
[ -e "$1" ] || { echo "skipped: this RADV knows neither navi31 nor navi21"; exit 77; }
python3 "$here/table.py" "$check" "$@"
if [ -n "$write" ]; then
    python3 "$here/table.py" --write "$@" >"$write"
fi
