/* SPDX-License-Identifier: Apache-2.0 */
/* JSON and YAML files as jansson values. YAML is read into the same kind of tree, so that a recipe,
 * an override and a config.json are looked up by the same words. */
#ifndef FIRN_BASE_JSON_H
#define FIRN_BASE_JSON_H

#include "firn/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Reads an object or array. A whole number beyond 64 bits becomes a real; \u0000 is kept in values
 * (json_string_length tells) and refused in keys. Duplicate keys, deep nesting (over 64), invalid UTF-8
 * and values so small and many that the tree would take far more memory than the file has bytes are
 * errors that name file and line. json_decref() what comes back. */
firn_status firn_json_load(const char *path, json_t **out, struct firn_error *err);
firn_status firn_json_parse(const char *text, size_t size, const char *name, json_t **out,
                            struct firn_error *err);
/* The same for a text that is part of a file of file_size bytes. */
firn_status firn_json_parse_part(const char *text, size_t size, size_t file_size, const char *name, json_t **out,
                                 struct firn_error *err);
/* The same for a text that may also be a lone string, number, boolean or null. */
firn_status firn_json_parse_any(const char *text, size_t size, const char *name, json_t **out,
                                struct firn_error *err);
/* The same for one line of a larger file: messages name `line`. */
firn_status firn_json_parse_line(const char *text, size_t size, const char *name, size_t line,
                                 json_t **out, struct firn_error *err);
/* The text of a tree: indent 0 gives one line ("a": 1, "b": 2), else one value a line. Numbers are
 * the shortest that read back the same. free() it; NULL without memory. */
char *firn_json_dump(const json_t *value, int indent, bool sorted);
/* Writes atomically, indented by 2, in the order of insertion or (sorted) by key. */
firn_status firn_json_save(const char *path, const json_t *value, bool sorted,
                           struct firn_error *err);
/* YAML 1.1 core scalars: null, booleans, integers, floats, text. Anchors and tags are errors. */
firn_status firn_yaml_load(const char *path, json_t **out, struct firn_error *err);
firn_status firn_yaml_parse(const char *text, size_t size, const char *name, json_t **out,
                            struct firn_error *err);
/* Writes a tree as YAML text; free() it. NULL without memory. */
char *firn_yaml_dump(const json_t *value);

#endif
