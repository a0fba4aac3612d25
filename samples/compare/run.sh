#!/bin/sh
# Which method for this task? Trains a real BERT to tell a package's section from its synopsis with standard fine-tuning
# and eight small methods, on 16 to 2,048 examples, and measures each on synopses of other packages and, out of domain, on
# the first paragraph of their long descriptions. Leaves runs/compare/compare.html. A run that was stopped goes on.
#   --device D   auto, cpu, vulkan:0 ... (auto)      --quick   a minute: few methods, few examples
#   KEY=VALUE    overrides of the recipe, as compare.seeds=[1,2]
# FIRN_MODEL=DIR uses another BERT in the Hugging Face layout.
set -eu
cd "$(dirname "$0")/../.."

device=auto quick=false
while [ $# -gt 0 ]; do
    case "$1" in
    --device) device=$2; shift 2 ;;
    --quick) quick=true; shift ;;
    *=*) break ;;
    *) sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
done

work=build/quickstart
./tests/run.sh --build
model=${FIRN_MODEL:-$work/minilm} data=$work/data output=runs/compare
[ -n "${FIRN_MODEL:-}" ] || samples/shared/minilm.sh "$model"
samples/shared/sections.sh "$data"
samples/shared/descriptions.sh "$data"

# some learning rates each, chosen from on the validation data with a seed of its own
methods='
  - {name: full, type: full, train: {learning_rate: [3e-5, 1e-4, 3e-4]}}
  - {name: LoRA, type: lora, r: 8, lora_alpha: 16, target_modules: [query, value], train: {learning_rate: [1e-3, 3e-3, 1e-2, 3e-2]}}
  - {name: Houlsby, type: houlsby, reduction_factor: 16, train: {learning_rate: [1e-3, 3e-3, 1e-2]}}
  - {name: Pfeiffer, type: pfeiffer, reduction_factor: 16, train: {learning_rate: [1e-3, 3e-3, 1e-2]}}
  - {name: IA3, type: ia3, train: {learning_rate: [3e-3, 1e-2, 3e-2, 1e-1]}}
  - {name: BitFit, type: bitfit, train: {learning_rate: [1e-3, 3e-3, 1e-2, 3e-2]}}
  - {name: prefix, type: prefix_tuning, num_virtual_tokens: 10, train: {learning_rate: [3e-3, 1e-2, 3e-2, 1e-1]}}
  - {name: prompt, type: prompt_tuning, num_virtual_tokens: 10, train: {learning_rate: [1e-2, 3e-2, 1e-1, 3e-1]}}
  - {name: head, type: head, train: {learning_rate: [3e-3, 1e-2, 3e-2, 1e-1, 3e-1]}}'
sizes='[16, 128, 512, 2048]' seeds='[1, 2, 3]' search_size=512 min_steps=200 valid=$data/valid.jsonl test=$data/test.jsonl
outside=$data/outside.jsonl resume=--resume
if $quick; then
    # of all but LoRA the second rate alone
    methods=$(echo "$methods" | grep -E 'full|LoRA|head' | sed -E '/LoRA/!s/\[[^,]*, ([^],]*)[^]]*\]/\1/; /LoRA/s/(3e-3, 1e-2), 3e-2/\1/')
    sizes='[16, 64]' seeds='[1, 2]' search_size=64 min_steps=4 valid=$work/compare-valid.jsonl test=$work/compare-test.jsonl
    outside=$work/compare-outside.jsonl
    output=$work/compare-quick resume=--overwrite
    head -n 64 "$data/valid.jsonl" >"$valid"
    head -n 64 "$data/test.jsonl" >"$test"
    head -n 64 "$data/outside.jsonl" >"$outside"
fi
cat >"$work/compare.yaml" <<RECIPE
model: $model
task: sequence_classification
data: {train: $data/train.jsonl, validation: $valid, test: $test, text: text, label: label}
method:
$methods
train: {num_train_epochs: 2, batch_size: 16, max_length: 64, lr_scheduler_type: linear, max_grad_norm: 1.0, save_steps: 0}
compare: {seeds: $seeds, sizes: $sizes, search_size: $search_size, out_of_domain: $outside, min_steps: $min_steps}
output: $output
device: $device
RECIPE
build/firn compare "$work/compare.yaml" "$resume" "$@"
