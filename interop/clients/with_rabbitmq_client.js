// rabbitmq-client for Node.
'use strict';
const fs = require('fs');
const { Connection } = require('rabbitmq-client');

const play = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
const tell = (...what) => console.log(JSON.stringify(what));
const complain = (error) => console.error(error.message); // shown where a test fails
const REPLY_TO = 'amq.rabbitmq.reply-to';
const NAMES = {
  contentType: 'content_type', contentEncoding: 'content_encoding', headers: 'headers', durable: 'delivery_mode',
  priority: 'priority', correlationId: 'correlation_id', replyTo: 'reply_to', expiration: 'expiration',
  messageId: 'message_id', timestamp: 'timestamp', type: 'type', userId: 'user_id', appId: 'app_id',
};

// The messages of a consumer, in order, as a function that gives a promise of the next one.
function mailbox() {
  const here = [];
  const waiting = [];
  return {
    put: (message) => (waiting.length ? waiting.shift()(message) : here.push(message)),
    next: () => (here.length ? Promise.resolve(here.shift()) : new Promise((resolve) => waiting.push(resolve))),
  };
}

function connected() {
  const tls = process.env.AMQP_CA ? { ca: fs.readFileSync(process.env.AMQP_CA) } : undefined;
  const connection = new Connection({ url: process.env.AMQP_URL, tls, retryLow: 100, retryHigh: 100 });
  connection.on('error', complain);
  return connection;
}

// Its connections, consumers and publishers come back by themselves.
async function restart() {
  const connection = connected();
  const queues = [{ queue: play.queue, durable: true }];
  const publisher = connection.createPublisher({ confirm: true, maxAttempts: 20, queues });
  await publisher.send({ routingKey: play.queue, durable: true }, Buffer.from(play.body));
  tell('confirmed');
  await new Promise((resolve) => {
    let count = 0;
    const consumer = connection.createConsumer({ queue: play.queue, queueOptions: { durable: true } }, async (message) => {
      count += 1;
      if (count > 2) return; // its own answer
      tell(count === 2 ? 'came back' : 'waiting', message.body.toString());
      if (count === 1) return new Promise((lost) => connection.once('error', lost)); // not done before that
      resolve();
    });
    consumer.on('error', complain);
  });
  await publisher.send({ routingKey: play.queue, durable: true }, Buffer.from(play.answer));
  tell('confirmed');
  process.exit(0); // a consumer waits for its handlers before it closes
}

async function main() {
  const connection = connected();
  const channel = await connection.acquire();
  await channel.confirmSelect();
  await channel.exchangeDeclare({ exchange: play.exchange, type: 'topic', durable: true });
  const declared = await channel.queueDeclare({ queue: play.queue, durable: true });
  await channel.queueBind({ queue: play.queue, exchange: play.exchange, routingKey: play.binding_key });
  tell('declared', declared.messageCount, declared.consumerCount);
  const envelope = { exchange: play.exchange, routingKey: play.routing_key, mandatory: true };
  for (const [theirs, ours] of Object.entries(NAMES)) envelope[theirs] = play.properties[ours];
  envelope.durable = play.properties.delivery_mode === 2;
  await channel.basicPublish(envelope, Buffer.from(play.body));
  tell('confirmed');

  const box = mailbox();
  const { consumerTag } = await channel.basicConsume({ queue: play.queue }, box.put);
  const first = await box.next();
  const properties = {};
  for (const [theirs, ours] of Object.entries(NAMES)) properties[ours] = first[theirs];
  properties.delivery_mode = first.durable ? 2 : 1;
  tell('received', first.exchange, first.routingKey, first.redelivered, first.body.toString(), properties);
  channel.basicNack({ deliveryTag: first.deliveryTag, requeue: true });
  const second = await box.next();
  tell('received again', second.redelivered);
  channel.basicAck({ deliveryTag: second.deliveryTag });
  await channel.basicCancel({ consumerTag });

  await channel.basicConsume({ queue: REPLY_TO, noAck: true }, box.put);
  await channel.basicPublish({ routingKey: play.queue, replyTo: REPLY_TO }, Buffer.from(play.question));
  const question = await channel.basicGet({ queue: play.queue, noAck: true });
  await channel.basicPublish({ routingKey: question.replyTo }, Buffer.from(play.answer));
  tell('answer', (await box.next()).body.toString());

  channel.on('basic.return', (message) => tell('returned', message.replyCode, message.routingKey));
  await channel.basicPublish({ exchange: play.exchange, routingKey: play.unroutable_key, mandatory: true }, Buffer.alloc(0));
  await channel.queueDeclare({ queue: play.missing_queue, passive: true }).catch((error) => tell('closed', { NOT_FOUND: 404 }[error.code]));
  await connection.close();
}

(process.argv[3] === 'restart' ? restart() : main()).catch((error) => { console.error(error); process.exit(1); });
