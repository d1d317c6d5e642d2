from amqp_codec import BasicAck, ConfirmSelect, ConfirmSelectOk
from tests.support.client import ChannelClient


def test_publish_get_consume(channel: ChannelClient) -> None:
    queue = channel.queue("q")
    channel.publish_all(queue, b"a", b"b")
    assert channel.counts(queue) == (2, 0)
    first = channel.get(queue)
    assert first is not None
    assert first.body == b"a"
    channel.consume(queue)
    channel.expect_bodies(b"b")
    channel.call(ConfirmSelect(), ConfirmSelectOk)
    channel.publish("nowhere")
    channel.expect(BasicAck)
