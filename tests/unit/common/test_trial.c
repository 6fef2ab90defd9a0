#include "testing.h"

#include <math.h>

#include "activation.h"
#include "rng.h"
#include "trial.h"
#include "tuning.h"

static fs_trial_record random_record(fs_rng *rng)
{
    fs_trial_record r = {.outcome = (uint8_t)fs_rng_below(rng, FS_OUTCOME_COUNT),
                         .critical = (uint8_t)fs_rng_below(rng, 2)};
    const uint64_t form = fs_rng_below(rng, 3);
    r.activations = form == 1;
    r.tuned = form == 2;
    if (r.tuned) {
        r.diverged = fs_rng_u32(rng) & 15;
        for (int i = 0; i < FS_HASH_BYTES; i++) r.model.bytes[i] = (uint8_t)fs_rng_u32(rng);
    }
    r.masked = fs_rng_u32(rng) >> 8;
    r.benign = fs_rng_u32(rng) >> 8;
    r.sdc = fs_rng_u32(rng) >> 8;
    r.due = fs_rng_u32(rng) >> 8;
    r.inputs = r.masked + r.benign + r.sdc + r.due;
    r.answers_changed = fs_rng_u32(rng);
    r.answers = r.answers_changed + fs_rng_u32(rng);
    r.metric = fs_rng_unit(rng);
    r.loss = -INFINITY;
    r.deviation_max = INFINITY;
    r.kl_mean = NAN;
    r.faults = fs_rng_below(rng, 2 * FS_FAULTS_KEPT_MAX);
    r.effective = fs_rng_below(rng, r.faults + 1);
    r.visible = fs_rng_u64(rng);
    r.corrected = fs_rng_u64(rng);
    r.detected = fs_rng_u64(rng);
    r.miscorrected = fs_rng_u64(rng);
    r.faults_checksum = fs_rng_u64(rng);
    r.kept = (uint32_t)(r.faults < FS_FAULTS_KEPT_MAX ? r.faults : FS_FAULTS_KEPT_MAX);
    for (uint32_t i = 0; i < r.kept; i++) {
        r.fault[i].tensor = fs_rng_u32(rng);
        r.fault[i].bit = (uint8_t)fs_rng_below(rng, 32);
        r.fault[i].kind = (uint8_t)fs_rng_below(rng, 3);
        if (r.activations)
            r.fault[i].place = fs_place_of((fs_stage)fs_rng_below(rng, FS_STAGE_COUNT),
                                           (uint32_t)fs_rng_below(rng, FS_LAYERS_MAX));
        if (r.tuned) {
            r.fault[i].place = (uint16_t)fs_rng_below(rng, FS_TUNE_ARRAY_COUNT);
            r.fault[i].step = fs_rng_u32(rng);
        }
        r.fault[i].element = fs_rng_u64(rng);
        r.fault[i].before = fs_rng_u32(rng);
        r.fault[i].after = fs_rng_u32(rng);
        r.fault[i].value_before = fs_rng_u32(rng);
        r.fault[i].value_after = fs_rng_u32(rng);
    }
    return r;
}

static void test_round_trip(void **state)
{
    fs_rng rng;
    fs_rng_init(&rng, 21, 0);
    fs_buf first = {0}, second = {0};
    for (int i = 0; i < 2000; i++) {
        fs_trial_record in = random_record(&rng), out;
        fs_buf_clear(&first);
        fs_buf_clear(&second);
        assert_ok(fs_trial_encode(&in, &first));
        assert_true(first.size <= FS_TRIAL_RECORD_BYTES_MAX);
        assert_ok(fs_trial_decode(&out, first.data, first.size));
        assert_int_equal(out.inputs, in.inputs);
        assert_int_equal(out.activations, in.activations);
        assert_int_equal(out.tuned, in.tuned);
        assert_int_equal(out.diverged, in.diverged);
        assert_true(fs_hash_equal(&out.model, &in.model));
        assert_true(out.answers == in.answers && out.effective == in.effective);
        assert_true(out.metric == in.metric && out.loss == -INFINITY && isnan(out.kl_mean));
        assert_memory_equal(out.fault, in.fault, sizeof in.fault);
        assert_ok(fs_trial_encode(&out, &second));
        assert_int_equal(first.size, second.size);
        assert_memory_equal(first.data, second.data, first.size);
    }
    fs_buf_free(&first);
    fs_buf_free(&second);
}

/* Two NaNs of unlike sign and payload must not make two records. */
static void test_one_form_of_nan(void **state)
{
    fs_trial_record a = {0}, b = {0};
    uint64_t odd = 0xfff8000000000123u;
    a.metric = NAN;
    memcpy(&b.metric, &odd, sizeof odd);
    fs_buf x = {0}, y = {0};
    assert_ok(fs_trial_encode(&a, &x));
    assert_ok(fs_trial_encode(&b, &y));
    assert_int_equal(x.size, y.size);
    assert_memory_equal(x.data, y.data, x.size);
    fs_buf_free(&x);
    fs_buf_free(&y);
}

static void test_damage_is_noticed(void **state)
{
    fs_rng rng;
    fs_rng_init(&rng, 22, 0);
    fs_trial_record record = random_record(&rng), out;
    fs_buf bytes = {0};
    assert_ok(fs_trial_encode(&record, &bytes));
    for (size_t size = 0; size < bytes.size; size++) {
        assert_status(fs_trial_decode(&out, bytes.data, size), FS_ECORRUPT);
    }
    for (size_t bit = 0; bit < 8 * bytes.size; bit++) {
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_status(fs_trial_decode(&out, bytes.data, bytes.size), FS_ECORRUPT);
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_ok(fs_trial_decode(&out, bytes.data, bytes.size));
    fs_buf_free(&bytes);
}

/* Records of parameter faults are what they were before there were others: stores stay readable,
 * and a trial that runs again is equal to its old row. The bytes are those of the first version. */
static void test_old_records(void **state)
{
    const fs_trial_record parameters = {
        .inputs = 1, .masked = 1, .faults = 1, .kept = 1, .fault[0] = {.tensor = 7, .bit = 30}};
    fs_trial_record activations = parameters, out;
    activations.activations = 1;
    activations.fault[0].place = fs_place_of(FS_STAGE_MLP_OUT, 3);
    fs_buf old = {0}, new = {0};
    assert_ok(fs_trial_encode(&parameters, &old));
    assert_ok(fs_trial_encode(&activations, &new));
    assert_int_equal(old.size, 128 + 30 + 8);
    assert_int_equal(new.size, 128 + 32 + 8);
    assert_memory_equal(old.data, "\1\0\0\1\1\0\0\0\1\0\0\0", 12);
    assert_memory_equal(old.data + 128, "\7\0\0\0\36\0", 6);
    assert_int_equal(new.data[0], 3);
    assert_ok(fs_trial_decode(&out, old.data, old.size));
    assert_int_equal(out.activations, 0);
    activations.fault[0].place = UINT16_MAX - 1; /* no layer is so deep */
    fs_buf_clear(&new);
    assert_ok(fs_trial_encode(&activations, &new));
    assert_status(fs_trial_decode(&out, new.data, new.size), FS_ECORRUPT);
    fs_buf_free(&old);
    fs_buf_free(&new);
}

/* A worker with a defect may send a well-formed record that contradicts itself. */
static void test_contradictions_are_refused(void **state)
{
    fs_trial_record out, bad[] = {{.inputs = 3, .masked = 2},
                                  {.answers = 1, .answers_changed = 2},
                                  {.faults = 1, .kept = 1, .effective = 2},
                                  {.faults = 2, .kept = 1}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        fs_buf bytes = {0};
        assert_ok(fs_trial_encode(&bad[i], &bytes));
        assert_status(fs_trial_decode(&out, bytes.data, bytes.size), FS_ECORRUPT);
        fs_buf_free(&bytes);
    }
}

/* Faults in redundant bits make it version 2; without them a record is what it always was. */
static void test_check_faults(void **state)
{
    fs_trial_record record = {.inputs = 1, .masked = 1}, read;
    fs_buf plain = {0}, hit = {0};
    assert_ok(fs_trial_encode(&record, &plain));
    assert_int_equal(plain.data[0], 1);
    record.check_faults = 7;
    assert_ok(fs_trial_encode(&record, &hit));
    assert_int_equal(hit.data[0], 2);
    assert_int_equal(hit.size, plain.size + 8);
    assert_ok(fs_trial_decode(&read, hit.data, hit.size));
    assert_int_equal(read.check_faults, 7);
    assert_ok(fs_trial_decode(&read, plain.data, plain.size));
    assert_int_equal(read.check_faults, 0);
    assert_status(fs_trial_decode(&read, hit.data, hit.size - 8), FS_ECORRUPT);
    fs_buf_free(&plain);
    fs_buf_free(&hit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_one_form_of_nan),
        cmocka_unit_test(test_damage_is_noticed),
        cmocka_unit_test(test_old_records),
        cmocka_unit_test(test_contradictions_are_refused),
        cmocka_unit_test(test_check_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
