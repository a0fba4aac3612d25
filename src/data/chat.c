/* SPDX-License-Identifier: Apache-2.0 */
/* Recognises a chat format and writes conversations in it. */
#include "data/chat.h"

#include "base/file.h"
#include "base/gguf.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_TEMPLATE = 1 << 22 };

static const char *field_names[] = { "first", "system", "system_into", "no_system", "user", "assistant",
                                     "assistant_last", "generation", "last" };
enum { N_FIELDS = sizeof field_names / sizeof field_names[0] };

/* The texts of a format, in the order of the names. */
static const char **field(struct firn_chat_format *f, int i)
{
    const char **fields[N_FIELDS] = { &f->first, &f->system, &f->system_into, &f->no_system, &f->user, &f->assistant,
                                      &f->assistant_last, &f->generation, &f->last };
    return fields[i];
}

static const struct {
    const char *name;
    size_t offset;
} switches[] = { { "strips", offsetof(struct firn_chat_format, strips) },
                 { "strips_answers", offsetof(struct firn_chat_format, strips_answers) },
                 { "alternates", offsetof(struct firn_chat_format, alternates) },
                 { "into_last", offsetof(struct firn_chat_format, into_last) } };
enum { N_SWITCHES = sizeof switches / sizeof switches[0] };

static bool *flag(struct firn_chat_format *f, int i)
{
    return (bool *) ((char *) f + switches[i].offset);
}

static void add_names(struct firn_str *out)
{
    for (const struct firn_chat_format *f = firn_chat_formats; f->name != NULL; f++)
        firn_str_addf(out, "%s%s", f == firn_chat_formats ? "" : ", ", f->name);
}

static firn_status unknown(const char *file, const char *key, const char *got, struct firn_error *err)
{
    struct firn_str names = { 0 };
    add_names(&names);
    const firn_status status =
        firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = file, .key = key,
                  .expected = FIRN_STR("a known chat format (%s), or one in the recipe as  data: {chat: {user: "
                                       "\"<user>{content}\", assistant: \"<bot>{content}{eos}\", generation: \"<bot>\"}}",
                                       names.data != NULL ? names.data : ""),
                  .got = got);
    firn_str_free(&names);
    return status;
}

static firn_status read_mapping(struct firn_chat *c, const char *file, struct firn_error *err)
{
    const char *key;
    json_t *v;
    json_object_foreach (c->given, key, v) {
        bool known = strcmp(key, "name") == 0;
        for (int i = 0; i < N_FIELDS && !known; i++)
            if (strcmp(key, field_names[i]) == 0 && (json_is_string(v) || json_is_null(v))) {
                *field(&c->format, i) = json_string_value(v);
                known = true;
            }
        for (int i = 0; i < N_SWITCHES && !known; i++)
            if (strcmp(key, switches[i].name) == 0 && json_is_boolean(v)) {
                *flag(&c->format, i) = json_is_true(v);
                known = true;
            }
        if (!known)
            return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = FIRN_STR("data.chat.%s", key),
                             .expected = "first, system, system_into, no_system, user, assistant, assistant_last, "
                                         "generation, last (texts); strips, strips_answers, alternates, into_last (true)",
                             .got = "something else");
    }
    const char *const both[] = { c->format.user, c->format.assistant };
    for (int i = 0; i < 2; i++)
        if (both[i] == NULL || strstr(both[i], "{content}") == NULL)
            return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = i == 0 ? "data.chat.user" : "data.chat.assistant",
                             .expected = "a text with {content}", .got = both[i] != NULL ? both[i] : "nothing");
    c->format.name = "given";
    return FIRN_OK;
}

static bool is_like(const struct firn_chat_format *f, const char *text)
{
    for (int i = 0; i < 3 && f->marks[i] != NULL; i++)
        if (strstr(text, f->marks[i]) == NULL)
            return false;
    return f->unlike == NULL || strstr(text, f->unlike) == NULL;
}

/* ChatML templates may say what the system is where nobody does: a whole literal turn. */
static char *find_default(const char *text)
{
    static const char *const starts[] = { "<|im_start|>system\\n", "<|im_start|>system\n" };
    for (int k = 0; k < 2; k++)
        for (const char *at = strstr(text, starts[k]); at != NULL; at = strstr(at + 1, starts[k])) {
            const char *from = at + strlen(starts[k]), *end = strstr(from, "<|im_end|>");
            const size_t n = end != NULL ? (size_t) (end - from) : 0;
            if (n > 0 && strcspn(from, "'\"{}\\") >= n)
                return strndup(from, n);
        }
    return NULL;
}

/* The same from the keys of a GGUF file. */
static firn_status read_gguf(const char *model, char **text, char **path, struct firn_error *err)
{
    struct firn_gguf_keys keys;
    struct firn_map map;
    firn_status status = firn_gguf_locate(model, path, err);
    if (status != FIRN_OK || *path == NULL)
        return status;
    status = firn_gguf_keys_open(&keys, &map, *path, err);
    if (status != FIRN_OK)
        return status;
    const struct firn_gguf_key *key = firn_gguf_key(&keys, "tokenizer.chat_template");
    if (key != NULL && key->type == FIRN_GGUF_STRING && key->count <= MAX_TEMPLATE)
        *text = strndup((const char *) key->data, (size_t) key->count);
    firn_gguf_keys_free(&keys);
    firn_map_close(&map);
    return FIRN_OK;
}

/* The text of the template, malloc'd; NULL where the model has none. Of several named ones the default. */
static firn_status read_template(const char *model, char **text, char **path, struct firn_error *err)
{
    char *jinja = firn_path_join(model, "chat_template.jinja"), *config = firn_path_join(model, "tokenizer_config.json");
    json_t *tree = NULL;
    size_t size;
    *text = *path = NULL;
    firn_status status = jinja != NULL && config != NULL ? FIRN_OK
                                                         : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a path");
    if (status == FIRN_OK && firn_path_exists(jinja)) {
        status = firn_file_read(jinja, MAX_TEMPLATE, text, &size, err);
        *path = jinja;
        jinja = NULL;
    } else if (status == FIRN_OK && firn_path_exists(config)) {
        status = firn_json_load(config, &tree, err);
        const json_t *v = json_object_get(tree, "chat_template"), *one;
        size_t i;
        if (json_is_array(v)) {
            const json_t *found = json_object_get(json_array_get(v, 0), "template");
            json_array_foreach (v, i, one) {
                const char *name = json_string_value(json_object_get(one, "name"));
                if (name != NULL && strcmp(name, "default") == 0)
                    found = json_object_get(one, "template");
            }
            v = found;
        }
        *text = firn_strdup(json_string_value(v));
        *path = config;
        config = NULL;
    } else if (status == FIRN_OK) {
        status = read_gguf(model, text, path, err);
    }
    json_decref(tree);
    free(jinja);
    free(config);
    return status;
}

static firn_status recognise(struct firn_chat *c, const char *model, struct firn_error *err)
{
    char *text, *path;
    firn_status status = read_template(model, &text, &path, err);
    const struct firn_chat_format *f = firn_chat_formats;
    while (status == FIRN_OK && text != NULL && f->name != NULL && !is_like(f, text))
        f++;
    if (status == FIRN_OK && text == NULL)
        status = unknown(model, "chat_template", "none in tokenizer_config.json, and no chat_template.jinja", err);
    else if (status == FIRN_OK && f->name == NULL)
        status = unknown(path, "chat_template", "another", err);
    if (status == FIRN_OK) {
        c->format = *f;
        if (strcmp(f->name, "chatml") == 0)
            c->format.no_system = c->no_system = find_default(text);
    }
    free(text);
    free(path);
    return status;
}

firn_status firn_chat_open(struct firn_chat *c, const char *model, const struct firn_tokenizer *tokenizer,
                           const json_t *given, const char *file, struct firn_error *err)
{
    memset(c, 0, sizeof *c);
    c->bos = firn_tokenizer_role_text(tokenizer, FIRN_ROLE_BOS);
    c->eos = firn_tokenizer_role_text(tokenizer, FIRN_ROLE_EOS);
    c->bos = c->bos != NULL ? c->bos : "";
    c->eos = c->eos != NULL ? c->eos : "";
    if (given == NULL || json_is_null(given))
        return recognise(c, model, err);
    if (json_is_string(given)) {
        for (const struct firn_chat_format *f = firn_chat_formats; f->name != NULL; f++)
            if (strcmp(f->name, json_string_value(given)) == 0) {
                c->format = *f;
                return FIRN_OK;
            }
        return unknown(file, "data.chat", json_string_value(given), err);
    }
    if (!json_is_object(given))
        return unknown(file, "data.chat", "something else", err);
    c->given = json_deep_copy(given);
    const firn_status status = c->given != NULL ? read_mapping(c, file, err)
                                                : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a chat format");
    if (status)
        firn_chat_close(c);
    return status;
}

int32_t firn_chat_end(const struct firn_chat *c, const struct firn_tokenizer *tokenizer)
{
    const char *at = strstr(c->format.assistant, "{content}");
    char text[64];
    if (at == NULL)
        return -1;
    at += strlen("{content}");
    at += strspn(at, " \n");
    firn_format(text, sizeof text, "%s", at);
    text[strcspn(text, " \n")] = '\0';
    return firn_token_id(tokenizer, strcmp(text, "{eos}") == 0 ? c->eos : text);
}

void firn_chat_close(struct firn_chat *c)
{
    json_decref(c->given);
    free(c->no_system);
    memset(c, 0, sizeof *c);
}

json_t *firn_chat_json(const struct firn_chat *c)
{
    struct firn_chat_format f = c->format;
    json_t *o = json_object();
    json_object_set_new(o, "name", json_string(f.name));
    for (int i = 0; i < N_FIELDS; i++)
        if (*field(&f, i) != NULL)
            json_object_set_new(o, field_names[i], json_string(*field(&f, i)));
    for (int i = 0; i < N_SWITCHES; i++)
        if (*flag(&f, i))
            json_object_set_new(o, switches[i].name, json_true());
    return o;
}

/* ---- writing ---- */

struct content {
    const char *text;
    size_t size;
};

static struct content strip(struct content c, bool strips)
{
    while (strips && c.size > 0 && strchr(" \t\r\n\v\f", c.text[0]) != NULL) {
        c.text++;
        c.size--;
    }
    while (strips && c.size > 0 && strchr(" \t\r\n\v\f", c.text[c.size - 1]) != NULL)
        c.size--;
    return c;
}

/* Writes a turn; from the content on it is an answer, but for white space at the turn's end. */
static void write_turn(const struct firn_chat *c, const char *turn, struct content content, struct content system,
                       bool is_answer, struct firn_marked *out)
{
    const char *at = turn != NULL ? turn : "";
    const char *end = at + strlen(at);
    size_t blank = 0;
    while (is_answer && end - blank > at && strchr(" \n", end[-1 - (ptrdiff_t) blank]) != NULL)
        blank++;
    while (*at != '\0') {
        static const char *const names[] = { "{content}", "{system}", "{bos}", "{eos}" };
        const struct content values[] = { content, system, { c->bos, strlen(c->bos) }, { c->eos, strlen(c->eos) } };
        int i = 0;
        if (is_answer && at == end - blank)
            firn_marked_end(out);
        while (i < 4 && strncmp(at, names[i], strlen(names[i])) != 0)
            i++;
        if (i == 4) {
            firn_str_add_n(&out->text, at++, 1);
            continue;
        }
        if (is_answer && i == 0)
            firn_marked_begin(out);
        firn_str_add_n(&out->text, values[i].text, values[i].size);
        at += strlen(names[i]);
    }
    if (is_answer && blank == 0)
        firn_marked_end(out);
}

enum role { SYSTEM, USER, ASSISTANT, N_ROLES };
static const char *const roles[] = { "system", "user", "assistant" };

static firn_status wrong(const char *file, size_t line, size_t i, const char *key, const char *expected, const char *got,
                         struct firn_error *err)
{
    return firn_fail(err, FIRN_ERR_FORMAT, .file = file, .key = FIRN_STR("line %zu: message %zu: %s", line, i + 1, key),
                     .expected = expected, .got = got);
}

static firn_status read_message(const json_t *m, size_t i, const char *file, size_t line, enum role *role,
                                struct content *content, struct firn_error *err)
{
    const json_t *r = json_object_get(m, "role"), *text = json_object_get(m, "content");
    int k = 0;
    while (k < N_ROLES && (!json_is_string(r) || strcmp(json_string_value(r), roles[k]) != 0))
        k++;
    if (k == N_ROLES)
        return wrong(file, line, i, "role", "system, user or assistant",
                     json_is_string(r) ? json_string_value(r) : "something else", err);
    if (!json_is_string(text))
        return wrong(file, line, i, "content", "a text", "something else", err);
    *role = (enum role) k;
    *content = (struct content){ json_string_value(text), json_string_length(text) };
    return FIRN_OK;
}

static firn_status check_role(const struct firn_chat *c, enum role role, size_t i, size_t turn, const char *file,
                              size_t line, struct firn_error *err)
{
    const struct firn_chat_format *f = &c->format;
    if (role == SYSTEM && i > 0)
        return wrong(file, line, i, "role", "system as the first message only", "a later one", err);
    if (role == SYSTEM && f->system == NULL && f->system_into == NULL)
        return wrong(file, line, i, "role", FIRN_STR("user or assistant: the format %s has no system messages", f->name),
                     "system", err);
    if (role != SYSTEM && f->alternates && (role == USER) != (turn % 2 == 0))
        return wrong(file, line, i, "role", "user and assistant in turn, user first", roles[role], err);
    return FIRN_OK;
}

/* Index of the last user message; the list's size when there is none. */
static size_t last_user(const json_t *messages)
{
    size_t at = json_array_size(messages);
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const char *r = json_string_value(json_object_get(json_array_get(messages, i), "role"));
        at = r != NULL && strcmp(r, "user") == 0 ? i : at;
    }
    return at;
}

/* Some formats have the system's words within a user's. */
static firn_status write_user(const struct firn_chat *c, struct content content, struct content system,
                              struct firn_marked *out, struct firn_error *err)
{
    struct firn_marked joined = { 0 };
    if (system.text == NULL) {
        write_turn(c, c->format.user, strip(content, c->format.strips), system, false, out);
        return FIRN_OK;
    }
    write_turn(c, c->format.system_into, content, system, false, &joined);
    const bool failed = joined.text.failed;
    if (!failed)
        write_turn(c, c->format.user,
                   strip((struct content){ joined.text.data != NULL ? joined.text.data : "", joined.text.size },
                         c->format.strips), (struct content){ 0 }, false, out);
    firn_marked_free(&joined);
    return failed ? firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a conversation") : FIRN_OK;
}

firn_status firn_chat_render(const struct firn_chat *c, const json_t *messages, bool is_prompt, const char *file,
                             size_t line, struct firn_marked *out, struct firn_error *err)
{
    const struct firn_chat_format *f = &c->format;
    const struct content none = { 0 };
    const size_t n = json_array_size(messages), last = last_user(messages);
    struct content system = none;
    size_t turn = 0;
    firn_status status = FIRN_OK;
    if (!json_is_array(messages) || n == 0)
        return firn_fail(err, FIRN_ERR_FORMAT, .file = file, .key = FIRN_STR("line %zu", line),
                         .expected = "a list of messages {role, content}", .got = json_is_array(messages) ? "none" : "something else");
    write_turn(c, f->first, none, none, false, out);
    for (size_t i = 0; i < n && status == FIRN_OK; i++) {
        enum role role = USER;
        struct content content = none;
        status = read_message(json_array_get(messages, i), i, file, line, &role, &content, err);
        if (status == FIRN_OK)
            status = check_role(c, role, i, turn, file, line, err);
        if (status)
            break;
        if (i == 0 && role != SYSTEM && f->no_system != NULL)
            write_turn(c, f->system, (struct content){ f->no_system, strlen(f->no_system) }, none, false, out);
        turn += role != SYSTEM;
        if (role == SYSTEM && f->system != NULL) {
            write_turn(c, f->system, strip(content, f->strips), none, false, out);
        } else if (role == SYSTEM) {
            system = content;
        } else if (role == USER) {
            const bool joins = system.text != NULL && (!f->into_last || i == last);
            status = write_user(c, content, joins ? system : none, out, err);
            system = joins ? none : system;
        } else {
            const bool is_last = f->assistant_last != NULL && last < n && i > last;
            write_turn(c, is_last ? f->assistant_last : f->assistant, strip(content, f->strips || f->strips_answers), none,
                       true, out);
        }
    }
    if (status == FIRN_OK)
        write_turn(c, is_prompt ? f->generation : f->last, none, none, false, out);
    if (status == FIRN_OK && (out->failed || out->text.failed))
        status = firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a conversation");
    return status;
}
