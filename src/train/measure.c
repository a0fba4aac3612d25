/* SPDX-License-Identifier: Apache-2.0 */
/* Opens a model with its adapter once and runs data files through it. */
#include "train/measure.h"

#include "data/split.h"
#include "train/task.h"

static firn_status measure_file(struct firn_session *s, const struct firn_recipe *r, const char *file,
                                const struct firn_dataset_params *p, struct firn_metrics *metrics,
                                struct firn_dataset *data, struct firn_error *err)
{
    struct firn_table table = { 0 };
    firn_status status = firn_table_load(&table, file != NULL ? file : r->data.train, err);
    if (status == FIRN_OK && file == NULL && r->data.max_train_samples > 0)
        status = firn_table_sample(&table, (size_t) r->data.max_train_samples, (uint64_t) r->train.seed, err);
    if (status == FIRN_OK)
        status = firn_dataset_make(data, &table, p, err);
    if (status == FIRN_OK)
        status = firn_evaluate(s, data, p, (uint32_t) r->train.eval_batch_size, (uint32_t) r->train.pad_to_multiple_of,
                               metrics, NULL, NULL, err);
    firn_table_free(&table);
    return status;
}

firn_status firn_measure(const struct firn_recipe *r, const char *adapter, const char *const *files, int n,
                         const struct firn_log *log, struct firn_metrics *metrics, struct firn_error *err)
{
    return firn_measure_with(r, adapter, files, n, log, metrics, NULL, err);
}

firn_status firn_measure_with(const struct firn_recipe *r, const char *adapter, const char *const *files, int n,
                              const struct firn_log *log, struct firn_metrics *metrics,
                              const struct firn_measure_more *more, struct firn_error *err)
{
    struct firn_table train = { 0 };
    struct firn_task_setup task = { 0 };
    struct firn_session session = { 0 };
    struct firn_session_params params;
    struct firn_dataset_params p;
    firn_status status = firn_table_load(&train, r->data.train, err);
    if (status == FIRN_OK)
        status = firn_task_open(&task, r, &train, err);
    if (status == FIRN_OK) {
        firn_task_dataset_params(&task, &p);
        firn_task_session_params(&task, r, &params);
        params.log = *log;
        params.adapter = adapter;
        status = firn_session_open(&session, &params, err);
    }
    if (status == FIRN_OK && (int64_t) p.max_length > firn_text_limit(&session.model, &session.adapter))
        p.max_length = (uint32_t) firn_text_limit(&session.model, &session.adapter);
    if (status == FIRN_OK && adapter == NULL)
        status = firn_adapter_init(&session.adapter, &session.model, (uint64_t) r->train.seed, session.flat, err);
    if (status == FIRN_OK)
        status = firn_session_push(&session, "params", session.flat, err);
    for (int i = 0; i < n && status == FIRN_OK; i++) {
        struct firn_dataset data = { 0 };
        status = measure_file(&session, r, files[i], &p, &metrics[i], &data, err);
        if (status == FIRN_OK && more != NULL)
            status = more->run(more->user, i, &session, &data.table, &task, err);
        firn_dataset_free(&data);
    }
    firn_session_close(&session);
    firn_task_close(&task);
    firn_table_free(&train);
    return status;
}
