"""What the observations of all steps say."""

from __future__ import annotations

from probes.net.socket_network import SocketNetwork
from probes.steps.context import StepContext, failure_fields, icmp_fields
from probes.wire.observation import Contrast, Purpose, TCPConnect


def test_times_count_from_the_start_of_the_measurement() -> None:
    step = StepContext(
        SocketNetwork(), "e", "192.0.2.1", 443, 1000, Purpose.CONTRAST, Contrast.REPEAT
    )
    assert TCPConnect(**step.fields(1500, 70)) == TCPConnect(
        endpoint="e",
        purpose=Purpose.CONTRAST,
        contrast=Contrast.REPEAT,
        at_us=500,
        took_us=70,
        address="192.0.2.1",
        port=443,
    )


def test_what_failed_without_an_icmp_message_has_no_such_fields() -> None:
    assert icmp_fields(None) == icmp_fields(TimeoutError()) == {}


def test_what_ended_a_step_is_named_once_for_all_steps() -> None:
    assert failure_fields(None) == {}
    reset = ConnectionResetError(104, "reset by peer")
    assert failure_fields(reset) == {"failure": "connection_reset", "errno": 104}
