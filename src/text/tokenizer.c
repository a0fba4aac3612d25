/* SPDX-License-Identifier: Apache-2.0 */
/* Opens a tokenizer directory and answers questions about its tokens. */
#include "text/tokenizer.h"

#include "base/file.h"
#include "text/gguf_tokenizer.h"

#include <stdlib.h>
#include <string.h>

#define FILE_MAX ((size_t) 1 << 30)
#define CONFIG_MAX ((size_t) 64 << 20)

static const char *const role_names[FIRN_N_ROLES] = { "bos_token", "eos_token", "pad_token",
                                                      "unk_token", "cls_token", "sep_token",
                                                      "mask_token" };

static firn_status read_stages(struct firn_tokenizer *tok, const json_t *root,
                               const struct firn_parts *parts, struct firn_error *err)
{
    const json_t *version = json_object_get(root, "version");
    if (json_is_string(version) && strcmp(json_string_value(version), "1.0") != 0)
        return firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = tok->path, .key = "version",
                         .expected = "1.0", .got = FIRN_STR("%.40s", json_string_value(version)));
    firn_status s =
        firn_model_read(&tok->model, tok->path, json_object_get(root, "model"), parts, err);
    if (s == FIRN_OK)
        s = firn_normalizer_read(&tok->normalizer, tok->path, json_object_get(root, "normalizer"),
                                 err);
    if (s == FIRN_OK)
        s = firn_pretokenizer_read(&tok->pretokenizer, tok->path,
                                   json_object_get(root, "pre_tokenizer"), err);
    if (s == FIRN_OK)
        s = firn_post_read(&tok->post, tok->path, json_object_get(root, "post_processor"), err);
    if (s == FIRN_OK)
        s = firn_decoder_read(&tok->decoder, tok->path, json_object_get(root, "decoder"), err);
    if (s == FIRN_OK)
        s = firn_added_read(&tok->added, tok->path, json_object_get(root, "added_tokens"),
                            &tok->model, &tok->normalizer, err);
    return s;
}

firn_status firn_tokenizer_parse(struct firn_tokenizer **out, const char *name, const char *data,
                                 size_t size, struct firn_error *err)
{
    struct firn_parts parts = { 0 };
    json_t *root = NULL;
    struct firn_tokenizer *tok = calloc(1, sizeof *tok);
    *out = NULL;
    if (tok == NULL || (tok->path = firn_strdup(name)) == NULL) {
        free(tok);
        return firn_fail(err, FIRN_ERR_MEMORY, .file = name);
    }
    for (int i = 0; i < FIRN_N_ROLES; i++)
        tok->roles[i].id = -1;
    tok->model.identity = firn_hash_bytes(0, data, size);
    firn_status s = firn_scan_parts(&parts, name, data, size, err);
    if (s == FIRN_OK)
        s = firn_json_parse_part(parts.rest.data, parts.rest.size, size, name, &root, err);
    firn_str_free(&parts.rest);
    if (s == FIRN_OK)
        s = read_stages(tok, root, &parts, err);
    json_decref(root);
    if (s == FIRN_OK)
        *out = tok;
    else
        firn_tokenizer_close(&tok);
    return s;
}

static firn_status read_file(struct firn_tokenizer **tok, const char *path, struct firn_error *err)
{
    struct firn_map map = { 0 };
    firn_status s = firn_map_open(&map, path, err);
    if (s != FIRN_OK)
        return s;
    if (map.size == 0 || map.size > FILE_MAX)
        s = firn_fail(err, FIRN_ERR_FORMAT, .file = path, .expected = "a file of 1 byte to 1 GiB",
                      .got = FIRN_STR("%zu", map.size));
    else
        s = firn_tokenizer_parse(tok, path, (const char *) map.data, map.size, err);
    firn_map_close(&map);
    return s;
}

/* A token of the configuration: a text, or an object with its content. */
static const char *token_text(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_string_value(json_is_object(value) ? json_object_get(value, "content") : value);
}

/* Roles that are not known yet, from one of the two configuration files, if it is there. */
static firn_status read_config(struct firn_tokenizer *tok, const char *directory, const char *name,
                               bool is_config, struct firn_error *err)
{
    char *path = firn_path_join(directory, name);
    char *data = NULL;
    size_t size;
    json_t *root = NULL;
    firn_status s = FIRN_OK;
    if (path == NULL) {
        s = firn_fail(err, FIRN_ERR_MEMORY, .file = name);
        goto done;
    }
    if (!firn_path_exists(path))
        goto done;
    s = firn_file_read(path, CONFIG_MAX, &data, &size, err);
    if (s == FIRN_OK)
        s = firn_json_parse(data, size, path, &root, err);
    if (s != FIRN_OK)
        goto done;
    for (int i = 0; i < FIRN_N_ROLES; i++) {
        const char *text = token_text(root, role_names[i]);
        if (text == NULL || tok->roles[i].text != NULL)
            continue;
        tok->roles[i].text = firn_strdup(text);
        tok->roles[i].id = firn_token_id(tok, text);
        if (tok->roles[i].text == NULL)
            s = firn_fail(err, FIRN_ERR_MEMORY, .file = path);
    }
    if (is_config) {
        const char *pads = json_string_value(json_object_get(root, "padding_side"));
        const char *truncates = json_string_value(json_object_get(root, "truncation_side"));
        const json_int_t length = json_integer_value(json_object_get(root, "model_max_length"));
        tok->pads_left = pads != NULL && strcmp(pads, "left") == 0;
        tok->truncates_left = truncates != NULL && strcmp(truncates, "left") == 0;
        tok->max_length = length > 0 && length <= INT32_MAX ? (size_t) length : 0;
    }
done:
    json_decref(root);
    free(data);
    free(path);
    return s;
}

/* A model in one file has its tokenizer beside it. */
static char *folder_of(const char *path)
{
    char *folder = firn_strdup(path);
    if (folder == NULL || firn_path_is_dir(path) || !firn_path_exists(path))
        return folder;
    char *slash = strrchr(folder, '/');
    strcpy(slash != NULL ? slash : folder, slash == NULL ? "." : slash == folder ? "/" : "");
    return folder;
}

/* Where there is no tokenizer.json, a GGUF file's keys. */
static firn_status read_gguf(struct firn_tokenizer **tok, const char *model, const char *missing, struct firn_error *err)
{
    struct firn_gguf_keys keys = { 0 };
    struct firn_map map = { 0 };
    char *file = NULL;
    firn_status s = firn_gguf_locate(model, &file, err);
    if (s == FIRN_OK && file == NULL)
        s = read_file(tok, missing, err); // says that it is not there
    else if (s == FIRN_OK)
        s = firn_gguf_keys_open(&keys, &map, file, err);
    if (s == FIRN_OK && file != NULL)
        s = firn_gguf_tokenizer(tok, file, &keys, err);
    firn_gguf_keys_free(&keys);
    firn_map_close(&map);
    free(file);
    return s;
}

firn_status firn_tokenizer_open(struct firn_tokenizer **out, const char *model,
                                struct firn_error *err)
{
    struct firn_tokenizer *tok = NULL;
    char *directory = folder_of(model);
    char *path = directory != NULL ? firn_path_join(directory, "tokenizer.json") : NULL;
    *out = NULL;
    firn_status s = path == NULL ? firn_fail(err, FIRN_ERR_MEMORY, .file = model, .what = "out of memory for a path")
                    : firn_path_exists(path) ? read_file(&tok, path, err)
                                             : read_gguf(&tok, model, path, err);
    if (s == FIRN_OK)
        s = read_config(tok, directory, "tokenizer_config.json", true, err);
    if (s == FIRN_OK)
        s = read_config(tok, directory, "special_tokens_map.json", false, err);
    if (s == FIRN_OK)
        *out = tok;
    else
        firn_tokenizer_close(&tok);
    free(path);
    free(directory);
    return s;
}

void firn_tokenizer_close(struct firn_tokenizer **out)
{
    struct firn_tokenizer *tok = *out;
    *out = NULL;
    if (tok == NULL)
        return;
    firn_added_free(&tok->added);
    firn_normalizer_free(&tok->normalizer);
    firn_pretokenizer_free(&tok->pretokenizer);
    firn_model_free(&tok->model);
    firn_post_free(&tok->post);
    firn_decoder_free(&tok->decoder);
    for (int i = 0; i < FIRN_N_ROLES; i++)
        free(tok->roles[i].text);
    free(tok->path);
    free(tok);
}

int32_t firn_token_id(const struct firn_tokenizer *tok, const char *token)
{
    const size_t size = strlen(token);
    const int32_t id = firn_vocab_find(&tok->added.contents, token, size);
    return id >= 0 ? id : firn_vocab_find(&tok->model.vocab, token, size);
}

const char *firn_token_text(const struct firn_tokenizer *tok, int32_t id, size_t *size)
{
    const char *text = firn_vocab_text(&tok->added.contents, id, size);
    return text != NULL ? text : firn_vocab_text(&tok->model.vocab, id, size);
}

/* What decoders get for an id. */
static const char *decoded_text(const struct firn_tokenizer *tok, int32_t id, size_t *size)
{
    const char *text = firn_vocab_text(&tok->added.decoded, id, size);
    return text != NULL ? text : firn_vocab_text(&tok->model.vocab, id, size);
}

bool firn_token_is_special(const struct firn_tokenizer *tok, int32_t id)
{
    size_t size;
    const char *text = decoded_text(tok, id, &size);
    return text != NULL && firn_vocab_find(&tok->added.specials, text, size) >= 0;
}

firn_status firn_tokenizer_decode(const struct firn_tokenizer *tok, const int32_t *ids, size_t n,
                                  bool skip_special, struct firn_str *out, struct firn_error *err)
{
    struct firn_texts tokens = { 0 };
    for (size_t i = 0; i < n; i++) {
        size_t size;
        const char *text = decoded_text(tok, ids[i], &size);
        if (text != NULL &&
            !(skip_special && firn_vocab_find(&tok->added.specials, text, size) >= 0))
            firn_texts_add(&tokens, text, size);
    }
    const firn_status s = firn_decoder_run(&tok->decoder, &tokens, out, err);
    firn_texts_free(&tokens);
    return s;
}

size_t firn_tokenizer_vocab_size(const struct firn_tokenizer *tok)
{
    return tok->model.vocab.n + tok->added.n_new;
}

size_t firn_tokenizer_id_limit(const struct firn_tokenizer *tok)
{
    const int32_t model = tok->model.vocab.id_limit, added = tok->added.contents.id_limit;
    return (size_t) (model > added ? model : added);
}

int32_t firn_tokenizer_role(const struct firn_tokenizer *tok, enum firn_role role)
{
    return tok->roles[role].id;
}

const char *firn_tokenizer_role_text(const struct firn_tokenizer *tok, enum firn_role role)
{
    return tok->roles[role].text;
}

bool firn_tokenizer_pads_left(const struct firn_tokenizer *tok)
{
    return tok->pads_left;
}

bool firn_tokenizer_truncates_left(const struct firn_tokenizer *tok)
{
    return tok->truncates_left;
}

size_t firn_tokenizer_max_length(const struct firn_tokenizer *tok)
{
    return tok->max_length;
}

size_t firn_tokenizer_n_added(const struct firn_tokenizer *tok, bool is_pair)
{
    return firn_post_n_added(&tok->post, is_pair);
}
