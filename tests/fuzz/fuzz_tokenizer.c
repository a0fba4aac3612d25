/* SPDX-License-Identifier: Apache-2.0 */
/* The first byte chooses: any bytes as a tokenizer.json, which is refused with a reason or works on
 * some texts; or any bytes as a text for one of a few valid tokenizers. */
#include "text/tokenizer.h"

#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define VOCAB                                                                                      \
    "\"vocab\": {\"a\": 0, \"b\": 1, \"ab\": 2, \"\\u2581\": 3, \"\\u0120\": 4, \"##b\": 5, "      \
    "\"<0x0A>\": 6}"

static const char *const tokenizers[] = {
    "{\"normalizer\": {\"type\": \"BertNormalizer\"}, \"pre_tokenizer\": {\"type\": "
    "\"BertPreTokenizer\"}, "
    "\"added_tokens\": [{\"content\": \"[M]\", \"lstrip\": true, \"rstrip\": true}], "
    "\"decoder\": {\"type\": \"WordPiece\"}, "
    "\"model\": {\"type\": \"WordPiece\", \"unk_token\": \"a\", " VOCAB "}}",
    "{\"normalizer\": {\"type\": \"NFKC\"}, \"pre_tokenizer\": {\"type\": \"ByteLevel\"}, "
    "\"post_processor\": {\"type\": \"RobertaProcessing\", \"sep\": [\"a\", 0], \"cls\": [\"b\", "
    "1]}, "
    "\"decoder\": {\"type\": \"ByteLevel\"}, "
    "\"model\": {\"type\": \"BPE\", \"unk_token\": \"a\", \"merges\": [\"a b\"], " VOCAB "}}",
    "{\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"Prepend\", "
    "\"prepend\": "
    "\"\\u2581\"}, {\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, \"content\": "
    "\"\\u2581\"}]}, "
    "\"decoder\": {\"type\": \"Sequence\", \"decoders\": [{\"type\": \"ByteFallback\"}, {\"type\": "
    "\"Fuse\"}]}, \"model\": {\"type\": \"BPE\", \"byte_fallback\": true, \"fuse_unk\": true, "
    "\"unk_token\": \"b\", \"merges\": [\"a b\"], " VOCAB "}}",
    "{\"normalizer\": {\"type\": \"NFD\"}, \"pre_tokenizer\": {\"type\": \"Metaspace\", "
    "\"replacement\": "
    "\"\\u2581\"}, \"decoder\": {\"type\": \"Metaspace\", \"replacement\": \"\\u2581\"}, "
    "\"model\": "
    "{\"type\": \"Unigram\", \"unk_id\": 0, \"vocab\": [[\"<unk>\", 0], [\"\\u2581a\", -1], "
    "[\"b\", -2]]}}",
};

/* Encodes, checks what must hold of any encoding, and decodes. */
static void use(const struct firn_tokenizer *tok, const char *text, size_t size,
                const struct firn_encode_params *params)
{
    struct firn_encoding e = { 0 };
    struct firn_error err = { 0 };
    struct firn_str s = { 0 };
    const char *pair = params != NULL ? text : NULL;
    if (firn_tokenizer_encode(tok, text, size, pair, size, params, &e, &err) != FIRN_OK) {
        if (err.text[0] == '\0')
            abort(); // every refusal has a reason
    } else {
        for (size_t i = 0; i < e.n; i++)
            if (e.ids[i] < 0 || e.special[i] > 1)
                abort();
        if (params != NULL && params->max_length > 0 && e.n > params->max_length)
            abort();
        firn_tokenizer_decode(tok, e.ids, e.n, params == NULL, &s, &err);
        if (s.size > 0 && firn_utf8_valid((const uint8_t *) s.data, s.size) != s.size)
            abort();
    }
    firn_str_free(&s);
    firn_encoding_free(&e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char text[] =
        "a b  [M] ab\n\xC3\x89t\xC3\xA9 12,345 \xE2\x96\x81\xE4\xB8\xAD don't \xF0\x9F\x98\x80!";
    if (size == 0)
        return 0;
    const size_t which = data[0] % 8;
    const bool is_file = which >= sizeof tokenizers / sizeof tokenizers[0];
    const char *bytes = (const char *) data + 1;
    const char *json = is_file ? bytes : tokenizers[which];
    struct firn_tokenizer *tok = NULL;
    struct firn_error err = { 0 };
    if (firn_tokenizer_parse(&tok, "fuzz", json, is_file ? size - 1 : strlen(json), &err) !=
        FIRN_OK) {
        if (tok != NULL || err.text[0] == '\0' || !is_file)
            abort();
        return 0;
    }
    use(tok, is_file ? text : bytes, is_file ? sizeof text - 1 : size - 1, NULL);
    use(tok, is_file ? text : bytes, is_file ? sizeof text - 1 : size - 1,
        firn_encode_params(.max_length = 9, .truncate_left = data[0] >= 128));
    firn_tokenizer_close(&tok);
    return 0;
}
