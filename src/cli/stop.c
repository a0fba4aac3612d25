/* SPDX-License-Identifier: Apache-2.0 */
/* The signals that ask for a checkpoint. */
#include "cli/stop.h"

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    stop = 1;
    signal(number, SIG_DFL);
}

const volatile sig_atomic_t *firn_stop_on_signals(void)
{
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    return &stop;
}
