# SPDX-License-Identifier: Apache-2.0
"""A made-up world of vantages and troubles, in which the detector proves itself.

It makes `Fact`s, as the judge would from measurements, and knows what was really blocked. It
knows nothing of how the detector concludes: the detector that it drives is the production fold.
"""
