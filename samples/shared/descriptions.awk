# Long descriptions of packages as JSON lines; see descriptions.sh. Standard input: `apt-cache dumpavail`, a line
# "== translations", then apt's Translation files. Variables: out = folder.
BEGIN {
    split("admin games graphics net science sound text web", names, " ")
    for (i in names) wanted[names[i]] = 1
}
function escape(s) {
    gsub(/\\/, "\\\\&", s)
    gsub(/"/, "\\\"", s)
    gsub(/\t/, "\\t", s)
    gsub(/[\001-\010\013-\037]/, " ", s)
    return s
}
function finish_package() {
    sub(/^.*\//, "", section)
    if (package != "" && (section in wanted) && md5 != "" && package !~ /-(data|doc|common|dev|dbg)$/ && !(md5 in section_of)) {
        section_of[md5] = section
        package_of[md5] = package
    }
    package = section = md5 = ""
}
function finish_description(   file, digit) {
    if (md5 != "" && (md5 in section_of) && long != "" && !(long in seen)) {
        seen[long] = 1
        digit = substr(md5, 1, 1)
        if (digit ~ /[ef]/) {
            if (first != "" && !(first in seen_first)) {
                seen_first[first] = 1
                printf "{\"text\": \"%s\", \"label\": \"%s\"}\n", escape(first), section_of[md5] > (out "/outside.jsonl")
                n["outside"]++
            }
        } else {
            file = digit == "d" ? "long-valid" : "long"
            printf "{\"name\": \"%s\", \"label\": \"%s\", \"text\": \"%s\"}\n", package_of[md5], section_of[md5], escape(long) \
                > (out "/" file ".jsonl")
            n[file]++
        }
    }
    md5 = long = first = ""
    paragraph = 0
}
/^== translations$/ { finish_package(); translations = 1; next }
/^$/ { if (translations) finish_description(); else finish_package(); next }
/^Description-md5: / { md5 = $2; next }
!translations && /^Package: / { package = $2 }
!translations && /^Section: / { section = $2 }
translations && /^ \.$/ { paragraph++; next }
translations && /^ / {
    line = $0
    sub(/^ +/, "", line)
    long = long (long == "" ? "" : " ") line
    if (paragraph == 0) first = first (first == "" ? "" : " ") line
}
END {
    if (translations) finish_description()
    printf "%d paragraphs outside the domain, %d descriptions to train on, %d to validate with\n", n["outside"], n["long"], n["long-valid"]
}
