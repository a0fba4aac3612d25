/* SPDX-License-Identifier: Apache-2.0 */
/// Tokenizers: text to ids and back, from the tokenizer.json of a model directory.
///
/// A directory in the Hugging Face layout holds `tokenizer.json` and usually `tokenizer_config.json`
/// and `special_tokens_map.json`. The first is a pipeline: added tokens are cut out of the text, a
/// normalizer rewrites what is left, a pre-tokenizer splits it, a model (WordPiece, BPE, Unigram,
/// WordLevel) turns each piece into ids, a post-processor adds special tokens; a decoder goes back.
/// Every stage does what the reference library (Hugging Face tokenizers 0.23) does, so ids, offsets
/// and decoded text are the same. The file's own `truncation` and `padding` are ignored: they are the
/// caller's choice, made with each call. A BPE `dropout` is taken as 0.
///
///     struct firn_tokenizer *tok = NULL;
///     struct firn_encoding e = { 0 };
///     firn_status s = firn_tokenizer_open(&tok, "models/bert", &err);
///     if (!s)
///         s = firn_tokenizer_encode(tok, text, strlen(text), NULL, 0,
///                                   firn_encode_params(.max_length = 64), &e, &err);
///     ... e.ids[0 .. e.n - 1] ...
///     firn_encoding_free(&e);
///     firn_tokenizer_close(&tok);
///
/// Threads: a tokenizer never changes after it was opened, any number of threads may use one at the
/// same time, each with its own `struct firn_encoding`.
#ifndef FIRN_TOKENIZER_H
#define FIRN_TOKENIZER_H

#include "firn/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct firn_str; // a growing text: { char *data; size_t size, capacity; bool failed; }
struct firn_tokenizer;

/// Opens the tokenizer of a directory, or of the directory that a model file is in. Only tokenizer.json must be there; without
/// one, the keys of a GGUF file (`directory` itself, or the only one in it) make the tokenizer.
///
/// Fails with FIRN_ERR_IO when it is missing, FIRN_ERR_FORMAT when it (or one of the other two) is
/// wrong, FIRN_ERR_UNSUPPORTED when it names a stage that firn does not have. Memory is a small
/// multiple of the file's size, whatever the file says. `*tok` is NULL after a failure.
FIRN_API firn_status firn_tokenizer_open(struct firn_tokenizer **tok, const char *directory,
                                         struct firn_error *err);

/// Frees a tokenizer and leaves NULL; NULL inside is allowed.
FIRN_API void firn_tokenizer_close(struct firn_tokenizer **tok);

/// Where a token came from: code points [begin, end) of the text (for the pair: of the pair's text).
/// [0, 0] for tokens that the post-processor added.
struct firn_offset {
    uint32_t begin, end;
};

struct firn_encode_scratch; // working memory and the cache of words; kept between calls

/// What encode fills. Zero-initialise before the first call, use again for the next (buffers grow and
/// stay), free at the end with firn_encoding_free. All arrays have `n` entries.
struct firn_encoding {
    int32_t *ids;
    int32_t *type_ids;           // 0 or 1 as the post-processor says
    struct firn_offset *offsets;
    uint8_t *special;            // 1 for tokens that the post-processor added
    size_t n, capacity;
    bool truncated;              // max_length cut something off
    struct firn_encode_scratch *scratch;
};
FIRN_API void firn_encoding_free(struct firn_encoding *encoding);

enum firn_truncation {
    FIRN_TRUNCATE_LONGEST_FIRST, // of two texts the longer one, then both to equal lengths
    FIRN_TRUNCATE_ONLY_FIRST,
    FIRN_TRUNCATE_ONLY_SECOND,
};

struct firn_encode_params {
    bool add_special;     // the post-processor's special tokens are added;      default true
    bool truncate_left;   // drop tokens at the start of a text, not its end;    default false
    size_t max_length;    // most tokens, special ones included; 0 is no limit;  default 0
    enum firn_truncation truncation; // which text gives way;                    default the longest
};
#define FIRN_ENCODE_DEFAULTS .add_special = true,
#define firn_encode_params(...)                                                                   \
    (&(const struct firn_encode_params){ FIRN_ENCODE_DEFAULTS __VA_ARGS__ })

/// Encodes a text, or a pair of texts.
///
///   text, pair   UTF-8, not NUL-terminated; `pair` NULL for a single text; at most 512 MiB each
///   params       NULL for the defaults
///
/// Special tokens that are written in a text are recognised as such. Truncation shortens the texts,
/// never the special tokens of the post-processor.
/// Fails with FIRN_ERR_FORMAT when a text is not UTF-8 or holds something that the vocabulary has no
/// token for, with FIRN_ERR_USAGE when max_length has no room for the special tokens, with
/// FIRN_ERR_UNSUPPORTED when a regular expression of the file needs more steps than it is given.
FIRN_API firn_status firn_tokenizer_encode(const struct firn_tokenizer *tok, const char *text,
                                           size_t size, const char *pair, size_t pair_size,
                                           const struct firn_encode_params *params,
                                           struct firn_encoding *out, struct firn_error *err);

/// Turns ids back into text and appends it to `out`. Unknown ids are left out; with `skip_special`
/// so are special tokens (all that the file lists as special, written in the text or not). Bytes that
/// form no UTF-8 become U+FFFD. `clean_up_tokenization_spaces` of tokenizer_config.json is not
/// applied: this is the decoder of tokenizer.json alone.
FIRN_API firn_status firn_tokenizer_decode(const struct firn_tokenizer *tok, const int32_t *ids,
                                           size_t n, bool skip_special, struct firn_str *out,
                                           struct firn_error *err);

/// The id of a token as it is written in the vocabulary ("[PAD]", "##ing", "Ġthe"), or -1.
FIRN_API int32_t firn_token_id(const struct firn_tokenizer *tok, const char *token);

/// The text of an id as it is written in the vocabulary, or NULL; valid while the tokenizer is open.
/// It is NUL-terminated; `size` (NULL allowed) gets its bytes.
FIRN_API const char *firn_token_text(const struct firn_tokenizer *tok, int32_t id, size_t *size);

/// True when the file lists the id as a special token.
FIRN_API bool firn_token_is_special(const struct firn_tokenizer *tok, int32_t id);

/// Tokens in the vocabulary, added tokens included.
FIRN_API size_t firn_tokenizer_vocab_size(const struct firn_tokenizer *tok);

/// One more than the largest id: rows that an embedding must have. Ids may have gaps.
FIRN_API size_t firn_tokenizer_id_limit(const struct firn_tokenizer *tok);

enum firn_role {
    FIRN_ROLE_BOS,
    FIRN_ROLE_EOS,
    FIRN_ROLE_PAD,
    FIRN_ROLE_UNK,
    FIRN_ROLE_CLS,
    FIRN_ROLE_SEP,
    FIRN_ROLE_MASK,
    FIRN_N_ROLES,
};

/// The id that tokenizer_config.json (else special_tokens_map.json) gives a role, or -1. Several
/// roles may share an id.
FIRN_API int32_t firn_tokenizer_role(const struct firn_tokenizer *tok, enum firn_role role);

/// The spelling of that token, or NULL.
FIRN_API const char *firn_tokenizer_role_text(const struct firn_tokenizer *tok,
                                              enum firn_role role);

/// `padding_side` and `truncation_side` of tokenizer_config.json; false (right) where it is silent.
FIRN_API bool firn_tokenizer_pads_left(const struct firn_tokenizer *tok);
FIRN_API bool firn_tokenizer_truncates_left(const struct firn_tokenizer *tok);

/// `model_max_length` of tokenizer_config.json, or 0 where it gives none (or an absurd one).
FIRN_API size_t firn_tokenizer_max_length(const struct firn_tokenizer *tok);

/// Special tokens that the post-processor adds to a single text or to a pair.
FIRN_API size_t firn_tokenizer_n_added(const struct firn_tokenizer *tok, bool is_pair);

#ifdef __cplusplus
}
#endif
#endif
