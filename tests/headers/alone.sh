#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# alone.sh INCLUDE_DIR HEADER CC ...: the header compiles by itself, and twice in one file, in both languages.
# C++ is tried with the first C++ compiler there is; without one only C is checked.
set -u
include=$1 header=$2
shift 2
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
printf '#include "firn/%s"\n#include "firn/%s"\nint firn_test_unit;\n' "$header" "$header" >"$work/unit.c"
cp "$work/unit.c" "$work/unit.cpp"
"$@" -std=c17 -Wall -Wextra -Wpedantic -Wstrict-prototypes -Werror -I "$include" -c "$work/unit.c" -o "$work/c.o" || exit 1
for cxx in ${CXX:-} g++ c++ clang++; do
    command -v "$cxx" >/dev/null 2>&1 || continue
    # compound literals in macros are C; -Wpedantic would only speak where one is used
    "$cxx" -std=c++17 -Wall -Wextra -Werror -I "$include" -c "$work/unit.cpp" -o "$work/cxx.o" || exit 1
    # nothing is defined in a header: a program may include it in many files
    if command -v nm >/dev/null 2>&1 && nm -g "$work/cxx.o" | grep -v ' U ' | grep -v 'firn_test_unit$'; then
        echo "firn/$header defines the symbols above"
        exit 1
    fi
    exit 0
done
echo "no C++ compiler here: checked as C only"
