// amqplib for Node, by its promises.
'use strict';
const fs = require('fs');
const amqplib = require('amqplib');

const play = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
const tell = (...what) => console.log(JSON.stringify(what));
const REPLY_TO = 'amq.rabbitmq.reply-to';
const NAMES = {
  contentType: 'content_type', contentEncoding: 'content_encoding', headers: 'headers', deliveryMode: 'delivery_mode',
  priority: 'priority', correlationId: 'correlation_id', replyTo: 'reply_to', expiration: 'expiration',
  messageId: 'message_id', timestamp: 'timestamp', type: 'type', userId: 'user_id', appId: 'app_id',
};

// The next delivery of a queue's consumer, as a promise; the consumer is cancelled when `count` have come.
async function consume(channel, queue, options, count, handle) {
  let consumer;
  await new Promise((resolve, reject) => {
    let seen = 0;
    consumer = channel.consume(queue, (message) => {
      try { handle(message, ++seen); } catch (error) { reject(error); }
      if (seen === count) resolve();
    }, options);
  });
  await channel.cancel((await consumer).consumerTag);
}

const connected = () => amqplib.connect(
  process.env.AMQP_URL, process.env.AMQP_CA ? { ca: [fs.readFileSync(process.env.AMQP_CA)] } : {});

// What a program does around its connection when the broker may go away.
async function restart() {
  for (let isWaiting = false; ; ) {
    let connection;
    try { connection = await connected(); } catch (error) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      continue;
    }
    const lost = new Promise((resolve) => connection.on('close', resolve));
    connection.on('error', () => {});
    const channel = await connection.createConfirmChannel();
    channel.on('error', () => {});
    await channel.assertQueue(play.queue, { durable: true });
    if (!isWaiting) {
      channel.sendToQueue(play.queue, Buffer.from(play.body), { persistent: true });
      await channel.waitForConfirms();
      tell('confirmed');
    }
    const message = await new Promise((resolve) => channel.consume(play.queue, resolve));
    tell(isWaiting ? 'came back' : 'waiting', message.content.toString());
    if (isWaiting) {
      channel.ack(message);
      channel.sendToQueue(play.queue, Buffer.from(play.answer), { persistent: true });
      await channel.waitForConfirms();
      tell('confirmed');
      await connection.close();
      return;
    }
    isWaiting = true;
    await lost;
  }
}

async function main() {
  const connection = await connected();
  const channel = await connection.createConfirmChannel();
  await channel.assertExchange(play.exchange, 'topic', { durable: true });
  const declared = await channel.assertQueue(play.queue, { durable: true });
  await channel.bindQueue(play.queue, play.exchange, play.binding_key);
  tell('declared', declared.messageCount, declared.consumerCount);
  const options = { mandatory: true };
  for (const [theirs, ours] of Object.entries(NAMES)) options[theirs] = play.properties[ours];
  channel.publish(play.exchange, play.routing_key, Buffer.from(play.body), options);
  await channel.waitForConfirms();
  tell('confirmed');

  await consume(channel, play.queue, {}, 2, (message, count) => {
    const { exchange, routingKey, redelivered } = message.fields;
    if (count === 2) {
      tell('received again', redelivered);
      channel.ack(message);
      return;
    }
    const properties = {};
    for (const [theirs, ours] of Object.entries(NAMES)) properties[ours] = message.properties[theirs];
    tell('received', exchange, routingKey, redelivered, message.content.toString(), properties);
    channel.nack(message, false, true);
  });

  const answered = new Promise((resolve) => {
    channel.consume(REPLY_TO, (message) => resolve(message.content.toString()), { noAck: true });
  });
  channel.sendToQueue(play.queue, Buffer.from(play.question), { replyTo: REPLY_TO });
  await channel.waitForConfirms();
  const question = await channel.get(play.queue, { noAck: true });
  channel.sendToQueue(question.properties.replyTo, Buffer.from(play.answer));
  tell('answer', await answered);

  channel.on('return', (message) => tell('returned', message.fields.replyCode, message.fields.routingKey));
  channel.publish(play.exchange, play.unroutable_key, Buffer.alloc(0), { mandatory: true });
  await channel.waitForConfirms();
  channel.on('error', () => {});
  await channel.checkQueue(play.missing_queue).catch((error) => tell('closed', error.code));
  await connection.close();
}

(process.argv[3] === 'restart' ? restart() : main()).catch((error) => { console.error(error); process.exit(1); });
