#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# bindings.sh FIRN CASES CASE LIMIT: a recorded run agrees on a device that binds few bytes at once (FIRN_CAPS=maxbuf=LIMIT), where
# tables, gradients, moments and activations are larger than that. Fewer still are an error.
set -u
firn=$1 cases=$2 case=$3 limit=$4
. "$(dirname "$0")/../need_device.sh"
need_device "$firn" vulkan:0
FIRN_CAPS=maxbuf=$limit "$firn" replay "$cases/$case" --device vulkan:0 || exit 1
out=$(FIRN_CAPS=maxbuf=4096 "$firn" replay "$cases/$case" --device vulkan:0 2>&1) && { echo "FAILED: 4096 bytes are enough"; exit 1; }
echo "$out" | grep -q 'too large to bind' || { echo "FAILED: $out"; exit 1; }
