#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# data.sh FIRN GOLDEN: what the labels of a file say about the problem, and a split that takes its examples from `train`.
. "$(dirname "$0")/setup.sh"
set -e
train() {
    name=$1 file=$2
    shift 2
    cat >"$name.yaml" <<RECIPE
model: $golden/models/bert
task: sequence_classification
data: {train: $file}
method: {type: lora, r: 2, target_modules: [query]}
train: {max_steps: 2, batch_size: 4, max_length: 16}
output: $name
device: cpu
RECIPE
    "$firn" train "$name.yaml" "$@" >"$name.log" 2>&1 || { cat "$name.log"; exit 1; }
}
is() {
    grep -q "\"problem_type\": *\"$2\"" "$1/adapter/firn.json" || { echo "$1: not $2"; cat "$1/adapter/firn.json"; exit 1; }
}
printf 'text,label\na b,0.5\nb c,1\nc d,2.25\nd e,-3\n' >numbers.csv
printf 'text,label\na b,1\nb c,2\nc d,1\nd e,2\n' >classes.csv
printf 'text,label\na b,1.5\nb c,v2.5\nc d,1.5\nd e,v2.5\n' >versions.csv
printf '{"text":"a b","label":["x"]}\n{"text":"b c","label":[]}\n{"text":"c","label":["x","y"]}\n' >lists.jsonl
train numbers numbers.csv
is numbers regression
train classes classes.csv
is classes single_label_classification
train versions versions.csv
is versions single_label_classification
train lists lists.jsonl
is lists multi_label_classification

# a quarter of four examples is one: the log has evaluations, though there is no validation file
train split classes.csv data.validation_split=0.25
grep -q eval_loss split/log.jsonl
! grep -q eval_loss classes/log.jsonl

# a sample of two examples still knows every label
train few classes.csv data.max_train_samples=2
holds() {
    tr -d ' \n' <"$1" | grep -qF "$2" || { echo "$1: not $2"; cat "$1"; exit 1; }
}
holds few/adapter/firn.json '"labels":["1","2"]'
holds few/summary.json '"examples":2,'

# an adapter of pairs classifies pairs, and says what a line lacks
printf 'text,pair,label\na b,c,x\nb c,d,y\nc d,a,x\nd e,b,y\n' >pairs.csv
train pairs pairs.csv data.text_pair=pair
printf 'a b\tc\nb c\td\n' | "$firn" classify "$golden/models/bert" --adapter pairs/adapter --device cpu >answers
[ "$(wc -l <answers)" = 2 ] || { echo "not two answers"; exit 1; }
if printf 'a b c\n' | "$firn" classify "$golden/models/bert" --adapter pairs/adapter --device cpu >/dev/null 2>answers; then
    echo "one text passed for a pair"
    exit 1
fi
grep -q 'parted by a tab' answers || { cat answers; exit 1; }
