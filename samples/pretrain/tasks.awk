# Makes the sample's files from long.jsonl and long-valid.jsonl (samples/shared/descriptions.sh): descriptions cut into
# their first and second half (what the encoder-decoder is pre-trained on), and the task: the section of a package by the
# first words of its description. Variables: out = folder, kind = "train" or "test", words = of the task's prompt.
function field(name,   at, rest) {
    at = index($0, "\"" name "\": \"")
    rest = substr($0, at + length(name) + 5)
    match(rest, /([^"\\]|\\.)*/)
    return substr(rest, 1, RLENGTH)
}
{
    text = field("text")
    n = split(text, word, " ")
    first = second = start = ""
    for (i = 1; i <= n; i++) {
        if (i <= n / 2) first = first (i > 1 ? " " : "") word[i]
        else second = second (second == "" ? "" : " ") word[i]
        if (i <= words) start = start (i > 1 ? " " : "") word[i]
    }
    if (n >= 8)
        printf "{\"source\": \"%s\", \"target\": \"%s\"}\n", first, second > (out "/halves-" kind ".jsonl")
    printf "{\"prompt\": \"%s\\nsection:\", \"answer\": \" %s\"}\n", start, field("label") > (out "/section-" kind ".jsonl")
}
