/* librabbitmq, with json-c for the scenario: cc -o PROGRAM with_librabbitmq.c -lrabbitmq -ljson-c
   PROGRAM SCENARIO [restart] */
#include <json-c/json.h>
#include <amqp.h>
#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#define CHANNEL 1
#define ANSWERING 2 /* another channel, without confirms: they would come between deliveries */
#define REPLY_TO "amq.rabbitmq.reply-to"

static struct json_object *play;

static void die(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static void must(int status, const char *what) {
    if (status < 0) die(what, amqp_error_string2(status));
}

static void answered(amqp_connection_state_t connection, const char *what) {
    amqp_rpc_reply_t reply = amqp_get_rpc_reply(connection);
    if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION) die(what, amqp_error_string2(reply.library_error));
    if (reply.reply_type != AMQP_RESPONSE_NORMAL) die(what, "the broker has closed");
}

/* ---- JSON */

static struct json_object *of(struct json_object *object, const char *name) {
    struct json_object *found;
    if (!json_object_object_get_ex(object, name, &found)) die("scenario", name);
    return found;
}

static amqp_bytes_t octets_of(struct json_object *object, const char *name) {
    return amqp_cstring_bytes(json_object_get_string(of(object, name)));
}

static struct json_object *text_of(amqp_bytes_t octets) {
    return json_object_new_string_len(octets.bytes, (int)octets.len);
}

static amqp_table_t table_of(struct json_object *object);

static amqp_field_value_t field_of(struct json_object *value) {
    amqp_field_value_t field = {0};
    switch (json_object_get_type(value)) {
    case json_type_boolean:
        field.kind = AMQP_FIELD_KIND_BOOLEAN;
        field.value.boolean = json_object_get_boolean(value);
        break;
    case json_type_int:
        field.kind = AMQP_FIELD_KIND_I64;
        field.value.i64 = json_object_get_int64(value);
        break;
    case json_type_array:
        field.kind = AMQP_FIELD_KIND_ARRAY;
        field.value.array.num_entries = (int)json_object_array_length(value);
        field.value.array.entries = calloc(json_object_array_length(value), sizeof(amqp_field_value_t));
        for (int at = 0; at < field.value.array.num_entries; at++)
            field.value.array.entries[at] = field_of(json_object_array_get_idx(value, at));
        break;
    case json_type_object:
        field.kind = AMQP_FIELD_KIND_TABLE;
        field.value.table = table_of(value);
        break;
    default:
        field.kind = AMQP_FIELD_KIND_UTF8;
        field.value.bytes = amqp_cstring_bytes(json_object_get_string(value));
    }
    return field;
}

static amqp_table_t table_of(struct json_object *object) {
    amqp_table_t table = {0, calloc(json_object_object_length(object), sizeof(amqp_table_entry_t))};
    json_object_object_foreach(object, name, value) {
        table.entries[table.num_entries].key = amqp_cstring_bytes(name);
        table.entries[table.num_entries++].value = field_of(value);
    }
    return table;
}

static struct json_object *json_of_table(const amqp_table_t *table);

static struct json_object *json_of(const amqp_field_value_t *field) {
    switch (field->kind) {
    case AMQP_FIELD_KIND_BOOLEAN:
        return json_object_new_boolean(field->value.boolean);
    case AMQP_FIELD_KIND_I64:
        return json_object_new_int64(field->value.i64);
    case AMQP_FIELD_KIND_UTF8:
        return text_of(field->value.bytes);
    case AMQP_FIELD_KIND_TABLE:
        return json_of_table(&field->value.table);
    case AMQP_FIELD_KIND_ARRAY: {
        struct json_object *list = json_object_new_array();
        for (int at = 0; at < field->value.array.num_entries; at++)
            json_object_array_add(list, json_of(&field->value.array.entries[at]));
        return list;
    }
    default:
        return json_object_new_string("of another type");
    }
}

static struct json_object *json_of_table(const amqp_table_t *table) {
    struct json_object *object = json_object_new_object();
    for (int at = 0; at < table->num_entries; at++) {
        char *name = strndup(table->entries[at].key.bytes, table->entries[at].key.len);
        json_object_object_add(object, name, json_of(&table->entries[at].value));
        free(name);
    }
    return object;
}

/* Write a line: a list of its name and these, up to a NULL. */
static void tell(const char *what, ...) {
    struct json_object *line = json_object_new_array(), *each;
    json_object_array_add(line, json_object_new_string(what));
    va_list rest;
    va_start(rest, what);
    while ((each = va_arg(rest, struct json_object *)) != NULL) json_object_array_add(line, each);
    va_end(rest);
    puts(json_object_to_json_string(line));
    json_object_put(line);
}

/* ---- the broker */

/* A connection with a channel that confirms; NULL where nobody listens. */
static amqp_connection_state_t connected(void) {
    char *url = strdup(getenv("AMQP_URL"));
    struct amqp_connection_info at;
    must(amqp_parse_url(url, &at), "AMQP_URL");
    amqp_connection_state_t connection = amqp_new_connection();
    amqp_socket_t *socket = at.ssl ? amqp_ssl_socket_new(connection) : amqp_tcp_socket_new(connection);
    if (at.ssl) must(amqp_ssl_socket_set_cacert(socket, getenv("AMQP_CA")), "AMQP_CA");
    if (amqp_socket_open(socket, at.host, at.port) < 0
        || amqp_login(connection, at.vhost, 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, at.user, at.password).reply_type
               != AMQP_RESPONSE_NORMAL) {
        amqp_destroy_connection(connection);
        free(url);
        return NULL;
    }
    free(url);
    amqp_channel_open(connection, CHANNEL);
    answered(connection, "channel.open");
    amqp_confirm_select(connection, CHANNEL);
    answered(connection, "confirm.select");
    return connection;
}

static void disconnect(amqp_connection_state_t connection) {
    amqp_connection_close(connection, AMQP_REPLY_SUCCESS);
    amqp_destroy_connection(connection);
}

static void publish(amqp_connection_state_t connection, amqp_bytes_t exchange, amqp_bytes_t key, bool mandatory,
                    amqp_basic_properties_t *properties, amqp_bytes_t body) {
    must(amqp_basic_publish(connection, CHANNEL, exchange, key, mandatory, 0, properties, body), "basic.publish");
}

/* Wait for the confirm; what comes back before it is told. */
static void await_confirm(amqp_connection_state_t connection) {
    for (;;) {
        amqp_frame_t frame;
        must(amqp_simple_wait_frame(connection, &frame), "a confirm");
        if (frame.frame_type != AMQP_FRAME_METHOD) continue;
        if (frame.payload.method.id == AMQP_BASIC_ACK_METHOD) return;
        if (frame.payload.method.id != AMQP_BASIC_RETURN_METHOD) die("confirm", "something else came");
        amqp_basic_return_t *returned = frame.payload.method.decoded;
        tell("returned", json_object_new_int(returned->reply_code), text_of(returned->routing_key), NULL);
        amqp_message_t message;
        if (amqp_read_message(connection, CHANNEL, &message, 0).reply_type != AMQP_RESPONSE_NORMAL)
            die("basic.return", "without a message");
        amqp_destroy_message(&message);
    }
}

static bool next_delivery(amqp_connection_state_t connection, amqp_envelope_t *envelope) {
    amqp_maybe_release_buffers(connection);
    return amqp_consume_message(connection, envelope, NULL, 0).reply_type == AMQP_RESPONSE_NORMAL;
}

static void consume(amqp_connection_state_t connection, amqp_bytes_t queue, const char *tag, bool no_ack) {
    amqp_basic_consume(connection, CHANNEL, queue, amqp_cstring_bytes(tag), 0, no_ack, 0, amqp_empty_table);
    answered(connection, "basic.consume");
}

static const struct {
    const char *name;
    amqp_flags_t flag;
    size_t at;
} TEXTS[] = {
#define TEXT(name, flag) {#name, AMQP_BASIC_##flag##_FLAG, offsetof(amqp_basic_properties_t, name)}
    TEXT(content_type, CONTENT_TYPE), TEXT(content_encoding, CONTENT_ENCODING),
    TEXT(correlation_id, CORRELATION_ID), TEXT(reply_to, REPLY_TO), TEXT(expiration, EXPIRATION),
    TEXT(message_id, MESSAGE_ID), TEXT(type, TYPE), TEXT(user_id, USER_ID), TEXT(app_id, APP_ID),
};
#define TEXT_COUNT (sizeof TEXTS / sizeof *TEXTS)

static amqp_basic_properties_t properties_of(struct json_object *wanted) {
    amqp_basic_properties_t properties = {0};
    properties._flags = AMQP_BASIC_HEADERS_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_PRIORITY_FLAG
                        | AMQP_BASIC_TIMESTAMP_FLAG;
    properties.headers = table_of(of(wanted, "headers"));
    properties.delivery_mode = (uint8_t)json_object_get_int(of(wanted, "delivery_mode"));
    properties.priority = (uint8_t)json_object_get_int(of(wanted, "priority"));
    properties.timestamp = (uint64_t)json_object_get_int64(of(wanted, "timestamp"));
    for (size_t at = 0; at < TEXT_COUNT; at++) {
        properties._flags |= TEXTS[at].flag;
        *(amqp_bytes_t *)((char *)&properties + TEXTS[at].at) = octets_of(wanted, TEXTS[at].name);
    }
    return properties;
}

static struct json_object *seen_in(const amqp_basic_properties_t *properties) {
    struct json_object *seen = json_object_new_object();
    json_object_object_add(seen, "headers", json_of_table(&properties->headers));
    json_object_object_add(seen, "delivery_mode", json_object_new_int(properties->delivery_mode));
    json_object_object_add(seen, "priority", json_object_new_int(properties->priority));
    json_object_object_add(seen, "timestamp", json_object_new_int64((int64_t)properties->timestamp));
    for (size_t at = 0; at < TEXT_COUNT; at++)
        if (properties->_flags & TEXTS[at].flag)
            json_object_object_add(seen, TEXTS[at].name, text_of(*(amqp_bytes_t *)((char *)properties + TEXTS[at].at)));
    return seen;
}

static void play_everything(void) {
    amqp_bytes_t exchange = octets_of(play, "exchange"), queue = octets_of(play, "queue");
    amqp_connection_state_t connection = connected();
    if (connection == NULL) die("connect", "no broker");
    amqp_exchange_declare(connection, CHANNEL, exchange, amqp_cstring_bytes("topic"), 0, 1, 0, 0, amqp_empty_table);
    answered(connection, "exchange.declare");
    amqp_queue_declare_ok_t *declared =
        amqp_queue_declare(connection, CHANNEL, queue, 0, 1, 0, 0, amqp_empty_table);
    answered(connection, "queue.declare");
    tell("declared", json_object_new_int((int)declared->message_count),
         json_object_new_int((int)declared->consumer_count), NULL);
    amqp_queue_bind(connection, CHANNEL, queue, exchange, octets_of(play, "binding_key"), amqp_empty_table);
    answered(connection, "queue.bind");

    amqp_basic_properties_t properties = properties_of(of(play, "properties"));
    publish(connection, exchange, octets_of(play, "routing_key"), true, &properties, octets_of(play, "body"));
    await_confirm(connection);
    tell("confirmed", NULL);

    amqp_envelope_t envelope;
    consume(connection, queue, "mine", false);
    if (!next_delivery(connection, &envelope)) die("delivery", "none");
    tell("received", text_of(envelope.exchange), text_of(envelope.routing_key),
         json_object_new_boolean(envelope.redelivered), text_of(envelope.message.body),
         seen_in(&envelope.message.properties), NULL);
    must(amqp_basic_nack(connection, CHANNEL, envelope.delivery_tag, 0, 1), "basic.nack");
    amqp_destroy_envelope(&envelope);
    if (!next_delivery(connection, &envelope)) die("second delivery", "none");
    tell("received again", json_object_new_boolean(envelope.redelivered), NULL);
    must(amqp_basic_ack(connection, CHANNEL, envelope.delivery_tag, 0), "basic.ack");
    amqp_destroy_envelope(&envelope);
    amqp_basic_cancel(connection, CHANNEL, amqp_cstring_bytes("mine"));
    answered(connection, "basic.cancel");

    consume(connection, amqp_cstring_bytes(REPLY_TO), "replies", true);
    amqp_basic_properties_t ask = {._flags = AMQP_BASIC_REPLY_TO_FLAG, .reply_to = amqp_cstring_bytes(REPLY_TO)};
    publish(connection, amqp_empty_bytes, queue, false, &ask, octets_of(play, "question"));
    await_confirm(connection);
    amqp_message_t question;
    if (amqp_basic_get(connection, CHANNEL, queue, 1).reply_type != AMQP_RESPONSE_NORMAL) die("basic.get", "closed");
    if (amqp_read_message(connection, CHANNEL, &question, 0).reply_type != AMQP_RESPONSE_NORMAL)
        die("basic.get", "empty");
    amqp_channel_open(connection, ANSWERING);
    answered(connection, "channel.open");
    must(amqp_basic_publish(connection, ANSWERING, amqp_empty_bytes, question.properties.reply_to, 0, 0, NULL,
                            octets_of(play, "answer")), "basic.publish");
    amqp_destroy_message(&question);
    if (!next_delivery(connection, &envelope)) die("answer", "none");
    tell("answer", text_of(envelope.message.body), NULL);
    amqp_destroy_envelope(&envelope);

    publish(connection, exchange, octets_of(play, "unroutable_key"), true, NULL, amqp_empty_bytes);
    await_confirm(connection);
    amqp_queue_declare(connection, CHANNEL, octets_of(play, "missing_queue"), 1, 0, 0, 0, amqp_empty_table);
    amqp_rpc_reply_t reply = amqp_get_rpc_reply(connection);
    if (reply.reply_type != AMQP_RESPONSE_SERVER_EXCEPTION) die("missing_queue", "is there");
    tell("closed", json_object_new_int(((amqp_channel_close_t *)reply.reply.decoded)->reply_code), NULL);
    disconnect(connection);
}

/* The library does not connect again by itself: this is the loop that a program has around it. */
static void play_restart(void) {
    amqp_bytes_t queue = octets_of(play, "queue");
    amqp_basic_properties_t persistent = {._flags = AMQP_BASIC_DELIVERY_MODE_FLAG, .delivery_mode = 2};
    for (bool first = true;; first = false) {
        amqp_connection_state_t connection;
        while ((connection = connected()) == NULL) nanosleep(&(struct timespec){0, 100 * 1000 * 1000}, NULL);
        amqp_queue_declare(connection, CHANNEL, queue, 0, 1, 0, 0, amqp_empty_table);
        answered(connection, "queue.declare");
        if (first) {
            publish(connection, amqp_empty_bytes, queue, true, &persistent, octets_of(play, "body"));
            await_confirm(connection);
            tell("confirmed", NULL);
        }
        amqp_envelope_t envelope;
        consume(connection, queue, "mine", false);
        if (!next_delivery(connection, &envelope)) die("delivery", "none");
        tell(first ? "waiting" : "came back", text_of(envelope.message.body), NULL);
        if (!first) {
            must(amqp_basic_ack(connection, CHANNEL, envelope.delivery_tag, 0), "basic.ack");
            amqp_basic_cancel(connection, CHANNEL, amqp_cstring_bytes("mine"));
            answered(connection, "basic.cancel");
            publish(connection, amqp_empty_bytes, queue, true, &persistent, octets_of(play, "answer"));
            await_confirm(connection);
            tell("confirmed", NULL);
            disconnect(connection);
            return;
        }
        amqp_destroy_envelope(&envelope);
        if (next_delivery(connection, &envelope)) die("restart", "something came");
        amqp_destroy_connection(connection);
    }
}

int main(int count, char **arguments) {
    setlinebuf(stdout);
    play = json_object_from_file(arguments[1]);
    if (play == NULL) die(arguments[1], json_util_get_last_err());
    if (count > 2)
        play_restart();
    else
        play_everything();
    return 0;
}
