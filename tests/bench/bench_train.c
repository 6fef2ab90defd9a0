/* FlipSweep's side of train_speed.py: trains a model on given batches as the training loop does.
 *
 *     bench_train DIR THREADS DROPOUT
 *
 * DIR is what torch_trainer.py makes. A line "N" on stdin makes N steps; the answer is a line of
 * JSON with the seconds that they took, processor seconds, tokens and the last step's loss. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "clock.h"
#include "safetensors.h"
#include "tr_loss.h"
#include "tr_net.h"
#include "tr_optimiser.h"
#include "train_batches.h"

static const double RATE = 1e-4, DECAY = 0.01, CLIP = 1;

typedef struct bench {
    tr_head head;
    tr_layout *layout;
    tr_pool *pool;
    tr_weights *weights;
    tr_tape *tape;
    train_batches batches;
    float *grads, *m, *v, *logits;
    float dropout;
    uint64_t step;
} bench;

static float *zeros(size_t count)
{
    const size_t bytes = (count * sizeof(float) + 63) / 64 * 64;
    float *out = aligned_alloc(64, bytes);
    if (out == NULL) {
        fputs("bench_train: out of memory\n", stderr);
        exit(1);
    }
    memset(out, 0, bytes);
    return out;
}

static fs_status read_head(tr_head *out, const char *dir)
{
    char path[FS_PATH_BYTES_MAX], word[16] = "";
    snprintf(path, sizeof path, "%s/head", dir);
    FILE *file = fopen(path, "re");
    if (file == NULL) return fs_fail(FS_ENOENT, "%s: cannot be read", path);
    const size_t n = fread(word, 1, sizeof word - 1, file);
    fclose(file);
    word[n] = '\0';
    *out = strcmp(word, "masked") == 0   ? TR_HEAD_MASKED
           : strcmp(word, "causal") == 0 ? TR_HEAD_CAUSAL
                                         : TR_HEAD_CLASSIFY;
    return FS_OK;
}

static fs_status read_weights(bench *self, const char *dir)
{
    fs_safetensors *file;
    fs_status status = fs_safetensors_open(&file, dir);
    if (status != FS_OK) return status;
    for (size_t i = 0; i < self->layout->count && status == FS_OK; i++) {
        const tr_tensor *t = &self->layout->tensors[i];
        if (!t->used) continue;
        const size_t count = (size_t)t->rows * t->cols;
        const fs_tensor_view *view = fs_safetensors_find(file, t->name);
        if (view == NULL || view->dtype != FS_F32 || view->bytes != count * sizeof(float))
            status = fs_fail(FS_EFORMAT, "%s: no fitting tensor %s", dir, t->name);
        else
            fs_tensor_to_f32(tr_weights_values(self->weights) + t->first, view, 0, count);
    }
    fs_safetensors_close(&file);
    if (status == FS_OK) tr_weights_pack(self->weights, self->pool);
    return status;
}

static fs_status read_batches(bench *self, const char *dir)
{
    char path[FS_PATH_BYTES_MAX];
    snprintf(path, sizeof path, "%s/batches", dir);
    fs_safetensors *file;
    FS_TRY(fs_safetensors_open(&file, path));
    const fs_status status = train_batches_read(&self->batches, file);
    fs_safetensors_close(&file);
    return status;
}

static fs_status prepare(bench *self, const char *dir, unsigned threads)
{
    fs_config config;
    FS_TRY(fs_config_read(&config, dir));
    FS_TRY(read_head(&self->head, dir));
    FS_TRY(tr_pool_new(&self->pool, threads));
    FS_TRY(tr_layout_new(&self->layout, &config, self->head));
    FS_TRY(tr_weights_new(&self->weights, self->layout));
    FS_TRY(tr_tape_new(&self->tape, self->layout, self->pool));
    FS_TRY(read_weights(self, dir));
    FS_TRY(read_batches(self, dir));
    self->grads = zeros(self->layout->floats);
    self->m = zeros(self->layout->floats);
    self->v = zeros(self->layout->floats);
    self->logits = zeros((size_t)self->batches.outputs_max * tr_logit_count(self->layout));
    return FS_OK;
}

static fs_status make_step(bench *self, uint64_t *tokens, double *loss)
{
    static const tr_adamw adamw = {.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .decay = DECAY};
    const tr_batch *batch = &self->batches.items[self->step % self->batches.count];
    const tr_pass pass = {
        .dropout = self->dropout, .attention_dropout = self->dropout, .key = 1, .step = self->step};
    memset(self->grads, 0, self->layout->floats * sizeof *self->grads);
    FS_TRY(tr_forward(self->tape, self->weights, batch, &pass, self->logits));
    const double sum = tr_loss_cross_entropy(self->pool, self->logits, batch->targets,
                                             batch->outputs, tr_logit_count(self->layout), 0,
                                             1 / (float)batch->outputs, self->logits, NULL);
    FS_TRY(tr_backward(self->tape, self->weights, self->logits, self->grads, NULL));
    const double norm = tr_gradient_norm(self->layout, self->pool, self->grads, NULL);
    tr_adamw_update(&adamw, self->layout, self->pool, tr_weights_values(self->weights), self->grads,
                    self->m, self->v, RATE, fmin(1, CLIP / (norm + 1e-6)), ++self->step, NULL);
    tr_weights_pack(self->weights, self->pool);
    *tokens += batch->tokens.off[batch->tokens.n_seq];
    *loss = sum / batch->outputs;
    return FS_OK;
}

static double cpu_seconds(void)
{
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           1e-6 * (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
}

static fs_status serve(bench *self)
{
    char line[32];
    while (fgets(line, sizeof line, stdin) != NULL) {
        const long steps = strtol(line, NULL, 10);
        const uint64_t start = fs_clock_mono_ns();
        const double cpu = cpu_seconds();
        uint64_t tokens = 0;
        double loss = NAN;
        for (long i = 0; i < steps; i++) FS_TRY(make_step(self, &tokens, &loss));
        printf("{\"seconds\": %.6f, \"cpu\": %.6f, \"tokens\": %llu, \"loss\": %.6f}\n",
               (double)(fs_clock_mono_ns() - start) / 1e9, cpu_seconds() - cpu,
               (unsigned long long)tokens, loss);
        fflush(stdout);
    }
    return FS_OK;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fputs("usage: bench_train DIR THREADS DROPOUT\n", stderr);
        return 2;
    }
    bench self = {.dropout = strtof(argv[3], NULL)};
    fs_status status = prepare(&self, argv[1], (unsigned)strtoul(argv[2], NULL, 10));
    if (status == FS_OK) status = serve(&self);
    if (status != FS_OK) fprintf(stderr, "bench_train: %s\n", fs_status_detail());
    free(self.logits);
    free(self.v);
    free(self.m);
    free(self.grads);
    train_batches_free(&self.batches);
    tr_tape_destroy(&self.tape);
    tr_weights_destroy(&self.weights);
    tr_layout_destroy(&self.layout);
    tr_pool_destroy(&self.pool);
    return fs_status_exit(status);
}
