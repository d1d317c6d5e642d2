/* Messages there and back with librabbitmq, as its users write it: cc -o PROGRAM flow_librabbitmq.c -lrabbitmq
   PROGRAM HOST PORT QUEUE MESSAGES OCTETS: a process publishes, this one consumes with automatic acks and prints
   messages/s from the first to the last. */
#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what) {
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static void answered(amqp_connection_state_t connection, const char *what) {
    if (amqp_get_rpc_reply(connection).reply_type != AMQP_RESPONSE_NORMAL) die(what);
}

static amqp_connection_state_t connected(const char *host, int port) {
    amqp_connection_state_t connection = amqp_new_connection();
    amqp_socket_t *socket = amqp_tcp_socket_new(connection);
    if (socket == NULL || amqp_socket_open(socket, host, port)) die("can't connect");
    amqp_rpc_reply_t reply = amqp_login(connection, "/", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest");
    if (reply.reply_type != AMQP_RESPONSE_NORMAL) die("login");
    amqp_channel_open(connection, 1);
    answered(connection, "channel");
    return connection;
}

static void publish(const char *host, int port, amqp_bytes_t queue, long messages, size_t octets) {
    amqp_connection_state_t connection = connected(host, port);
    amqp_bytes_t body = {octets, calloc(1, octets)};
    while (messages--)
        if (amqp_basic_publish(connection, 1, amqp_empty_bytes, queue, 0, 0, NULL, body)) die("publish");
    if (amqp_connection_close(connection, AMQP_REPLY_SUCCESS).reply_type != AMQP_RESPONSE_NORMAL) die("close");
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

int main(int count, char **arguments) {
    if (count != 6) die("usage: HOST PORT QUEUE MESSAGES OCTETS");
    const char *host = arguments[1];
    int port = atoi(arguments[2]);
    amqp_bytes_t queue = amqp_cstring_bytes(arguments[3]);
    long messages = atol(arguments[4]);
    size_t octets = (size_t)atol(arguments[5]);
    amqp_connection_state_t connection = connected(host, port);
    amqp_basic_consume(connection, 1, queue, amqp_empty_bytes, 0, 1, 0, amqp_empty_table);
    answered(connection, "consume");
    pid_t publisher = fork();
    if (publisher < 0) die("fork");
    if (publisher == 0) {
        publish(host, port, queue, messages, octets);
        _exit(0);
    }
    double begins_at = 0;
    for (long number = 0; number < messages; number++) {
        amqp_envelope_t envelope;
        amqp_maybe_release_buffers(connection);
        if (amqp_consume_message(connection, &envelope, NULL, 0).reply_type != AMQP_RESPONSE_NORMAL) die("delivery");
        if (envelope.message.body.len != octets) die("a body of another size");
        amqp_destroy_envelope(&envelope);
        if (number == 0) begins_at = now();
    }
    printf("%.0f\n", (double)(messages - 1) / (now() - begins_at));
    int status;
    waitpid(publisher, &status, 0);
    return status != 0;
}
