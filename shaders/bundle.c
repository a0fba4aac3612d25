/* SPDX-License-Identifier: Apache-2.0 */
/* A tool of the build: writes every shaders/NAME.comp and shaders/include/NAME.glsl as C arrays, and a depfile that
 * names them and the folders, so that a new file needs no list.   bundle FOLDER OUT.c OUT.d */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *ending;

static int is_wanted(const struct dirent *e)
{
    const size_t n = strlen(e->d_name), m = strlen(ending);
    return n > m && e->d_name[0] != '.' && strcmp(e->d_name + n - m, ending) == 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name); /* the same order in every locale */
}

static long write_array(FILE *out, int number, const char *path)
{
    FILE *in = fopen(path, "rb");
    if (in == NULL) {
        perror(path);
        exit(1);
    }
    long size = 0;
    fprintf(out, "static const char file_%d[] = {", number);
    for (int c; (c = getc(in)) != EOF; size++)
        fprintf(out, "%s%d,", size % 24 == 0 ? "\n" : "", (signed char) c);
    fprintf(out, "\n};\n");
    fclose(in);
    if (size == 0) {
        fprintf(stderr, "%s: empty\n", path);
        exit(1);
    }
    return size;
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    FILE *out = fopen(argv[2], "w"), *deps = fopen(argv[3], "w");
    char *table = NULL;
    size_t table_size = 0;
    FILE *rows = open_memstream(&table, &table_size);
    if (out == NULL || deps == NULL || rows == NULL) {
        perror(argv[2]);
        return 1;
    }
    fprintf(out, "/* made from shaders/ by bundle.c */\n#include \"device/vulkan/shaders.h\"\n");
    fprintf(deps, "%s:", argv[2]);
    int number = 0;
    for (int pass = 0; pass < 2; pass++) {
        char folder[4096], path[4400];
        struct dirent **list;
        ending = pass == 0 ? ".comp" : ".glsl";
        snprintf(folder, sizeof folder, "%s%s", argv[1], pass == 0 ? "" : "/include");
        const int n = scandir(folder, &list, is_wanted, by_name);
        if (n < 0) {
            perror(folder);
            return 1;
        }
        fprintf(deps, " %s", folder);
        for (int i = 0; i < n; i++, number++) {
            snprintf(path, sizeof path, "%s/%s", folder, list[i]->d_name);
            fprintf(deps, " %s", path);
            fprintf(rows, "    { \"%s\", file_%d, %ld },\n", list[i]->d_name, number,
                    write_array(out, number, path));
            free(list[i]);
        }
        free(list);
    }
    fprintf(deps, "\n");
    fclose(rows);
    fprintf(out, "const struct firn_shader_file firn_shader_files[] = {\n%s    { 0 }\n};\n", table);
    free(table);
    return fclose(out) != 0 || fclose(deps) != 0;
}
