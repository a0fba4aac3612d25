#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# conform.sh FIRN DEVICE: every kernel of a device; skipped where there is none.
set -eu
. "$(dirname "$0")/../need_device.sh"
need_device "$1" "$2"
exec "$1" conform --device "$2" --no-gradients
