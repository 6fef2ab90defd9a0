/** The control socket: a server on a loop in a thread, asked as `stop` and `status` ask. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "coord_control.h"
#include "file.h"
#include "limits.h"

typedef struct server {
    uv_loop_t loop;
    uv_thread_t thread;
    uv_async_t stop;
    coord_control *control;
    char dir[FS_PATH_BYTES_MAX];
} server;

static fs_status answer(void *data, const char *word, fs_buf *reply)
{
    (void)data;
    return fs_buf_printf(reply, "{\"word\": \"%s\"}", word);
}

static void on_stop(uv_async_t *async)
{
    server *self = async->data;
    coord_control_close(&self->control);
    uv_close((uv_handle_t *)async, NULL);
}

static void run_loop(void *data)
{
    server *self = data;
    uv_run(&self->loop, UV_RUN_DEFAULT);
}

static void server_start(server *self)
{
    assert_int_equal(uv_loop_init(&self->loop), 0);
    assert_int_equal(coord_control_listen(&self->control, &self->loop, self->dir, answer, self),
                     FS_OK);
    assert_int_equal(uv_async_init(&self->loop, &self->stop, on_stop), 0);
    self->stop.data = self;
    assert_int_equal(uv_thread_create(&self->thread, run_loop, self), 0);
}

static void server_stop(server *self)
{
    uv_async_send(&self->stop);
    uv_thread_join(&self->thread);
    assert_int_equal(uv_loop_close(&self->loop), 0);
}

static void make_dir(char *out, size_t extra)
{
    snprintf(out, FS_PATH_BYTES_MAX, "/tmp/flipsweep-control-XXXXXX");
    assert_non_null(mkdtemp(out));
    for (size_t n = 0; n < extra; n += 50) {
        size_t at = strlen(out);
        snprintf(out + at, FS_PATH_BYTES_MAX - at,
                 "/a-long-name-for-a-folder-of-results-on-this-box");
        assert_int_equal(mkdir(out, 0700), 0);
    }
}

static void remove_dir(char *dir)
{
    while (strlen(dir) > strlen("/tmp") && rmdir(dir) == 0) *strrchr(dir, '/') = '\0';
}

static void ask_and_check(const char *dir, const char *word, const char *expected)
{
    fs_buf reply = {0};
    assert_int_equal(coord_control_ask(dir, word, 5000, &reply), FS_OK);
    assert_string_equal(fs_buf_text(&reply), expected);
    fs_buf_free(&reply);
}

static void check_server(size_t extra)
{
    server s = {0};
    fs_buf reply = {0};
    char path[FS_PATH_BYTES_MAX];
    make_dir(s.dir, extra);
    assert_int_equal(coord_control_ask(s.dir, "status", 1000, &reply), FS_ENOENT);
    server_start(&s);
    assert_int_equal(fs_path_join(path, s.dir, "control.sock"), FS_OK);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    for (int i = 0; i < 3; i++) ask_and_check(s.dir, "status", "{\"word\": \"status\"}\n");
    server_stop(&s);
    assert_int_not_equal(stat(path, &info), 0);
    assert_int_equal(coord_control_ask(s.dir, "status", 1000, &reply), FS_ENOENT);
    remove_dir(s.dir);
}

static void test_words(void **state)
{
    (void)state;
    check_server(0);
}

static void test_paths_beyond_sun_path(void **state)
{
    (void)state;
    check_server(200);
}

static void test_a_killed_servers_socket_is_replaced(void **state)
{
    (void)state;
    server s = {0};
    fs_buf reply = {0};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    make_dir(s.dir, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%.80s/control.sock", s.dir);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd);
    assert_int_equal(coord_control_ask(s.dir, "stop", 1000, &reply), FS_ENOENT);
    server_start(&s);
    ask_and_check(s.dir, "stop", "{\"word\": \"stop\"}\n");
    server_stop(&s);
    remove_dir(s.dir);
}

static void test_rude_clients(void **state)
{
    (void)state;
    server s = {0};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    make_dir(s.dir, 0);
    server_start(&s);
    snprintf(address.sun_path, sizeof address.sun_path, "%.80s/control.sock", s.dir);
    int silent[COORD_CONTROL_CLIENTS_MAX - 2];
    for (size_t i = 0; i < sizeof silent / sizeof *silent; i++) { /* they say nothing */
        silent[i] = socket(AF_UNIX, SOCK_STREAM, 0);
        assert_int_equal(connect(silent[i], (struct sockaddr *)&address, sizeof address), 0);
    }
    char noise[4096], byte;
    memset(noise, 'x', sizeof noise);
    int loud = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(loud, (struct sockaddr *)&address, sizeof address), 0);
    assert_true(send(loud, noise, sizeof noise, MSG_NOSIGNAL) > 0);
    assert_true(read(loud, &byte, 1) <= 0); /* too long a word: closed */
    close(loud);
    ask_and_check(s.dir, "status", "{\"word\": \"status\"}\n");
    server_stop(&s); /* while the silent ones are connected */
    for (size_t i = 0; i < sizeof silent / sizeof *silent; i++) close(silent[i]);
    remove_dir(s.dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_paths_beyond_sun_path),
        cmocka_unit_test(test_a_killed_servers_socket_is_replaced),
        cmocka_unit_test(test_rude_clients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
