/* SPDX-License-Identifier: Apache-2.0 */
/* Constant leaves with the sums of squares of a base matrix's rows or columns. */
#ifndef FIRN_MODEL_SQUARES_H
#define FIRN_MODEL_SQUARES_H

#include "model/model.h"

bool firn_is_squares(const char *leaf_name);
firn_status firn_squares_fill(const struct firn_model *m, const struct firn_value *leaf, float *values,
                              struct firn_error *err);

#endif
