#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "assert.h"
#include "hash.h"
#include "nn_image.h"
#include "nn_model.h"
#include "nn_probe.h"

fs_status nn_view_new(nn_view **out, const nn_model *model)
{
    *out = NULL;
    nn_view *self = calloc(1, sizeof *self);
    if (self == NULL) return fs_fail(FS_ENOMEM, "no memory for a view of a model");
    /* Only the pages that a trial writes take memory of their own: no need to reserve them all. */
    void *image = mmap(NULL, model->image_bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_NORESERVE, model->image_fd, 0);
    if (image == MAP_FAILED) {
        int error = errno;
        free(self);
        return fs_fail(FS_ENOMEM, "cannot map %zu bytes of weights: %s", model->image_bytes,
                       strerror(error));
    }
    self->model = model;
    self->image = image;
    *out = self;
    return FS_OK;
}

void nn_view_destroy(nn_view **self)
{
    if (*self == NULL) return;
    munmap((*self)->image, (*self)->model->image_bytes);
    free((*self)->scratch);
    free(*self);
    *self = NULL;
}

const nn_model *nn_view_model(const nn_view *self)
{
    return self->model;
}

uint32_t nn_view_get(const nn_view *self, uint32_t tensor, uint64_t element)
{
    uint32_t bits;
    memcpy(&bits, self->image + nn__image_index(self->model, tensor, element), sizeof bits);
    return bits;
}

void nn_view_set(nn_view *self, uint32_t tensor, uint64_t element, uint32_t bits)
{
    memcpy(self->image + nn__image_index(self->model, tensor, element), &bits, sizeof bits);
}

void nn_view_set_probe(nn_view *self, const nn_probe *probe)
{
    self->probe = probe;
}

size_t nn_view_pages(const nn_view *self)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (self->model->image_bytes + page - 1) / page;
}

fs_status nn_view_reset(nn_view *self)
{
    if (madvise(self->image, self->model->image_bytes, MADV_DONTNEED) != 0) {
        return fs_fail(FS_EIO, "cannot drop a view's private pages: %s", strerror(errno));
    }
    return FS_OK;
}

uint64_t nn_view_checksum(const nn_view *self)
{
    return fs_checksum(self->image, self->model->image_bytes);
}

const float *nn__weights(const nn_view *self, uint32_t tensor)
{
    FS_ASSERT(tensor < self->model->geometry->tensor_count);
    return self->image + self->model->places[tensor].first;
}

fs_status nn__scratch(nn_view *self, size_t size, float **out)
{
    if (size > self->scratch_size) {
        void *larger;
        size_t bytes = nn__aligned(size) * sizeof(float);
        if (posix_memalign(&larger, 64, bytes) != 0) {
            return fs_fail(FS_ENOMEM, "no memory for %zu bytes of activations", bytes);
        }
        free(self->scratch);
        self->scratch = larger;
        self->scratch_size = nn__aligned(size);
    }
    *out = self->scratch;
    return FS_OK;
}
