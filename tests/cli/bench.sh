#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# bench.sh FIRN CONFIG DEVICE: every subject at odd sizes gives rows with times; a model needs only its config.json.
set -u
firn=$1
config=$2
device=$3
tokenizer=$(dirname "$0")/../golden/tokenizers/gpt2-bpe
. "$(dirname "$0")/../need_device.sh"
need_device "$firn" "$device"
failed=0
fail() {
    echo "FAILED: $*"
    failed=1
}
bench() {
    out=$("$firn" bench "$@" --device "$device" --seconds 0.01 --repeat 3 --no-peaks --json) || { fail "bench $*"; return; }
    echo "$out" | grep -q '"core_seconds": [0-9]' || fail "bench $*: no times"
    echo "$out" | grep -q '"rows": \[\]' && fail "bench $*: no rows"
}
bench gemm --m 5 --n 7 --k 3
bench gemm --m 5 --n 7 --k 3 --trans nt --dtype bf16 --bias --residual --r 2
bench lowrank --m 5 --n 7 --k 3 --r 2
bench attention --length 5 --heads 6 --kv-heads 3 --head-size 7 --causal
bench loss --m 5 --n 11 --k 3
bench norm --m 5 --n 11
bench adamw --n 13
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp "$config" "$folder/config.json"
bench train --model "$folder" --length 9 --batch 2 --steps
bench train --model "$folder" --length 9 --dtype bf16 --method '{type: full}'
echo "$out" | grep -q '"tokens": 9' || fail "tokens"
bench train --model "$folder" --length 9 --against '{type: ia3}'
echo "$out" | grep -q '"pairs": 3' || fail "--against: no ratio"
echo "$out" | grep -q 'against, 1 x 9 tokens, ia3' || fail "--against: no row of its own"
bench generate --model "$folder" --length 9 --batch 2 --n 3
words=$folder/words.txt
printf 'one two three\nfour five\nsix\n' >"$words"
out=$("$firn" bench tokenize "$tokenizer" "$words" --length 8 --seconds 0.01 --repeat 3 --json) || fail "bench tokenize"
echo "$out" | grep -q '"bytes": 28' || fail "bench tokenize: not all of the text"
echo "$out" | grep -q '"texts": 3' || fail "bench tokenize: not cut behind lines"
"$firn" bench tokenize "$tokenizer/tokenizer.json" <"$words" --repeat 3 | grep -q '28 bytes in 1 texts' || fail "bench tokenize: standard input"
printf '\377' | "$firn" bench tokenize "$tokenizer" >/dev/null 2>&1 && fail "a text that is no UTF-8 passes"
"$firn" bench tokenize >/dev/null 2>&1 && fail "tokenize without a tokenizer passes"
"$firn" bench gemm "$tokenizer" >/dev/null 2>&1 && fail "gemm with a second word passes"
"$firn" bench nothing >/dev/null 2>&1 && fail "an unknown subject passes"
"$firn" bench train >/dev/null 2>&1 && fail "train without a model passes"
exit $failed
