# AnyEvent::RabbitMQ for Perl. It knows no basic.nack, and its codec no nested tables: messages go back by reject, and
# without headers.
use strict;
use warnings;
use utf8;
use AnyEvent;
use AnyEvent::RabbitMQ;
use Encode qw(decode encode);
use JSON::PP;

my $json = JSON::PP->new->utf8->canonical->allow_nonref;
open(my $file, '<', $ARGV[0]) or die $!;
my $play = $json->decode(do { local $/; <$file> });
my ($user, $password, $host, $port) = $ENV{AMQP_URL} =~ m{^amqps?://(?:([^:]*):([^@]*)@)?([^:/]+):(\d+)};
my $REPLY_TO = 'amq.rabbitmq.reply-to';
$| = 1;

sub tell_all { print $json->encode([@_]), "\n" }

# Call a method with callbacks and wait for the one that is called.
sub ask {
    my ($object, $method, %arguments) = @_;
    my $done = AnyEvent->condvar;
    $object->$method(
        %arguments,
        on_success => sub { $done->send($_[0]) },
        on_failure => sub { $done->croak("$method: " . (ref $_[0] ? $json->encode({%{$_[0]}}) : $_[0])) },
    );
    return $done->recv;
}

# A connection; dies where nobody listens.
sub connected {
    my ($on_close) = @_;
    my $connection = AnyEvent::RabbitMQ->new->load_xml_spec();
    ask($connection, 'connect', host => $host, port => $port, user => $user // 'guest', pass => $password // 'guest',
        vhost => '/', timeout => 10, on_close => $on_close, on_read_failure => $on_close,
        $ENV{AMQP_CA} ? (tls => 1, tls_ctx => { ca_file => $ENV{AMQP_CA}, verify => 1, verify_peername => 'https' }) : ());
    return $connection;
}

# What a program does around its connection when the broker may go away.
sub restart {
    for (my $is_waiting = 0; ; ) {
        my $lost = AnyEvent->condvar;
        my $connection = eval { connected(sub { $lost->send }) };
        if (!$connection) {
            my $later = AnyEvent->condvar;
            my $timer = AnyEvent->timer(after => 0.1, cb => sub { $later->send });
            $later->recv;
            next;
        }
        my $channel = ask($connection, 'open_channel', on_close => sub { $lost->send });
        ask($channel, 'confirm');
        ask($channel, 'declare_queue', queue => $play->{queue}, durable => 1);
        my $send = sub {
            my $sent = AnyEvent->condvar;
            $channel->publish(exchange => '', routing_key => $play->{queue}, header => { delivery_mode => 2 },
                body => encode('UTF-8', $_[0]), on_ack => sub { $sent->send });
            $sent->recv;
            tell_all('confirmed');
        };
        $send->($play->{body}) unless $is_waiting;
        my $arrived = AnyEvent->condvar;
        ask($channel, 'consume', queue => $play->{queue}, consumer_tag => 'mine', no_ack => 0,
            on_consume => sub { $arrived->send($_[0]) });
        my $delivery = $arrived->recv;
        tell_all($is_waiting ? 'came back' : 'waiting', decode('UTF-8', $delivery->{body}->payload));
        if ($is_waiting) {
            $channel->ack(delivery_tag => $delivery->{deliver}->method_frame->delivery_tag);
            $send->($play->{answer});
            ask($connection, 'close');
            return;
        }
        $is_waiting = 1;
        $lost->recv;
    }
}

if (($ARGV[1] // '') eq 'restart') {
    restart();
    exit;
}

my $connection = connected(sub { });
my $closed = AnyEvent->condvar;
my $channel = ask($connection, 'open_channel', on_close => sub { $closed->send($_[0]) });
ask($channel, 'confirm');
ask($channel, 'declare_exchange', exchange => $play->{exchange}, type => 'topic', durable => 1);
my $declared = ask($channel, 'declare_queue', queue => $play->{queue}, durable => 1)->method_frame;
ask($channel, 'bind_queue', queue => $play->{queue}, exchange => $play->{exchange},
    routing_key => $play->{binding_key});
tell_all('declared', $declared->message_count, $declared->consumer_count);

my %wanted = %{$play->{properties}};
delete $wanted{headers};
my $published = AnyEvent->condvar;
$channel->publish(
    exchange => $play->{exchange}, routing_key => $play->{routing_key}, mandatory => 1, header => \%wanted,
    body => encode('UTF-8', $play->{body}), on_ack => sub { $published->send },
    on_inactive => sub { $published->croak('inactive') },
);
$published->recv;
tell_all('confirmed');

my @deliveries;
my $arrived = AnyEvent->condvar;
sub next_delivery {
    $arrived->recv unless @deliveries;
    $arrived = AnyEvent->condvar;
    return shift @deliveries;
}
my $keep = sub { push @deliveries, $_[0]; $arrived->send };
ask($channel, 'consume', queue => $play->{queue}, consumer_tag => 'mine', no_ack => 0, on_consume => $keep);
my $first = next_delivery();
my ($deliver, $header) = ($first->{deliver}->method_frame, $first->{header});
my %seen = map { $_ => $header->$_ } keys %wanted;
tell_all('received', $deliver->exchange, $deliver->routing_key, $deliver->redelivered ? JSON::PP::true : JSON::PP::false,
    decode('UTF-8', $first->{body}->payload), \%seen);
$channel->reject(delivery_tag => $deliver->delivery_tag, requeue => 1);
my $second = next_delivery()->{deliver}->method_frame;
tell_all('received again', $second->redelivered ? JSON::PP::true : JSON::PP::false);
$channel->ack(delivery_tag => $second->delivery_tag);
ask($channel, 'cancel', consumer_tag => 'mine');

ask($channel, 'consume', queue => $REPLY_TO, consumer_tag => 'replies', no_ack => 1, on_consume => $keep);
$channel->publish(routing_key => $play->{queue}, exchange => '', body => $play->{question},
    header => { reply_to => $REPLY_TO }, on_ack => sub { });
my $question = ask($channel, 'get', queue => $play->{queue}, no_ack => 1);
$channel->publish(routing_key => $question->{header}->reply_to, exchange => '', body => $play->{answer},
    on_ack => sub { });
tell_all('answer', next_delivery()->{body}->payload);

my $returned = AnyEvent->condvar;
$channel->publish(exchange => $play->{exchange}, routing_key => $play->{unroutable_key}, mandatory => 1, body => '',
    on_return => sub { $returned->send($_[0]->method_frame) }, on_ack => sub { });
my $return = $returned->recv;
tell_all('returned', $return->reply_code, $return->routing_key);
my $missing = AnyEvent->condvar;
$channel->declare_queue(queue => $play->{missing_queue}, passive => 1,
    on_success => sub { $missing->send('there') }, on_failure => sub { $missing->send($_[0]) });
$missing->recv;
tell_all('closed', $closed->recv->method_frame->reply_code);
