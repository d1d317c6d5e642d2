"""The one exception for octets that break the protocol.

What a peer sends wrongly is a `CodecError`, which knows the reply code to close the connection with. What the
program itself hands over wrongly for encoding (a routing key of 300 octets, an integer out of range) is a
`ValueError` or `TypeError`, as everywhere in Python.
"""

from amqp_codec.constants import ReplyCode


class CodecError(Exception):
    """Octets that can't be understood; every one of them ends the connection.

    Attributes:
        reply_code: what `connection.close` carries.
        text: the explanation, without the code's name that rule 0.3 puts before it.
        class_id: class of the method that was being decoded or assembled; 0 when none is known (rule 0.6).
        method_id: the method's number within that class, or 0.
    """

    def __init__(self, reply_code: ReplyCode, text: str, class_id: int = 0, method_id: int = 0) -> None:
        super().__init__(f"{reply_code.name} - {text}")
        self.reply_code = reply_code
        self.text = text
        self.class_id = class_id
        self.method_id = method_id
