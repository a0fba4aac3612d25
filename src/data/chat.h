/* SPDX-License-Identifier: Apache-2.0 */
/* Conversations as the text that a chat model was trained on. The format is recognised by characteristic strings of the
 * model's chat template, which is never run; an unknown one can be given in a recipe. */
#ifndef FIRN_DATA_CHAT_H
#define FIRN_DATA_CHAT_H

#include "data/marked.h"
#include "firn/tokenizer.h"

/* Turns are texts with {content}; {bos} and {eos} are the tokenizer's. NULL: none. */
struct firn_chat_format {
    const char *name;
    const char *marks[3];      /* all of them occur in the chat template ... */
    const char *unlike;        /* ... and this does not */
    const char *first;         /* before everything */
    const char *system;        /* a turn of its own; else ... */
    const char *system_into;   /* ... the first user's content, from {system} and {content}; NULL too: refused */
    bool into_last;            /* the last user's instead */
    const char *no_system;     /* the system's content where none is given; NULL: no turn */
    const char *user, *assistant;
    const char *assistant_last; /* answers behind the last user message; NULL: like the others */
    const char *generation;    /* what the next answer follows */
    const char *last;          /* behind everything, unless an answer is to follow */
    bool strips;               /* white space around contents goes */
    bool strips_answers;       /* of answers only */
    bool alternates;           /* user and assistant in turn, or it is an error */
};
extern const struct firn_chat_format firn_chat_formats[]; /* name NULL at the end */

struct firn_chat {
    struct firn_chat_format format; /* texts point to the table or into `given` */
    json_t *given;                  /* from a recipe or firn.json; NULL: recognised */
    char *no_system;                /* found in the template */
    const char *bos, *eos;          /* "" where the tokenizer has none */
};

/* `given` (NULL: recognise it in `model`'s tokenizer_config.json or chat_template.jinja) is a format's name or a mapping with
 * user, assistant and, as needed, first, system, generation, last. `file` is for messages about it. */
firn_status firn_chat_open(struct firn_chat *c, const char *model, const struct firn_tokenizer *tokenizer,
                           const json_t *given, const char *file, struct firn_error *err);
void firn_chat_close(struct firn_chat *c);
/* The token that ends an answer, or -1 where it is not a single one. */
int32_t firn_chat_end(const struct firn_chat *c, const struct firn_tokenizer *tokenizer);
/* The format as a mapping that firn_chat_open takes. */
json_t *firn_chat_json(const struct firn_chat *c);

/* `messages`: a list of {role, content}, roles system (the first only), user and assistant. Answers are the contents of
 * assistant turns with what ends them. With `is_prompt` the last message is not an answer, and one is to follow. */
firn_status firn_chat_render(const struct firn_chat *c, const json_t *messages, bool is_prompt, const char *file,
                             size_t line, struct firn_marked *out, struct firn_error *err);

#endif
