/* SPDX-License-Identifier: Apache-2.0 */
/* Between peft.c and the files that write folders. */
#ifndef FIRN_PEFT_FILES_H
#define FIRN_PEFT_FILES_H

#include "peft/peft.h"

/* A model folder of the task's class: base tensors, trained ones in their place, `merges`: the method's update added. */
firn_status firn_model_save(const struct firn_adapter *a, struct firn_model *m, const struct firn_build_params *p,
                            float *flat, bool merges, const char *directory, const struct firn_save_params *save,
                            struct firn_error *err);

#endif
