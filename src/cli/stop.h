/* SPDX-License-Identifier: Apache-2.0 */
/* Stopping in good order: shared by the commands that run long and can go on later. */
#ifndef FIRN_CLI_STOP_H
#define FIRN_CLI_STOP_H

#include <signal.h>

/* From now on the first SIGINT or SIGTERM sets what this returns; a second one ends the program as usual. */
const volatile sig_atomic_t *firn_stop_on_signals(void);

#endif
