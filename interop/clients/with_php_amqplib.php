<?php
// php-amqplib.
require 'PhpAmqpLib/autoload.php';

use PhpAmqpLib\Connection\AMQPSSLConnection;
use PhpAmqpLib\Connection\AMQPStreamConnection;
use PhpAmqpLib\Exception\AMQPConnectionClosedException;
use PhpAmqpLib\Exception\AMQPIOException;
use PhpAmqpLib\Exception\AMQPProtocolChannelException;
use PhpAmqpLib\Message\AMQPMessage;
use PhpAmqpLib\Wire\AMQPTable;

const REPLY_TO = 'amq.rabbitmq.reply-to';
$play = json_decode(file_get_contents($argv[1]), true);
$at = parse_url(getenv('AMQP_URL'));

function tell(...$what): void
{
    echo json_encode($what, JSON_UNESCAPED_UNICODE), "\n";
}

function connected(): AMQPStreamConnection
{
    global $at;
    $login = [$at['host'], $at['port'], $at['user'] ?? 'guest', $at['pass'] ?? 'guest'];
    return getenv('AMQP_CA')
        ? new AMQPSSLConnection(...$login, ssl_options: ['cafile' => getenv('AMQP_CA'), 'verify_peer' => true])
        : new AMQPStreamConnection(...$login);
}

// What a program does around its connection when the broker may go away.
function restart(array $play): void
{
    for ($is_waiting = false; ; ) {
        try {
            $connection = connected();
            $channel = $connection->channel();
            $channel->confirm_select();
            $channel->queue_declare($play['queue'], false, true, false, false);
            if (!$is_waiting) {
                $channel->basic_publish(new AMQPMessage($play['body'], ['delivery_mode' => 2]), '', $play['queue']);
                $channel->wait_for_pending_acks(10);
                tell('confirmed');
            }
            $delivery = null;
            $channel->basic_consume($play['queue'], '', false, false, false, false, function ($message) use (&$delivery) {
                $delivery = $message;
            });
            while ($delivery === null) {
                $channel->wait(null, false, 10);
            }
            tell($is_waiting ? 'came back' : 'waiting', $delivery->getBody());
            if ($is_waiting) {
                $delivery->ack();
                $channel->basic_publish(new AMQPMessage($play['answer'], ['delivery_mode' => 2]), '', $play['queue']);
                $channel->wait_for_pending_acks(10);
                tell('confirmed');
                $connection->close();
                return;
            }
            $is_waiting = true;
            $channel->wait(null, false, 10);
        } catch (AMQPConnectionClosedException | AMQPIOException $error) {
            usleep(100000);
        }
    }
}

if (($argv[2] ?? '') === 'restart') {
    restart($play);
    exit;
}

$connection = connected();
$channel = $connection->channel();
$channel->confirm_select();
$channel->exchange_declare($play['exchange'], 'topic', false, true, false);
[, $messages, $consumers] = $channel->queue_declare($play['queue'], false, true, false, false);
$channel->queue_bind($play['queue'], $play['exchange'], $play['binding_key']);
tell('declared', $messages, $consumers);

$properties = $play['properties'];
$properties['application_headers'] = new AMQPTable($properties['headers']);
unset($properties['headers']);
$channel->basic_publish(new AMQPMessage($play['body'], $properties), $play['exchange'], $play['routing_key'], true);
$channel->wait_for_pending_acks_returns(10);
tell('confirmed');

$delivery = null;
$next = function () use ($channel, &$delivery): AMQPMessage {
    for ($delivery = null; $delivery === null;) {
        $channel->wait(null, false, 10);
    }
    return $delivery;
};
$keep = function (AMQPMessage $message) use (&$delivery): void {
    $delivery = $message;
};
$tag = $channel->basic_consume($play['queue'], '', false, false, false, false, $keep);
$first = $next();
$seen = $first->get_properties();
$seen['headers'] = $seen['application_headers']->getNativeData();
unset($seen['application_headers']);
tell('received', $first->getExchange(), $first->getRoutingKey(), $first->isRedelivered(), $first->getBody(), $seen);
$first->nack(true);
$second = $next();
tell('received again', $second->isRedelivered());
$second->ack();
$channel->basic_cancel($tag);

$channel->basic_consume(REPLY_TO, '', false, true, false, false, $keep);
$channel->basic_publish(new AMQPMessage($play['question'], ['reply_to' => REPLY_TO]), '', $play['queue']);
$channel->wait_for_pending_acks(10);
$question = $channel->basic_get($play['queue'], true);
$channel->basic_publish(new AMQPMessage($play['answer']), '', $question->get('reply_to'));
tell('answer', $next()->getBody());

$channel->set_return_listener(function ($code, $text, $exchange, $key) {
    tell('returned', $code, $key);
});
$channel->basic_publish(new AMQPMessage(''), $play['exchange'], $play['unroutable_key'], true);
$channel->wait_for_pending_acks_returns(10);
try {
    $channel->queue_declare($play['missing_queue'], true);
} catch (AMQPProtocolChannelException $error) {
    tell('closed', $error->amqp_reply_code);
}
$connection->close();
