/* SPDX-License-Identifier: Apache-2.0 */
/* The implementation of volk, the loader of Vulkan's entry points: compiled here and nowhere else. */
#define VOLK_IMPLEMENTATION
#include <volk.h>
