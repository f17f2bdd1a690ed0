# SPDX-License-Identifier: Apache-2.0
"""The broker inside `reachwatch up`, and the access rules that every broker of ours keeps."""

from monitor.broker.embedded import BrokerError, Certificate, EmbeddedBroker

__all__ = ["BrokerError", "Certificate", "EmbeddedBroker"]
