#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# bad_input.sh FIRN GOLDEN: every kind of wrong input ends with exit code 1 or 2 and one line on stderr that
# names the thing; no file that was there is changed, and no adapter appears.
set -u
firn=$(realpath "$1") golden=$(realpath "$2")
top=$(mktemp -d) || exit 1
trap 'chmod -R u+w "$top"; rm -rf "$top"' EXIT
work=$top/work
mkdir "$work" && cd "$work" || exit 1
unset FIRN_DEVICE FIRN_CAPS
failed=0 count=0
wrong() {
    echo "FAILED: $*"
    failed=$((failed + 1))
}

# refuses CODE TEXT COMMAND ...: TEXT must be in the line
refuses() {
    code=$1 text=$2
    shift 2
    find . -type f | sort | xargs -d '\n' cksum >"$top/before"
    timeout 60 "$@" >"$top/out" 2>"$top/err" </dev/null
    got=$?
    count=$((count + 1))
    why=''
    [ "$got" = "$code" ] || why="exit code $got, not $code"
    [ "$(wc -l <"$top/err")" = 1 ] || why="$why; $(wc -l <"$top/err") lines on stderr"
    grep -qF -- "$text" "$top/err" || why="$why; does not say '$text'"
    [ "$(wc -c <"$top/err")" -lt 1200 ] || why="$why; a very long line"
    cut -d ' ' -f 3- "$top/before" | xargs -d '\n' cksum >"$top/after" 2>&1
    cmp -s "$top/before" "$top/after" || why="$why; files changed: $(diff "$top/before" "$top/after" | tr '\n' ' ')"
    if [ -e out/adapter ] || [ -e out/checkpoints ]; then
        why="$why; it left an adapter or a checkpoint"
    fi
    rm -rf out
    if [ -n "$why" ]; then
        failed=$((failed + 1))
        echo "FAILED: $*"
        echo "    $why"
        sed 's/^/    stderr: /' "$top/err"
    else
        echo "ok: $(cat "$top/err")"
    fi
}

# recipe FILE MODEL [LINE ...]
recipe() {
    file=$1 model=$2
    shift 2
    {
        echo "model: $model"
        echo "output: out"
        echo "device: cpu"
        for line in "$@"; do echo "$line"; done
        grep -q '^task:' <<END || echo "task: sequence_classification"
$*
END
    } >"$file"
}

i=0
while [ $i -lt 12 ]; do
    echo "{\"text\": \"example number $i of a few\", \"label\": \"class $((i % 3))\"}"
    i=$((i + 1))
done >good.jsonl
data='data: {train: good.jsonl, validation: good.jsonl}'
method='method: {type: lora, r: 4, target_modules: [query, value]}'
train='train: {max_steps: 2, batch_size: 4, max_length: 16}'
cp -r "$golden/models/bert" bert && chmod -R u+w bert
recipe good.yaml bert "$data" "$method" "$train"

# the recipe that all others are made from must work, or the rest proves nothing
if ! "$firn" train good.yaml output=trained >"$top/out" 2>&1; then
    echo "the good recipe fails:"
    cat "$top/out"
    exit 1
fi

echo "# models"
refuses 1 'nowhere' "$firn" train good.yaml model=nowhere
refuses 1 'sentence-transformers/all-MiniLM-L6-v2' "$firn" train good.yaml model=sentence-transformers/all-MiniLM-L6-v2
grep -q 'save_pretrained' "$top/err" || wrong "a hub name: it does not say how to get the files"
refuses 1 'good.jsonl' "$firn" train good.yaml model=good.jsonl
for size in 0 7 8 100 5000 60000; do
    rm -rf "cut" && cp -r bert cut
    head -c $size bert/model.safetensors >cut/model.safetensors
    refuses 1 'cut/model.safetensors' "$firn" train good.yaml model=cut
done
rm -rf cut && cp -r bert cut && rm cut/model.safetensors
refuses 1 'model.safetensors' "$firn" train good.yaml model=cut
printf 'PK' >cut/pytorch_model.bin
refuses 1 'pytorch_model.bin' "$firn" train good.yaml model=cut
rm -rf cut && cp -r bert cut && rm cut/config.json
refuses 1 'config.json' "$firn" train good.yaml model=cut
echo '{"model_type": "bert"' >cut/config.json
refuses 1 'cut/config.json' "$firn" train good.yaml model=cut
echo '{"model_type": "no_such_model"}' >cut/config.json
refuses 1 'no_such_model' "$firn" train good.yaml model=cut
sed 's/"hidden_size": *48/"hidden_size": 64/' bert/config.json >cut/config.json
refuses 1 'expected' "$firn" train good.yaml model=cut
rm -rf cut && cp -r bert cut && echo '[]' >cut/tokenizer.json
refuses 1 'cut/tokenizer.json' "$firn" train good.yaml model=cut
rm -rf cut && cp -r bert cut && rm cut/tokenizer.json
refuses 1 'tokenizer' "$firn" train good.yaml model=cut

# config NAME VALUE TEXT: one value of config.json is another
config() {
    rm -rf cut && cp -r bert cut
    sed "s/\"$1\": *[^,]*/\"$1\": $2/" bert/config.json >cut/config.json
    cmp -s cut/config.json bert/config.json && wrong "config.json has no $1"
    refuses 1 "$3" "$firn" train good.yaml model=cut
}
config num_attention_heads 5 'num_attention_heads: expected a divisor of hidden_size 48, got 5'
config num_attention_heads 0 'num_attention_heads: expected 1 to 1024, got 0'
config num_hidden_layers 0 'num_hidden_layers: expected 1 to 1024, got 0'
config num_hidden_layers 1000000000 'num_hidden_layers: expected 1 to 1024'
config num_hidden_layers 3 'bert.encoder.layer.2.attention.self.query.weight'
config hidden_size -48 'hidden_size: expected 1 to 65536, got -48'
config hidden_size '"48"' 'hidden_size: expected a number, got "48"'
config hidden_size 48.5 'hidden_size: expected a whole number, got 48.5'
config hidden_size null 'hidden_size: expected a value'
config hidden_act '"mish"' 'hidden_act: expected gelu'
config vocab_size 421 'expected [421, 48], got [420, 48]'
config vocab_size 1099511627776 'vocab_size: expected 1 to'
config max_position_embeddings 4 'expected [4, 48], got [64, 48]'
config layer_norm_eps -1 'layer_norm_eps: expected 0 to 1, got -1'
config is_decoder true 'is_decoder: expected false, got true'

# shards that are not there, or lie elsewhere
rm -rf cut && cp -r bert cut && mv cut/model.safetensors cut/model-00001-of-00002.safetensors
weight=bert.encoder.layer.0.attention.self.query.weight
echo "{\"weight_map\": {\"$weight\": \"model-00002-of-00002.safetensors\"}}" >cut/model.safetensors.index.json
refuses 1 'cut/model-00002-of-00002.safetensors' "$firn" train good.yaml model=cut
echo "{\"weight_map\": {\"$weight\": \"../bert/model.safetensors\"}}" >cut/model.safetensors.index.json
refuses 1 'expected the name of a file in this directory, got ../bert' "$firn" train good.yaml model=cut
echo '{"weight_map": 5}' >cut/model.safetensors.index.json
refuses 1 'weight_map' "$firn" train good.yaml model=cut

# a NaN in the weights: each step says so, the run ends with what may be the cause, and nothing is saved
count=$((count + 1))
rm -rf cut && cp -r bert cut
head -c 20000 /dev/zero | tr '\0' '\377' |
    dd of=cut/model.safetensors bs=4 seek=$(($(wc -c <cut/model.safetensors) / 8)) conv=notrunc 2>/dev/null
timeout 60 "$firn" train good.yaml model=cut >"$top/out" 2>"$top/err"
code=$?
if [ $code != 1 ] || [ -e out/adapter ] || ! grep -q "step 2: no step had a finite loss: the model's weights" "$top/err"; then
    wrong "NaN in the weights: exit code $code, $(cat "$top/err")"
fi
rm -rf out

echo "# recipes"
refuses 1 'no.yaml' "$firn" train no.yaml
recipe wrong.yaml bert "$data" "$method" 'train: {learning_rat: 1e-4}'
refuses 2 'did you mean learning_rate?' "$firn" train wrong.yaml
refuses 2 'did you mean batch_size?' "$firn" train good.yaml train.batch_sise=3
recipe wrong.yaml bert "$data" 'method: {type: lora, r: 4, lora_alfa: 8, target_modules: [query]}'
refuses 2 'lora_alpha' "$firn" train wrong.yaml
recipe wrong.yaml bert "$data" 'method: {type: lora, r: 4000, target_modules: [query]}'
refuses 2 'method.r (of bert.encoder.layer.0.attention.self.query): expected at most' "$firn" train wrong.yaml
recipe wrong.yaml bert "$data" 'method: {type: no_such_method}'
refuses 1 'no_such_method' "$firn" train wrong.yaml
recipe wrong.yaml bert "$data" 'method: {type: lora, r: 4, target_modules: [querry]}'
refuses 2 'got ["querry"]' "$firn" train wrong.yaml
grep -q 'query.*value.*classifier' "$top/err" ||
    wrong "it does not list the modules there are"
printf 'model: [bert\n' >wrong.yaml
refuses 1 'wrong.yaml' "$firn" train wrong.yaml
refuses 2 'learning_rate' "$firn" train good.yaml learning_rate=-1
refuses 2 'lineer' "$firn" train good.yaml lr_scheduler_type=lineer
refuses 2 'no_such_task' "$firn" train good.yaml task=no_such_task
while read -r setting text; do
    refuses 2 "$text" "$firn" train good.yaml "$setting"
done <<'END'
train.max_steps=abc train.max_steps: expected a number, got "abc"
train.max_steps=-1 train.max_steps: expected 0 to 1e+09, got -1
train.max_steps=1.5 train.max_steps: expected a whole number, got 1.5
train.batch_size=0 train.batch_size: expected 1 to 65536, got 0
train.batch_size=true train.batch_size: expected a whole number, got true
train.max_length=1 max_length: expected at least 2, for the special tokens, got 1
train.learning_rate=nan train.learning_rate: expected a number, got "nan"
train.learning_rate=1e400 train.learning_rate: expected a number, got "1e400"
train.weight_decay=-1 train.weight_decay: expected 0 to 10, got -1
train.seed=-1 train.seed: expected 0 to
train.max_grad_norm=-1 train.max_grad_norm: expected 0 to
train.gradient_accumulation_steps=0 train.gradient_accumulation_steps: expected 1 to 65536, got 0
method.r=0 method.r: expected 1 to 65536, got 0
method.r=2.5 method.r: expected a whole number, got 2.5
method.lora_dropout=1 method.lora_dropout: expected 0 to 0.99, got 1
method.target_modules=5 target_modules: expected a list of names or a regular expression
method.target_modules=[query,3] target_modules: expected names of modules
method=lora method.type: is required
data=5 data: expected a mapping of keys to values
data.train=[good.jsonl] data.train: expected a single value, got a list
model= model: expected a value behind the =, got nothing
device=gpu device: expected auto, cpu, cpu:exact, vulkan:N or vulkan:NAME, got gpu
END

echo "# data"
refuses 1 'none.jsonl' "$firn" train good.yaml data.train=none.jsonl
: >empty.jsonl
refuses 1 'empty.jsonl' "$firn" train good.yaml data.train=empty.jsonl
refuses 1 'empty.jsonl' "$firn" train good.yaml data.validation=empty.jsonl
printf '\n\n' >blank.jsonl
refuses 1 'blank.jsonl' "$firn" train good.yaml data.train=blank.jsonl
{ head -n 4 good.jsonl; echo 'no JSON at all'; tail -n 4 good.jsonl; } >broken.jsonl
refuses 1 'line 5' "$firn" train good.yaml data.train=broken.jsonl
{ head -n 2 good.jsonl; echo '{"text": "cut off'; } >broken.jsonl
refuses 1 'line 3' "$firn" train good.yaml data.train=broken.jsonl
{ head -n 2 good.jsonl; echo '{"text": "no label"}'; } >broken.jsonl
refuses 1 'line 3' "$firn" train good.yaml data.train=broken.jsonl
{ head -n 2 good.jsonl; printf '{"text": "\377\376", "label": "class 1"}\n'; } >broken.jsonl
refuses 1 'line 3' "$firn" train good.yaml data.train=broken.jsonl
{ cat good.jsonl; echo '{"text": "new", "label": "class 9"}'; } >other.jsonl
refuses 1 'class 9' "$firn" train good.yaml data.validation=other.jsonl
grep -q 'line 13' "$top/err" || wrong "it does not name the line of the unknown label"
# line TEXT LINE: a fourth line of the data
line() {
    { head -n 3 good.jsonl; printf '%b\n' "$2"; } >broken.jsonl
    refuses 1 "$1" "$firn" train good.yaml data.train=broken.jsonl
}
line 'line 4: control character 0x0' '{"text": "a\0000b", "label": "class 1"}'
line 'line 4: text: expected a text, got a number' '{"text": 5, "label": "class 1"}'
line 'line 4: text: expected a value, got null' '{"text": null, "label": "class 1"}'
line 'line 4: label: expected a value, got null' '{"text": "a", "label": null}'
line 'line 4: expected a JSON object, got a list' '[1, 2]'
line 'line 4: duplicate object key' '{"text": "a", "label": "class 1", "label": "class 2"}'
printf '\377\376{\000"\000' >utf16.jsonl
refuses 1 'utf16.jsonl: line 1' "$firn" train good.yaml data.train=utf16.jsonl
sed 's/class [0-9]/one/' good.jsonl >one.jsonl
refuses 1 'one.jsonl: label: expected two different labels at least, got only one' "$firn" train good.yaml data.train=one.jsonl data.validation=one.jsonl
mkdir folder.jsonl
refuses 1 'folder.jsonl' "$firn" train good.yaml data.train=folder.jsonl
ln -s /dev/zero endless.jsonl
refuses 1 'endless.jsonl: is a device' "$firn" train good.yaml data.train=endless.jsonl
refuses 1 '/dev/zero' "$firn" train /dev/zero
rm endless.jsonl
printf 'text,label\n"never closed,a\n' >broken.csv
refuses 1 'broken.csv' "$firn" train good.yaml data.train=broken.csv
printf 'text,label\na,0.5\nb,much\n' >words.csv
refuses 1 'line 3' "$firn" train good.yaml data.train=words.csv data.validation=words.csv data.problem_type=regression
refuses 2 'validation_split' "$firn" train good.yaml data.validation_split=1.5
refuses 1 'no_such_column' "$firn" train good.yaml data.text=no_such_column
refuses 1 'good.parquet' "$firn" train good.yaml data.train=good.parquet

echo "# adapters"
cp -r "$golden/cases/llama-lora/adapter_final" foreign && chmod -R u+w foreign
refuses 2 'foreign/adapter_config.json: target_modules' "$firn" eval good.yaml --adapter foreign
cp -r bert other_bert
printf '\377' | dd of=other_bert/model.safetensors bs=1 seek=$(($(wc -c <bert/model.safetensors) - 2)) conv=notrunc 2>/dev/null
refuses 1 'base_fingerprint' "$firn" eval good.yaml --adapter trained/adapter model=other_bert
refuses 1 'base_fingerprint' "$firn" classify other_bert --adapter trained/adapter
refuses 1 'no_adapter' "$firn" eval good.yaml --adapter no_adapter
cp -r trained/adapter torn
head -c 300 trained/adapter/adapter_model.safetensors >torn/adapter_model.safetensors
refuses 1 'torn/adapter_model.safetensors' "$firn" eval good.yaml --adapter torn
refuses 1 'torn' "$firn" classify bert --adapter torn
refuses 2 '--adapter' "$firn" classify bert
refuses 1 'firn.json' "$firn" classify bert --adapter foreign

echo "# output"
mkdir out && echo precious >out/thesis.txt
cp -r out kept
refuses 2 'kept' "$firn" train good.yaml output=kept
refuses 2 'trained' "$firn" train good.yaml output=trained
refuses 1 'good.jsonl' "$firn" train good.yaml output=good.jsonl/out
if [ "$(id -u)" != 0 ]; then
    mkdir locked && chmod a-w locked
    refuses 1 'locked' "$firn" train good.yaml output=locked/out
fi

echo "# devices and words"
refuses 2 'no_such_device' "$firn" train good.yaml --device no_such_device
refuses 2 'cpux' "$firn" conform --device cpux
refuses 1 'ulkan' env VK_ICD_FILENAMES=/nonexistent VK_DRIVER_FILES=/nonexistent "$firn" train good.yaml --device vulkan:0
refuses 2 'usage: firn' "$firn"
refuses 2 'did you mean train?' "$firn" trian good.yaml
refuses 2 'did you mean --device?' "$firn" train good.yaml --devise cpu
refuses 2 'RECIPE' "$firn" train
refuses 2 '--device' "$firn" train good.yaml --device
refuses 1 'nowhere' "$firn" inspect nowhere
refuses 1 'nowhere' "$firn" replay nowhere

# a reader that goes away: the code says so, and nothing hangs
echo "# a closed pipe"
count=$((count + 1))
(timeout 60 "$firn" conform --device cpu; echo $? >"$top/code") 2>"$top/err" | true
code=$(cat "$top/code")
if [ "$code" != 1 ] || [ -s "$top/err" ]; then
    wrong "a closed stdout: exit code $code, $(cat "$top/err")"
fi
if [ -w /dev/full ]; then
    count=$((count + 1))
    timeout 60 "$firn" devices >/dev/full 2>"$top/err"
    code=$?
    if [ "$code" != 1 ] || ! grep -q 'standard output: ' "$top/err"; then
        wrong "a full disk under stdout: exit code $code, $(cat "$top/err")"
    fi
fi

echo "$count kinds of wrong input, $failed failed"
[ $failed = 0 ]
