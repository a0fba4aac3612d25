# Makes the quickstart's data from `apt-cache dumpavail`: the synopsis of a package and its section.
# Variables: out = folder. Writes out/train.jsonl, out/valid.jsonl, out/test.jsonl.
BEGIN {
    split("admin games graphics net science sound text web", names, " ")
    for (i in names) wanted[names[i]] = 1
}
function escape(s) {
    gsub(/\\/, "\\\\&", s)
    gsub(/"/, "\\\"", s)
    gsub(/\t/, "\\t", s)
    return s
}
function finish(   file, digit) {
    sub(/^.*\//, "", section)
    if (package != "" && (section in wanted) && synopsis != "" && md5 != "" &&
        package !~ /-(data|doc|common|dev|dbg)$/ && !(synopsis in seen)) {
        seen[synopsis] = 1
        digit = substr(md5, 1, 1)
        file = digit ~ /[ef]/ ? "test" : digit == "d" ? "valid" : "train"
        printf "{\"text\": \"%s\", \"label\": \"%s\"}\n", escape(synopsis), section > (out "/" file ".jsonl")
        count[file]++
    }
    package = section = synopsis = md5 = ""
}
/^Package: / { package = $2 }
/^Section: / { section = $2 }
/^Description-md5: / { md5 = $2 }
/^Description(-en)?: / { synopsis = $0; sub(/^Description(-en)?: /, "", synopsis) }
/^$/ { finish() }
END {
    finish()
    printf "%d training, %d validation and %d test examples\n", count["train"], count["valid"], count["test"]
}
