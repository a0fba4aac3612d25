#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# bad_input.sh FIRN MODELS: wrong input ends with exit code 1 or 2 and one line on stderr that names the thing.
set -u
firn=$(realpath "$1") models=$(realpath "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failed=0

printf '{"text": "a b", "label": "x"}\n{"text": "c d", "label": "y"}\n' >ok.jsonl
recipe() { # recipe NAME: the base recipe with the lines that follow on stdin taking the place of keys
    cat >"$1" <<R
model: ${MODEL:-$models/bert}
task: sequence_classification
data: {train: ${TRAIN:-ok.jsonl}${VALID:+, validation: $VALID}}
method: ${METHOD:-{type: lora, target_modules: [query]\}}
train: {${TRAINING:-num_train_epochs: 1}}
output: ${OUTPUT:-out}
device: ${DEVICE:-cpu}
R
}
expect() { # expect CODE WORD COMMAND...: the code, one line on stderr, and the word in it
    code=$1 word=$2
    shift 2
    "$@" >stdout.txt 2>stderr.txt </dev/null
    got=$?
    lines=$(wc -l <stderr.txt)
    if [ "$got" != "$code" ] || [ "$lines" != 1 ] || ! grep -qF -e "$word" stderr.txt; then
        echo "FAILED: $*: exit code $got (want $code), $lines lines, want the word: $word"
        cat stderr.txt
        failed=$((failed + 1))
    else
        echo "ok: $(cat stderr.txt)"
    fi
}

MODEL=nowhere recipe r.yaml && expect 1 nowhere "$firn" train r.yaml
MODEL=org/some-model recipe r.yaml && expect 1 save_pretrained "$firn" train r.yaml
mkdir pickle && cp "$models/bert/config.json" pickle/ && : >pickle/pytorch_model.bin
MODEL=pickle recipe r.yaml && expect 1 pickle "$firn" train r.yaml
cp -r "$models/bert" cut && head -c 1000 "$models/bert/model.safetensors" >cut/model.safetensors
MODEL=cut recipe r.yaml && expect 1 cut/model.safetensors "$firn" train r.yaml
cp -r "$models/bert" wide && sed 's/"intermediate_size": 96/"intermediate_size": 97/' "$models/bert/config.json" >wide/config.json
MODEL=wide recipe r.yaml && expect 1 'expected [97, 48], got [96, 48]' "$firn" train r.yaml
TRAINING='learning_rat: 1e-3' recipe r.yaml && expect 2 'did you mean learning_rate?' "$firn" train r.yaml
TRAINING='batch_size: many' recipe r.yaml && expect 2 train.batch_size "$firn" train r.yaml
METHOD='{type: lora, target_modules: [nothing]}' recipe r.yaml && expect 2 query "$firn" train r.yaml
METHOD='{type: lorra}' recipe r.yaml && expect 1 'got lorra' "$firn" train r.yaml
: >empty.jsonl
TRAIN=empty.jsonl recipe r.yaml && expect 1 'holds no examples' "$firn" train r.yaml
printf '{"text": "a", "label": "x"}\nnot json\n' >broken.jsonl
TRAIN=broken.jsonl recipe r.yaml && expect 1 'line 2' "$firn" train r.yaml
printf '{"text": "a", "label": "z"}\n' >other.jsonl
VALID=other.jsonl recipe r.yaml && expect 1 'one of x, y' "$firn" train r.yaml
TRAIN=missing.jsonl recipe r.yaml && expect 1 missing.jsonl "$firn" train r.yaml
mkdir full && echo precious >full/thing
OUTPUT=full recipe r.yaml && expect 2 'holds something' "$firn" train r.yaml
[ "$(cat full/thing)" = precious ] || failed=$((failed + 1))
DEVICE=gpu recipe r.yaml && expect 2 vulkan:N "$firn" train r.yaml
expect 2 'did you mean train?' "$firn" trian
expect 2 usage "$firn"
expect 2 --adapter "$firn" classify "$models/bert"
expect 1 firn.json "$firn" classify "$models/bert" --adapter full
recipe r.yaml && "$firn" train r.yaml >/dev/null 2>&1 || failed=$((failed + 1))
MODEL=$models/llama METHOD='{type: lora, target_modules: [q_proj]}' recipe l.yaml
expect 2 'match no module' "$firn" eval l.yaml --data ok.jsonl --adapter out/adapter
VK_ICD_FILENAMES=/nonexistent VK_DRIVER_FILES=/nonexistent DEVICE=vulkan:0 OUTPUT=novk recipe v.yaml
expect 1 Vulkan env VK_ICD_FILENAMES=/nonexistent VK_DRIVER_FILES=/nonexistent "$firn" train v.yaml
echo "$failed failed"
[ "$failed" = 0 ]
