#include "main.h"

#include <math.h>
#include <stdio.h>

json_t *main_json_real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

fs_status main_json_print(json_t *root)
{
    if (root == NULL) return fs_fail(FS_ENOMEM, "no memory for a JSON document");
    int failed = json_dumpf(root, stdout, JSON_COMPACT | JSON_REAL_PRECISION(17));
    json_decref(root);
    putchar('\n');
    return failed && !ferror(stdout) ? fs_fail(FS_ENOMEM, "no memory for a JSON document") : FS_OK;
}

int main(int argc, char **argv)
{
    static const fs_command *const commands[] = {
        &main_train, &main_finetune, &main_eval, &main_inspect, &main_tokenize, &main_vocab, NULL,
    };
    static const fs_program program = {
        "flipsweep-model",
        "Trains one model, and says what it is and does.",
        commands,
    };
    return fs_program_main(&program, argc, argv);
}
