#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# layers.sh SOURCE_ROOT: reads the #include lines of src/ and include/ and fails where an arrow points the
# wrong way. A folder may include itself, and what the table says, and what those may include.
set -u
cd "$1" || exit 1

# "graph" owns the contract of operations, "model" that of methods; device knows no ops, graph or model;
# model may include plan because weights go into a plan's store; peft reads the texts that prompts start from
arrows='
base
tensor: base
graph: tensor
device: tensor
ops: graph
grad: ops
plan: ops device grad
text: base
model: ops plan
peft: model text
data: text
train: peft data grad plan
infer: train
compare: train
bench: train infer
cli: train compare infer device bench
'
# the public headers are the manual of a folder each
manual='
status base
log base
tensor tensor
device device
graph graph
ops ops
tokenizer text
model model
peft peft
train train
'

includes() {
    find src include -name '*.[ch]' -o -name '*.inc.in' | sort |
        xargs grep -HnoE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"[^"]+"'
}

# check: "file:line:#include ..." lines on stdin
check() {
    {
        echo "$arrows" | sed 's/^/A /'
        echo "$manual" | sed 's/^/M /'
        sed 's/^/I /'
    } | awk '
        $1 == "A" && NF > 1 {
            name = $2
            sub(/:$/, "", name)
            known[name] = 1
            may[name, name] = 1
            for (i = 3; i <= NF; i++) { # what it names is above in the table: complete already
                if (!($i in known)) { print "the table names " $i " before it has it"; bad++ }
                for (k in known)
                    if (may[$i, k])
                        may[name, k] = 1
            }
            next
        }
        $1 == "M" && NF > 1 { folder_of[$2] = $3; next }
        $1 == "I" {
            split($2, at, ":")
            file = at[1]
            line = at[2]
            target = $0
            sub(/^[^"]*"/, "", target)
            sub(/"$/, "", target)
            n = split(file, part, "/")
            from = part[1] == "include" ? folder_of[substr(part[n], 1, length(part[n]) - 2)] : part[2]
            m = split(target, word, "/")
            if (m == 1)
                next # beside the file, or of a library
            if (word[1] == "firn") {
                to = folder_of[substr(word[m], 1, length(word[m]) - 2)]
                if (to == "") { print file ":" line ": " target " has no folder in the table"; bad++; next }
            } else if (word[1] in known) {
                to = word[1]
            } else
                next # a library
            if (from == "") { print file " has no folder in the table"; bad++; next }
            seen++
            if (!(from in known)) { print file ": the table has no folder " from; bad++; next }
            if (!may[from, to]) {
                print file ":" line ": " from " must not include " to " (" target ")"
                bad++
            }
        }
        END {
            if (seen < 100) { print "only " seen + 0 " includes were read"; bad++ }
            print seen " includes, " bad + 0 " against the arrows"
            exit bad > 0
        }'
}

# a check that finds nothing wrong in a wrong arrow proves nothing
for wrong in 'src/graph/x.c:1:#include "ops/ops.h"' 'src/device/vulkan/x.c:1:#include "graph/graph.h"' \
    'src/model/x.c:1:#include "peft/peft.h"' 'include/firn/status.h:1:#include "firn/graph.h"'; do
    if { includes; echo "$wrong"; } | check >/dev/null; then
        echo "not noticed: $wrong"
        exit 1
    fi
done
includes | check
