# SPDX-License-Identifier: Apache-2.0
"""Files, directories and the command of known fingerprints. How they are matched is in
`monitor.detection.fingerprints`, which reads no files.
"""
