/* SPDX-License-Identifier: Apache-2.0 */
/* The tokenizer that a GGUF file carries in its keys. */
#ifndef FIRN_TEXT_GGUF_TOKENIZER_H
#define FIRN_TEXT_GGUF_TOKENIZER_H

#include "base/gguf.h"
#include "text/tokenizer.h"

/* tokenizer.ggml.model `llama` (SentencePiece's BPE with scores and bytes) and `gpt2` (byte-level BPE with merges; how text
 * is split is said by tokenizer.ggml.pre). Other kinds are errors that say what to do. */
firn_status firn_gguf_tokenizer(struct firn_tokenizer **tok, const char *file, const struct firn_gguf_keys *keys,
                                struct firn_error *err);

#endif
