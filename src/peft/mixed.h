/* SPDX-License-Identifier: Apache-2.0 */
/* Several adapters in one pass of the base: each row of a batch has its own, and what an adapter adds to a layer is chosen
 * row by row. */
#ifndef FIRN_PEFT_MIXED_H
#define FIRN_PEFT_MIXED_H

#include "model/model.h"

/* The input that tells each entry's adapter: [B] i32, numbers of the list. */
#define FIRN_MIXED_INPUT "adapter_of"

/* Whether adapters that were collected can run so: none changes the lengths of sequences (prompts, prefixes), and of the
 * base's own tensors they train at most a head, all the same one in the same shape. */
bool firn_mixed_can(const struct firn_adapter *const *list, size_t n);
/* An adapter for building graphs of all of them; it borrows what they hold, which must stay where it is. Their flat runs
 * are leaves of different names (struct firn_adapter's leaf). Close it with firn_mixed_close. */
firn_status firn_mixed_open(struct firn_adapter *mixed, const struct firn_adapter *const *list, size_t n,
                            struct firn_error *err);
void firn_mixed_close(struct firn_adapter *mixed);
bool firn_adapter_is_mixed(const struct firn_adapter *a);

#endif
