# bunny, for Ruby.
require 'bunny'
require 'json'
require 'logger'

PLAY = JSON.parse(File.read(ARGV[0], encoding: 'utf-8'))
REPLY_TO = 'amq.rabbitmq.reply-to'
$stdout.sync = true

def tell(*what) = puts(JSON.generate(what))

tls = ENV['AMQP_CA'] ? { tls_ca_certificates: [ENV['AMQP_CA']], verify_peer: true } : {}
connection = Bunny.new(ENV['AMQP_URL'], network_recovery_interval: 0.1, logger: Logger.new(File::NULL), **tls)
connection.start
channel = connection.create_channel
channel.confirm_select

# Connection, channel, queue and consumer come back by themselves.
if ARGV[1] == 'restart'
  recovered = Queue.new
  connection.after_recovery_completed { recovered << true }
  deliveries = Queue.new
  queue = channel.queue(PLAY['queue'], durable: true)
  channel.default_exchange.publish(PLAY['body'], routing_key: queue.name, persistent: true)
  tell('confirmed') if channel.wait_for_confirms
  queue.subscribe(manual_ack: true) { |*delivery| deliveries << delivery }
  tell('waiting', deliveries.pop.last.force_encoding('utf-8'))
  info, _, body = deliveries.pop
  recovered.pop
  tell('came back', body.force_encoding('utf-8'))
  channel.ack(info.delivery_tag)
  channel.default_exchange.publish(PLAY['answer'], routing_key: queue.name, persistent: true)
  tell('confirmed') if channel.wait_for_confirms
  connection.close
  exit
end

exchange = channel.topic(PLAY['exchange'], durable: true)
queue = channel.queue(PLAY['queue'], durable: true)
queue.bind(exchange, routing_key: PLAY['binding_key'])
tell('declared', queue.message_count, queue.consumer_count)

properties = PLAY['properties'].transform_keys(&:to_sym)
properties.delete(:delivery_mode)
exchange.publish(PLAY['body'], **properties, persistent: true, routing_key: PLAY['routing_key'], mandatory: true)
tell('confirmed') if channel.wait_for_confirms

deliveries = Queue.new
consumer = queue.subscribe(manual_ack: true) { |*delivery| deliveries << delivery }
info, seen, body = deliveries.pop
seen = seen.to_h.transform_keys(&:to_s)
seen['timestamp'] = seen['timestamp'].to_i
tell('received', info.exchange, info.routing_key, info.redelivered?, body.force_encoding('utf-8'), seen)
channel.nack(info.delivery_tag, false, true)
info, = deliveries.pop
tell('received again', info.redelivered?)
channel.ack(info.delivery_tag)
consumer.cancel

channel.basic_consume(REPLY_TO, '', true) { |*delivery| deliveries << delivery }
channel.default_exchange.publish(PLAY['question'], routing_key: PLAY['queue'], reply_to: REPLY_TO)
channel.wait_for_confirms
_, question, = queue.pop
channel.default_exchange.publish(PLAY['answer'], routing_key: question.reply_to)
tell('answer', deliveries.pop.last)

exchange.on_return { |returned, *| deliveries << returned }
exchange.publish('', routing_key: PLAY['unroutable_key'], mandatory: true)
returned = deliveries.pop
tell('returned', returned.reply_code, returned.routing_key)
begin
  channel.queue(PLAY['missing_queue'], passive: true)
rescue Bunny::NotFound => e
  tell('closed', e.channel_close.reply_code)
end
connection.close
