/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a method's settings from a recipe or an adapter_config.json with closed keys. */
#ifndef FIRN_PEFT_KEYS_H
#define FIRN_PEFT_KEYS_H

#include "model/model.h"

/* Fills `settings` (zeroed) by the method's table. Keys that are unset (null, false, "", [], {}) and unknown ones that are
 * unset are left at their defaults: each release of PEFT adds some. A key that is set and unknown, or known and not
 * supported, is an error that names key and value. `section` goes before keys in messages ("method."). */
firn_status firn_keys_read(const struct firn_method *method, const json_t *config, const char *file,
                           const char *section, void *settings, struct firn_error *err);
/* null, false, "", [] or {}. */
bool firn_is_unset(const json_t *value);

#endif
