/* SPDX-License-Identifier: Apache-2.0 */
/* A tool of the build: compiles every variant of a list with glslc, warnings as errors, a process a core, and writes
 * the SPIR-V as C arrays. A variant whose text has not changed is not compiled again. An extension that this glslc
 * does not know leaves its variants out; the device then reports them as not compiled.
 *     compile GLSLC LIST SHADERS WORK OUT.c OUT.d */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
enum { MAX_VARIANTS = 4096, MAX_ARGS = 64, LINE = 1024 };

struct variant {
    unsigned needs;
    char shader[128], defines[512];
    char binary[600], messages[700]; /* file names */
    pid_t process;
};
static struct variant variants[MAX_VARIANTS];
static int n_variants;
static const char *glslc, *shaders;
static FILE *deps;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void read_list(const char *path)
{
    char line[LINE];
    FILE *in = fopen(path, "r");
    if (in == NULL)
        die(path);
    while (fgets(line, sizeof line, in) != NULL) {
        struct variant *v = &variants[n_variants];
        int at = 0;
        line[strcspn(line, "\n")] = '\0';
        if (n_variants == MAX_VARIANTS || sscanf(line, "%x %127s %n", &v->needs, v->shader, &at) < 2)
            exit(fprintf(stderr, "%s: bad line: %s\n", path, line) != 0);
        snprintf(v->defines, sizeof v->defines, "%s", line + at);
        int known = 0;
        for (int i = 0; i < n_variants; i++)
            known |= strcmp(variants[i].shader, v->shader) == 0 &&
                     strcmp(variants[i].defines, v->defines) == 0;
        n_variants += !known;
    }
    fclose(in);
}

/* FNV-1a over a file and what it includes; each is named in the depfile. */
static uint64_t hash_file(uint64_t h, const char *path)
{
    char line[LINE], name[256], other[LINE];
    FILE *in = fopen(path, "r");
    if (in == NULL)
        die(path);
    fprintf(deps, " %s", path);
    while (fgets(line, sizeof line, in) != NULL) {
        for (const char *c = line; *c != '\0'; c++)
            h = (h ^ (unsigned char) *c) * 0x100000001b3u;
        if (sscanf(line, " # include \"%255[^\"]\"", name) == 1) {
            snprintf(other, sizeof other, "%s/include/%s", shaders, name);
            h = hash_file(h, other);
        }
    }
    fclose(in);
    return h;
}

static void name_files(struct variant *v, const char *work)
{
    char path[LINE];
    snprintf(path, sizeof path, "%s/%s.comp", shaders, v->shader);
    uint64_t h = hash_file(0xcbf29ce484222325u, path);
    for (const char *c = v->defines; *c != '\0'; c++)
        h = (h ^ (unsigned char) *c) * 0x100000001b3u;
    snprintf(v->binary, sizeof v->binary, "%s/%s-%016llx.spv", work, v->shader, (unsigned long long) h);
    snprintf(v->messages, sizeof v->messages, "%s.txt", v->binary);
}

static void start(struct variant *v)
{
    /* cooperative matrices and bfloat16 (capability bits 4 and 6) need a newer SPIR-V */
    const char *target = v->needs & (1u << 4 | 1u << 6) ? "--target-env=vulkan1.3" : "--target-env=vulkan1.1";
    char include[LINE], source[LINE], part[LINE], defines[512], macros[MAX_ARGS][128];
    const char *args[MAX_ARGS] = { glslc, "-Werror", "-O", target, "-fshader-stage=compute" };
    int n = 5, n_macros = 0;
    snprintf(include, sizeof include, "-I%s/include", shaders);
    snprintf(source, sizeof source, "%s/%s.comp", shaders, v->shader);
    snprintf(part, sizeof part, "%s.part", v->binary);
    memcpy(defines, v->defines, sizeof defines);
    args[n++] = include;
    for (char *word = strtok(defines, " "); word != NULL && n_macros < MAX_ARGS - 12; word = strtok(NULL, " ")) {
        snprintf(macros[n_macros], sizeof macros[0], "-D%.120s", word);
        args[n++] = macros[n_macros++];
    }
    args[n++] = "-o";
    args[n++] = part;
    args[n++] = source;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 2, v->messages, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    errno = posix_spawnp(&v->process, glslc, &actions, NULL, (char **) args, environ);
    if (errno != 0)
        die(glslc);
    posix_spawn_file_actions_destroy(&actions);
}

/* 1 when it is an error, after printing it. */
static int finish(struct variant *v, int status)
{
    char part[LINE], text[1 << 16];
    snprintf(part, sizeof part, "%s.part", v->binary);
    FILE *in = fopen(v->messages, "r");
    const size_t n = in != NULL ? fread(text, 1, sizeof text - 1, in) : 0;
    text[n] = '\0';
    if (in != NULL)
        fclose(in);
    unlink(v->messages);
    if (status == 0)
        return rename(part, v->binary) != 0;
    unlink(part);
    if (strstr(text, "extension not supported") != NULL) {
        printf("left out: %s.comp %s (this glslc lacks an extension)\n", v->shader, v->defines);
        return 0;
    }
    fprintf(stderr, "%s.comp %s\n%s", v->shader, v->defines, text);
    return 1;
}

static int wait_one(void)
{
    int status;
    for (pid_t process; (process = wait(&status)) > 0;)
        for (int i = 0; i < n_variants; i++)
            if (variants[i].process == process)
                return finish(&variants[i], status);
    die("wait");
    return 1;
}

static void write_binaries(const char *path)
{
    FILE *out = fopen(path, "w");
    if (out == NULL)
        die(path);
    fprintf(out, "/* made from shaders/ by spirv/compile.c */\n#include \"device/vulkan/shaders.h\"\n");
    size_t sizes[MAX_VARIANTS] = { 0 };
    for (int i = 0; i < n_variants; i++) {
        uint32_t word;
        FILE *in = fopen(variants[i].binary, "rb");
        if (in == NULL)
            continue;
        fprintf(out, "static const uint32_t words_%d[] = {", i);
        for (; fread(&word, sizeof word, 1, in) == 1; sizes[i]++)
            fprintf(out, "%s0x%x,", sizes[i] % 12 == 0 ? "\n" : "", (unsigned) word);
        fprintf(out, "\n};\n");
        fclose(in);
    }
    fprintf(out, "const struct firn_shader_binary firn_shader_binaries[] = {\n");
    for (int i = 0; i < n_variants; i++)
        if (sizes[i] > 0)
            fprintf(out, "    { \"%s\", \"%s\", words_%d, %zu },\n", variants[i].shader,
                    variants[i].defines, i, 4 * sizes[i]);
    fprintf(out, "    { 0 }\n};\n");
    if (fclose(out) != 0)
        die(path);
}

int main(int argc, char **argv)
{
    if (argc != 7)
        return 2;
    glslc = argv[1];
    shaders = argv[3];
    read_list(argv[2]);
    if (mkdir(argv[4], 0755) != 0 && errno != EEXIST)
        die(argv[4]);
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    int n_running = 0, n_errors = 0;
    deps = fopen(argv[6], "w");
    if (deps == NULL)
        die(argv[6]);
    fprintf(deps, "%s:", argv[5]);
    for (int i = 0; i < n_variants; i++) {
        struct variant *v = &variants[i];
        name_files(v, argv[4]);
        if (access(v->binary, R_OK) == 0)
            continue;
        start(v);
        if (++n_running >= cores) {
            n_errors += wait_one();
            n_running--;
        }
    }
    for (; n_running > 0; n_running--)
        n_errors += wait_one();
    fprintf(deps, "\n");
    fclose(deps);
    if (n_errors > 0)
        return 1;
    write_binaries(argv[5]);
    return 0;
}
