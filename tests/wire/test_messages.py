"""The table of messages: complete, with the right numbers, and the bytes of each message."""

import pytest
from tests.wire.wire_examples import EXAMPLES, TAG, Example
from tests.wire.wire_reference import LAYOUT, frame

from ninep.wire import modes
from ninep.wire.codec import codec
from ninep.wire.messages import BY_NUMBER

EXTENDED = codec(modes.EXTENDED)
PLAIN = codec(modes.PLAIN)


def test_every_message_of_the_three_dialects_is_declared_under_its_number() -> None:
    assert {number: cls.__name__ for number, cls in BY_NUMBER.items()} == {n: layout[0] for n, layout in LAYOUT.items()}


def test_an_answer_has_the_number_of_its_question_plus_one() -> None:
    names = {cls.__name__: number for number, cls in BY_NUMBER.items()}
    questions = [name for name in names if name.startswith("T")]
    assert {name: names["R" + name[1:]] for name in questions} == {name: names[name] + 1 for name in questions}


def test_every_message_has_an_example() -> None:
    assert {type(example.message) for example in EXAMPLES} == set(BY_NUMBER.values())


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
class TestBytes:
    def test_extended_bytes_of_the_message(self, example: Example) -> None:
        assert b"".join(EXTENDED.encode(TAG, example.message)) == example.extended

    def test_plain_bytes_of_the_message(self, example: Example) -> None:
        assert b"".join(PLAIN.encode(TAG, example.message)) == example.plain

    def test_message_of_the_extended_bytes(self, example: Example) -> None:
        assert EXTENDED.decode(example.extended) == (TAG, example.message)

    def test_message_of_the_plain_bytes(self, example: Example) -> None:
        assert PLAIN.decode(example.plain) == (TAG, example.plain_message)

    def test_the_size_counts_itself(self, example: Example) -> None:
        assert int.from_bytes(example.extended[:4], "little") == len(example.extended)
        assert int.from_bytes(example.plain[:4], "little") == len(example.plain)

    def test_the_manuals_notation_gives_the_same_bytes(self, example: Example) -> None:
        number = example.message.number
        assert frame(number, TAG, example.message, extended=True) == example.extended
        assert frame(number, TAG, example.plain_message, extended=False) == example.plain

    def test_strings_are_bytes_whatever_the_buffer_was(self, example: Example) -> None:
        _, message = EXTENDED.decode(memoryview(bytearray(example.extended)))
        assert message == example.message
