# SPDX-License-Identifier: Apache-2.0
# To be sourced: `need_device FIRN DEVICE` ends the script with 77 (meson: skipped) and a reason when
# this machine or build has no such device.
need_device() {
    case "$2" in
    vulkan:*) ;;
    *) return 0 ;;
    esac
    listed=$("$1" devices --json) || { echo "firn devices failed"; exit 1; }
    why=$(printf '%s\n' "$listed" | awk -v want="\"$2\"" '
        /"id":/ { here = index($0, want) > 0; found = found || here }
        here && /"unusable":/ { sub(/.*"unusable": "/, ""); sub(/",?$/, ""); print }
        END { if (!found) print "no such device" }')
    [ -z "$why" ] && return 0
    echo "skipped: $2: $why"
    exit 77
}
