#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# conform.sh FIRN DEVICE [FLAG ...]: every kernel of every operation on the device; skipped where there is none.
set -u
. "$(dirname "$0")/../need_device.sh"
firn=$1 device=$2
shift 2
need_device "$firn" "$device"
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT
"$firn" conform --device "$device" --seed "${FIRN_SEED:-1}" "$@" >"$out" 2>&1
code=$?
grep -A 1 '^not ok' "$out"
tail -n 2 "$out"
# a walk over nothing is no success
if ! grep -q '^ok ' "$out"; then
    echo "no test ran"
    exit 1
fi
exit $code
