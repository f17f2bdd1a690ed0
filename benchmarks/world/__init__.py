# SPDX-License-Identifier: Apache-2.0
"""A simulation of vantages and faults that tests the detector.

It generates `Fact`s, as the judge would from measurements, and knows what is really blocked. The
detector is the production fold.
"""
