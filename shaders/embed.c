/* SPDX-License-Identifier: Apache-2.0 */
/* Build tool: writes the shader sources given as arguments into one C file, a list of names and texts. */
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    FILE *out = argc > 1 ? fopen(argv[1], "w") : NULL;
    if (out == NULL)
        return 1;
    fprintf(out, "/* generated: the shader sources */\n#include \"device/vulkan/device.h\"\n"
                 "#pragma GCC diagnostic ignored \"-Woverlength-strings\"\n"
                 "static const struct { const char *name, *text; } files[] = {\n");
    for (int i = 2; i < argc; i++) {
        const char *slash = strrchr(argv[i], '/');
        FILE *in = fopen(argv[i], "r");
        int c;
        if (in == NULL)
            return 1;
        fprintf(out, "{ \"%s\", \"", slash != NULL ? slash + 1 : argv[i]);
        while ((c = fgetc(in)) != EOF) {
            if (c == '\n')
                fprintf(out, "\\n\"\n\"");
            else if (c == '"' || c == '\\')
                fprintf(out, "\\%c", c);
            else
                fputc(c, out);
        }
        fprintf(out, "\" },\n");
        fclose(in);
    }
    fprintf(out, "};\nconst char *firn_vk_source(const char *name)\n{\n"
                 "    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)\n"
                 "        if (strcmp(files[i].name, name) == 0)\n            return files[i].text;\n"
                 "    return NULL;\n}\n");
    return fclose(out) == 0 ? 0 : 1;
}
