#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs a test program on a device: on_device.sh FIRN DEVICE PROGRAM; skipped where the device is not there.
set -u
. "$(dirname "$0")/../need_device.sh"
need_device "$1" "$2"
FIRN_DEVICE=$2 exec "$3"
