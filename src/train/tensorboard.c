/* SPDX-License-Identifier: Apache-2.0 */
/* Writes records of TensorFlow's TFRecord format (length, its checksum, data, its checksum), each an Event message in
 * protocol-buffer encoding. Fields, of tensorflow/core/util/event.proto and framework/summary.proto:
 *   Event    wall_time 1 (double), step 2 (int64), file_version 3 (text), summary 5, session_log 7
 *   Summary  value 1;  Value  tag 1 (text), simple_value 2 (float);  SessionLog  status 1 (1: start) */
#include "train/tensorboard.h"

#include "base/file.h"
#include "base/hash.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 }; /* wire types */

/* A message under construction; all of ours are far smaller. */
struct message {
    unsigned char bytes[400];
    size_t size;
};

static void add_varint(struct message *m, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        m->bytes[m->size++] = (unsigned char) (v | 0x80);
    m->bytes[m->size++] = (unsigned char) v;
}

static void add_key(struct message *m, unsigned field, unsigned wire)
{
    add_varint(m, field << 3 | wire);
}

static void add_fixed(struct message *m, uint64_t v, int n)
{
    for (int i = 0; i < n; i++)
        m->bytes[m->size++] = (unsigned char) (v >> 8 * i);
}

static void add_bytes(struct message *m, unsigned field, const void *bytes, size_t n)
{
    add_key(m, field, BYTES);
    add_varint(m, n);
    memcpy(m->bytes + m->size, bytes, n);
    m->size += n;
}

static void add_scalar(struct message *summary, const char *tag, double value)
{
    struct message m = { .size = 0 };
    const float x = (float) value;
    uint32_t bits;
    if (!isfinite(value))
        return;
    memcpy(&bits, &x, sizeof bits);
    add_bytes(&m, 1, tag, strlen(tag));
    add_key(&m, 2, FIXED32);
    add_fixed(&m, bits, 4);
    add_bytes(summary, 1, m.bytes, m.size);
}

static void begin_event(struct message *m, int64_t step)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    const double wall = (double) t.tv_sec + 1e-9 * (double) t.tv_nsec;
    uint64_t bits;
    memcpy(&bits, &wall, sizeof bits);
    *m = (struct message){ .size = 0 };
    add_key(m, 1, FIXED64);
    add_fixed(m, bits, 8);
    add_key(m, 2, VARINT);
    add_varint(m, (uint64_t) step);
}

/* A checksum of data that holds checksums would be weak: it is turned and shifted. */
static uint32_t masked_crc(const void *data, size_t size)
{
    const uint32_t crc = firn_crc32c(0, data, size);
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

static firn_status append(const char *path, const struct message *event, struct firn_error *err)
{
    struct message head = { .size = 0 }, tail = { .size = 0 };
    add_fixed(&head, event->size, 8);
    add_fixed(&head, masked_crc(head.bytes, 8), 4);
    add_fixed(&tail, masked_crc(event->bytes, event->size), 4);
    FILE *f = fopen(path, "ab");
    const bool written = f != NULL && fwrite(head.bytes, 1, 12, f) == 12 &&
                         fwrite(event->bytes, 1, event->size, f) == event->size && fwrite(tail.bytes, 1, 4, f) == 4;
    const bool closed = f != NULL && fclose(f) == 0;
    return written && closed ? FIRN_OK : firn_fail(err, FIRN_ERR_IO, .file = path, .what = "cannot be written");
}

firn_status firn_tensorboard_open(const char *directory, int64_t resumed_at, char **path, struct firn_error *err)
{
    static const char version[] = "brain.Event:2";
    struct message m;
    struct timespec t;
    firn_status status = firn_dir_create(directory, err);
    clock_gettime(CLOCK_REALTIME, &t); /* files are read in the order of their names */
    *path = firn_path_join(directory, FIRN_STR("events.out.tfevents.%010" PRId64 ".%09ld.firn", (int64_t) t.tv_sec, t.tv_nsec));
    if (status == FIRN_OK && *path == NULL)
        status = firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a path");
    begin_event(&m, 0);
    add_bytes(&m, 3, version, sizeof version - 1);
    if (status == FIRN_OK)
        status = append(*path, &m, err);
    begin_event(&m, resumed_at + 1);
    add_bytes(&m, 7, "\x08\x01", 2); /* status: start */
    return status == FIRN_OK && resumed_at > 0 ? append(*path, &m, err) : status;
}

firn_status firn_tensorboard_add(const char *path, const struct firn_point *p, struct firn_error *err)
{
    struct message event, summary = { .size = 0 };
    if (p->is_eval) {
        add_scalar(&summary, "eval/loss", p->eval_loss);
        add_scalar(&summary, "eval/accuracy", p->eval_accuracy);
    } else {
        add_scalar(&summary, "train/loss", p->loss);
        add_scalar(&summary, "train/grad_norm", p->grad_norm);
        add_scalar(&summary, "train/learning_rate", p->learning_rate);
        add_scalar(&summary, "train/epoch", p->epoch);
    }
    begin_event(&event, p->step);
    add_bytes(&event, 5, summary.bytes, summary.size);
    return append(path, &event, err);
}
