# SPDX-License-Identifier: Apache-2.0
# Read by each script here: its words FIRN GOLDEN [DEVICE] as $firn, $golden, $device, an empty directory to work in that
# goes when the script ends, and a count of what went wrong. Leaves with code 77, "skipped", where the device is missing.
# shellcheck shell=sh disable=SC2034
set -u
firn=$(realpath "$1") golden=$(realpath "$2") device=${3:-cpu}
. "$(dirname "$(realpath "$0")")/../need_device.sh"
need_device "$firn" "$device"
work=$(mktemp -d) || exit 1
other='' # a process to end with the script
clean() {
    if [ -n "$other" ]; then kill -9 $other 2>/dev/null; fi
    chmod -R u+w "$work"
    rm -rf "$work"
}
trap clean EXIT
cd "$work" || exit 1
unset FIRN_DEVICE FIRN_CAPS
failed=0
wrong() {
    echo "FAILED: $*"
    failed=$((failed + 1))
}
fail() {
    echo "FAILED: $*"
    exit 1
}
