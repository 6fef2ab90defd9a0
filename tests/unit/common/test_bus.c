#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include "bus.h"
#include "clock.h"

/* ---- one end of a conversation, with what it saw ---- */

typedef struct end {
    uv_loop_t loop;
    fs_bus *bus;
    int echo; /* send every message back */
    uint64_t received;
    uint64_t out_of_order;
    uint64_t lost;
    uint64_t last_size;
    fs_peer peer; /* of the last message */
    int closed;
    /* a sender of numbered messages, at most `window` of them unanswered */
    uint64_t to_send, sent, window;
} end;

static void send_number(end *self, const fs_peer *peer, uint64_t number)
{
    assert_int_equal(fs_bus_send(self->bus, peer, &number, sizeof number), FS_OK);
}

static void send_more(end *self)
{
    while (self->sent < self->to_send && self->sent - self->received < self->window) {
        send_number(self, NULL, self->sent++);
    }
}

static void on_message(void *data, const fs_peer *peer, const void *frame, size_t size)
{
    end *self = data;
    self->peer = *peer;
    self->last_size = size;
    if (self->echo) {
        assert_int_equal(fs_bus_send(self->bus, peer, frame, size), FS_OK);
    } else if (size == sizeof(uint64_t)) {
        uint64_t number;
        memcpy(&number, frame, sizeof number);
        self->out_of_order += number != self->received;
    }
    self->received++;
    send_more(self);
}

static void on_lost(void *data, const fs_peer *peer)
{
    end *self = data;
    self->lost++;
}

static void on_closed(void *data)
{
    end *self = data;
    self->closed = 1;
}

static fs_bus_handlers handlers_of(end *self)
{
    return (fs_bus_handlers){on_message, on_lost, self};
}

static void open_router(end *self, const char *endpoint)
{
    memset(self, 0, sizeof *self);
    assert_int_equal(uv_loop_init(&self->loop), 0);
    assert_int_equal(fs_bus_bind(&self->bus, &self->loop, endpoint, handlers_of(self)), FS_OK);
}

static void open_dealer(end *self, const char *endpoint)
{
    memset(self, 0, sizeof *self);
    assert_int_equal(uv_loop_init(&self->loop), 0);
    assert_int_equal(fs_bus_connect(&self->bus, &self->loop, endpoint, handlers_of(self)), FS_OK);
}

static void close_end(end *self, int linger_ms)
{
    fs_bus_close(&self->bus, linger_ms, on_closed, self);
    assert_null(self->bus);
    while (uv_run(&self->loop, UV_RUN_ONCE) != 0) {
    }
    assert_true(self->closed);
    assert_int_equal(uv_loop_close(&self->loop), 0);
}

static void wake(uv_timer_t *timer)
{
    *(int *)timer->data = 1;
    uv_stop(timer->loop); /* or this turn, whose timers run first, would go on to wait */
}

static void on_timer_closed(uv_handle_t *handle)
{
    *(int *)handle->data = 2;
}

/** Runs one end's loop for a while. */
static void run_for(end *self, uint64_t ms)
{
    uv_timer_t timer;
    int state = 0;
    uv_timer_init(&self->loop, &timer);
    timer.data = &state;
    uv_timer_start(&timer, wake, ms, 0);
    while (state == 0) uv_run(&self->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&timer, on_timer_closed);
    while (state == 1) uv_run(&self->loop, UV_RUN_ONCE);
}

/** Runs both ends in turns until the counter reaches `goal`; fails after 20 s. */
static void run_until(end *a, end *b, const uint64_t *counter, uint64_t goal)
{
    uint64_t give_up = fs_clock_mono_ms() + 20000;
    while (*counter < goal) {
        run_for(a, 2);
        if (b != NULL) run_for(b, 2);
        if (fs_clock_mono_ms() > give_up)
            fail_msg("no progress: %d of %d", (int)*counter, (int)goal);
    }
}

/* ---- a second thread with its own loop ---- */

typedef struct echo_thread {
    end server;
    uv_async_t stop;
    pthread_t thread;
} echo_thread;

static void on_stop_closed(uv_handle_t *handle)
{
}

static void on_stop(uv_async_t *async)
{
    echo_thread *self = async->data;
    uv_close((uv_handle_t *)async, on_stop_closed);
    fs_bus_close(&self->server.bus, 1000, on_closed, &self->server);
}

static void *run_echo(void *data)
{
    echo_thread *self = data;
    uv_run(&self->server.loop, UV_RUN_DEFAULT);
    return NULL;
}

static void start_echo(echo_thread *self, const char *endpoint)
{
    open_router(&self->server, endpoint);
    self->server.echo = 1;
    uv_async_init(&self->server.loop, &self->stop, on_stop);
    self->stop.data = self;
    assert_int_equal(pthread_create(&self->thread, NULL, run_echo, self), 0);
}

static void stop_echo(echo_thread *self)
{
    uv_async_send(&self->stop);
    pthread_join(self->thread, NULL);
    assert_true(self->server.closed);
    assert_int_equal(uv_loop_close(&self->server.loop), 0);
}

static void exchange(const char *bind, uint64_t messages, uint64_t window)
{
    echo_thread echo;
    start_echo(&echo, bind);
    end client;
    open_dealer(&client, fs_bus_endpoint(echo.server.bus));
    client.to_send = messages;
    client.window = window;
    send_more(&client);
    uint64_t give_up = fs_clock_mono_ms() + 60000;
    while (client.received < messages && fs_clock_mono_ms() < give_up) {
        uv_run(&client.loop, UV_RUN_ONCE);
    }
    assert_int_equal(client.received, messages);
    assert_int_equal(client.out_of_order, 0);
    close_end(&client, 0);
    stop_echo(&echo);
    assert_int_equal(echo.server.received, messages);
    assert_int_equal(echo.server.lost, 0);
}

static void tcp_carries_both_ways(void **state)
{
    /* A window of 1 and of 2 find the stall at the second message, a wide one the budget's. */
    exchange("tcp://127.0.0.1:*", 2000, 1);
    exchange("tcp://127.0.0.1:*", 2000, 2);
    exchange("tcp://127.0.0.1:*", 100000, 4000);
}

static void ipc_carries_both_ways(void **state)
{
    char folder[] = "/tmp/test_bus.XXXXXX", endpoint[64];
    assert_non_null(mkdtemp(folder));
    snprintf(endpoint, sizeof endpoint, "ipc://%s/bus", folder);
    exchange(endpoint, 100000, 4000);
    unlink(endpoint + 6);
    assert_int_equal(rmdir(folder), 0);
}

static void many_peers_are_served(void **state)
{
    enum { PEERS = 20 };
    echo_thread echo;
    start_echo(&echo, "tcp://127.0.0.1:*");
    static end clients[PEERS];
    for (int i = 0; i < PEERS; i++) {
        open_dealer(&clients[i], fs_bus_endpoint(echo.server.bus));
        clients[i].to_send = 200;
        clients[i].window = 50;
        send_more(&clients[i]);
    }
    for (int i = 0; i < PEERS; i++) {
        run_until(&clients[i], NULL, &clients[i].received, 200);
        assert_int_equal(clients[i].out_of_order, 0);
        close_end(&clients[i], 0);
    }
    stop_echo(&echo);
}

static void count_turn(uv_check_t *check)
{
    (*(int *)check->data)++;
}

static void an_idle_bus_sleeps(void **state)
{
    end server, client;
    open_router(&server, "tcp://127.0.0.1:*");
    server.echo = 1;
    open_dealer(&client, fs_bus_endpoint(server.bus));
    client.to_send = client.window = 10;
    send_more(&client);
    run_until(&server, &client, &client.received, 10);
    uv_check_t check;
    int turns = 0, closed = 0;
    uv_check_init(&server.loop, &check);
    check.data = &turns;
    uv_check_start(&check, count_turn);
    run_for(&server, 400);
    assert_true(turns < 40);
    check.data = &closed;
    uv_close((uv_handle_t *)&check, on_timer_closed);
    close_end(&client, 0);
    close_end(&server, 0);
}

static void endpoints_are_checked(void **state)
{
    static const char *const bad[] = {
        "",       "tcp://",  "127.0.0.1:5",           "inproc://x",
        "ipc://", "udp://a", "tcp://127.0.0.1:99999", "tcp://nowhere"};
    end self = {.bus = NULL};
    uv_loop_init(&self.loop);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(fs_bus_bind(&self.bus, &self.loop, bad[i], handlers_of(&self)), FS_EUSAGE);
        assert_null(self.bus);
    }
    assert_int_equal(fs_bus_connect(&self.bus, &self.loop, "tcp://127.0.0.1", handlers_of(&self)),
                     FS_EUSAGE);
    char path[400];
    snprintf(path, sizeof path, "ipc:///tmp/%0300d", 1);
    assert_int_equal(fs_bus_bind(&self.bus, &self.loop, path, handlers_of(&self)), FS_EUSAGE);
    end server;
    open_router(&server, "tcp://127.0.0.1:*");
    assert_int_equal(
        fs_bus_bind(&self.bus, &self.loop, fs_bus_endpoint(server.bus), handlers_of(&self)),
        FS_EBUSY);
    close_end(&server, 0);
    assert_int_equal(uv_loop_close(&self.loop), 0);
}

static void the_queue_is_bounded(void **state)
{
    /* Nobody listens there: all stays in our queue, IMMEDIATE keeps it out of ZeroMQ's. */
    end client;
    open_dealer(&client, "tcp://127.0.0.1:1");
    for (int i = 0; i < FS_BUS_FRAMES_MAX; i++) {
        assert_int_equal(fs_bus_send(client.bus, NULL, "x", 1), FS_OK);
    }
    assert_int_equal(fs_bus_send(client.bus, NULL, "x", 1), FS_ELIMIT);
    run_for(&client, 50);
    assert_int_equal(fs_bus_queued(client.bus), FS_BUS_FRAMES_MAX);
    uint64_t start = fs_clock_mono_ms();
    close_end(&client, 200);
    assert_in_range(fs_clock_mono_ms() - start, 150, 3000);
}

static void closing_delivers_what_was_queued(void **state)
{
    end server, client;
    open_router(&server, "tcp://127.0.0.1:*");
    open_dealer(&client, fs_bus_endpoint(server.bus));
    client.to_send = client.window = 3000;
    send_more(&client);
    /* The connection is not even made yet. */
    close_end(&client, 5000);
    run_until(&server, NULL, &server.received, 3000);
    assert_int_equal(server.out_of_order, 0);
    close_end(&server, 0);
}

/* ---- peers that die ---- */

/** The other process: a dealer that says one thing and then only lives. */
static int live(const char *endpoint)
{
    void *context = zmq_ctx_new(), *socket = zmq_socket(context, ZMQ_DEALER);
    if (zmq_connect(socket, endpoint) != 0 || zmq_send(socket, "here", 4, 0) != 4) return 1;
    for (;;) pause();
}

static pid_t start_peer(end *server)
{
    char self[1024];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(n > 0);
    self[n] = '\0';
    uint64_t before = server->received;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        execl(self, self, "--live", fs_bus_endpoint(server->bus), (char *)NULL);
        _exit(127);
    }
    run_until(server, NULL, &server->received, before + 1);
    return pid;
}

/** Signals the peer and sends to it until the bus says that it is lost. */
static void expect_loss(int signal)
{
    end server;
    open_router(&server, "tcp://127.0.0.1:*");
    pid_t pid = start_peer(&server);
    fs_peer peer = server.peer;
    assert_int_equal(peer.size, 5);
    assert_int_equal(fs_bus_send(server.bus, &peer, "alive", 5), FS_OK);
    run_for(&server, 50);
    assert_int_equal(server.lost, 0);
    kill(pid, signal);
    uint64_t start = fs_clock_mono_ms();
    while (server.lost == 0 && fs_clock_mono_ms() - start < 10000) {
        assert_int_equal(fs_bus_send(server.bus, &peer, "alive", 5), FS_OK);
        run_for(&server, 20);
    }
    assert_true(server.lost > 0);
    assert_true(fs_clock_mono_ms() - start < 5000);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close_end(&server, 0);
}

static void a_killed_peer_is_lost(void **state)
{
    expect_loss(SIGKILL);
}

static void a_frozen_peer_is_lost(void **state)
{
    expect_loss(SIGSTOP);
}

static void an_unknown_peer_is_lost(void **state)
{
    end server;
    open_router(&server, "tcp://127.0.0.1:*");
    fs_peer nobody = {.id = {0, 1, 2, 3, 4}, .size = 5};
    assert_int_equal(fs_bus_send(server.bus, &nobody, "x", 1), FS_OK);
    run_until(&server, NULL, &server.lost, 1);
    assert_int_equal(fs_bus_dropped(server.bus), 1);
    close_end(&server, 0);
}

/* ---- what a hostile peer may send ---- */

static int raw_connect(const char *endpoint)
{
    int port = atoi(strrchr(endpoint, ':') + 1);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void garbage_hurts_nobody(void **state)
{
    end server, client;
    open_router(&server, "tcp://127.0.0.1:*");
    server.echo = 1;
    open_dealer(&client, fs_bus_endpoint(server.bus));
    /* A ZMTP 3 greeting of a NULL peer, then whatever. */
    uint8_t greeting[64] = {0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 3, 1, 'N', 'U', 'L', 'L'};
    uint64_t random = 99;
    for (int round = 0; round < 60; round++) {
        int fd = raw_connect(fs_bus_endpoint(server.bus));
        uint8_t junk[512];
        for (size_t i = 0; i < sizeof junk; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            junk[i] = (uint8_t)(random >> 40);
        }
        if (round % 3 == 1) send(fd, greeting, sizeof greeting, MSG_NOSIGNAL);
        if (round % 3 == 2) send(fd, "GET / HTTP/1.1\r\n\r\n", 18, MSG_NOSIGNAL);
        send(fd, junk, 1 + random % sizeof junk, MSG_NOSIGNAL);
        client.to_send += 10;
        client.window = 10;
        send_more(&client);
        run_until(&server, &client, &client.received, client.to_send);
        close(fd);
    }
    assert_int_equal(client.out_of_order, 0);
    close_end(&client, 0);
    close_end(&server, 0);
}

static void frames_are_bounded(void **state)
{
    end server;
    open_router(&server, "tcp://127.0.0.1:*");
    void *context = zmq_ctx_new(), *socket = zmq_socket(context, ZMQ_DEALER);
    assert_int_equal(zmq_connect(socket, fs_bus_endpoint(server.bus)), 0);
    char *huge = calloc(1, FS_MESSAGE_BYTES_MAX + 1);
    assert_non_null(huge);

    zmq_send(socket, huge, FS_MESSAGE_BYTES_MAX, 0);
    run_until(&server, NULL, &server.received, 1);
    assert_int_equal(server.last_size, FS_MESSAGE_BYTES_MAX);

    zmq_send(socket, "a", 1, ZMQ_SNDMORE);
    zmq_send(socket, "b", 1, ZMQ_SNDMORE);
    zmq_send(socket, "c", 1, 0);
    zmq_send(socket, "", 0, 0);
    for (int i = 0; i < 999; i++) zmq_send(socket, "d", 1, ZMQ_SNDMORE);
    zmq_send(socket, "d", 1, 0);
    zmq_send(socket, "good", 4, 0);
    run_until(&server, NULL, &server.received, 2);
    assert_int_equal(server.last_size, 4);
    assert_int_equal(fs_bus_dropped(server.bus), 3);

    /* One byte more: the connection is cut, and after reconnecting the peer is a new one. */
    zmq_send(socket, huge, FS_MESSAGE_BYTES_MAX + 1, 0);
    run_for(&server, 500);
    assert_int_equal(server.received, 2);
    free(huge);
    int linger = 0;
    zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
    zmq_close(socket);
    zmq_ctx_term(context);
    close_end(&server, 0);
}

static void long_identities_are_dropped(void **state)
{
    end server;
    open_router(&server, "tcp://127.0.0.1:*");
    char identity[33];
    memset(identity, 'i', sizeof identity);
    void *context = zmq_ctx_new();
    for (size_t size = 32; size <= 33; size++) {
        void *socket = zmq_socket(context, ZMQ_DEALER);
        zmq_setsockopt(socket, ZMQ_ROUTING_ID, identity, size);
        assert_int_equal(zmq_connect(socket, fs_bus_endpoint(server.bus)), 0);
        zmq_send(socket, "x", 1, 0);
        run_for(&server, 300);
        zmq_close(socket);
    }
    zmq_ctx_term(context);
    assert_int_equal(server.received, 1);
    assert_int_equal(server.peer.size, 32);
    assert_int_equal(fs_bus_dropped(server.bus), 1);
    close_end(&server, 0);
}

static void a_coordinator_may_come_back(void **state)
{
    end server, client;
    open_router(&server, "tcp://127.0.0.1:*");
    server.echo = 1;
    char endpoint[64];
    snprintf(endpoint, sizeof endpoint, "%s", fs_bus_endpoint(server.bus));
    open_dealer(&client, endpoint);
    client.to_send = client.window = 5;
    send_more(&client);
    run_until(&server, &client, &client.received, 5);
    fs_peer before = server.peer;
    close_end(&server, 0);
    run_for(&client, 400);
    client.to_send += 5;
    client.window = 1000;
    send_more(&client);
    run_for(&client, 100);
    assert_int_equal(fs_bus_queued(client.bus), 5); /* kept: nobody is connected */

    open_router(&server, endpoint);
    server.echo = 1;
    run_until(&server, &client, &client.received, 10);
    assert_int_equal(client.out_of_order, 0);
    assert_memory_not_equal(before.id, server.peer.id, 5);
    close_end(&client, 0);
    close_end(&server, 0);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--live") == 0) return live(argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tcp_carries_both_ways),
        cmocka_unit_test(ipc_carries_both_ways),
        cmocka_unit_test(many_peers_are_served),
        cmocka_unit_test(an_idle_bus_sleeps),
        cmocka_unit_test(endpoints_are_checked),
        cmocka_unit_test(the_queue_is_bounded),
        cmocka_unit_test(closing_delivers_what_was_queued),
        cmocka_unit_test(a_killed_peer_is_lost),
        cmocka_unit_test(a_frozen_peer_is_lost),
        cmocka_unit_test(an_unknown_peer_is_lost),
        cmocka_unit_test(garbage_hurts_nobody),
        cmocka_unit_test(frames_are_bounded),
        cmocka_unit_test(long_identities_are_dropped),
        cmocka_unit_test(a_coordinator_may_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
