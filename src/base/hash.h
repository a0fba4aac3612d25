/* SPDX-License-Identifier: Apache-2.0 */
/* Checksums: CRC32C (Castagnoli) for files, FNV-1a for cache keys. */
#ifndef FIRN_BASE_HASH_H
#define FIRN_BASE_HASH_H

#include "firn/status.h"

#include <stdint.h>

/* Continue with the value that the last call returned; start with 0. */
uint32_t firn_crc32c(uint32_t crc, const void *data, size_t size);
/* The same without special instructions: what firn_crc32c is tested against. */
uint32_t firn_crc32c_plain(uint32_t crc, const void *data, size_t size);
/* Reads the file in pieces (its pages do not stay in this process). */
firn_status firn_crc32c_file(const char *path, uint32_t *crc, uint64_t *size,
                             struct firn_error *err);
#define FIRN_FNV_START 0xcbf29ce484222325u
uint64_t firn_fnv1a(uint64_t hash, const void *data, size_t size);

#endif
