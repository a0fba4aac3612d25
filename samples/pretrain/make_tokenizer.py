#!/usr/bin/env python3
"""Learns a byte-level BPE vocabulary from a text column and writes tokenizer.json, tokenizer_config.json and
special_tokens_map.json: make_tokenizer.py TEXTS.jsonl OUT VOCABULARY. Standard library only.

Sennrich et al. 2016, over the bytes of words as GPT-2 cuts them; the most frequent pair is joined, ties by the pair itself.
"""
import collections
import json
import os
import re
import sys

END, PAD, UNKNOWN = "<|endoftext|>", "<pad>", "<unk>"
# GPT-2's pattern with the Unicode classes that Python's re has
WORDS = re.compile(r"'(?:[sdmt]|ll|ve|re)| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")


def byte_letters():
    """GPT-2's printable letter for each byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {b: chr(b) for b in plain}
    for b in range(256):
        letters.setdefault(b, chr(256 + len([x for x in letters if x not in plain])))
    return letters


def count_words(path, letters):
    counts = collections.Counter()
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            counts.update(WORDS.findall(json.loads(line)["text"]))
    return [([letters[b] for b in word.encode()], n) for word, n in counts.items()]


def learn(words, n_merges):
    """Joins the most frequent pair until there are enough; pair counts are kept up to date word by word."""
    pairs, where = collections.Counter(), collections.defaultdict(set)
    for i, (parts, n) in enumerate(words):
        for pair in zip(parts, parts[1:]):
            pairs[pair] += n
            where[pair].add(i)
    merges = []
    while len(merges) < n_merges and pairs:
        best = max(pairs, key=lambda p: (pairs[p], p))
        if pairs[best] < 2:
            break
        merges.append(best)
        for i in list(where.pop(best)):
            parts, n = words[i]
            for pair in zip(parts, parts[1:]):
                pairs[pair] -= n
                if pairs[pair] <= 0:
                    del pairs[pair]
            joined, k = [], 0
            while k < len(parts):
                both = k + 1 < len(parts) and (parts[k], parts[k + 1]) == best
                joined.append(parts[k] + parts[k + 1] if both else parts[k])
                k += 2 if both else 1
            words[i] = (joined, n)
            for pair in zip(joined, joined[1:]):
                pairs[pair] += n
                where[pair].add(i)
    return merges


def write(folder, letters, merges):
    specials = [END, PAD, UNKNOWN]
    vocabulary = {token: i for i, token in enumerate(specials + sorted(letters.values()))}
    for a, b in merges:
        vocabulary.setdefault(a + b, len(vocabulary))
    added = [dict(id=vocabulary[t], content=t, single_word=False, lstrip=False, rstrip=False, normalized=False,
                  special=True) for t in specials]
    byte_level = dict(type="ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=True)
    tokenizer = dict(version="1.0", truncation=None, padding=None, added_tokens=added, normalizer=None,
                     pre_tokenizer=byte_level, post_processor=None, decoder=byte_level,
                     model=dict(type="BPE", dropout=None, unk_token=None, continuing_subword_prefix=None,
                                end_of_word_suffix=None, fuse_unk=False, byte_fallback=False, ignore_merges=False,
                                vocab=vocabulary, merges=[list(m) for m in merges]))
    names = dict(eos_token=END, bos_token=END, pad_token=PAD, unk_token=UNKNOWN)
    os.makedirs(folder, exist_ok=True)
    for name, content in (("tokenizer.json", tokenizer), ("special_tokens_map.json", names),
                          ("tokenizer_config.json", dict(names, tokenizer_class="PreTrainedTokenizerFast"))):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as out:
            json.dump(content, out, ensure_ascii=False, indent=1)
    return len(vocabulary)


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    letters = byte_letters()
    words = count_words(sys.argv[1], letters)
    merges = learn(words, int(sys.argv[3]) - len(letters) - 3)
    print(f"{write(sys.argv[2], letters, merges)} tokens from {len(words)} words")


if __name__ == "__main__":
    main()
