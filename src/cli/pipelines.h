/* SPDX-License-Identifier: Apache-2.0 */
/* `firn conform --pipelines`: what the driver says of every kernel. */
#ifndef FIRN_CLI_PIPELINES_H
#define FIRN_CLI_PIPELINES_H

#include "firn/device.h"

/* Prints a line a pipeline, or as_json all that the driver says, instructions included. Fails when one does not compile. */
firn_status firn_pipelines_print(struct firn_device *device, const char *filter, bool as_json, struct firn_error *err);

#endif
