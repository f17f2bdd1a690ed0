# SPDX-License-Identifier: Apache-2.0
"""What pages and webhooks say in words: states, events, confidence, observations, certificates."""
