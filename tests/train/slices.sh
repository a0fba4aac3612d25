#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# slices.sh FIRN CASE: a run whose work is cut into small pieces (for watchdogs) ends with the same bits in more dispatches.
set -u
firn=$1 case=$2
. "$(dirname "$0")/../need_device.sh"
need_device "$firn" vulkan:0
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
run() {
    FIRN_CAPS=$1 "$firn" replay "$case" --device vulkan:0 --dump "$work/$2" >/dev/null || { echo "FAILED: replay with $1"; exit 1; }
}
run slice=1000G whole
run slice=20K cut
cmp "$work/whole" "$work/cut" || { echo "FAILED: the bits differ"; exit 1; }
run watchdog=1 watched
cmp "$work/whole" "$work/watched" || { echo "FAILED: the bits differ with a watchdog of a millisecond"; exit 1; }
count() {
    FIRN_CAPS=$1 "$firn" bench train --device vulkan:0 --model "$case/../../models/llama/config.json" --batch 4 --length 32 --seconds 0 --repeat 3 \
        --no-peaks --json | sed -n 's/.*"dispatches": \([0-9]*\).*/\1/p'
}
whole=$(count slice=1000G) cut=$(count slice=20K)
[ "$cut" -gt $((whole + 20)) ] || { echo "FAILED: $whole dispatches whole, $cut cut"; exit 1; }
echo "$whole dispatches whole, $cut cut"
