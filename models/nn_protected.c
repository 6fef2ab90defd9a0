/* Reading a model as a protected memory would give it: row by row, each value stored, encoded and
 * decoded again. */
#include <string.h>

#include "nn_image.h"

/* One row of a tensor on its way. */
typedef struct row_reader {
    const nn_model *model;
    uint32_t tensor;
    size_t cols;
    uint64_t first; /* its first element */
    fs_coding_room room;
    uint32_t *clean; /* [cols] bits of fp32, as in the file */
} row_reader;

/* Reads the row's values as they are in the file. */
static float *read_row(row_reader *self)
{
    float *values = (float *)(void *)self->clean;
    fs_tensor_to_f32(values, self->model->places[self->tensor].source, self->first, self->cols);
    return values;
}

/* Reads the row's values and prepares them. */
static void fetch(row_reader *self, const fs_coding *coding)
{
    const size_t padded = fs_coding_padded(coding->protect, self->cols);
    read_row(self);
    fs_protection_narrow(self->model->protection, self->tensor, self->first, self->clean,
                         self->room.prepared, self->cols);
    memset(self->room.prepared + self->cols, 0, (padded - self->cols) * sizeof(uint32_t));
    fs_coding_prepare(coding, self->room.prepared, self->cols);
}

/* The scales of every channel come before the first word. */
static fs_status learn_scales(row_reader *self, fs_scales *scales)
{
    const fs_tensor *tensor = &self->model->geometry->tensors[self->tensor];
    for (uint32_t r = 0; r < tensor->rows; r++) {
        self->first = (uint64_t)r * self->cols;
        if (!fs_scales_learn(scales, self->tensor, r, read_row(self)))
            return fs_fail(FS_EFORMAT,
                           "%s: tensor %s holds a value that is not finite: int8 has no word for "
                           "it",
                           nn__source_path(self->model, self->tensor), tensor->name);
    }
    fs_scales_settle(scales, self->tensor);
    return FS_OK;
}

static void learn_tensor(row_reader *self, fs_protection *protection)
{
    fs_codec_param *params = fs_protection_params(protection, self->tensor);
    const fs_coding coding = fs_protection_coding(protection, self->tensor);
    const uint32_t rows = self->model->geometry->tensors[self->tensor].rows;
    for (uint32_t r = 0; r < rows; r++) {
        self->first = (uint64_t)r * self->cols;
        fetch(self, &coding);
        fs_coding_learn(&protection->protect, params, self->room.prepared, self->cols,
                        self->room.check);
    }
}

/* Encodes and decodes the row; adds what that noticed. @return how many values are read as others
 * than in the file. */
static uint64_t pass_through(row_reader *self, const fs_coding *coding, fs_codec_report *noticed)
{
    const size_t padded = fs_coding_padded(coding->protect, self->cols);
    fs_coding_room *room = &self->room;
    uint64_t altered = 0;
    memcpy(room->read, room->prepared, padded * sizeof *room->read);
    fs_coding_encode(coding, room->read, self->cols, room->check);
    fs_coding_decode(coding, room->read, self->cols, room->check, room->prepared, room->scratch,
                     noticed);
    fs_protection_widen(self->model->protection, self->tensor, self->first, room->read, self->cols);
    for (size_t i = 0; i < self->cols; i++) {
        room->read[i] = fs_guard_read(&coding->protect->guard, room->read[i]);
        altered += room->read[i] != self->clean[i];
    }
    return altered;
}

static void read_tensor(row_reader *self, nn_model *model)
{
    const fs_coding coding = fs_protection_coding(model->protection, self->tensor);
    const uint32_t rows = model->geometry->tensors[self->tensor].rows;
    for (uint32_t r = 0; r < rows; r++) {
        self->first = (uint64_t)r * self->cols;
        fetch(self, &coding);
        model->altered += pass_through(self, &coding, &model->noticed);
        nn__place_values(model, self->tensor, self->first, (float *)(void *)self->room.read,
                         self->cols);
    }
}

fs_status nn__load_protected(nn_model *self)
{
    row_reader row = {.model = self};
    fs_status status = FS_OK;
    for (uint32_t t = 0; t < self->geometry->tensor_count && status == FS_OK; t++) {
        row.tensor = t;
        row.cols = self->geometry->tensors[t].cols;
        status = fs_coding_room_reserve(&row.room, &self->protection->protect, row.cols);
        if (status != FS_OK) break;
        row.clean = row.room.faulty; /* nothing is hit here */
        if (self->protection->scales != NULL) status = learn_scales(&row, self->protection->scales);
        if (status != FS_OK) break;
        if (fs_protection_learns(self->protection) && !self->given)
            learn_tensor(&row, self->protection);
        read_tensor(&row, self);
    }
    fs_coding_room_free(&row.room);
    return status;
}
