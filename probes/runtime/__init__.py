# SPDX-License-Identifier: Apache-2.0
"""What both programs need: options, the MQTT session, logging, compression, files, time."""
