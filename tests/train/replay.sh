#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Repeats a recorded case on a device: replay.sh FIRN CASE_DIR DEVICE [broken]. With `broken` it spoils
# copies of the case, one place each, and fails unless firn notices every one of them.
set -u
firn=$1 case=$2 device=$3 mode=${4:-whole}
here=$(dirname "$0")
golden=$(dirname "$(dirname "$case")")
. "$here/../need_device.sh"
need_device "$firn" "$device"

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

# a model whose weights are not in the repository comes from elsewhere
model=$(sed -n 's/.*"model": *"\([^"]*\)".*/\1/p' "$case/case.json" | head -n 1)
model=${model##*/}
models=$golden/models
if [ "$model" = minilm ] && [ ! -f "$models/minilm/model.safetensors" ]; then
    if [ -z "${FIRN_MINILM:-}" ]; then
        echo "skipped: $models/minilm has no weights; FIRN_MINILM may name a model.safetensors"
        exit 77
    fi
    mkdir -p "$work/models/minilm"
    cp "$models/minilm"/* "$work/models/minilm/"
    ln -s "$(realpath "$FIRN_MINILM")" "$work/models/minilm/model.safetensors"
    models=$work/models
fi

if [ "$mode" = whole ]; then
    "$firn" replay "$case" --device "$device" --models "$models"
    exit
fi

failed=0
# expect_noticed WHAT: the spoilt copy must end with 1 (a difference), not with a signal or a usage error
expect_noticed() {
    "$firn" replay "$work/case" --device "$device" --models "$models" >"$work/out" 2>&1
    code=$?
    if [ "$code" != 1 ] || [ ! -s "$work/out" ]; then
        echo "not noticed ($code): $1"
        tail -n 5 "$work/out"
        failed=1
    else
        echo "noticed: $1"
    fi
    rm -rf "$work/case"
}
copy() {
    cp -r "$case" "$work/case" && chmod -R u+w "$work/case"
}
# poke FILE OFFSET OCTAL_BYTES
poke() {
    printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}

copy
"$firn" replay "$work/case" --device "$device" --models "$models" >/dev/null 2>&1 ||
    { echo "the copy fails even before it is spoilt"; failed=1; }
rm -rf "$work/case"

copy
sed 's/"lr": *\([0-9]\)/"lr": 9\1/; s/"learning_rate": *\([0-9]\)/"learning_rate": 9\1/' "$case/case.json" >"$work/case/case.json"
cmp -s "$case/case.json" "$work/case/case.json" && { echo "case.json has no learning rate"; failed=1; }
expect_noticed "another learning rate in case.json"

# safetensors: 8 bytes of header length, the header, then the data; doubles come first, floats last
copy
expected=$work/case/expected.safetensors
header=$(od -A n -t u8 -N 8 "$expected" | tr -d ' ')
poke "$expected" $((8 + header)) '\000\000\000\000\000\000\044\100' # 10.0
expect_noticed "another first value in expected.safetensors"

copy
size=$(wc -c <"$expected")
poke "$expected" $((size - 4)) '\000\000\040\101' # 10.0f
expect_noticed "another last value in expected.safetensors"

copy
poke "$expected" $((size - 4)) '\000\000\300\177' # NaN
expect_noticed "a NaN in expected.safetensors"

copy
header=$(od -A n -t u8 -N 8 "$work/case/batches.safetensors" | tr -d ' ')
rm -f "$work/case/adapter_init/adapter_model.safetensors"
expect_noticed "no adapter to start from"

exit $failed
