/* SPDX-License-Identifier: Apache-2.0 */
/* A model directory that was opened, what it is to do, and the contracts that architectures and methods fill in.
 * `model` declares struct firn_method and names no method. */
#ifndef FIRN_MODEL_MODEL_H
#define FIRN_MODEL_MODEL_H

#include "model/config.h"
#include "model/params.h"
#include "model/weights.h"
#include "plan/plan.h"

enum firn_task {
    FIRN_TASK_SEQ_CLS,
    FIRN_TASK_TOKEN_CLS,
    FIRN_TASK_MASKED_LM,
    FIRN_TASK_CAUSAL_LM,
    FIRN_TASK_SEQ2SEQ_LM,
    FIRN_TASK_EMBEDDING,
    FIRN_TASK_COUNT
};

enum firn_problem { FIRN_SINGLE_LABEL, FIRN_MULTI_LABEL, FIRN_REGRESSION };

/* In the order of the enums, NULL at the end: recipes' words, and PEFT's task_type (NULL where it has none). */
extern const char *const firn_task_words[], *const firn_task_types[FIRN_TASK_COUNT];
/* "single_label_classification", ... as problem_type of config.json. */
extern const char *const firn_problem_words[];

enum firn_site_kind {
    FIRN_SITE_LINEAR,
    FIRN_SITE_EMBEDDING,
    FIRN_SITE_NORM,
    FIRN_SITE_OTHER, /* a tensor without a layer of its own: cls.predictions.bias */
};

/* What a linear layer, norm or table is, seen from outside its block. */
struct firn_site {
    enum firn_site_kind kind;
    const char *path; /* HF module path in the task's class: "bert.encoder.layer.0.attention.self.query" */
    int64_t n_in, n_out;     /* embeddings: rows, width */
    int64_t padding;         /* embeddings: the row that gets no gradient; -1: none */
    const char *table;       /* embeddings: path of the module whose table it reads, where that is another; else NULL */
    bool is_output;          /* the language model's output layer */
    bool is_quantised;       /* `weight`, if it is frozen, is [n_out, n_in] in the model's quantised type */
    bool is_conv1d;          /* linear layers: `weight` is [n_in, n_out], as GPT-2's files hold it */
    enum firn_task task;
    firn_val weight, bias;   /* linear layers and embeddings: as the block uses them */
};

enum firn_sublayer_kind { FIRN_SUBLAYER_ATTENTION, FIRN_SUBLAYER_FEED_FORWARD, FIRN_SUBLAYER_CROSS_ATTENTION };

/* The end of a sub-layer: x + f, then a norm where the architecture has one there. */
struct firn_sublayer {
    enum firn_sublayer_kind kind;
    const char *path;   /* scope: "bert.encoder.layer.0.attention.output", "model.layers.0" */
    int64_t layer;      /* counted through all stacks: a decoder's follow the encoder's */
    firn_val x, f;      /* residual input, and the sub-layer's output after its dropout */
    const char *norm;   /* name of the norm that follows; NULL: none */
    bool is_module;     /* `path` is a module of the sub-layer's own (BERT, T5), not the whole layer (GPT-2, Llama) */
};

struct firn_adapter;
struct firn_build;
struct firn_model;
struct firn_tensors; /* peft/files.h */

/* A method: optional hooks at the sites of a model. `settings` is a zeroed struct of settings_size bytes, filled from
 * `keys`, then by open(). Hooks never change it: several graphs are built from one. */
struct firn_method {
    const char *name;       /* of recipes: "lora" */
    const char *peft_type;  /* of adapter_config.json: "LORA" */
    const char *const *also; /* other words of recipes, NULL at the end; NULL: none */
    const char *saves_as;   /* PEFT has no such type: its files are those of the LoRA with these settings; NULL: its own */
    bool has_hub_files;     /* its files are those of adapter-hub's library `adapters`, not PEFT's */
    const struct firn_option *keys; /* settings, spelt as in adapter_config.json; NULL: none */
    size_t settings_size;
    /* Keys that PEFT knows, that change the mathematics and that are not here yet; NULL at the end. */
    const char *const *refuses;
    /* Keys that change nothing here, whatever their value; NULL at the end. */
    const char *const *ignores;
    /* An adapter_config.json without peft_type is this method's. */
    bool (*owns)(const json_t *config);
    /* Turns what users and other libraries write into the method's own keys, in place, before they are read. */
    firn_status (*spell)(json_t *config, const char *file, const char *section, struct firn_error *err);
    /* Checks what one key alone does not tell, and fills defaults that depend on model and task. */
    firn_status (*open)(void *settings, const struct firn_model *m, enum firn_task task, const char *file,
                        struct firn_error *err);
    void (*close)(void *settings); /* what open() made; the keys' own values are freed by the caller */

    /* The module is wrapped. A method that has this hook must match at least one module of a model. */
    bool (*targets)(const void *settings, const struct firn_site *s);
    /* The module is trained as a whole copy, beside the original (PEFT's modules_to_save). */
    bool (*copies)(const void *settings, const struct firn_site *s);
    /* The tensor `part` ("weight", "bias") of a module: its name as a trained tensor, or NULL: it stays frozen. */
    const char *(*trains)(const void *settings, const struct firn_site *s, const char *part, char *text, size_t size);
    /* Of wrapped modules: the input before and the output after the base product or lookup. */
    firn_val (*linear_input)(const void *settings, struct firn_build *b, const struct firn_site *s, firn_val x);
    firn_val (*linear)(const void *settings, struct firn_build *b, const struct firn_site *s, firn_val x, firn_val y);
    firn_val (*embed)(const void *settings, struct firn_build *b, const struct firn_site *s, firn_val ids, firn_val y);
    /* Of every table, and of the output layer (`tied`: the table that it shares, or NULL): what a lookup gives, or the
     * logits, in place of the base's; the empty value: the base's. */
    firn_val (*lookup)(const void *settings, struct firn_build *b, const struct firn_site *s, firn_val ids);
    firn_val (*logits)(const void *settings, struct firn_build *b, const struct firn_site *s, const char *tied, firn_val x);
    /* Of every layer: keys and values before attention (prefixes; of an encoder-decoder the decoder's self-attention
     * only, and `layer` is its layer), and the end of a sub-layer (bottlenecks): the hook then emits the sum and the
     * norm itself. */
    void (*kv)(const void *settings, struct firn_build *b, int64_t layer, firn_val *k, firn_val *v);
    firn_val (*sublayer)(const void *settings, struct firn_build *b, const struct firn_sublayer *s);
    /* Embedded tokens [B T, C] -> [B (virtual + T), C] (prompts; of an encoder-decoder the encoder's). */
    firn_val (*input)(const void *settings, struct firn_build *b, firn_val x);

    /* A method that trains a network whose output is a table (re-parametrised prefixes, p-tuning): that table, as adapter
     * files hold it under "prompt_embeddings". Trained tensors called "prompt_encoder...." are then in no adapter file. NULL,
     * or an empty value: files hold what is trained. */
    firn_val (*table)(const void *settings, struct firn_build *b);
    bool keeps_network;     /* ... but of this method's files, which hold both */
    /* Of methods whose prompts differ by task: the table's first row and the rows *n of a task; -1: there is none. */
    int64_t (*task_row)(const void *settings, const char *name, int64_t *n);
    /* First values that depend on more than a name and a seed; called after the others are filled. */
    firn_status (*init)(const void *settings, const struct firn_model *m, const struct firn_param_set *params,
                        uint64_t seed, float *flat, struct firn_error *err);

    /* The update counts from where it starts (PiSSA): the first values of factors stay beside the base, as frozen leaves
     * of their names with ".initial" after them. NULL: never. */
    bool (*anchors)(const void *settings);
    /* Added to the loss of a training step, [1]; empty: nothing. NULL: never. */
    firn_val (*penalty)(const void *settings, struct firn_build *b);
    /* A method that looks back after each optimizer step (AdaLoRA): changes the tensors from them, their gradients (as
     * clipped) and n_state runs of its own, adapter->state, which start as zeros and are in checkpoints. */
    int n_state;
    firn_status (*after_step)(const struct firn_adapter *a, int64_t step, float *flat, const float *grads,
                              struct firn_error *err);
    /* Makes the method's own frozen leaves (firn_weights_room): from its file where that holds them, else (file NULL, too)
     * from the settings. NULL: it has none. */
    firn_status (*freeze)(const struct firn_adapter *a, struct firn_model *m, const struct firn_safetensors *file,
                          struct firn_error *err);
    /* What files hold otherwise than the trained tensors: changes tensors and adapter_config.json before they are written
     * (peft/files.h), and reads what was written so. NULL: files hold what is trained. */
    firn_status (*store)(const struct firn_adapter *a, struct firn_model *m, struct firn_tensors *tensors,
                         json_t *config, struct firn_error *err);
    firn_status (*read)(const struct firn_adapter *a, struct firn_model *m, const struct firn_safetensors *file,
                        float *flat, struct firn_error *err);
    /* A tensor of its files that is not trained. NULL: none is. */
    bool (*reads)(const void *settings, const char *name);

    /* Adds the method's update to w [shape], the tensor `part` of the module `path`, in place; w NULL: only tells whether
     * there is one. NULL: the method cannot be computed into weights. */
    bool (*merge)(const void *settings, const struct firn_param_set *params, const float *flat, const char *path,
                  const char *part, const struct firn_shape *shape, float *w);
    /* The same of a merge that is more than an addition: what it adds. NULL: merge adds. */
    bool (*add)(const void *settings, const struct firn_param_set *params, const float *flat, const char *path,
                const char *part, const struct firn_shape *shape, float *w);
    /* After all modules were seen: reports what the hooks could not. */
    firn_status (*check)(const void *settings, const char *file, struct firn_error *err);
    /* The same, of the trained tensors. */
    firn_status (*check_params)(const void *settings, const struct firn_model *m, const struct firn_param_set *params,
                                const char *file, struct firn_error *err);
    /* The rate of a trained tensor, as struct firn_param's. NULL: all learn at the run's. */
    double (*rate)(const void *settings, const struct firn_param *p, bool *is_peak);
    /* Adds what adapter_config.json holds besides the common keys. */
    void (*describe)(const void *settings, const struct firn_param_set *params, json_t *config);
};

enum { FIRN_MAX_STATE = 3 };

struct firn_adapter {
    const struct firn_method *method; /* NULL: none */
    void *settings;
    struct firn_param_set params;
    char leaf[16];                    /* of the flat run in a store that other adapters are in too; empty: "params" */
    float *state[FIRN_MAX_STATE];     /* params.flat floats each, the first n_state of the method; made when collected */
    int64_t n_matched;                /* wrapped modules, counted while collecting */
    int64_t n_virtual, n_prefix;      /* tokens and keys in front of every text; known once collected */
    bool is_loaded;                   /* from adapter files: tables as they are, no network behind them */
    bool peft_compatible;             /* PEFT's numbers where firn does otherwise (what pooling reads with virtual tokens) */
    char *first_linear;               /* path of the first linear layer of the body; known once collected */
    struct firn_str words;            /* last words of all modules met, and ... */
    char *file, *section;             /* ... where the settings come from and ... */
    json_t *wanted;                   /* ... what they name (NULL: nothing), for the error when none matched */
};

static inline const char *firn_params_leaf(const struct firn_adapter *a)
{
    return a->leaf[0] != '\0' ? a->leaf : "params";
}

/* What a head leaves to the loss: logits [rows, classes], or the output product for chunks. */
struct firn_head {
    firn_val logits;               /* classification; empty when the product below is given */
    firn_val h, w, bias;           /* logits = h wT + bias, for every token */
    firn_val pooled;               /* embedding task */
    float softcap;                 /* logits -> cap tanh(logits / cap), also those above; 0: none */
};

/* A key of config.json whose value must be this one (or null, or absent): the code knows no other. */
struct firn_only {
    const char *key, *value; /* value as JSON text: "false", "\"absolute\"" */
};

struct firn_arch {
    const char *name;              /* "bert" */
    const char *model_type;        /* of config.json */
    const char *prefix;            /* class prefix of weight names: "bert", "model" */
    const char *table;             /* path of the word embeddings; tied output layers are it too */
    const struct firn_option *keys;
    const struct firn_only *only;  /* key NULL at the end */
    const char *const *targets;    /* default target modules of LoRA, NULL at the end */
    const char *const *conv1d;     /* last words of modules whose weights files hold as [in, out]; NULL at the end */
    bool pools_last;               /* classification reads the last token that is no padding, not the first */
    /* Defaults that depend on other keys; refuses what the architecture's code does not do. */
    firn_status (*finish)(struct firn_config *c, const char *path, struct firn_error *err);
    /* Whether the output layer is the embedding, where the files say more than the configuration; NULL: that says it. */
    bool (*ties)(const struct firn_model *m);
    /* Standard deviation of a matrix that was never trained; 0 or NULL: initializer_range. */
    double (*init_std)(const struct firn_config *c, const char *name);
    firn_val (*body)(struct firn_build *b);          /* [B T, C]: embeddings and layers */
    /* What a task adds on top; NULL: this architecture does not do the task. */
    struct firn_head (*head[FIRN_TASK_COUNT])(struct firn_build *b, firn_val x);
    const char *class_name[FIRN_TASK_COUNT];         /* of transformers, for config.json of saved models */
};

struct firn_model {
    char *directory;
    struct firn_config config;
    json_t *gguf_config;       /* what config.json would hold, of a model in a GGUF file; else NULL */
    const struct firn_arch *arch;
    struct firn_weights weights;
    enum firn_dtype base_dtype; /* of frozen matrices, set before the first graph; FIRN_NONE: as stored */
    enum firn_dtype quantised; /* of frozen linear layers inside the layers; FIRN_NONE: as stored */
};

extern const struct firn_arch *const firn_archs[]; /* NULL at the end */

/* Whether a module or tensor is of a classification head: "classifier", "score.weight", DistilBERT's "pre_classifier". */
bool firn_is_head(const char *path);
/* Whether a tensor is of BERT's pooler: "bert.pooler.dense.weight". */
bool firn_is_pooler(const char *path);
/* Whether the linear layer `path` is held as [in, out] (transformers' Conv1D). */
bool firn_arch_is_conv1d(const struct firn_arch *arch, const char *path);

/* The longest sequence that the model's positions can hold. */
int64_t firn_model_limit(const struct firn_model *m);
/* Of them, those that an adapter leaves to the text. */
int64_t firn_text_limit(const struct firn_model *m, const struct firn_adapter *a);
firn_status firn_model_open(struct firn_model *m, const char *directory, struct firn_error *err);
/* A model of a config.json (or a directory that holds one) alone: weights are made from a seed, matrices of type
 * `matrices` (f32, f16, bf16). For plans and measurements. */
firn_status firn_model_open_config(struct firn_model *m, const char *path, enum firn_dtype matrices,
                                   struct firn_error *err);
void firn_model_close(struct firn_model *m);

/* What a recipe's `quantization:` asks for: nf4, nf4_double, int8, none, or the keys of transformers' BitsAndBytesConfig. */
firn_status firn_quantisation_read(const json_t *value, const char *file, const char *key, enum firn_dtype *out,
                                   struct firn_error *err);
const char *firn_quantisation_word(enum firn_dtype dtype);
/* malloc'd bytes of a quantised leaf, one matrix at a time; its name tells whether files hold it transposed. */
firn_status firn_quantise_leaf(const struct firn_model *m, const struct firn_value *leaf, const struct firn_tensor *from, void **data,
                               struct firn_error *err);

/* Whether the linear layer `path` is one that the model quantises, when it is frozen: inside the layers. */
bool firn_model_quantises(const struct firn_model *m, const char *path);
/* w [shape], as [n_out, n_in], in malloc'd codes. */
firn_status firn_quantise_codes(enum firn_dtype dtype, const struct firn_shape *shape, const float *w, void **codes,
                                struct firn_error *err);
/* The same: what is left of it. */
firn_status firn_quantise_values(enum firn_dtype dtype, const struct firn_shape *shape, float *w, struct firn_error *err);

struct firn_build_params {
    int64_t batch, length;         /* B rows of T tokens */
    int64_t packed;                /* causal_lm: the rows' tokens lie behind each other, in so many places; only attention
                                    * sees B rows of T; 0: all B T are computed */
    int64_t target;                /* seq2seq_lm: tokens that the decoder reads; `length` is the encoder's */
    enum firn_task task;
    enum firn_problem problem;
    int64_t n_labels;              /* classification */
    bool has_loss;                 /* labels in, "loss" out; else logits only */
    bool training;                 /* dropouts are active */
    float smoothing;
    bool wants_logits;             /* place them in the OUTPUT leaf "logits" */
    bool wants_hits;               /* language models: place firn_best_label() of all rows in the OUTPUT leaf "hits" */
    bool picked_logits;            /* language models: logits of the rows in `pick` only, [B, V] (generation) */
    bool fills_blind;              /* a loss counts rows that see no key: they get what PyTorch's eager attention gives */
    bool is_step;                  /* of a training step: the method's penalty is in the loss */
    bool is_bare;                  /* without the method's hooks: the base, with the head and biases that train */
    int64_t cache_length;          /* > 0: keys and values are kept for later, in so many rows a sequence */
    bool continues;                /* the tokens follow those in the cache; prompts and prefixes are in it too */
};

/* The keys or values that layer `layer` keeps, [batch rows, Hkv D]: a STATE leaf of this name. `what` is one of
 * firn_cached: "key" and "value", with cache_length rows a sequence; for an encoder-decoder also those of what was read. */
extern const char *const firn_cached[]; /* NULL at the end */
const char *firn_cache_name(char *text, size_t size, const char *what, int64_t layer);

/* The inputs that a graph may have, all written by whoever runs it:
 *   input_ids, token_type_ids, position_ids [B T] i32; attention_mask [B, T] i32; pick [B] i32: row of the pooled token
 *   (BERT b T; Llama b T + the last position that is no padding);
 *   decoder_input_ids [B target] i32: seq2seq_lm, where the rows of `pick` are the decoder's;
 *   packed: input_ids, position_ids and labels are [packed]; pack_rows [B T] i32: where a row's token lies (-1: padding), and
 *   unpack_rows [packed] i32 the other way round;
 *   virtual_ids [B T] i32: rows of a method's table where input_ids is -1, else -1 (prompts of several tasks);
 *   labels i32: [B] for sequence classification, [B target] for seq2seq_lm, else [B T], shifted already for causal_lm,
 *   -100 = not counted;
 *   targets [B, classes] f32: regression and multi-label; scale [1] f32: what each row's loss is multiplied with:
 *   1 / counted rows, or with targets 1 / (B classes);
 *   rng [4] i32: seed low, seed high, step, micro-batch (dropout);
 *   with a cache: cache_at [B] i32: row of the cache for the first new key of each sequence (prefix and virtual tokens
 *   included); where the tokens continue, attention_mask is [B, cache_length], and
 *   window_mask the same for layers with a sliding window; where the tokens of a decoder continue, attention_mask is
 *   still of the encoder, and cache_mask [B, cache_length] and cache_buckets [cache_length] (of a relative position bias,
 *   by key) are the decoder's.
 * OUTPUT leaves: loss [1], logits, hidden [B T, C] and pooled [B, C] (embedding). */
struct firn_build {
    struct firn_graph *g;
    struct firn_model *model;
    struct firn_adapter *adapter;
    const struct firn_build_params *p;
    struct firn_build_params_scope { char path[256]; size_t ends[16]; int depth; } scope;
    firn_val params, loss;
    firn_val penalty, share;       /* of a training step: + penalty share; empty: none */
    const char *output, *output_tied, *output_bias; /* the language model's output layer: as firn_output_layer had them */
    uint32_t n_dropouts;
    int64_t layer;                 /* of the block being built; -1 outside */
    int64_t n_layers;              /* begun so far, of all stacks */
    int layer_depth;               /* depth of the scope that is the layer itself */
    int64_t n_virtual, n_prefix;   /* set by methods: tokens and keys in front of the text */
    firn_val *slots;               /* a method's values by layer, made at the first; freed when the graph is built */
    struct firn_counts { int64_t base, head_copies, quantised; } counts; /* elements of base tensors met */
};

/* Emits forward (and loss); b->loss is the loss. On the first build the adapter's parameters are collected (then call
 * firn_params_finish); later builds use their places. */
firn_status firn_model_build(struct firn_build *b, struct firn_graph *g, struct firn_model *m,
                             struct firn_adapter *adapter, const struct firn_build_params *p,
                             struct firn_error *err);
/* Collects the adapter's parameters by building a small graph; counts base elements. */
firn_status firn_model_collect(struct firn_model *m, struct firn_adapter *adapter,
                               const struct firn_build_params *p, struct firn_counts *counts,
                               struct firn_error *err);
/* Puts every frozen weight of the graph into the store. The model must outlive the store. */
firn_status firn_model_load(struct firn_model *m, const struct firn_graph *g, struct firn_store *store,
                            struct firn_error *err);
/* The host bytes of one frozen leaf of a graph, in the leaf's type; they live as long as the model. */
firn_status firn_model_leaf(struct firn_model *m, const struct firn_value *leaf, const void **data,
                            struct firn_error *err);
/* The base tensor behind a class's weight, also where a tied output layer has none of its own; NULL: there is none. */
const struct firn_tensor *firn_model_tensor(const struct firn_model *m, const char *path);
/* The same for a matrix, its bytes there. */
firn_status firn_model_matrix(const struct firn_model *m, const char *path, const struct firn_tensor **t,
                              struct firn_error *err);
/* Fills the trained tensors that start as copies of the base (FIRN_INIT_BASE), converted to f32. */
firn_status firn_model_fill(const struct firn_model *m, const struct firn_param_set *params, float *flat,
                            struct firn_error *err);

/* Values of a model that was never trained, for the tensors of `full`. */
void firn_model_initial(const struct firn_model *m, const struct firn_param_set *params, uint64_t seed, float *flat);

/* PEFT's get_nb_trainable_parameters: total counts base, adapter, and both copies of a saved head. */
int64_t firn_model_total(const struct firn_counts *counts, const struct firn_param_set *params);

/* Mean of hidden [B, T, C] over tokens with mask [B, T] != 0, divided by its L2 norm -> out [B, C]. */
void firn_sentence_vectors(const float *hidden, const int32_t *mask, int64_t batch, int64_t length, int64_t width,
                           float *out);

/* ---- building blocks, for arch/, blocks/ and heads/ ---- */

void firn_push_scope(struct firn_build *b, const char *name);
void firn_pop_scope(struct firn_build *b);
/* Pushes "layers.3"; until the pop, 3 is the layer of what is built. */
void firn_push_layer(struct firn_build *b, const char *name, int64_t layer);
void firn_pop_layer(struct firn_build *b);
/* The method whose hooks are called; NULL: none. */
const struct firn_method *firn_hooks(const struct firn_build *b);
/* Rows of activations: B (virtual + T). */
int64_t firn_n_tokens(const struct firn_build *b);
int64_t firn_n_text(const struct firn_build *b); /* without virtual tokens */
/* Rows that the head sees: those, or the decoder's B target. */
int64_t firn_n_outputs(const struct firn_build *b);
/* A base tensor at scope.name: frozen leaf, or a view of the trained parameters. */
firn_val firn_weight(struct firn_build *b, const char *name, struct firn_shape shape);
/* The same for a full path ("cls.predictions.bias"). */
firn_val firn_weight_at(struct firn_build *b, const char *path, struct firn_shape shape);
/* y = x Wt + bias of the module `name`, wrapped by the method. */
firn_val firn_linear(struct firn_build *b, const char *name, firn_val x, int64_t n_in, int64_t n_out, bool has_bias);
/* The language model's output layer `path` [V, C]; `tied` (NULL: none) is the path of the table that it shares. */
struct firn_head firn_output_layer(struct firn_build *b, const char *path, const char *tied, firn_val x,
                                   int64_t n_out, const char *bias);
/* Rows of the table `name` [rows, width] for the input `ids`, wrapped by the method. */
firn_val firn_embedding(struct firn_build *b, const char *name, int64_t rows, int64_t width, firn_val ids);
/* The same; the row of padding gets no gradient from lookups. */
firn_val firn_embedding_padded(struct firn_build *b, const char *name, int64_t rows, int64_t width, firn_val ids,
                               int64_t padding);
/* A table [rows, width] that several modules read, at the module `path` that the class has for it; and the lookup of the
 * module `name` in it, wrapped by the method. */
firn_val firn_table_at(struct firn_build *b, const char *path, int64_t rows, int64_t width);
firn_val firn_lookup(struct firn_build *b, const char *name, firn_val table, firn_val ids);
firn_val firn_layer_norm_at(struct firn_build *b, const char *name, firn_val x);
firn_val firn_rms_norm_at(struct firn_build *b, const char *name, firn_val x);
/* x + f, then the layer norm `norm` (NULL: none), unless the method has its own way. */
firn_val firn_join(struct firn_build *b, enum firn_sublayer_kind kind, firn_val x, firn_val f, const char *norm);
/* x + f and the norm, as without a method. */
firn_val firn_join_plain(struct firn_build *b, const struct firn_sublayer *s);
/* Embedded tokens, with the method's virtual tokens in front. */
firn_val firn_with_virtual(struct firn_build *b, firn_val x);
firn_val firn_drop(struct firn_build *b, firn_val x, double p);
firn_val firn_input(struct firn_build *b, const char *name, struct firn_shape shape);
/* Self-attention over projected q, k, v; `rotary`: positions by rotation. Window, scale and softcap are the
 * configuration's. */
firn_val firn_self_attention(struct firn_build *b, firn_val q, firn_val k, firn_val v, bool causal, bool rotary);
/* A trained tensor of a method: view of the flat leaf. */
firn_val firn_trained(struct firn_build *b, const char *name, struct firn_shape shape, enum firn_init init,
                      double scale);
/* The view of a parameter that was collected; one a graph. */
firn_val firn_param_view(struct firn_build *b, const struct firn_param *p);
/* The same for a matrix that files hold with its axes swapped; `shape` is that of the view. */
firn_val firn_trained_transposed(struct firn_build *b, const char *name, struct firn_shape shape,
                                 enum firn_init init, double scale);
/* The rows that this layer keeps, `rows` a sequence; and the same after x [B T, width] was written into them, at the rows
 * that the input `at` [B] tells. */
firn_val firn_cache(struct firn_build *b, const char *what, int64_t rows, int64_t width);
firn_val firn_cache_write(struct firn_build *b, const char *what, int64_t rows, const char *at, firn_val x);
/* The random state of dropout. */
firn_val firn_rng(struct firn_build *b);
/* Rows of a relative position table by distance [n_queries + n_keys - 1]: a frozen leaf that firn_model_leaf computes. */
firn_val firn_bucket_leaf(struct firn_build *b, bool is_causal, int64_t n_queries, int64_t n_keys);
/* The n sums of squares of the rows, or of the columns, of the base tensor `path`: a frozen leaf that firn_model_leaf
 * computes. */
firn_val firn_squares_leaf(struct firn_build *b, const char *path, bool of_columns, int64_t n);
/* The rotary table of this graph's length (with a cache: of the cache's): a frozen leaf that firn_model_leaf computes;
 * `is_local`: of layers with sliding windows that have their own frequencies. */
firn_val firn_rope_leaf(struct firn_build *b, bool is_local);

#endif
