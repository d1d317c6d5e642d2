// RabbitMQ's client for Java, run from source: java -cp rabbitmq-client.jar:slf4j-api.jar with_java.java SCENARIO
import com.rabbitmq.client.*;
import com.rabbitmq.tools.json.JSONReader;
import com.rabbitmq.tools.json.JSONWriter;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.*;
import java.util.concurrent.*;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

@SuppressWarnings("unchecked")
public class with_java {
    static final String REPLY_TO = "amq.rabbitmq.reply-to";
    static final long DEADLINE_S = 10;

    static void tell(Object... what) {
        System.out.println(new JSONWriter().write(Arrays.asList(what)));
    }

    static byte[] octets(Object text) {
        return ((String) text).getBytes(StandardCharsets.UTF_8);
    }

    static String text(byte[] octets) {
        return new String(octets, StandardCharsets.UTF_8);
    }

    // Strings come as LongString, tables and lists within each other.
    static Object plain(Object value) {
        if (value instanceof LongString) return value.toString();
        if (value instanceof List) {
            List<Object> list = new ArrayList<>();
            for (Object each : (List<Object>) value) list.add(plain(each));
            return list;
        }
        if (value instanceof Map) {
            Map<String, Object> map = new LinkedHashMap<>();
            ((Map<String, Object>) value).forEach((key, each) -> map.put(key, plain(each)));
            return map;
        }
        return value;
    }

    static BlockingQueue<Delivery> consume(Channel channel, String queue, boolean autoAck, String tag) throws IOException {
        BlockingQueue<Delivery> deliveries = new LinkedBlockingQueue<>();
        channel.basicConsume(queue, autoAck, tag, new DefaultConsumer(channel) {
            @Override
            public void handleDelivery(String t, Envelope envelope, AMQP.BasicProperties properties, byte[] body) {
                deliveries.add(new Delivery(envelope, properties, body));
            }
        });
        return deliveries;
    }

    static class Delivery {
        final Envelope envelope;
        final AMQP.BasicProperties properties;
        final byte[] body;

        Delivery(Envelope envelope, AMQP.BasicProperties properties, byte[] body) {
            this.envelope = envelope;
            this.properties = properties;
            this.body = body;
        }
    }

    static Connection connected() throws Exception {
        ConnectionFactory factory = new ConnectionFactory();
        factory.setUri(System.getenv("AMQP_URL"));
        factory.setNetworkRecoveryInterval(100);
        String ca = System.getenv("AMQP_CA");
        if (ca != null) {
            KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
            store.load(null, null);
            try (InputStream file = Files.newInputStream(Path.of(ca))) {
                store.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(file));
            }
            TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
            trust.init(store);
            SSLContext context = SSLContext.getInstance("TLS");
            context.init(null, trust.getTrustManagers(), null);
            factory.useSslProtocol(context);
        }
        return factory.newConnection();
    }

    // Connection, channel, queue and consumer come back by themselves.
    static void playRestart(Connection connection, Channel channel, Map<String, Object> play) throws Exception {
        String queue = (String) play.get("queue");
        CountDownLatch recovered = new CountDownLatch(1);
        ((Recoverable) connection).addRecoveryListener(new RecoveryListener() {
            @Override
            public void handleRecovery(Recoverable connection) {
                recovered.countDown();
            }

            @Override
            public void handleRecoveryStarted(Recoverable connection) {
            }
        });
        channel.queueDeclare(queue, true, false, false, null);
        channel.basicPublish("", queue, MessageProperties.MINIMAL_PERSISTENT_BASIC, octets(play.get("body")));
        channel.waitForConfirmsOrDie(DEADLINE_S * 1000);
        tell("confirmed");
        BlockingQueue<Delivery> deliveries = consume(channel, queue, false, "mine");
        tell("waiting", text(deliveries.take().body));
        Delivery again = deliveries.take();
        recovered.await();
        tell("came back", text(again.body));
        channel.basicAck(again.envelope.getDeliveryTag(), false);
        channel.basicPublish("", queue, MessageProperties.MINIMAL_PERSISTENT_BASIC, octets(play.get("answer")));
        channel.waitForConfirmsOrDie(DEADLINE_S * 1000);
        tell("confirmed");
        connection.close();
    }

    public static void main(String[] arguments) throws Exception {
        String json = Files.readString(Path.of(arguments[0]));
        Map<String, Object> play = (Map<String, Object>) new JSONReader().read(json);
        Map<String, Object> wanted = (Map<String, Object>) play.get("properties");
        String exchange = (String) play.get("exchange"), queue = (String) play.get("queue");
        Connection connection = connected();
        Channel channel = connection.createChannel();
        channel.confirmSelect();
        if (arguments.length > 1) {
            playRestart(connection, channel, play);
            return;
        }
        channel.exchangeDeclare(exchange, "topic", true);
        AMQP.Queue.DeclareOk declared = channel.queueDeclare(queue, true, false, false, null);
        channel.queueBind(queue, exchange, (String) play.get("binding_key"));
        tell("declared", declared.getMessageCount(), declared.getConsumerCount());

        AMQP.BasicProperties properties = new AMQP.BasicProperties.Builder()
            .contentType((String) wanted.get("content_type"))
            .contentEncoding((String) wanted.get("content_encoding"))
            .headers((Map<String, Object>) wanted.get("headers"))
            .deliveryMode(((Number) wanted.get("delivery_mode")).intValue())
            .priority(((Number) wanted.get("priority")).intValue())
            .correlationId((String) wanted.get("correlation_id"))
            .replyTo((String) wanted.get("reply_to"))
            .expiration((String) wanted.get("expiration"))
            .messageId((String) wanted.get("message_id"))
            .timestamp(new Date(((Number) wanted.get("timestamp")).longValue() * 1000))
            .type((String) wanted.get("type"))
            .userId((String) wanted.get("user_id"))
            .appId((String) wanted.get("app_id"))
            .build();
        channel.basicPublish(exchange, (String) play.get("routing_key"), true, properties, octets(play.get("body")));
        channel.waitForConfirmsOrDie(DEADLINE_S * 1000);
        tell("confirmed");

        BlockingQueue<Delivery> deliveries = consume(channel, queue, false, "mine");
        Delivery first = deliveries.poll(DEADLINE_S, TimeUnit.SECONDS);
        AMQP.BasicProperties got = first.properties;
        Map<String, Object> seen = new LinkedHashMap<>();
        seen.put("content_type", got.getContentType());
        seen.put("content_encoding", got.getContentEncoding());
        seen.put("headers", plain(got.getHeaders()));
        seen.put("delivery_mode", got.getDeliveryMode());
        seen.put("priority", got.getPriority());
        seen.put("correlation_id", got.getCorrelationId());
        seen.put("reply_to", got.getReplyTo());
        seen.put("expiration", got.getExpiration());
        seen.put("message_id", got.getMessageId());
        seen.put("timestamp", got.getTimestamp().getTime() / 1000);
        seen.put("type", got.getType());
        seen.put("user_id", got.getUserId());
        seen.put("app_id", got.getAppId());
        Envelope envelope = first.envelope;
        tell("received", envelope.getExchange(), envelope.getRoutingKey(), envelope.isRedeliver(), text(first.body), seen);
        channel.basicNack(envelope.getDeliveryTag(), false, true);
        Delivery second = deliveries.poll(DEADLINE_S, TimeUnit.SECONDS);
        tell("received again", second.envelope.isRedeliver());
        channel.basicAck(second.envelope.getDeliveryTag(), false);
        channel.basicCancel("mine");

        BlockingQueue<Delivery> replies = consume(channel, REPLY_TO, true, "replies");
        AMQP.BasicProperties ask = new AMQP.BasicProperties.Builder().replyTo(REPLY_TO).build();
        channel.basicPublish("", queue, ask, octets(play.get("question")));
        channel.waitForConfirmsOrDie(DEADLINE_S * 1000);
        GetResponse question = channel.basicGet(queue, true);
        channel.basicPublish("", question.getProps().getReplyTo(), null, octets(play.get("answer")));
        tell("answer", text(replies.poll(DEADLINE_S, TimeUnit.SECONDS).body));

        CountDownLatch returned = new CountDownLatch(1);
        channel.addReturnListener((code, text, its, key, its_properties, body) -> {
            tell("returned", code, key);
            returned.countDown();
        });
        channel.basicPublish(exchange, (String) play.get("unroutable_key"), true, null, new byte[0]);
        returned.await(DEADLINE_S, TimeUnit.SECONDS);
        try {
            channel.queueDeclarePassive((String) play.get("missing_queue"));
        } catch (IOException error) {
            ShutdownSignalException cause = (ShutdownSignalException) error.getCause();
            tell("closed", ((AMQP.Channel.Close) cause.getReason()).getReplyCode());
        }
        connection.close();
    }
}
